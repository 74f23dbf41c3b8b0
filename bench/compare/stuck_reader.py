"""Readers that stop reading: what each costs the server, the kernel's share included, and what the others notice."""

import statistics
import time

from compare import sockets
from compare.machine import Load

READERS = 1_000
STUCK = 1_000
ROUNDS = 9
# A frame of 4 KiB ten times a second for everybody; twice as many first, until the stuck ones' sockets are full.
SCENARIO = """
shape = "channel=1x{connections}"
stuck-readers = {stuck}
payload-bytes = 4096
connect-rate = 3000.0
[[stages]]
name = "fill"
length = "3s"
rate = 20.0
measured = false
[[stages]]
name = "{name}"
length = "{seconds}s"
rate = {rate}
"""
QUIET = ("stuck", 10.0)
# 1.5 MiB for each reader, faster than anything that waits for a second can bound: far above every limit worth the name.
FLOOD, FLOOD_SECONDS = ("flood", 60.0), 6
SAMPLE_SECONDS = 0.2


def stuck_reader(peer, options):
    readers = min(READERS, options.connections)
    crowd = min(STUCK, options.connections)
    rounds = {0: [], 1: [], crowd: []}
    for number in range(ROUNDS):
        order = list(rounds)
        for stuck in order[number % 3:] + order[: number % 3]:
            rounds[stuck].append(beside(peer, readers, stuck, options.seconds))
    found = {stuck: statistics.median(run["p99_ms"] for run in runs) for stuck, runs in rounds.items()}
    none, many = memory(peer, readers, 0), memory(peer, readers, crowd)
    one = memory(peer, readers, 1)
    resident = (many["resident_kib"] - none["resident_kib"]) / crowd
    return {
        "kib_per_stuck": resident + many["kernel_kib"] / crowd,
        "resident_kib_per_stuck": resident,
        "kernel_kib_per_stuck": many["kernel_kib"] / crowd,
        "kernel_kib_of_one": one["kernel_kib"],
        "p99_ms": found[0],
        "p99_beside_one": found[1] / found[0],
        "p99_beside_many": found[crowd] / found[0],
        "rounds": {str(stuck): [run["p99_ms"] for run in runs] for stuck, runs in rounds.items()},
        "stuck": crowd,
        "gaps": sum(run["gaps"] for runs in rounds.values() for run in runs),
    }


def scenario(server, readers, stuck, stage, seconds):
    name, rate = stage
    text = SCENARIO.format(connections=readers + stuck, stuck=stuck, name=name, seconds=seconds, rate=rate)
    return server.file("stuck.toml", text)


def beside(peer, readers, stuck, seconds):
    with peer.start() as server:
        return Load(server, peer, "--scenario", scenario(server, readers, stuck, QUIET, seconds)).start().finish()


def memory(peer, readers, stuck):
    """The most that the stuck ones hold at any one time, in the server and in the kernel."""
    with peer.start() as server:
        before = server.resident_kib()
        load = Load(server, peer, "--scenario", scenario(server, readers, stuck, FLOOD, FLOOD_SECONDS)).start()
        most = {"resident_kib": 0, "kernel_kib": 0}
        while load.process.poll() is None:
            held = {"resident_kib": server.resident_kib() - before, "kernel_kib": sockets.kernel_kib(server.port, stuck)}
            if sum(held.values()) > sum(most.values()):
                most = held
            time.sleep(SAMPLE_SECONDS)
        load.finish()
        return most
