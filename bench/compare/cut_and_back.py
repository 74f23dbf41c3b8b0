"""10,000 clients are cut at once and come back: how long until all have everything again, and what they missed."""

from compare.machine import Failed, Load

CLIENTS = 10_000
ROOM = 100
# Of each room; somebody publishes all the time, so that something is missed.
MESSAGES_PER_SECOND = 2
STEADY_SECONDS = 2
# Whoever needs longer is given the second length.
STORM_SECONDS = (6, 25)

SCENARIO = """
shape = "rooms={rooms}x{room}"
connect-rate = 3000.0
rate = {rate}
[[stages]]
length = "1s"
measured = false
[[stages]]
name = "steady"
length = "{steady}s"
[[stages]]
name = "storm"
length = "{storm}s"
storm = 1.0
"""


def cut_and_back(peer, options):
    for seconds in STORM_SECONDS:
        found = storm(peer, min(CLIENTS, options.connections), seconds)
        if found["back_99_ms"] is not None:
            break
    return found


def storm(peer, clients, seconds):
    rooms = max(clients // ROOM, 1)
    room = clients // rooms
    text = SCENARIO.format(rooms=rooms, room=room, rate=float(MESSAGES_PER_SECOND * rooms), steady=STEADY_SECONDS, storm=seconds)
    with peer.start() as server:
        reads = peer.log_reads(server)
        load = Load(server, peer, "--scenario", server.file("storm.toml", text)).start()
        found = load.finish()
        if reads is not None:
            found["log_reads_per_channel"] = (peer.log_reads(server) - reads) / rooms
    refused = load.report["faults"]["not_recovered"]
    if reads is not None and refused:
        raise Failed(f"{refused} returns were refused what they had missed: {load.report['troubles']}")
    returns = load.report["returns"]
    steady, stormy = load.report["stages"]
    cpu = (stormy["server_cpu_cores"] - steady["server_cpu_cores"]) * stormy["seconds"]
    back = returns["latency"]["count"]
    return found | {
        "clients": returns["cut"],
        "back": back,
        "back_50_ms": returns["latency"]["p50_ms"] if back >= 0.5 * returns["cut"] else None,
        "back_99_ms": returns["latency"]["p99_ms"] if back >= 0.99 * returns["cut"] else None,
        "back_all_ms": returns["latency"]["max_ms"] if back >= returns["cut"] else None,
        "missed_per_client": found["gaps"] / returns["cut"],
        "cpu_us_per_return": cpu * 1e6 / returns["cut"],
    }
