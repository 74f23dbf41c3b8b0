"""XREAD BLOCK: waking a reader up, what a wake-up costs, what waiting costs."""

import random
import threading
import time

from .servers import wait


def _cpu(client):
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def unblock(lab, row):
    """`CLIENT UNBLOCK` against a reader that is about to wait, waits, or just got something."""
    c_server = lab.redis()
    control, tail, writer = c_server.client(), c_server.client(), c_server.client()
    ident = tail.do("CLIENT", "ID")
    row("`UNBLOCK` of a connection that does not wait", control.do("CLIENT", "UNBLOCK", ident))
    start = time.monotonic()
    row("… its next `XREAD BLOCK 200`", (tail.do("XREAD", "BLOCK", 200, "STREAMS", "s", "0"), f"after {(time.monotonic() - start) * 1e3:.0f} ms: an early UNBLOCK is not remembered"))
    for how in ("TIMEOUT", "ERROR"):
        tail.send("XREAD", "BLOCK", 5000, "STREAMS", "s", "0")
        wait("it to wait", lambda: int(c_server.client().info("clients")["blocked_clients"]) == 1)
        start = time.perf_counter()
        asked = control.do("CLIENT", "UNBLOCK", ident, how)
        row(f"`UNBLOCK … {how}` while it waits: to the asker, to the reader", f"{asked}, {tail.receive()} after {(time.perf_counter() - start) * 1e6:.0f} µs")
    row("`UNBLOCK` of an unknown id", control.do("CLIENT", "UNBLOCK", 10**9))
    seen, cursor, results, wrong = 0, 0, {}, 0
    for i in range(1, 3001):
        tail.send("XREAD", "BLOCK", 20, "STREAMS", "r", f"{cursor}-0")
        first, second = (control, ("CLIENT", "UNBLOCK", ident)), (writer, ("XADD", "r", f"{i}-0", "d", "x"))
        for client, command in random.sample((first, second), 2):
            client.send(*command)
        told = control.receive()
        writer.receive()
        reply = tail.receive()
        got = [int(e[0].split(b"-")[0]) for _, entries in reply or [] for e in entries]
        if got and got != list(range(cursor + 1, got[-1] + 1)):
            wrong += 1
        cursor = got[-1] if got else cursor
        seen += len(got)
        key = f"asker told {told}, reader got {'entries' if got else 'nil'}"
        results[key] = results.get(key, 0) + 1
    seen += len(tail.do("XREAD", "STREAMS", "r", f"{cursor}-0")[0][1]) if cursor < 3000 else 0
    row("3,000 races of `XREAD BLOCK`, `UNBLOCK` and `XADD`", "; ".join(f"{k}: {v}" for k, v in sorted(results.items())))
    row("… entries seen in all (of 3,000), out of order", f"{seen}, {wrong}")


def one_unblock_for_two(lab, row):
    """A pipelined reader: two XREADs sent, one UNBLOCK."""
    server = lab.redis()
    control, tail = server.client(), server.client()
    ident = tail.do("CLIENT", "ID")
    tail.send("XREAD", "BLOCK", 300, "STREAMS", "s", "0")
    tail.send("XREAD", "BLOCK", 300, "STREAMS", "s", "0")
    wait("it to wait", lambda: int(server.client().info("clients")["blocked_clients"]) == 1)
    start = time.monotonic()
    control.do("CLIENT", "UNBLOCK", ident)
    tail.receive()
    first = time.monotonic() - start
    tail.receive()
    row("first reply, second reply", f"{first * 1e3:.0f} ms, {(time.monotonic() - start) * 1e3:.0f} ms: UNBLOCK ends one wait")


def wake_cost(lab, row):
    """Redis CPU per wake-up when a reader waits on 1, 16 or 64 streams, and for 1 to 3 readers."""
    server = lab.redis()
    info = server.client()
    for streams in (1, 16, 64):
        for readers in (0, 1, 3):
            spent, wakes, rounds = _wakes(server, info, streams, readers)
            row(f"{readers} readers × {streams} streams, {rounds} `XADD` one after the other",
                f"{spent / rounds * 1e6:.1f} µs of Redis CPU per XADD, {wakes} wake-ups")


def _wakes(server, info, streams, readers, rounds=4000):
    names = [f"s{streams}-{readers}-{i}" for i in range(streams)]
    writer = server.client()
    tops = {}
    for name in names:
        writer.do("XADD", name, "1-0", "d", "x")
        tops[name] = 1
    counts, ready = [0] * readers, threading.Semaphore(0)
    tails = [server.client(60) for _ in range(readers)]

    def follow(n):
        cursors = {name: b"1-0" for name in names}
        got = 0
        while got < rounds:
            tails[n].send("XREAD", "COUNT", 100, "BLOCK", 60000, "STREAMS", *names, *[cursors[x] for x in names])
            ready.release()
            for name, entries in tails[n].receive():
                cursors[name.decode()] = entries[-1][0]
                got += len(entries)
            counts[n] += 1

    threads = [threading.Thread(target=follow, args=(n,), daemon=True) for n in range(readers)]
    for thread in threads:
        thread.start()
    before = _cpu(info)
    for i in range(rounds):
        for _ in range(readers):
            ready.acquire(timeout=0.05)
        name = names[i % streams]
        tops[name] += 1
        writer.do("XADD", name, "MAXLEN", "~", 1000, f"{tops[name]}-0", "d", "x" * 128)
    for thread in threads:
        thread.join(20)
    return _cpu(info) - before, sum(counts), rounds


def idle_cost(lab, row):
    """Redis CPU of readers that wait and get nothing, each asking again every second."""
    for connections, streams in ((1, 64), (3, 64), (12, 64), (64, 1), (192, 1)):
        server = lab.redis()
        clients = [server.client(60) for _ in range(connections)]
        end, before = time.monotonic() + 5, _cpu(server.client())
        command = ["XREAD", "BLOCK", 1000, "STREAMS", *[f"s{i}" for i in range(streams)], *["0-0"] * streams]
        while time.monotonic() < end:
            for c in clients:
                c.send(*command)
            for c in clients:
                c.receive()
        row(f"{connections} connections × {streams} streams, BLOCK 1000, nothing published", f"{(_cpu(server.client()) - before) / 5 * 1e3:.2f} ms of CPU per second")
        server.kill()


def catch_up(lab, row):
    """One XREAD over streams of which one holds much more than the others."""
    c = lab.redis().client()
    for i in range(1, 5001):
        c.send("XADD", "hot", f"{i}-0", "d", "x" * 128)
    for _ in range(5000):
        c.receive()
    c.do("XADD", "calm", "1-0", "d", "x")
    reply = c.do("XREAD", "COUNT", 500, "STREAMS", "hot", "calm", "0", "0")
    row("`COUNT 500` over a stream with 5,000 and one with 1: entries of each", [(n.decode(), len(e)) for n, e in reply])
    before, start = _cpu(c), time.perf_counter()
    read, cursor = 0, b"0-0"
    while read < 5000:
        entries = c.do("XREAD", "COUNT", 500, "STREAMS", "hot", cursor)[0][1]
        read, cursor = read + len(entries), entries[-1][0]
    row("5,000 entries of 128 B in pages of 500", f"{(_cpu(c) - before) / 5000 * 1e6:.2f} µs of Redis CPU per entry")
