"""Processes, their cores, what /proc tells of them, and the load tester's runs. Knows no peer by name."""

import datetime
import json
import os
import pathlib
import platform
import resource
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# BENCH_PROFILE=debug is for CI's smoke, which builds no release; its figures mean nothing.
PROFILE = os.environ.get("BENCH_PROFILE", "release")
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / PROFILE
SERVER_CORE, CLIENT_CORE = "0", "1" if (os.cpu_count() or 1) > 1 else "0"
START_SECONDS = 20
RUN_GRACE_SECONDS = 120
TICKS = os.sysconf("SC_CLK_TCK")


# Load generators that run: whoever gives a measurement up ends them.
RUNNING = []


class Failed(Exception):
    """A measurement that could not be made, in a few words."""


def end_loads():
    for load in list(RUNNING):
        load.stop()


def build():
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "parlor", "-p", "parlor-loadtest", "-p", "parlor-bench"], cwd=ROOT, check=True)


def describe():
    """The machine and what was set on it; bbr paces loopback, and autogroups let other sessions' work weigh in."""
    wanted = {"net.ipv4.tcp_congestion_control": "cubic", "kernel.sched_autogroup_enabled": "0"}
    for key, value in wanted.items() if PROFILE == "release" else ():
        try:
            pathlib.Path("/proc/sys", *key.split(".")).write_text(value)
        except OSError:
            pass
    settings = {key: sysctl(key) for key in wanted}
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_at_start": os.getloadavg()[0],
        "settings": settings,
    }


def sysctl(key):
    try:
        return pathlib.Path("/proc/sys", *key.split(".")).read_text().strip()
    except OSError:
        return "?"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process on its core, with a directory of its own; ends with the `with` block."""

    def __init__(self, command, port, directory, environment=None):
        self.command, self.port, self.directory = command, port, directory
        self.environment = {**os.environ, **(environment or {})}

    def __enter__(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.log = open(pathlib.Path(self.directory.name) / "log", "wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *map(str, self.command)], env=self.environment, stdout=self.log, stderr=self.log
        )
        end = time.monotonic() + START_SECONDS
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise Failed(f"did not start: {pathlib.Path(self.log.name).read_text(errors='replace')[-300:]}")
            time.sleep(0.05)
        time.sleep(0.3)
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            return True
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def pids(self):
        """The process and its children: nginx works in one."""
        found = [self.process.pid]
        for pid in found:
            try:
                found += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                pass
        return found

    def worker(self):
        return self.pids()[-1]

    def file(self, name, text):
        path = pathlib.Path(self.directory.name) / name
        path.write_text(text)
        return path

    def cpu_seconds(self):
        fields = (pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.pids())
        return sum(int(field[11]) + int(field[12]) for field in fields) / TICKS

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.worker()}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def files(self):
        return len(os.listdir(f"/proc/{self.worker()}/fd"))


class Load:
    """A run of the load tester against a server."""

    def __init__(self, server, peer, *options):
        self.json = pathlib.Path(server.directory.name) / "report.json"
        subscribe, publish = peer.urls(server.port)
        self.command = [
            "taskset", "-c", CLIENT_CORE, TARGET / "parlor-loadtest", "run", "--url", subscribe, "--publish-url", publish,
            "--form", peer.form, "--server-pid", server.worker(), "--publishers", "1", "--publish-ids", "true",
            "--markdown", "/dev/null", "--json", self.json, *peer.load_options, *options,
        ]

    def start(self):
        self.json.unlink(missing_ok=True)
        # Its words go to a file: nobody reads a pipe while it runs.
        self.told = open(self.json.with_suffix(".told"), "w+")
        self.process = subprocess.Popen([str(word) for word in self.command], stdout=subprocess.DEVNULL, stderr=self.told)
        RUNNING.append(self)
        return self

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.told.close()
        if self in RUNNING:
            RUNNING.remove(self)

    def finish(self):
        try:
            self.process.wait(RUN_GRACE_SECONDS)
            self.told.seek(0)
            told = self.told.read().strip()
        except subprocess.TimeoutExpired:
            raise Failed("the load did not end") from None
        finally:
            self.stop()
        if not self.json.exists():
            raise Failed(told.splitlines()[-1] if told else "no report")
        self.report = json.loads(self.json.read_text())
        return figures(self.report)


def figures(report):
    """The few numbers of a report that the works use."""
    stage = report["stages"][-1]
    group = stage["groups"][0]
    busiest = max((thread["cpu"] for thread in report["generator"]["threads"]), default=0)
    return {
        "deliveries_per_s": stage["deliveries_per_s"],
        "cpu_us_per_delivery": stage["server_cpu_us_per_delivery"],
        "server_cores": stage["server_cpu_cores"],
        "p50_ms": group["latency"]["p50_ms"],
        "p99_ms": group["latency"]["p99_ms"],
        "gaps": report["faults"]["gaps"],
        "duplicates": report["faults"]["duplicates"],
        "reordered": report["faults"]["reordered"],
        "closed": sum(report["opening"][key] for key in ("failed", "closed_later", "unanswered")),
        "generator_busy": busiest,
    }


def directory():
    return tempfile.TemporaryDirectory(prefix="parlor-bench-")
