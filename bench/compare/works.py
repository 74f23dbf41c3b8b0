"""The works: what is measured of each server, and how a figure comes about."""

from compare.after_burst import after_burst
from compare.crowd import Crowd
from compare.cut_and_back import cut_and_back
from compare.idle_cpu import idle_cpu
from compare.machine import Failed, Load
from compare.mass_close import mass_close
from compare.stuck_reader import stuck_reader

# One bad run may be the machine's fault.
TRIES = 2
# Searches end when what is not carried is so little above what is.
NARROW = 1.05


class Work:
    """`figure` names the number that is compared; `best` says whether more or less of it is better."""

    def __init__(self, name, title, figure, unit, best, measure):
        self.name, self.title, self.figure, self.unit, self.best, self.measure = name, title, figure, unit, best, measure


def at_rate(shape, rate):
    """A fixed load, far below anybody's limit."""

    def measure(peer, options):
        with peer.start() as server:
            load = Load(server, peer, "--shape", shape, "--rate", rate, "--duration", f"{options.seconds}s", "--warmup", "1s")
            return load.start().finish()

    return measure


def most(shape, members, first_rate, p99_ms):
    """The highest rate at which a p99 is kept and nothing lost: doubled until it breaks twice, then narrowed to a twentieth."""

    def kept(found, rate):
        return found["p99_ms"] < p99_ms and found["deliveries_per_s"] > 0.95 * rate * members and not lost(found)

    def attempt(peer, options, rate):
        # A fresh server each time: a backlog of the last attempt would be charged to this one.
        with peer.start() as server:
            warm, length = "1s", f"{max(options.seconds - 1, 2)}s"
            found = Load(server, peer, "--shape", shape, "--rate", rate, "--duration", length, "--warmup", warm).start().finish()
            found["rate"] = rate
            found["resident_mib_after"] = server.resident_kib() / 1024
        return found

    def carried(peer, options, rate):
        for _ in range(TRIES):
            try:
                found = attempt(peer, options, rate)
            except Failed:
                continue
            if kept(found, rate):
                return found
        return None

    def measure(peer, options):
        good, bad, rate = None, None, first_rate
        while bad is None or good is None or bad / good["rate"] > NARROW:
            if rate < first_rate / 16:
                raise Failed(f"not even {rate * 2 * members:.0f} deliveries/s")
            if found := carried(peer, options, rate):
                good = found
            else:
                bad = rate
            if good is None:
                rate = bad / 2
            elif bad is None:
                rate *= 2
            else:
                rate = (good["rate"] * bad) ** 0.5
        return good

    return measure


def lost(found):
    return found["gaps"] + found["duplicates"] + found["reordered"] + found["closed"]


def idle(peer, options):
    """Memory by the difference of two crowds on fresh servers, each connection in a room of ten and in a channel of its own."""
    high = options.connections // 10 * 10
    low = high - 10_000 if high > 15_000 else high // 2
    few, many = opened(peer, low), opened(peer, high)
    return {
        "kib_per_connection": (many["resident_kib"] - few["resident_kib"]) / (high - low),
        "cpu_us_per_connection": many["cpu_us"] / high,
        "resident_mib": many["resident_kib"] / 1024,
        "connections": [low, high],
    }


def opened(peer, connections):
    with peer.start() as server, Crowd(server, peer, connections) as crowd:
        return {"resident_kib": server.resident_kib(), "cpu_us": crowd.cpu_us()}


WORKS = [
    Work("cpu", "1,000 subscribers of one channel, 10 messages/s", "cpu_us_per_delivery", "CPU µs per delivery", "low", at_rate("channel=1x1000", 10)),
    Work("fanout-1k", "1,000 subscribers of one channel, p99 < 100 ms", "deliveries_per_s", "deliveries/s at most", "high", most("channel=1x1000", 1_000, 64, 100)),
    Work("fanout-10k", "10,000 subscribers of one channel, p99 < 500 ms", "deliveries_per_s", "deliveries/s at most", "high", most("channel=1x10000", 10_000, 4, 500)),
    Work("rooms-cpu", "1,000 rooms of 10, 2,000 messages/s", "cpu_us_per_delivery", "CPU µs per delivery", "low", at_rate("rooms=1000x10", 2_000)),
    Work("rooms", "1,000 rooms of 10, p99 < 100 ms", "deliveries_per_s", "deliveries/s at most", "high", most("rooms=1000x10", 10, 2_000, 100)),
    Work("idle", "idle connections, two channels each", "kib_per_connection", "KiB of user memory per connection", "low", idle),
    Work("cut-and-back", "10,000 clients cut and back, 100 rooms, 2 messages/s in each", "back_99_ms", "ms until 99 % have everything again", "low", cut_and_back),
    Work("mass-close", "15,000 sockets end at once", "worst_ms", "ms for a bystander's connection at most", "low", mass_close),
    Work("stuck-reader", "1,000 readers that stop reading beside 1,000 that read", "kib_per_stuck", "KiB for each stuck reader, the kernel's included", "low", stuck_reader),
    Work("idle-cpu", "idle connections, a ping each 25 s", "cores_per_million", "cores per 1,000,000 connections", "low", idle_cpu),
    Work("after-burst", "5,000 connections after a burst", "after_per_idle", "resident memory after, × before", "low", after_burst),
]
ALL = {work.name: work for work in WORKS}
