"""Whether memory that a burst took is given back: the same connections, idle before and idle after."""

import pathlib
import time

from compare.machine import Failed, Load

CONNECTIONS = 5_000
BURST_SECONDS = 10
OPENED_WITHIN_SECONDS = 60

STAGES = f"""
shape = "rooms={CONNECTIONS // 10}x10"
connect-rate = 3000.0

[[stages]]
name = "before"
length = "6s"
rate = 0.0

[[stages]]
name = "burst"
length = "{BURST_SECONDS}s"
rate = 2000.0

[[stages]]
name = "after"
length = "12s"
rate = 0.0
"""


def after_burst(peer, _):
    with peer.start() as server:
        stages = pathlib.Path(server.directory.name) / "burst.toml"
        stages.write_text(STAGES)
        files = server.files()
        load = Load(server, peer, "--scenario", stages).start()
        try:
            await_all(server, files, load)
            time.sleep(3)
            before = server.resident_kib()
            time.sleep(BURST_SECONDS + 2)
            during = server.resident_kib()
            time.sleep(8)
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
