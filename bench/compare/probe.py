"""A bystander that opens a WebSocket every 10 ms, and how long each takes from when it was due."""

import os
import socket
import ssl
import threading
import time

from compare import machine

EVERY_SECONDS = 0.01
TIMEOUT_SECONDS = 10
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


class Probe:
    """Runs with the `with` block; `taken` are pairs of the due time and the ms until the handshake's answer."""

    def __init__(self, peer, port):
        path = peer.path.replace("{channel}", "probe")
        self.port, self.taken, self.failed, self.stopped = port, [], 0, threading.Event()
        self.tls = ssl.create_default_context(cafile=peer.certificate) if peer.certificate else None
        self.request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        ).encode()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join(2 * TIMEOUT_SECONDS)

    def run(self):
        # Beside the load generator, which is busy closing, and before it: the server's delay is wanted, not ours.
        os.sched_setaffinity(0, {int(machine.CLIENT_CORE)})
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)
        except PermissionError:
            pass
        due = time.monotonic()
        while not self.stopped.is_set():
            time.sleep(max(0, due - time.monotonic()))
            try:
                self.open_one()
                self.taken.append((due, (time.monotonic() - due) * 1e3))
            except OSError:
                self.failed += 1
            due += EVERY_SECONDS

    def connected(self):
        stream = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS)
        return self.tls.wrap_socket(stream, server_hostname="127.0.0.1") if self.tls else stream

    def open_one(self):
        with self.connected() as stream:
            stream.sendall(self.request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                more = stream.recv(4096)
                if not more:
                    raise OSError("closed")
                answer += more
            if b" 101 " not in answer.split(b"\r\n")[0]:
                raise OSError(answer.split(b"\r\n")[0].decode(errors="replace"))
