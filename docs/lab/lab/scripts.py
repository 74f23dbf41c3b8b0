"""What a script sees and leaves: partial writes, NOMKSTREAM, expiry, WAIT, INFO inside, numbers, replication."""

import time

from .servers import wait


def partial_writes(lab, row):
    """A script does not roll back."""
    c = lab.redis().client()
    c.do("XADD", "{t}log", "5-0", "d", "x")
    script = ("redis.call('SET', KEYS[1], ARGV[1]) "
              "return redis.call('XADD', KEYS[2], ARGV[2], 'd', 'y')")
    row("`SET` then `XADD` under an id that is too small", c.ask("EVAL", script, 2, "{t}m", "{t}log", "top=5", "5-0"))
    row("… the `SET` stayed?", c.ask("GET", "{t}m"))
    row("the same outside", c.ask("XADD", "{t}log", "5-0", "d", "y"))
    row("`XADD` of id 0-0", c.ask("XADD", "{t}log", "0-0", "d", "y"))
    row("`pcall` of it gives", c.ask("EVAL", "return redis.pcall('XADD', KEYS[1], '5-0', 'd', 'y').err", 1, "{t}log"))
    c.do("SET", "{t}str", "x")
    row("`XADD` to a string", c.ask("EVAL", script, 2, "{t}m2", "{t}str", "a", "9-0"))
    row("… the `SET` stayed?", c.ask("GET", "{t}m2"))
    row("error(…) raised by the script itself after a write",
        c.ask("EVAL", "redis.call('SET', KEYS[1], 1) return redis.error_reply('LINEAGE 7')", 1, "{t}m3"))
    row("… the `SET` stayed?", c.ask("GET", "{t}m3"))


def streams(lab, row):
    """XADD's corners that the append script leans on."""
    c = lab.redis().client()
    row("`XADD NOMKSTREAM` to a missing key, in a script",
        c.ask("EVAL", "local r = redis.call('XADD', KEYS[1], 'NOMKSTREAM', '1-0', 'd', 'x') return {type(r), tostring(r)}", 1, "s"))
    row("… does the key exist?", c.ask("EXISTS", "s"))
    for i in range(1, 11):
        c.do("XADD", "s", f"{i}-0", "d", "x")
    c.do("XTRIM", "s", "MAXLEN", 0)
    row("trimmed to nothing: the key exists, its last id", (c.ask("EXISTS", "s"), _last_id(c, "s")))
    row("… `XADD 10-0` afterwards", c.ask("XADD", "s", "10-0", "d", "x"))
    row("… `XADD 11-0`", c.ask("XADD", "s", "11-0", "d", "x"))
    c.do("XDEL", "s", "11-0")
    row("the newest entry `XDEL`ed: last id", _last_id(c, "s"))
    row("`XADD 13-0` (a hole) is taken", c.ask("XADD", "s", "13-0", "d", "x"))
    row("`XREAD` after 5-0 (6 to 10 were trimmed)", c.ask("XREAD", "STREAMS", "s", "5-0"))
    c.pipe([("XADD", "s2", "MAXLEN", "~", "5", f"{i}-0", "d", "x") for i in range(1, 100)])
    row("`XADD MAXLEN ~ 5`, 99 tiny entries: kept", c.do("XLEN", "s2"))
    row("`XADD MAXLEN = 5`: kept", [c.do("XADD", "s2", "MAXLEN", "=", "5", "106-0", "d", "x"), c.do("XLEN", "s2")][1])
    row("`XADD MINID = 98-0`: kept", [c.do("XADD", "s2", "MINID", "=", "98-0", "107-0", "d", "x"), c.do("XLEN", "s2")][1])
    row("`RENAME` over a stream keeps ids and last id",
        [c.do("XADD", "tmp", "50-0", "d", "t"), c.do("RENAME", "tmp", "s2"), _last_id(c, "s2")])
    row("`XSETID` raises a last id", [c.ask("XSETID", "s2", "60-0"), _last_id(c, "s2"), c.ask("XADD", "s2", "60-0", "d", "x")])


def numbers(lab, row):
    """Lua numbers are doubles."""
    c = lab.redis().client()
    big = "17953422330123457"
    row(f"`tonumber('{big}')` and back, by string.format('%.0f')", c.ask("EVAL", "return string.format('%.0f', tonumber(ARGV[1]))", 0, big))
    row("… as a reply", c.ask("EVAL", "return tonumber(ARGV[1])", 0, big))
    row("… tostring()", c.ask("EVAL", "return tostring(tonumber(ARGV[1]))", 0, big))
    row("tostring(2^53 - 1), string.format('%d', 2^53 - 1)",
        c.ask("EVAL", "return {tostring(9007199254740991), string.format('%d', 9007199254740991)}", 0))
    row("`123456789012345 .. '-0'` (as an id)", c.ask("EVAL", "return 123456789012345 .. '-0'", 0))
    row("`100000000000000 .. '-0'`", c.ask("EVAL", "return 100000000000000 .. '-0'", 0))
    row("17-digit strings compared with `<` as strings (same length)", c.ask("EVAL", "return tostring(ARGV[1] < ARGV[2])", 0, big, "17953422330123458"))
    row("struct.pack('>I8', 2^53 - 1) round trip", c.ask("EVAL", "return string.format('%.0f', (struct.unpack('>I8', struct.pack('>I8', 9007199254740991))))", 0))
    row("struct.pack('>d', …) is exact below 2^53", c.ask("EVAL", "return string.format('%.0f', (struct.unpack('>d', struct.pack('>d', 9007199254740991))))", 0))
    row("cmsgpack of 2^53 - 1", c.ask("EVAL", "return string.format('%.0f', cmsgpack.unpack(cmsgpack.pack(9007199254740991)))", 0))
    row("`redis.call('TIME')` in a writing script, twice, 10 ms of work between",
        c.ask("EVAL", "local a = redis.call('TIME') for i = 1, 300000 do end redis.call('SET', KEYS[1], 1) local b = redis.call('TIME') return {a[1] == b[1] and a[2] == b[2] and 'the same' or 'different'}", 1, "k"))
    row("unpack of 7,999 / 8,000 values", [str(c.ask("EVAL", f"local t = {{}} for i = 1, {n} do t[i] = 'm' end return redis.call('RPUSH', KEYS[1], unpack(t))", 1, f"l{n}"))[:40] for n in (7999, 8000)])
    row("a global variable", c.ask("EVAL", "x = 1 return x", 0))


def info_inside(lab, row):
    """Whether a script can learn who it runs on."""
    redis = lab.redis()
    replica = lab.redis().follow(redis)
    c = redis.client()
    row("`INFO replication` in a script", str(c.ask("EVAL", "return redis.call('INFO', 'replication')", 0))[:60])
    row("… `INFO server`", "run_id" in str(c.ask("EVAL", "return redis.call('INFO', 'server')", 0)))
    row("… `ROLE`", str(c.ask("EVAL", "return redis.call('ROLE')[1]", 0)))
    row("… `CONFIG GET maxmemory-policy`", str(c.ask("EVAL", "return redis.call('CONFIG', 'GET', 'maxmemory-policy')", 0))[:60])
    row("… `WAIT 1 100`", c.ask("EVAL", "redis.call('SET', KEYS[1], 1) return redis.call('WAIT', 1, 100)", 1, "k"))
    row("… `XREAD BLOCK`", c.ask("EVAL", "return redis.call('XREAD', 'BLOCK', 100, 'STREAMS', KEYS[1], '0')", 1, "s"))
    row("… `CLIENT ID`", c.ask("EVAL", "return redis.call('CLIENT', 'ID')", 0))
    script = "return redis.call('INFO', 'replication')"
    start = time.perf_counter()
    c.pipe([("EVAL", script, 0)] * 2000)
    row("… costs", f"{(time.perf_counter() - start) / 2000 * 1e6:.0f} µs each (2,000 in a pipeline)")
    replica.kill()


def expiry(lab, row):
    """Two keys given the same expiry in one script: do they die together, on the primary and on a replica?"""
    redis = lab.redis("--hz", "100")
    replica = lab.redis().follow(redis)
    c, r = redis.client(), replica.client()
    script = ("redis.call('SET', KEYS[1], 1) redis.call('XADD', KEYS[2], '*', 'd', 'x') "
              "redis.call('PEXPIRE', KEYS[1], 300) redis.call('PEXPIRE', KEYS[2], 300) "
              "return {redis.call('PEXPIRETIME', KEYS[1]), redis.call('PEXPIRETIME', KEYS[2])}")
    both = "return redis.call('EXISTS', KEYS[1]) .. redis.call('EXISTS', KEYS[2])"
    for name, reader, how in (("primary", c, "EVAL"), ("replica", r, "EVAL_RO")):
        halves, absent, rounds, equal = 0, 0, 40, True
        for i in range(rounds):
            keys = (f"{{{name}{i}}}m", f"{{{name}{i}}}l")
            times = c.do("EVAL", script, 2, *keys)
            equal = equal and times[0] == times[1]
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            for i in range(rounds):
                state = reader.do(how, both, 2, f"{{{name}{i}}}m", f"{{{name}{i}}}l")
                halves += state in (b"01", b"10")
                absent += state == b"00"
        row(f"{rounds} pairs, read in one script on the {name} around the deadline", f"one without the other: {halves} times; both gone: {absent} times; same PEXPIRETIME: {equal}")
        halves = 0
        for i in range(rounds):
            c.do("EVAL", script, 2, f"{{{name}p{i}}}m", f"{{{name}p{i}}}l")
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            for i in range(rounds):
                a, b = reader.pipe([("EXISTS", f"{{{name}p{i}}}m"), ("EXISTS", f"{{{name}p{i}}}l")])
                halves += a != b
        row(f"… by two commands in one pipeline on the {name}", f"one without the other: {halves} times")
    redis.freeze()
    row("replica whose primary is frozen: a key past its deadline, `EXISTS`", _past_deadline(c, r, redis))
    redis.kill()


def _past_deadline(c, r, redis):
    redis.thaw()
    c.do("SET", "late", 1, "PX", 200)
    wait("the replica to have it", lambda: r.do("EXISTS", "late"))
    redis.freeze()
    seconds = wait("it to be hidden", lambda: not r.do("EXISTS", "late"))
    return f"hidden (0) after {seconds:.1f} s; DBSIZE still counts {r.do('DBSIZE')}"


def wait_command(lab, row):
    """WAIT counts replicas that have what *this connection* wrote."""
    redis = lab.redis()
    replica = lab.redis().follow(redis)
    same = redis.client()
    script = "return redis.call('SET', KEYS[1], ARGV[1])"
    same.do("SET", "k", 0)
    row("a replica whose link came up just now: `WAIT 1 0` answers after", f"{wait('the first ACK', lambda: same.do('WAIT', 1, 0) == 1):.1f} s")
    row("script, then `WAIT 1 500` on the same connection", (same.do("EVAL", script, 1, "k", 1), same.do("WAIT", 1, 500)))
    replica.freeze()
    time.sleep(0.05)
    row("replica frozen: script, `WAIT 1 300`, same connection", (same.do("EVAL", script, 1, "k", 2), same.do("WAIT", 1, 300)))
    fresh = redis.client()
    row("… `WAIT 1 300` alone on another connection (the replica lacks the write)", fresh.do("WAIT", 1, 300))
    row("… `WAIT 1 300` again on that connection (a command before it: the first `WAIT`)", fresh.do("WAIT", 1, 300))
    row("… a reading script, then `WAIT`, on a fresh connection", (fresh.do("EVAL", "return redis.call('GET', KEYS[1])", 1, "k"), fresh.do("WAIT", 1, 300)))
    row("… a script whose write changes nothing (`DEL` of a missing key), then `WAIT`", (fresh.do("EVAL", "return redis.call('DEL', KEYS[1])", 1, "nothing"), fresh.do("WAIT", 1, 300)))
    row("… `SET` of something small, then `WAIT`", (fresh.do("SET", "touch", 1), fresh.do("WAIT", 1, 300)))
    row("… INFO: does the primary count the frozen replica?", redis.client().info("replication").get("slave0"))
    replica.thaw()
    row("thawed: `WAIT 1 1000` on the first connection", same.do("WAIT", 1, 1000))
    times = []
    for i in range(300):
        start = time.perf_counter()
        same.pipe([("EVAL", script, 1, "k", i), ("WAIT", 1, 1000)])
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    row("script + `WAIT 1` in one pipeline, idle machine, 300 times", f"p50 {times[150]:.2f} ms, p99 {times[296]:.2f} ms")
    redis2 = redis.client()
    same.send("WAIT", 2, 2000)
    time.sleep(0.1)
    start = time.monotonic()
    redis2.do("REPLICAOF", "127.0.0.1", replica.port)
    row("`WAIT 2 2000` pending while its server becomes a replica", f"{same.receive()} after {time.monotonic() - start:.1f} s")


def replication(lab, row):
    """What a script sends to replicas and to the append-only file."""
    redis = lab.redis()
    replica = lab.redis().follow(redis)
    c = redis.client()
    before = int(c.info("replication")["master_repl_offset"])
    c.do("EVAL", "for i = 1, 32 do redis.call('XADD', KEYS[1], i .. '-0', 'd', ARGV[1]) end", 1, "s", "x" * 128)
    time.sleep(0.2)
    after = int(c.info("replication")["master_repl_offset"])
    row("32 `XADD` of 128 B in one script: bytes to the replica", f"{after - before} ({(after - before) / 32:.0f} per entry)")
    row("… does the replica show a part of a script?", "no: the effects travel as MULTI … EXEC")
    before = after
    c.do("EVAL", "return redis.call('GET', KEYS[1])", 1, "k")
    row("a reading script: bytes", int(c.info("replication")["master_repl_offset"]) - before)
    replica.kill()


def _last_id(c, key):
    reply = c.do("XINFO", "STREAM", key)
    return dict(zip(reply[::2], reply[1::2]))[b"last-generated-id"].decode()
