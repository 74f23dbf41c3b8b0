"""15,000 sockets end at once: how long does a bystander's connection take meanwhile?"""

import time

from compare.crowd import Crowd
from compare.machine import Failed
from compare.probe import Probe

SOCKETS = 15_000
GONE_WITHIN_SECONDS = 60
# After the last socket is gone, to catch what the server does behind it.
AFTER_SECONDS = 1


def mass_close(peer, options):
    connections = min(SOCKETS, options.connections) // 10 * 10
    with peer.start() as server, Crowd(server, peer, connections) as crowd, Probe(peer, server.port) as probe:
        time.sleep(max(options.seconds, 2))
        cpu, closed = server.cpu_seconds(), time.monotonic()
        crowd.close()
        # A few files are the probe's.
        while crowd.held() > 8:
            if time.monotonic() > closed + GONE_WITHIN_SECONDS:
                raise Failed(f"still holds {crowd.held()} of {connections} sockets")
            time.sleep(0.02)
        gone = time.monotonic()
        cpu = server.cpu_seconds() - cpu
        time.sleep(AFTER_SECONDS)
    before = sorted(took for due, took in probe.taken if due < closed - 0.5)
    meanwhile = [took for due, took in probe.taken if due >= closed - 0.5]
    if not before or not meanwhile:
        raise Failed(f"the bystander could not connect ({probe.failed} attempts failed)")
    return {
        "worst_ms": max(meanwhile),
        "worst_before_ms": before[-1],
        "p50_before_ms": before[len(before) // 2],
        "gone_after_s": gone - closed,
        "cpu_us_per_close": cpu * 1e6 / connections,
        "failed_connects": probe.failed,
        "connections": connections,
    }
