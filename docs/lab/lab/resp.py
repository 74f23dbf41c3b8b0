"""A Redis client of the smallest kind: it shows replies as they came, errors included, and hides nothing.

It knows no retries, no pools, no redirections: the experiments want to see what Redis itself says.
"""

import socket


class RedisError(Exception):
    """An error reply. `name` is its first word, which is what a client may act on."""

    @property
    def name(self):
        return str(self).split(" ", 1)[0]


def encode(args):
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        raw = arg if isinstance(arg, bytes) else str(arg).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(raw), raw))
    return b"".join(out)


class Client:
    """One connection. `do` raises error replies; `ask` returns them."""

    def __init__(self, port, timeout=20.0):
        self.port = port
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb", 1 << 16)

    def send(self, *args):
        self.sock.sendall(encode(args))

    def receive(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed by Redis")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.receive() for _ in range(int(rest))]
        raise ConnectionError(f"unknown reply {line!r}")

    def ask(self, *args):
        self.send(*args)
        return self.receive()

    def do(self, *args):
        reply = self.ask(*args)
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def pipe(self, commands):
        """Sends all, then reads all: errors are returned in their place."""
        self.sock.sendall(b"".join(encode(c) for c in commands))
        return [self.receive() for _ in commands]

    def info(self, section):
        text = self.do("INFO", section).decode()
        return dict(l.split(":", 1) for l in text.split("\r\n") if ":" in l)

    def close(self):
        self.sock.close()
