"""What an append costs Redis, by the size of its batch. CPU seconds, not wall time: other work on the machine matters less."""

import time

from .tails import _cpu

# The shape of the append: one read of the partition's meta, then per entry the channel's meta (read once for a
# channel in the batch), the log, the partition stream, and at the end the metas. Extras are switched on by ARGV[2].
APPEND = """
local part = redis.call('GET', KEYS[1])
local pseq = part and struct.unpack('>I8', part) or 0
local extras, maxlen, n = ARGV[2], ARGV[3], tonumber(ARGV[1])
local tops, replies = {}, {}
for i = 1, n do
  local log, meta = KEYS[2 + 2 * i], KEYS[3 + 2 * i]
  local top = tops[meta]
  if not top then
    local known = redis.call('GET', meta)
    top = known and struct.unpack('>I8', known) or 0
  end
  if extras ~= '' then
    local id = ARGV[3 + 2 * i]
    if not redis.call('HGET', KEYS[3], id) then redis.call('HSET', KEYS[3], id, log) end
  end
  top, pseq = top + 1, pseq + 1
  tops[meta] = top
  local entry = ARGV[2 + 2 * i]
  if maxlen == '0' then
    redis.call('XADD', log, string.format('%.0f-0', top), 'd', entry)
    redis.call('XADD', KEYS[2], string.format('%.0f-0', pseq), 'd', entry)
  else
    redis.call('XADD', log, 'MAXLEN', '~', maxlen, string.format('%.0f-0', top), 'd', entry)
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', '2000', string.format('%.0f-0', pseq), 'd', entry)
  end
  replies[i] = top
end
for meta, top in pairs(tops) do
  redis.call('SET', meta, struct.pack('>I8', top) .. ARGV[#ARGV])
  if extras == 'expire' then redis.call('PEXPIRE', meta, 3600000) end
end
redis.call('SET', KEYS[1], struct.pack('>I8', pseq) .. ARGV[#ARGV])
return replies
"""


def _run(server, batch, channels, extras="", maxlen="0", size=160, total=12800, depth=1):
    c = server.client(60)
    c.do("FLUSHALL")
    sha = c.do("SCRIPT", "LOAD", APPEND).decode()
    c.do("CONFIG", "RESETSTAT")
    entry, state = "x" * size, "m" * 48
    commands = []
    for b in range(total // batch):
        keys, args = ["{p}m", "{p}s", "{p}d"], [batch, extras, maxlen]
        for i in range(batch):
            n = (b * batch + i) % channels
            keys += [f"{{p}}l:{n}", f"{{p}}c:{n}"]
            args += [entry, f"sender{b * batch + i}"]
        # ARGV of an entry: 4, 6, 8 … its body; 5, 7, 9 … its id.
        commands.append(("EVALSHA", sha, len(keys), *keys, *args, state))
    before, start = _cpu(c), time.perf_counter()
    for at in range(0, len(commands), depth):
        for reply in c.pipe(commands[at:at + depth]):
            if isinstance(reply, Exception):
                raise reply
    took = time.perf_counter() - start
    info = c.info("commandstats")["cmdstat_evalsha"]
    stats = dict(x.split("=") for x in info.split(","))
    return {"script": float(stats["usec"]) / total, "call": float(stats["usec_per_call"]), "cpu": (_cpu(c) - before) / total * 1e6,
            "rate": total / took}


def append_script(lab, row):
    """The append script by batch size: 160 B entries; log + partition stream + packed meta."""
    server = lab.redis()
    _run(server, 32, 100)
    for channels, what in ((1, "one channel"), (1000, "1,000 channels in turn")):
        for batch in (1, 8, 32, 128):
            r = _run(server, batch, channels)
            row(f"{what}, batches of {batch}", f"{r['script']:.1f} µs per publish inside the script ({r['call']:.0f} µs a call), "
                f"{r['cpu']:.1f} µs of Redis CPU per publish with its I/O, {r['rate']:.0f}/s with one batch in flight")


def extras(lab, row):
    """What dedup, trimming and expiry add (batches of 32, 1,000 channels)."""
    server = lab.redis()
    for what, options in (("log, partition stream, meta", {}),
                          ("… and `MAXLEN ~` on both streams", {"maxlen": "1000"}),
                          ("… and dedup (HGET, HSET)", {"maxlen": "1000", "extras": "dedup"}),
                          ("… and PEXPIRE of meta", {"maxlen": "1000", "extras": "expire"}),
                          ("… entries of 1 KiB instead of 160 B", {"maxlen": "1000", "extras": "expire", "size": 1024})):
        r = _run(server, 32, 1000, **options)
        row(what, f"{r['script']:.1f} µs in the script, {r['cpu']:.1f} µs of CPU per publish")


def persistence(lab, row):
    """The same with an append-only file, and with a replica (batches of 1 and 32, 1,000 channels)."""
    for what, options, replicas in (("nothing", (), 0), ("AOF everysec", ("--appendonly", "yes"), 0),
                                    ("AOF always", ("--appendonly", "yes", "--appendfsync", "always"), 0),
                                    ("one replica", (), 1), ("AOF everysec, two replicas", ("--appendonly", "yes"), 2)):
        server = lab.redis(*options)
        for _ in range(replicas):
            lab.redis().follow(server)
        cells = []
        for batch in (1, 32):
            r = _run(server, batch, 1000, total=6400)
            cells.append(f"batches of {batch}: {r['cpu']:.1f} µs of CPU per publish, {r['rate']:.0f}/s")
        row(what, "; ".join(cells))
        for each in lab.started:
            each.kill()


def bare(lab, row):
    """What the machine itself costs: a command that does next to nothing, alone and in a pipeline."""
    c = lab.redis().client()
    for depth in (1, 32):
        before, n = _cpu(c), 20000
        for _ in range(n // depth):
            c.pipe([("SET", "k", "x")] * depth)
        row(f"`SET`, {depth} in flight", f"{(_cpu(c) - before) / n * 1e6:.1f} µs of Redis CPU each")
    sha = c.do("SCRIPT", "LOAD", "return 1")
    for depth in (1, 32):
        before, n = _cpu(c), 20000
        for _ in range(n // depth):
            c.pipe([("EVALSHA", sha, 0)] * depth)
        row(f"empty script, {depth} in flight", f"{(_cpu(c) - before) / n * 1e6:.1f} µs of Redis CPU each")
