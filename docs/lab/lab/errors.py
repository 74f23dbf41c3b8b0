"""What errors come by name, outside and inside of scripts, and what a refused script leaves behind."""

import os
import subprocess
import time

from .servers import wait

# Writes once, then does what may be refused: shows whether the first write stays.
TWO_WRITES = "redis.call('SET', KEYS[1], 'first') return redis.call('XADD', KEYS[2], '*', 'd', ARGV[1])"
# Reads only, then writes: shows whether the refusal comes before the script or at its write.
READ_THEN_WRITE = "local v = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[2], ARGV[1]) return v"
# Catches the refusal of its first write and tells its text.
CAUGHT = "local r = redis.pcall('SET', KEYS[1], ARGV[1]) return type(r) == 'table' and r.err or 'written'"


def _refused(client, row, what, keys=("{x}a", "{x}b")):
    """The same refusal outside, inside, caught inside, and what is left afterwards."""
    a, b = keys
    row(f"{what}: `SET` outside a script", client.ask("SET", a, "x"))
    row(f"{what}: script, `SET` then `XADD`", client.ask("EVAL", TWO_WRITES, 2, a, b, "x"))
    row(f"{what}: … its first write stayed?", client.ask("GET", a))
    row(f"{what}: script, `GET` then `SET`", client.ask("EVAL", READ_THEN_WRITE, 2, a, b, "x"))
    row(f"{what}: script, `pcall(SET)`", client.ask("EVAL", CAUGHT, 1, a, "x"))
    row(f"{what}: `#!lua` script", client.ask("EVAL", "#!lua\n" + READ_THEN_WRITE, 2, a, b, "x"))
    row(f"{what}: reading script", client.ask("EVAL", "return redis.call('EXISTS', KEYS[1])", 1, a))


def noscript(lab, row):
    """A script that this server does not hold, and when it forgets one."""
    redis = lab.redis()
    c = redis.client()
    row("`EVALSHA` of an unknown sha", c.ask("EVALSHA", "0" * 40, 0))
    sha = c.do("SCRIPT", "LOAD", "return 1")
    row("after `SCRIPT LOAD`", c.ask("EVALSHA", sha, 0))
    c.do("FLUSHALL")
    row("after `FLUSHALL`", c.ask("EVALSHA", sha, 0))
    replies = c.pipe([("SCRIPT", "FLUSH"), ("EVALSHA", sha, 0), ("SET", "a", 1)])
    row("pipelined after `SCRIPT FLUSH`: EVALSHA, SET", replies[1:])
    replica = lab.redis().follow(redis)
    c.do("SCRIPT", "LOAD", "return 2")
    other = c.do("SCRIPT", "LOAD", "redis.call('SET', KEYS[1], 1) return 2")
    c.do("EVALSHA", other, 1, "k")
    r = replica.client()
    wait("the write on the replica", lambda: r.do("EXISTS", "k"))
    row("the replica knows the sha of a script that its primary ran?", r.do("SCRIPT", "EXISTS", other))
    r.do("REPLICAOF", "NO", "ONE")
    row("`EVALSHA` on it once promoted", r.ask("EVALSHA", other, 1, "k"))


def oom(lab, row):
    """`maxmemory` reached under `noeviction`."""
    c = lab.redis("--maxmemory", "3mb").client()
    i = 0
    while not isinstance(c.ask("SET", f"fill{i}", "x" * 20000), Exception):
        i += 1
    _refused(c, row, "OOM")
    row("OOM: script, `DEL` of a missing key then `SET` (a write that needs no memory came first)",
        c.ask("EVAL", "redis.call('DEL', KEYS[2]) redis.call('SET', KEYS[1], 'y') return 'written'", 2, "{x}a", "{x}b"))
    row("OOM: … is it there?", c.ask("GET", "{x}a"))
    row("OOM: `DEL` outside", c.ask("DEL", "{x}a", *[f"fill{n}" for n in range(20)]))
    row("OOM: with some room again, one script that adds 200 × 20 kB",
        c.ask("EVAL", "for i = 1, 200 do redis.call('APPEND', KEYS[1], ARGV[1]) end return redis.call('STRLEN', KEYS[1])",
              1, "{x}big", "x" * 20000))
    row("OOM: … used_memory / maxmemory", c.info("memory")["used_memory"] + " / 3145728")


def noreplicas(lab, row):
    """`min-replicas-to-write` not met."""
    c = lab.redis("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2").client()
    _refused(c, row, "NOREPLICAS")


def misconf_rdb(lab, row):
    """A snapshot that cannot be written (its place is taken by a directory)."""
    redis = lab.redis("--save", "1 1")
    c = redis.client()
    c.do("SET", "k", 1)
    os.makedirs(os.path.join(redis.dir, "dump.rdb", "in the way"))
    c.ask("BGSAVE")
    wait("the snapshot to fail", lambda: c.info("persistence")["rdb_last_bgsave_status"] == "err")
    _refused(c, row, "MISCONF")
    row("INFO persistence", "rdb_last_bgsave_status:" + c.info("persistence")["rdb_last_bgsave_status"])


def misconf_aof(lab, row):
    """A disk that is full for the append-only file (a tmpfs of 1 MiB; needs root)."""
    place = os.path.join(lab.dir, "small")
    os.makedirs(place)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True).returncode:
        row("mount a tmpfs", "not permitted here: NOT TRIED")
        return
    try:
        redis = lab.redis("--dir", place, "--appendonly", "yes", "--appendfsync", "everysec")
        c = redis.client()
        acked = 0
        while True:
            reply = c.ask("SET", f"f{acked}", "x" * 50000)
            if isinstance(reply, Exception):
                break
            acked += 1
        row(f"`SET` of 50 kB each, everysec: {acked} acknowledged before the first refusal", reply)
        _refused(c, row, "MISCONF (AOF)")
        row("INFO persistence", "aof_last_write_status:" + c.info("persistence")["aof_last_write_status"])
        redis.kill()
        redis.start()
        left = redis.client().do("DBSIZE")
        row(f"kill -9, room made, restarted: keys left of {acked} acknowledged", left)
        redis.kill()
        os.truncate(os.path.join(place, "appendonlydir", sorted(os.listdir(os.path.join(place, "appendonlydir")))[1]), 0)
        redis.options[-1] = "always"
        redis.start()
        c = redis.client()
        done = 0
        try:
            while not isinstance(c.ask("SET", f"g{done}", "x" * 50000), Exception):
                done += 1
            row("the same with `appendfsync always`", f"refused after {done}")
        except (ConnectionError, OSError) as e:
            row("the same with `appendfsync always`", f"after {done}: connection lost ({e or 'closed'}); exit code {redis.process.wait()}")
    finally:
        for server in lab.started:
            server.kill()
        subprocess.run(["umount", place], check=False)


def readonly(lab, row):
    """A replica, and one whose primary is away."""
    primary = lab.redis()
    replica = lab.redis().follow(primary)
    c = replica.client()
    _refused(c, row, "READONLY")
    row("`EVAL_RO` on the replica", c.ask("EVAL_RO", "return redis.call('EXISTS', KEYS[1])", 1, "a"))
    row("`WAIT` on a replica", c.ask("WAIT", 1, 10))
    c.do("CONFIG", "SET", "replica-serve-stale-data", "no")
    primary.kill()
    wait("the link to be down", lambda: c.ask("GET", "a") is not None)
    _refused(c, row, "MASTERDOWN")


def loading(lab, row):
    """A server that still reads its data."""
    redis = lab.redis()
    c = redis.client()
    c.pipe([("SET", f"k{i}", "x" * 100) for i in range(3000)])
    c.do("SAVE")
    redis.kill()
    redis.options += ["--key-load-delay", "3000", "--loading-process-events-interval-bytes", "1024"]
    redis.start(wait_loaded=False)
    found = {}

    def loading_now():
        found["c"] = redis.client()
        return str(found["c"].ask("PING")).startswith("LOADING")

    wait("LOADING", loading_now)
    c = found["c"]
    row("`PING`", c.ask("PING"))
    row("`GET`", c.ask("GET", "k1"))
    row("script", c.ask("EVAL", "return redis.call('GET', KEYS[1])", 1, "k1"))
    row("`EVALSHA` unknown", c.ask("EVALSHA", "0" * 40, 0))
    row("`INFO` answers; loading", c.info("persistence").get("loading"))
    row("`ROLE`", c.ask("ROLE"))
    row("`SCRIPT LOAD`", c.ask("SCRIPT", "LOAD", "return 1"))


def busy(lab, row):
    """A script that runs for too long (busy-reply-threshold 100 ms here, default 5 s)."""
    redis = lab.redis("--busy-reply-threshold", "100")
    a, b = redis.client(), redis.client()
    a.send("EVAL", "while true do end", 0)
    time.sleep(0.5)
    row("`GET` meanwhile", b.ask("GET", "k"))
    row("`EVALSHA` meanwhile", b.ask("EVALSHA", "0" * 40, 0))
    row("`SCRIPT KILL` (nothing written yet)", b.ask("SCRIPT", "KILL"))
    row("what its caller gets", a.receive())
    a.send("EVAL", "redis.call('SET', KEYS[1], 1) while true do end", 1, "k")
    time.sleep(0.5)
    row("`SCRIPT KILL` after a write", b.ask("SCRIPT", "KILL"))
    row("`PING`, `INFO`, `ROLE`", [str(b.ask(c))[:20] for c in ("PING", "INFO", "ROLE")])


def acl(lab, row):
    """Who may not."""
    redis = lab.redis()
    c = redis.client()
    c.do("ACL", "SETUSER", "parlor", "on", ">secret", "~p:*", "+@read", "+@write", "+@scripting", "+@connection", "-del")
    row("wrong password", c.ask("AUTH", "parlor", "wrong"))
    c.do("AUTH", "parlor", "secret")
    row("key outside the prefix", c.ask("SET", "other", 1))
    row("script that declares a key outside", c.ask("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "other"))
    row("script that reaches outside undeclared", c.ask("EVAL", "return redis.call('SET', 'other', 1)", 0))
    row("script that calls a forbidden command after a write",
        c.ask("EVAL", "redis.call('SET', KEYS[1], 1) return redis.call('DEL', KEYS[1])", 1, "p:a"))
    row("… the write stayed?", c.ask("GET", "p:a"))
    row("`INFO`", str(c.ask("INFO", "server"))[:60])
    row("`CONFIG GET`", c.ask("CONFIG", "GET", "maxmemory-policy"))
    row("`WAIT`", c.ask("WAIT", 0, 10))
    row("`CLIENT UNBLOCK`", c.ask("CLIENT", "UNBLOCK", 99999))
    row("`ROLE`", c.ask("ROLE"))
    secured = lab.redis("--requirepass", "secret")
    s = secured.client()
    row("no password given", s.ask("GET", "k"))
