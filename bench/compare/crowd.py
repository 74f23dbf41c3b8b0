"""Connections that say nothing: opened, counted at the server, and cut by ending their process."""

import time

from compare.machine import Failed, Load

OPENED_WITHIN_SECONDS = 120


class Crowd:
    """So many connections, each in a room of ten and in a channel of its own. Ends with the `with` block."""

    def __init__(self, server, peer, connections):
        self.server, self.connections = server, connections
        self.files, self.cpu = server.files(), server.cpu_seconds()
        # Held by `close`, not by the clock.
        self.load = Load(server, peer, "--shape", f"idle={connections // 10}x10", "--own-channel", "--connect-rate", "3000", "--duration", "10m")

    def __enter__(self):
        self.load.start()
        try:
            self.await_all()
        except BaseException:
            self.load.stop()
            raise
        time.sleep(1.5)
        return self

    def await_all(self):
        end = time.monotonic() + OPENED_WITHIN_SECONDS
        while self.held() < self.connections:
            if time.monotonic() > end or self.load.process.poll() is not None:
                raise Failed(f"only {self.held()} of {self.connections} connected")
            time.sleep(0.05)

    def held(self):
        """How many the server holds."""
        return self.server.files() - self.files

    def cpu_us(self):
        """What all of them have cost the server so far."""
        return (self.server.cpu_seconds() - self.cpu) * 1e6

    def close(self):
        """All at once, as when a balancer in front of the server dies."""
        self.load.stop()

    def __exit__(self, *_):
        self.load.stop()
