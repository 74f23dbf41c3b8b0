"""What is there after a restart, and what tells that one happened."""

import glob
import os
import signal
import time

from .servers import wait

APPEND = ("local n = tonumber(redis.call('GET', KEYS[1]) or '0') "
          "for i = 1, tonumber(ARGV[1]) do n = n + 1 redis.call('XADD', KEYS[2], n .. '-0', 'd', ARGV[2]) end "
          "redis.call('SET', KEYS[1], n) return n")


def lineage(client):
    r, s = client.info("replication"), client.info("server")
    return {"run_id": s["run_id"][:8], "replid": r["master_replid"][:8], "replid2": r["master_replid2"][:8],
            "second": r["second_repl_offset"], "offset": r["master_repl_offset"]}


def words(known):
    return ", ".join(f"{k} {v}" for k, v in known.items())


def tops(client):
    last = client.do("XREVRANGE", "{p}log", "+", "-", "COUNT", 1)
    meta = client.do("GET", "{p}m")
    return f"meta {meta.decode() if meta else None}, log {last[0][0].decode() if last else None}"


def append(client, times, batch=1, size=128):
    for _ in range(times):
        client.do("EVAL", APPEND, 2, "{p}m", "{p}log", batch, "x" * size)


def rdb(lab, row):
    """Snapshots only: an orderly stop, and kill -9 with writes after the last snapshot."""
    redis = lab.redis("--save", "3600 1")
    replica = lab.redis().follow(redis)
    c = redis.client()
    append(c, 100)
    row("before", f"{tops(c)}; {words(lineage(c))}")
    redis.kill(signal.SIGTERM)
    redis.start()
    c = redis.client()
    row("SIGTERM (saves), restart", f"{tops(c)}; {words(lineage(c))}")
    wait("the replica", lambda: replica.client().info("replication")["master_link_status"] == "up")
    row("… its replica after that", words(lineage(replica.client())))
    c.do("SAVE")
    append(c, 50)
    row("50 more acknowledged, then kill -9; before", f"{tops(c)}; {words(lineage(c))}")
    wait("the replica to have all", lambda: tops(replica.client()) == tops(c))
    redis.kill()
    row("… the replica while its primary is down", tops(replica.client()))
    redis.start()
    c = redis.client()
    row("… primary after the restart", f"{tops(c)}; {words(lineage(c))}")
    wait("the replica", lambda: replica.client().info("replication")["master_link_status"] == "up")
    row("… the replica, which had all, has synchronised with it", f"{tops(replica.client())}; {words(lineage(replica.client()))}")
    append(c, 1)
    row("… the next append takes an offset that had been acknowledged", tops(c))


def no_persistence(lab, row):
    """No snapshot, no AOF, restarted by its supervisor before anybody promoted a replica."""
    redis = lab.redis()
    replica = lab.redis().follow(redis)
    c = redis.client()
    append(c, 100)
    row("before", f"{tops(c)}; {words(lineage(c))}")
    wait("the replica to have all", lambda: replica.client().do("GET", "{p}m") == b"100")
    redis.kill()
    redis.start()
    c = redis.client()
    row("kill -9, restart: keys", f"{c.do('DBSIZE')}; {words(lineage(c))}")
    wait("the replica to be in sync", lambda: replica.client().info("replication")["master_link_status"] == "up")
    row("its replica, which had everything", f"keys {replica.client().do('DBSIZE')}")


def aof(lab, row):
    """Append-only file: kill -9 under each fsync policy, and a file whose end is missing (a power cut)."""
    for policy in ("always", "everysec", "no"):
        redis = lab.redis("--appendonly", "yes", "--appendfsync", policy)
        c = redis.client()
        start = time.perf_counter()
        append(c, 300)
        took = (time.perf_counter() - start) / 300 * 1e3
        before = lineage(c)
        redis.kill()
        redis.start()
        c = redis.client()
        row(f"appendfsync {policy}: 300 appends ({took:.2f} ms each, one at a time), kill -9, restart", tops(c))
        if policy == "everysec":
            row("… lineage before", words(before))
            row("… lineage after", words(lineage(c)))
    append(c, 10, batch=32)
    row("10 scripts of 32 entries more", tops(c))
    redis.kill()
    path = glob.glob(os.path.join(redis.dir, "appendonlydir", "*.incr.aof"))[-1]
    for cut in (100, 3000):
        os.truncate(path, os.path.getsize(path) - cut)
        redis.start()
        c = redis.client()
        row(f"the file's last {cut} bytes are missing, restart", f"{tops(c)} (a script is there as a whole or not at all)")
        append(c, 1)
        row("… the next append takes an offset that had been acknowledged", tops(c))
        redis.kill()


def flushall(lab, row):
    """FLUSHALL, and what a blocked reader notices."""
    redis = lab.redis()
    replica = lab.redis().follow(redis)
    c, tail = redis.client(), redis.client()
    append(c, 100)
    before = lineage(c)
    tail.send("XREAD", "BLOCK", 1500, "STREAMS", "{p}log", "100-0")
    time.sleep(0.1)
    c.do("FLUSHALL")
    row("lineage before", words(before))
    row("lineage after (the same run_id and replid)", words(lineage(c)))
    append(c, 50)
    row("a reader that waits behind 100-0; 50 appends after the FLUSHALL: it gets", tail.receive())
    append(c, 60)
    row("… 60 more: it reads behind 100-0", [e[0].decode() for e in tail.do("XREAD", "STREAMS", "{p}log", "100-0")[0][1]])
    wait("the replica", lambda: replica.client().do("GET", "{p}m") == b"110")
    row("the replica was flushed too", tops(replica.client()))
    c.do("SWAPDB", 0, 1)
    row("`SWAPDB 0 1`: all is gone, lineage", f"{tops(c)}; {words(lineage(c))}")
