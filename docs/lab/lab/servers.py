"""Redis processes for one experiment: on loopback, in a directory of their own, ended with the experiment."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .resp import Client


def wait(what, until, seconds=15.0):
    """Asks again every 10 ms until `until()` is true, and returns the seconds that took."""
    start = time.monotonic()
    while True:
        try:
            if until():
                return time.monotonic() - start
        except OSError:
            pass
        if time.monotonic() - start > seconds:
            raise TimeoutError(f"waited {seconds} s for: {what}")
        time.sleep(0.01)


def free_port():
    """A port that is free now, and whose cluster bus port (+ 10000) exists."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if port < 55000:
            return port
        port -= 20000
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Redis:
    def __init__(self, lab, *options, port=None, sentinel=None):
        self.lab, self.options, self.sentinel = lab, list(options), sentinel
        self.port = port or free_port()
        self.dir = tempfile.mkdtemp(dir=lab.dir)
        self.process = None
        # Before it starts, so that one that never answers is ended too.
        lab.started.append(self)
        self.start()

    def start(self, wait_loaded=True):
        if self.sentinel:
            path = os.path.join(self.dir, "sentinel.conf")
            if not os.path.exists(path):
                with open(path, "w") as f:
                    f.write(f"port {self.port}\nbind 127.0.0.1\ndir {self.dir}\n{self.sentinel}\n")
            command = ["redis-server", path, "--sentinel"]
        else:
            command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir,
                       "--save", "", "--repl-diskless-sync-delay", "0", *self.options]
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        if wait_loaded:
            wait("Redis to answer", self.answers)
        return self

    def answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.dir, "log")) as f:
                raise RuntimeError(f.read()[-2000:])
        client = Client(self.port, 2.0)
        try:
            return str(client.ask("PING")).startswith(("PONG", "NOAUTH"))
        finally:
            client.close()

    def client(self, timeout=20.0):
        client = Client(self.port, timeout)
        self.lab.clients.append(client)
        return client

    def kill(self, how=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def follow(self, primary):
        """Becomes a replica of `primary` and waits until it has caught up."""
        client = self.client()
        client.do("REPLICAOF", "127.0.0.1", primary.port)
        wait("the replica to be in sync", lambda: client.info("replication").get("master_link_status") == "up")
        return self


class Lab:
    """Everything one experiment started. Use as a context; all is gone at its end."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="redis-facts-")
        self.started, self.clients = [], []
        return self

    def redis(self, *options, **named):
        return Redis(self, *options, **named)

    def sentinels(self, primary, number=3, name="lab", down_after=1000):
        text = (f"sentinel monitor {name} 127.0.0.1 {primary.port} 2\n"
                f"sentinel down-after-milliseconds {name} {down_after}\n"
                f"sentinel failover-timeout {name} 5000\n"
                f"sentinel parallel-syncs {name} 1")
        return [self.redis(sentinel=text) for _ in range(number)]

    def cluster(self, masters=3, replicas=1):
        nodes = [self.redis("--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
                            "--cluster-replica-validity-factor", "0")
                 for _ in range(masters * (1 + replicas))]
        command = ["redis-cli", "--cluster", "create", *[f"127.0.0.1:{n.port}" for n in nodes],
                   "--cluster-replicas", str(replicas), "--cluster-yes"]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(made.stdout + made.stderr)
        for node in nodes:
            wait("the cluster to be up",
                 lambda: b"cluster_state:ok" in node.client().do("CLUSTER", "INFO"))
        return nodes

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
        for server in self.started:
            server.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
