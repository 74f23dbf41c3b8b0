"""Whether memory that a burst took is given back: the same connections, idle before and idle after."""

import time

from compare.machine import Failed, Load

CONNECTIONS = 5_000
ROOM = 100
# 120 messages for each room: their histories are full before the burst, and hold no more after it.
FILL_SECONDS, FILL_RATE = 15, 400
BURST_SECONDS, BURST_RATE = 10, 2_000
# The server has time to give back what it will.
REST_SECONDS = 8
OPENED_WITHIN_SECONDS = 60

STAGES = f"""
shape = "rooms={CONNECTIONS // ROOM}x{ROOM}"
connect-rate = 3000.0

[[stages]]
name = "fill"
length = "{FILL_SECONDS}s"
rate = {FILL_RATE}.0

[[stages]]
name = "before"
length = "{REST_SECONDS}s"
rate = 0.0

[[stages]]
name = "burst"
length = "{BURST_SECONDS}s"
rate = {BURST_RATE}.0

[[stages]]
name = "after"
length = "{2 * REST_SECONDS}s"
rate = 0.0
"""


def after_burst(peer, _):
    with peer.start() as server:
        files = server.files()
        load = Load(server, peer, "--scenario", server.file("burst.toml", STAGES)).start()
        try:
            await_all(server, files, load)
            time.sleep(FILL_SECONDS + REST_SECONDS)
            before = server.resident_kib()
            time.sleep(BURST_SECONDS)
            during = server.resident_kib()
            time.sleep(REST_SECONDS)
            after = server.resident_kib()
        finally:
            load.stop()
    return {"after_per_idle": after / before, "idle_mib": before / 1024, "burst_mib": during / 1024, "after_mib": after / 1024}


def await_all(server, files, load):
    end = time.monotonic() + OPENED_WITHIN_SECONDS
    while server.files() - files < CONNECTIONS:
        if time.monotonic() > end or load.process.poll() is not None:
            raise Failed(f"only {server.files() - files} of {CONNECTIONS} connected")
        time.sleep(0.05)
