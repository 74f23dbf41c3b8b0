#!/usr/bin/env python3
"""Makes the tables of docs/reliability.md from logs of tests/chaos/play.py.

    tests/chaos/table.py target/chaos.log ...          prints them
    tests/chaos/table.py --into docs/reliability.md target/chaos.log ...     puts them between the page's marks

Of several runs of a row with one seed the last counts.
"""
import re
import statistics
import sys

ROWS = [
    ("row_01_node_killed", "1", "a node is killed with `kill -9`", "three nodes, one Redis"),
    ("row_02_node_frozen", "2", "a node is frozen for 3 s and thaws", "three nodes, one Redis"),
    ("row_02_node_frozen_for_15_s", "2", "the same for 15 s", "three nodes, one Redis"),
    ("row_02_node_frozen_for_60_s", "2", "the same for 60 s", "three nodes, one Redis"),
    ("row_03_rolling_restart", "3", "all nodes are restarted one by one (SIGTERM)", "three nodes, one Redis"),
    ("row_04_primary_killed", "4", "the Redis primary is killed", "three nodes, Sentinels"),
    ("row_05_split_brain", "5", "the primary is cut off together with one node", "three nodes, Sentinels"),
    ("row_06_lagging_copy_promoted", "6", "a copy that lagged takes the primary's place", "three nodes, one Redis"),
    ("row_06_silent_line_then_promoted", "6", "the replication line falls silent, then the replica is promoted", "three nodes, one Redis"),
    ("row_06_lagging_replica_promoted", "6", "a replica that lagged is promoted", "three nodes, Sentinels"),
    ("row_07_redis_frozen", "7", "Redis is frozen and thaws", "three nodes, one Redis"),
    ("row_07_redis_frozen_for_30_s", "7", "the same for 30 s", "three nodes, one Redis"),
    ("row_07_primary_frozen_and_replaced", "7", "the primary is frozen, replaced, and thaws", "three nodes, Sentinels"),
    ("row_08_shard_fails_over", "8", "a shard of the Cluster loses its master", "three nodes, Cluster"),
    ("row_08_slots_move", "8", "slots move under load", "three nodes, Cluster"),
    ("row_09_redis_out_of_memory", "9", "Redis has no memory left", "three nodes, one Redis"),
    ("row_10_redis_emptied", "10", "FLUSHALL, and an empty restart", "three nodes, one Redis"),
    ("row_12_redis_away", "12", "Redis is away for 4 s", "three nodes, one Redis"),
    ("row_12_redis_away_for_5_min", "12", "the same for 5 minutes", "three nodes, one Redis"),
    ("row_13_node_cut_off_from_redis", "13", "one node is cut off from Redis", "three nodes, one Redis"),
    ("row_14_slow_and_sliced_lines", "14", "lines are slow, and pass a few bytes at a time", "three nodes, one Redis"),
    ("row_15_half_open_clients", "15", "no byte passes between clients and a node", "one node, embedded"),
    ("row_15_half_open_clients_over_three_nodes", "15", "no byte passes between clients and one node, then all nodes", "three nodes, one Redis"),
    ("row_16_slow_readers", "16", "readers stop reading", "one node, embedded"),
    ("row_16_slow_readers_over_three_nodes", "16", "the same at three nodes", "three nodes, one Redis"),
    ("row_18_reconnect_storm", "18", "all 300 connections end at once", "one node, embedded"),
    ("row_18_reconnect_storm_over_three_nodes", "18", "the same at three nodes", "three nodes, one Redis"),
    ("row_18_reconnect_storm_of_thousands", "18", "all 3,000 connections end at once", "one node, embedded"),
    ("row_24_power_cut", "24", "the power goes", "one node, embedded"),
    ("scripted_failovers", "–", "failovers, ten in a run, in six ways", "three nodes, Sentinels"),
]
NAMES = {row[0] for row in ROWS}
# What is promised, and from when on it counts as a violation, in seconds.
TIMES = [
    ("verdict", "from the first node that finds a loss until the verdict", None, None),
    ("notice", "from the verdict until a connected subscriber is told", 1, 2),
    ("red", "from the fault until `/readyz` is red", 2, 4),
    ("green", "from the heal or the promotion until `/readyz` is green", None, 10),
    ("back", "from the heal or the promotion until three publishes are acknowledged", 3, 6),
    ("outage", "from the fault until the same three: the time until the heal or the promotion, and `back`", None, None),
]
# Told by row of faults as well, each with the seconds over which its runs are counted. Nothing is promised of an outage: it is
# held against what is promised of `back`.
BY_ROW = [("notice", 1), ("back", 3), ("outage", 3)]
LINE = re.compile(r"rows::\w+::(\w+) seed (\d+): ([^;]*);? ?(.*)")


def number(word, text):
    found = re.search(r"(\d+) " + word, text)
    return int(found.group(1)) if found else 0


def runs_in(paths):
    runs = {}
    for path in paths:
        for line in open(path, encoding="utf-8"):
            found = LINE.match(line.strip())
            if found and found.group(1) in NAMES:
                name, seed, verdict, rest = found.groups()
                runs[name, int(seed)] = (verdict, rest)
    return runs


def of_row(name, runs):
    return [run for (one, _), run in runs.items() if one == name]


def measured(name, runs):
    """The longest of each run in which it was measured, and how often it was."""
    found = (re.search(rf", {name} ([\d.]+) of (\d+)", rest) for _, rest in runs)
    return [(float(one.group(1)), int(one.group(2))) for one in found if one]


def seconds(bound):
    return "–" if bound is None else f"{bound} s"


def over(promised, longest):
    """How many of the runs took longer than was promised."""
    return "–" if promised is None else str(sum(time > promised for time in longest))


def played(runs):
    words = ["acknowledged", "received", "resumed", "breaks told"]
    total = [sum(number(word, rest) for _, rest in runs.values()) for word in words]
    yield (f"{len(runs)} runs: {total[0]:,} publishes acknowledged, {total[1]:,} events received, "
           f"{total[2]:,} resumes, {total[3]:,} breaks told.")
    yield ""
    yield "| row | fault | on | runs | clean | acknowledged | received | resumed | breaks told |"
    yield "|---|---|---|---:|---:|---:|---:|---:|---:|"
    for name, row, fault, on in ROWS:
        mine = of_row(name, runs)
        if mine:
            clean = sum(verdict == "clean" for verdict, _ in mine)
            sums = " | ".join(f"{sum(number(word, rest) for _, rest in mine):,}" for word in words)
            yield f"| {row} | {fault} (`{name}`) | {on} | {len(mine)} | {clean} | {sums} |"


def times(runs):
    yield ("How long things took: the longest of each run; over all runs their median, their highest, how many runs were over the promise, "
           "and how often something was measured. `back` and `green` are measured from the heal or the promotion, not from the fault.")
    yield ""
    yield "| | what | promised | a violation from | runs | over the promise | measured | median | highest |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for name, what, promised, bound in TIMES:
        found = measured(name, runs.values())
        if found:
            longest = [time for time, _ in found]
            yield (f"| {name} | {what} | {seconds(promised)} | {seconds(bound)} | {len(found)} | {over(promised, longest)} "
                   f"| {sum(count for _, count in found):,} | {statistics.median(longest):.1f} s | {max(longest):.1f} s |")


def cell(name, promised, runs):
    longest = [time for time, _ in measured(name, runs)]
    if not longest:
        return ""
    return f"{statistics.median(longest):.2f} s, {max(longest):.2f} s, {over(promised, longest)} of {len(longest)}"


def times_by_row(runs):
    yield ("The same by row of faults, where there is something: of the longest of each run the median and the highest, then how many runs "
           "were over the promise, of those in which it was measured. An outage is held against the 3 s of `back`; it holds the fault's own "
           "length (the script's, where Redis is frozen, full or away), or what Sentinels, a Cluster or the script take until they promote.")
    yield ""
    yield "| row | fault | " + " | ".join(f"{name}: over {promised} s" for name, promised in BY_ROW) + " |"
    yield "|---|---|" + "---|" * len(BY_ROW)
    for name, row, _, _ in ROWS:
        cells = [cell(time, promised, of_row(name, runs)) for time, promised in BY_ROW]
        if any(cells):
            yield f"| {row} | `{name}` | " + " | ".join(cells) + " |"


def unclean(runs):
    bad = sorted((name, seed, verdict) for (name, seed), (verdict, _) in runs.items() if verdict != "clean")
    yield "Runs that were not clean:" if bad else "Every run in these tables was clean; what was left out, and why, stands above them."
    if bad:
        yield ""
        for name, seed, verdict in bad:
            yield f"- `{name}`, seed {seed}: {verdict}"


def tables(runs):
    parts = [played, times, times_by_row, unclean]
    return "\n\n".join("\n".join(part(runs)) for part in parts)


def main(words):
    into = None
    if words[:1] == ["--into"]:
        into, words = words[1], words[2:]
    text = tables(runs_in(words))
    if into is None:
        return print(text)
    page = open(into, encoding="utf-8").read()
    start, end = "<!-- tests/chaos/table.py -->\n", "<!-- end -->"
    before, rest = page.split(start)
    after = rest.split(end, 1)[1]
    open(into, "w", encoding="utf-8").write(f"{before}{start}{text}\n{end}{after}")


if __name__ == "__main__":
    main(sys.argv[1:])
