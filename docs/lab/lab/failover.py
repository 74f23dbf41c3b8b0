"""Promotions: what is lost, what tells, and what a forgotten primary still does."""

import threading
import time

from .resp import RedisError
from .restart import append, lineage, tops, words
from .servers import wait


def two_promotions(lab, row):
    """A → B → C: how many generations a replica remembers."""
    a = lab.redis()
    b, c = lab.redis().follow(a), lab.redis().follow(a)
    append(a.client(), 10)
    wait("both to have all", lambda: tops(b.client()) == tops(c.client()) == tops(a.client()))
    first = lineage(a.client())["replid"]
    row("A, the first primary", words(lineage(a.client())))
    a.kill()
    b.client().do("REPLICAOF", "NO", "ONE")
    c.follow(b)
    append(b.client(), 10)
    row("B promoted", words(lineage(b.client())))
    wait("C to have all", lambda: tops(c.client()) == tops(b.client()))
    b.kill()
    c.client().do("REPLICAOF", "NO", "ONE")
    row("C promoted after it", words(lineage(c.client())))
    row("… A's replication id is known to C?", first in str(c.client().do("INFO", "replication")))


def lagging(lab, row):
    """A replica that was cut off is promoted: is the loss visible by replication offsets?"""
    a = lab.redis()
    b = lab.redis().follow(a)
    ca = a.client()
    append(ca, 10)
    wait("B to have all", lambda: tops(b.client()) == tops(ca))
    b.client().do("REPLICAOF", "127.0.0.1", 1)
    append(ca, 5)
    acked = lineage(ca)
    row("A acknowledged 5 that B lacks", f"{tops(ca)}; {words(acked)}")
    a.kill()
    cb = b.client()
    cb.do("REPLICAOF", "NO", "ONE")
    row("B promoted", f"{tops(cb)}; {words(lineage(cb))}")
    append(cb, 7)
    row("7 appends on B: the offsets 11–15 name other events now", tops(cb))
    reader = cb.do("XREAD", "STREAMS", "{p}log", "15-0")
    row("… a reader with cursor 15-0 gets", [e[0].decode() for e in reader[0][1]])


def planned(lab, row):
    """The FAILOVER command (6.2): a promotion without loss."""
    a = lab.redis()
    b = lab.redis().follow(a)
    ca = a.client()
    append(ca, 10)
    wait("B acknowledges", lambda: ca.do("WAIT", 1, 0) == 1)
    row("before", words(lineage(ca)))
    blocked, tail = a.client(), a.client()
    tail.send("XREAD", "BLOCK", 5000, "STREAMS", "{p}log", "$")
    time.sleep(0.05)
    start = time.monotonic()
    ca.do("FAILOVER")
    blocked.send("SET", "{p}during", 1)
    wait("B to be primary", lambda: b.client().do("ROLE")[0] == b"master")
    row("FAILOVER took", f"{(time.monotonic() - start) * 1e3:.0f} ms")
    row("a write sent meanwhile answers", blocked.receive())
    row("an `XREAD BLOCK` that waited on A", tail.receive())
    row("A after", f"{tops(ca)}; {words(lineage(ca))}")
    row("B after", f"{tops(b.client())}; {words(lineage(b.client()))}")


def frozen_primary(lab, row):
    """A primary is frozen, Sentinel promotes its replica, the primary thaws with a tail and a late write on it."""
    _freeze_and_thaw(lab, row)


def frozen_primary_with_min_replicas(lab, row):
    """The same with `min-replicas-to-write 1` and `min-replicas-max-lag 2`."""
    _freeze_and_thaw(lab, row, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2")


def _freeze_and_thaw(lab, row, *options):
    a = lab.redis(*options)
    b, c = lab.redis(*options).follow(a), lab.redis(*options).follow(a)
    wait("the replicas' first ACKs", lambda: a.client().do("INFO", "replication").count(b"lag=0") == 2)
    sentinels = lab.sentinels(a)
    s = sentinels[0].client()
    wait("the sentinels to know all", lambda: _flags(s)["num-slaves"] == "2" and _flags(s)["num-other-sentinels"] == "2")
    writer, tail, guarded = a.client(60), a.client(60), a.client(60)
    append(writer, 10)
    wait("B to have all", lambda: tops(b.client()) == tops(writer))
    seen, asked = [], threading.Event()

    def follow():
        cursor = "10-0"
        while True:
            try:
                tail.send("XREAD", "BLOCK", 1000, "STREAMS", "{p}log", cursor)
                asked.set()
                reply = tail.receive()
            except OSError as e:
                return seen.append((time.monotonic(), f"connection lost: {e}"))
            if isinstance(reply, RedisError):
                seen.append((time.monotonic(), str(reply)))
                return
            for _, entries in reply or []:
                cursor = entries[-1][0].decode()
                seen.append((time.monotonic(), f"entry {cursor}"))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    asked.wait()
    start = time.monotonic()
    a.freeze()
    # What a node had sent when the primary froze: it waits in the socket's buffer.
    writer.send("EVAL", "redis.call('XADD', KEYS[1], '11-0', 'd', 'late') redis.call('SET', KEYS[2], 11) return 'acknowledged'", 2, "{p}log", "{p}m")
    deadline = f"{time.time() * 1e6 + 500000:.0f}"
    guarded.send("EVAL", "local t = redis.call('TIME') if t[1] .. string.format('%06d', t[2]) > ARGV[1] then return redis.error_reply('LATE') end "
                 "return redis.call('SET', KEYS[1], 'late')", 1, "{p}guard", deadline)
    wait("Sentinel to promote one", lambda: b"master" in (b.client().do("ROLE")[0], c.client().do("ROLE")[0]))
    row("frozen → another is primary (down-after 1 s)", f"{time.monotonic() - start:.2f} s")
    if c.client().do("ROLE")[0] == b"master":
        b, c = c, b
    wait("B to take writes", lambda: not isinstance(b.client().ask("SET", "{p}ready", 1), RedisError))
    row("… and takes a write", f"{time.monotonic() - start:.2f} s")
    append(b.client(), 3)
    row("B, after 3 appends", f"{tops(b.client())}; {words(lineage(b.client()))}")
    thawed = time.monotonic()
    a.thaw()
    row("thawed A: the write that waited in its socket", writer.receive())
    row("… the same with a `not_after` in Redis time", guarded.receive())
    fresh, zombies, refusals = a.client(), 0, {}
    while True:
        try:
            reply = fresh.ask("SET", "{p}zombie", zombies)
        except OSError:
            break
        refused = isinstance(reply, RedisError)
        zombies += not refused
        if refused:
            refusals.setdefault(reply.name, time.monotonic() - thawed)
        time.sleep(0.01)
    row("… a fresh connection writes every 10 ms until then: acknowledged, refused (first seen after)",
        f"{zombies}, {', '.join(f'{k} ({v * 1e3:.0f} ms)' for k, v in refusals.items()) or 'never'}")
    wait("A to be a replica", lambda: a.client().do("ROLE")[0] == b"slave", 30)
    row("A is demoted after", f"{time.monotonic() - thawed:.2f} s as a primary")
    thread.join(5)
    for when, what in seen:
        row("the tail on A saw", f"{what} ({when - thawed:+.2f} s from the thaw)")
    try:
        row("the writer's connection to A afterwards", writer.ask("SET", "{p}x", 1))
    except OSError as e:
        row("the writer's connection to A afterwards", f"lost: {e}")
    wait("A to be in sync", lambda: a.client().info("replication")["master_link_status"] == "up", 30)
    row("A once it follows B", tops(a.client()))


def _flags(sentinel):
    reply = [x.decode() for x in sentinel.do("SENTINEL", "MASTER", "lab")]
    return dict(zip(reply[::2], reply[1::2]))
