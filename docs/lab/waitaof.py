#!/usr/bin/env python3
"""What waiting for the append-only file costs (docs/cluster.md): 32 XADDs in a pipeline, without and with WAITAOF.

    pip install redis
    docs/lab/waitaof.py redis-server [other-server ...]      servers of 7.2 or later; each is started on loopback and ended
"""
import subprocess
import sys
import tempfile
import time

import redis

PORT = 17500
EVENTS = 32


def times(client, rounds, waits):
    took = []
    for _ in range(rounds):
        started = time.time()
        pipe = client.pipeline(transaction=False)
        for _ in range(EVENTS):
            pipe.execute_command("XADD", "log", "MAXLEN", "~", "10000", "*", "event", "x" * 160)
        if waits:
            pipe.execute_command("WAITAOF", 1, 0, 2000)
        answers = pipe.execute()
        took.append((time.time() - started) * 1000)
        assert not waits or answers[-1][0] == 1, answers[-1]
    took.sort()
    return f"p50 {took[len(took) // 2]:.0f} p99 {took[int(len(took) * 0.99) - 1]:.0f} ms"


def measure(server, fsync):
    with tempfile.TemporaryDirectory() as directory:
        command = [server, "--port", str(PORT), "--bind", "127.0.0.1", "--dir", directory, "--save", "", "--appendonly", "yes", "--appendfsync", fsync]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(port=PORT)
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
            print(server, fsync, "without:", times(client, 200, False))
            print(server, fsync, "WAITAOF 1 0:", times(client, 12 if fsync == "everysec" else 200, True))
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    for server in sys.argv[1:]:
        for fsync in ("everysec", "always"):
            measure(server, fsync)
