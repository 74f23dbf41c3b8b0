"""What Redis keeps: bytes per channel, per publish, per dedup id."""


def _used(client):
    return int(client.info("memory")["used_memory"])


def _fill(c, commands):
    before, n = _used(c), 0
    batch = []
    for command in commands:
        batch.append(command)
        if len(batch) == 500:
            c.pipe(batch)
            batch = []
        n += 1
    c.pipe(batch)
    return _used(c) - before


def channels(lab, row):
    """A channel that holds one message: meta as a string, as a hash; log as a stream."""
    c = lab.redis("--enable-debug-command", "yes").client()
    n = 20000
    for what, make in (
        ("meta: a packed string of 56 B", lambda i: ("SET", f"p:{{00}}:c:room:{i}", "x" * 56)),
        ("meta: a hash of 5 fields", lambda i: ("HSET", f"p:{{00}}:h:room:{i}", "epoch", "abcdefghijkl", "top", 1, "seq", 1, "time", 17953422330123457, "tag", "0123456789abcdef")),
        ("log: a stream with one entry of 16 B", lambda i: ("XADD", f"p:{{00}}:l1:room:{i}", "1-0", "d", "x" * 16)),
        ("log: a stream with one entry of 160 B", lambda i: ("XADD", f"p:{{00}}:l2:room:{i}", "1-0", "d", "x" * 160)),
    ):
        c.do("FLUSHALL")
        row(what, f"{_fill(c, (make(i) for i in range(n))) / n:.0f} B per channel, its key included")
    c.do("FLUSHALL")
    c.do("CONFIG", "SET", "stream-node-max-bytes", 512)
    row("log with one entry of 16 B, stream-node-max-bytes 512", f"{_fill(c, (('XADD', f'p:{{00}}:l1:room:{i}', '1-0', 'd', 'x' * 16) for i in range(n))) / n:.0f} B")
    c.do("CONFIG", "SET", "stream-node-max-bytes", 4096)
    c.do("FLUSHALL")
    both = _fill(c, (x for i in range(n) for x in (("SET", f"p:{{00}}:c:room:{i}", "x" * 56, "PX", 3600000), ("XADD", f"p:{{00}}:l:room:{i}", "1-0", "d", "x" * 160), ("PEXPIRE", f"p:{{00}}:l:room:{i}", 3600000))))
    row("meta + log with one entry of 160 B, both with an expiry", f"{both / n:.0f} B per channel")
    for size in (512, 1024, 4096):
        c.do("FLUSHALL")
        c.do("CONFIG", "SET", "stream-node-max-bytes", size)
        c.pipe([("XADD", f"l{i}", "1-0", "d", "x" * 160) for i in range(1000)])
        one = _used(c)
        c.pipe([("XADD", f"l{i % 1000}", f"{i // 1000 + 2}-0", "d", "x" * 160) for i in range(100000)])
        row(f"stream-node-max-bytes {size}: 1,000 logs of 101 entries of 160 B", f"{(_used(c) - one) / 100000:.0f} B per further entry")
    c.do("FLUSHALL")
    spent = _fill(c, (("XADD", f"p:{{00}}:l:room:{i}", "1-0", "d", "x" * 160) for i in range(n)))
    before = _used(c)
    c.do("DEBUG", "RELOAD")
    row("logs with one entry of 160 B, after the data was loaded again (a restart, a replica)", f"{spent / n:.0f} B → {(spent - before + _used(c)) / n:.0f} B per log")


def publishes(lab, row):
    """One more entry in a log that has many, by size."""
    c = lab.redis().client()
    for size in (16, 160, 300, 1024, 4096):
        n = 20000 if size < 2000 else 5000
        c.do("FLUSHALL")
        c.do("XADD", "l", "1-0", "d", "x")
        spent = _fill(c, (("XADD", "l", f"{i}-0", "d", "x" * size) for i in range(2, n + 2)))
        row(f"{size} B of data", f"{spent / n:.0f} B per entry")
    c.do("FLUSHALL")
    n = 10000
    spent = _fill(c, (("XADD", "l", "MAXLEN", "~", 1000, f"{i}-0", "d", "x" * 160) for i in range(1, n + 1)))
    row("a log cut by `MAXLEN ~ 1000`, 160 B", f"{spent:,} B in all for {c.do('XLEN', 'l')} entries")
    c.do("FLUSHALL")
    for i in range(1000):
        c.do("XADD", "l", f"{i + 1}-0", "d", "x" * 160)
    before = _used(c)
    for i in range(0, 1000, 2):
        c.do("XDEL", "l", f"{i + 1}-0")
    row("`XDEL` of every second of 1,000 entries gives back", f"{before - _used(c)} B")
    c.do("RENAME", "l", "old")
    pairs = c.do("XRANGE", "old", "-", "+")
    before = _used(c)
    for ident, fields in pairs:
        c.do("XADD", "new", ident, *fields)
    c.do("RENAME", "new", "old")
    row("… rewritten under a temporary key and renamed over it: gives back", f"{before - _used(c)} B")


def dedup(lab, row):
    """One id remembered: a hash per partition, and (for comparison) a key per publish."""
    c = lab.redis().client()
    n = 50000
    ids = [f"{i:032x}" for i in range(n)]
    row("in one hash: 16 raw bytes → 24 bytes", f"{_fill(c, (('HSET', 'd', bytes.fromhex(x), 'v' * 24) for x in ids)) / n:.0f} B each")
    c.do("FLUSHALL", "SYNC")
    row("in a key of its own with an expiry: 40 B → 24 B", f"{_fill(c, (('SET', 'p:{00}:d:' + x, 'v' * 24, 'PX', 300000) for x in ids)) / n:.0f} B each")


def idle(lab, row):
    """An empty server, its connections, its backlog."""
    server = lab.redis()
    c = server.client()
    row("empty: used_memory", _used(c))
    before = _used(c)
    clients = [server.client() for _ in range(200)]
    for each in clients:
        each.do("PING")
    row("a connection", f"{(_used(c) - before) / 200:.0f} B")
    before = _used(c)
    lab.redis().follow(server)
    row("the first replica (backlog of 1 MiB by default)", f"{_used(c) - before} B")
