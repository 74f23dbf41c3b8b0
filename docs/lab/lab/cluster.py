"""Redis Cluster: slots that move while a script uses them, failovers, and what a blocked reader notices."""

import subprocess
import threading
import time

from .resp import RedisError
from .restart import lineage, words
from .servers import wait

SCRIPT = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1]) return 'both'"
ONE = "return redis.call('SET', KEYS[1], ARGV[1])"


def _slots(nodes):
    """The primaries, in the order of their first slot: (first, last, node)."""
    by_port = {n.port: n for n in nodes}
    found = [(s[0], s[1], by_port[s[2][1]]) for s in nodes[0].client().do("CLUSTER", "SLOTS")]
    return sorted(found, key=lambda s: s[0])


def _owner(nodes, key):
    slot = nodes[0].client().do("CLUSTER", "KEYSLOT", key)
    return slot, next(n for a, b, n in _slots(nodes) if a <= slot <= b)


def _id(node):
    return node.client().do("CLUSTER", "MYID").decode()


def moving(lab, row):
    """A slot half moved: what scripts get on both sides."""
    nodes = lab.cluster(3, 0)
    slot, source = _owner(nodes, "{t}")
    target = next(n for n in nodes if n is not source)
    s, t = source.client(), target.client()
    row("wrong node", t.ask("GET", "{t}a"))
    row("script on the wrong node", t.ask("EVAL", ONE, 1, "{t}a", 1))
    row("script over two slots", s.ask("EVAL", SCRIPT, 2, "{t}a", "{u}a", 1))
    far = next(f"{{x{i}}}" for i in range(1000) if _owner(nodes, f"{{x{i}}}")[1] is not source)
    row("script that reaches another node's slot undeclared, after a write",
        s.ask("EVAL", f"redis.call('SET', KEYS[1], 1) return redis.call('GET', '{far}')", 1, "{t}u"))
    row("… its write stayed?", s.ask("GET", "{t}u"))
    s.do("MSET", "{t}a", 0, "{t}b", 0)
    t.do("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
    s.do("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))
    row("migrating, all keys still here: script on the source", s.ask("EVAL", SCRIPT, 2, "{t}a", "{t}b", 1))
    row("… one key new (exists nowhere), one here", s.ask("EVAL", SCRIPT, 2, "{t}a", "{t}new", 1))
    row("… only a new key", s.ask("EVAL", ONE, 1, "{t}new", 1))
    row("… declares a key that is here, reaches a new one undeclared, after a write",
        s.ask("EVAL", "redis.call('SET', KEYS[1], 'w') return redis.call('SET', '{t}n2', 1)", 1, "{t}a"))
    row("… its write stayed?", s.ask("GET", "{t}a"))
    row("… declares what is here, deletes it and makes it anew", s.ask("EVAL", "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], 'again')", 1, "{t}b"))
    row("… is it there?", s.ask("GET", "{t}b"))
    row("… reads an absent key undeclared (`GET`)", s.ask("EVAL", "return redis.call('GET', '{t}absent')", 1, "{t}a"))
    s.do("MIGRATE", "127.0.0.1", target.port, "{t}a", 0, 5000)
    row("one of two keys moved: script on the source over both (one here: none)", s.ask("EVAL", SCRIPT, 2, "{t}a", "{t}b", 1))
    row("… on the target without ASKING", t.ask("EVAL", SCRIPT, 2, "{t}a", "{t}b", 1))
    row("… on the target with ASKING, both keys", [t.ask("ASKING"), t.ask("EVAL", SCRIPT, 2, "{t}a", "{t}b", 1)][1])
    row("… with ASKING, only the moved key", [t.ask("ASKING"), t.ask("EVAL", ONE, 1, "{t}a", 1)][1])
    row("… with ASKING, one new key", [t.ask("ASKING"), t.ask("EVAL", ONE, 1, "{t}new2", 1)][1])
    row("… with ASKING, `EVALSHA` the target does not know", [t.ask("ASKING"), t.ask("EVALSHA", "0" * 40, 1, "{t}a")][1])
    for node in nodes:
        node.client().do("CLUSTER", "SETSLOT", slot, "NODE", _id(target))
    row("move finished: script on the source", s.ask("EVAL", SCRIPT, 2, "{t}a", "{t}b", 1))


def blocked_reader(lab, row):
    """An XREAD BLOCK on a slot that moves away, and on a primary that is killed."""
    nodes = lab.cluster(3, 1)
    slot, source = _owner(nodes, "{t}s")
    target = next(n for _, _, n in _slots(nodes) if n is not source)
    c, tail = source.client(), source.client(60)
    c.do("XADD", "{t}s", "1-0", "d", 1)
    tail.send("XREAD", "BLOCK", 20000, "STREAMS", "{t}s", "1-0")
    time.sleep(0.1)
    start = time.monotonic()
    target.client().do("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
    c.do("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))
    c.do("MIGRATE", "127.0.0.1", target.port, "{t}s", 0, 5000)
    for _, _, node in _slots(nodes):
        node.client().do("CLUSTER", "SETSLOT", slot, "NODE", _id(target))
    row("its slot moved to another node: the reader gets", f"{tail.receive()} ({(time.monotonic() - start) * 1e3:.0f} ms after the move began)")
    row("… the moved stream keeps ids and last id", target.client().ask("XADD", "{t}s", "1-0", "d", 1))
    old = target
    tail = old.client(60)
    tail.send("XREAD", "BLOCK", 20000, "STREAMS", "{t}s", "1-0")
    time.sleep(0.1)
    before = lineage(old.client())
    old.kill()
    start = time.monotonic()
    try:
        got = tail.receive()
    except OSError as e:
        got = f"connection lost: {e}"
    row("its primary was killed: the reader gets", got)
    survivor = next(n for n in nodes if n is not old and n.process.poll() is None)
    probe = survivor.client()
    errors, redirected = {}, None
    while redirected is None:
        reply = probe.ask("GET", "{t}x")
        if isinstance(reply, RedisError) and reply.name == "MOVED" and str(old.port) not in str(reply):
            redirected = reply
        else:
            errors.setdefault(str(reply)[:60], time.monotonic() - start)
        time.sleep(0.01)
        if time.monotonic() - start > 20:
            break
    row("… another node says meanwhile (first seen after)", "; ".join(f"{k} ({v:.2f} s)" for k, v in errors.items()))
    row("… and points to the promoted replica after", f"{time.monotonic() - start:.2f} s (node timeout 1 s)")
    promoted = next(n for n in nodes if redirected and str(redirected).endswith(f":{n.port}"))
    row("… lineage before, after", f"{words(before)}; {words(lineage(promoted.client()))}")


def reshard(lab, row):
    """One slot with many channels moves while appends go on."""
    nodes = lab.cluster(3, 1)
    slot, source = _owner(nodes, "{t}")
    target = next(n for _, _, n in _slots(nodes) if n is not source)
    c = source.client(60)
    channels = 5000
    c.pipe([x for i in range(channels) for x in (("SET", f"{{t}}c:{i}", "m" * 48), ("XADD", f"{{t}}l:{i}", "1-0", "d", "x" * 160))])
    c.do("SET", "{t}m", 0)
    c.do("XADD", "{t}s", "1-0", "d", "x")
    done, outcomes, longest = threading.Event(), {}, {"gap": 0.0, "last": time.monotonic()}

    def publish():
        script = "redis.call('SET', KEYS[1], 1) redis.call('SET', KEYS[3], 1) return redis.call('XADD', KEYS[2], '*', 'd', 'x')"
        connections, at, i = {n.port: n.client(60) for n in nodes}, source.port, 0
        while not done.is_set():
            i += 1
            reply = connections[at].ask("EVAL", script, 3, "{t}m", "{t}s", f"{{t}}c:{i % channels}")
            name = reply.name if isinstance(reply, RedisError) else "ok"
            outcomes[name] = outcomes.get(name, 0) + 1
            now = time.monotonic()
            if name == "ok":
                longest["gap"] = max(longest["gap"], now - longest["last"])
                longest["last"] = now
            elif name == "MOVED":
                at = int(str(reply).rsplit(":", 1)[1])
            time.sleep(0.001)

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    start = time.monotonic()
    # One slot only: the partition's own. What redis-cli's reshard does per slot, with its pipeline of 10 keys.
    target.client().do("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
    c.do("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))
    while True:
        keys = c.do("CLUSTER", "GETKEYSINSLOT", slot, 10)
        if not keys:
            break
        c.do("MIGRATE", "127.0.0.1", target.port, "", 0, 60000, "KEYS", *keys)
    for node in (target, source):
        node.client().do("CLUSTER", "SETSLOT", slot, "NODE", _id(target))
    took = time.monotonic() - start
    time.sleep(0.5)
    done.set()
    thread.join(5)
    row(f"one slot with {2 * channels + 2} keys, 10 keys a MIGRATE", f"{took:.2f} s")
    row("a script over partition meta, partition stream and one channel's meta, every 2 ms", ", ".join(f"{k}: {v}" for k, v in sorted(outcomes.items())))
    row("… longest time without a success", f"{longest['gap']:.2f} s")
    moved = subprocess.run(["redis-cli", "--cluster", "check", f"127.0.0.1:{nodes[0].port}"], capture_output=True, text=True)
    row("redis-cli --cluster check", "every slot covered" if "All 16384 slots covered" in moved.stdout else moved.stdout[-200:])


def tags(lab, row):
    """Whether tags spread evenly: `{0}` … `{63}` over the slots of 3, 4 and 5 primaries."""
    c = lab.redis("--cluster-enabled", "yes").client()
    slots = [c.do("CLUSTER", "KEYSLOT", f"p:{{{i}}}:m") for i in range(64)]
    for masters in (3, 4, 5, 8):
        counts = [0] * masters
        for slot in slots:
            counts[slot * masters // 16384] += 1
        row(f"plain numbers 0–63, {masters} primaries", counts)
    by_part = {}
    for n in range(1000):
        by_part.setdefault(c.do("CLUSTER", "KEYSLOT", f"{{{n}}}") // 256, n)
    chosen = [by_part[i] for i in range(64)]
    row("one tag for each 256 slots, the smallest number that falls there", f"largest tag {max(chosen)}; first ten {chosen[:10]}")


def down(lab, row):
    """A cluster without a primary for some slots, and without a majority."""
    nodes = lab.cluster(3, 0)
    _, first = _owner(nodes, "{t}a")
    others = [n for n in nodes if n is not first]
    others[0].kill()
    c = first.client()
    wait("the cluster to notice", lambda: str(c.ask("GET", "{t}a")).startswith("CLUSTERDOWN"))
    row("one of three primaries is gone, no replica: `GET`, script", (str(c.ask("GET", "{t}a")), str(c.ask("EVAL", ONE, 1, "{t}a", 1))))
    c.do("CONFIG", "SET", "cluster-require-full-coverage", "no")
    wait("it to serve", lambda: not isinstance(c.ask("GET", "{t}a"), RedisError))
    row("… with cluster-require-full-coverage no: script", c.ask("EVAL", ONE, 1, "{t}a", 1))
    others[1].kill()
    wait("the minority to notice", lambda: isinstance(c.ask("SET", "{t}a", 1), RedisError))
    row("alone (no majority): `SET`, `GET`, script", (str(c.ask("SET", "{t}a", 1)), str(c.ask("GET", "{t}a")), str(c.ask("EVAL", ONE, 1, "{t}a", 1))))
