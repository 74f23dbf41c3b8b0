"""What connections cost that say nothing but the answers to pings."""

import time

from compare.crowd import Crowd

# Parlor's own; other servers ping as they do.
PING_SECONDS = 25


def idle_cpu(peer, options):
    connections = options.connections // 10 * 10
    with peer.start() as server:
        # What the server does for nobody does not grow with connections.
        alone = cores(server)
        with Crowd(server, peer, connections):
            # Pings are spread: after one interval each connection has had its first, and has one in each interval to come.
            time.sleep(PING_SECONDS)
            crowded = cores(server)
    return {"cores_per_million": (crowded - alone) / connections * 1e6, "cores": crowded, "cores_alone": alone, "connections": connections}


def cores(server):
    before = server.cpu_seconds()
    time.sleep(PING_SECONDS)
    return (server.cpu_seconds() - before) / PING_SECONDS
