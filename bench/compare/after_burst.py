"""Whether memory that a burst took is given back: the same connections, idle before and idle after."""

import time

from compare.machine import Failed, Load

CONNECTIONS = 5_000
ROOM = 100
# 120 messages for each room: their histories are full before the burst, and hold no more after it.
FILL_SECONDS, FILL_RATE = 15, 400
# The server has time to give back what it will.
REST_SECONDS = 8
# After a long burst there is a second look, when nothing of it need be remembered any more: Parlor keeps publish ids for five
# minutes, and comes by every channel once in the next 64 s.
LONG_BURST_SECONDS, FORGOTTEN_SECONDS = 300, 380
OPENED_WITHIN_SECONDS = 60

STAGES = """
shape = "rooms={rooms}x{room}"
connect-rate = 3000.0

[[stages]]
name = "fill"
length = "{fill}s"
rate = {fill_rate}.0

[[stages]]
name = "before"
length = "{rest}s"
rate = 0.0

[[stages]]
name = "burst"
length = "{burst}s"
rate = {burst_rate}.0

[[stages]]
name = "after"
length = "{long_rest}s"
rate = 0.0
"""


def stages(burst_seconds, burst_rate):
    return STAGES.format(
        rooms=CONNECTIONS // ROOM, room=ROOM, fill=FILL_SECONDS, fill_rate=FILL_RATE, rest=REST_SECONDS,
        burst=burst_seconds, burst_rate=burst_rate, long_rest=rests(burst_seconds)[-1] + REST_SECONDS,
    )


def rests(burst_seconds):
    """How long after the burst memory is looked at."""
    return [REST_SECONDS, FORGOTTEN_SECONDS] if burst_seconds >= LONG_BURST_SECONDS else [REST_SECONDS]


def after_burst(peer, options):
    with peer.start() as server:
        files = server.files()
        load = Load(server, peer, "--scenario", server.file("burst.toml", stages(options.burst_seconds, options.burst_rate))).start()
        try:
            await_all(server, files, load)
            time.sleep(FILL_SECONDS + REST_SECONDS)
            before = server.resident_kib()
            time.sleep(options.burst_seconds)
            during = server.resident_kib()
            after, rested = [], 0
            for rest in rests(options.burst_seconds):
                time.sleep(rest - rested)
                rested = rest
                after.append(server.resident_kib())
            # Without its connections the server would look better than it is.
            if load.process.poll() is not None:
                raise Failed("the load ended while it was measured")
        finally:
            load.stop()
    return {
        "after_per_idle": after[-1] / before,
        "idle_mib": before / 1024,
        "burst_mib": during / 1024,
        "at_once_mib": after[0] / 1024,
        "after_mib": after[-1] / 1024,
        "burst_seconds": options.burst_seconds,
        "burst_rate": options.burst_rate,
    }


def await_all(server, files, load):
    end = time.monotonic() + OPENED_WITHIN_SECONDS
    while server.files() - files < CONNECTIONS:
        if time.monotonic() > end or load.process.poll() is not None:
            raise Failed(f"only {server.files() - files} of {CONNECTIONS} connected")
        time.sleep(0.05)
