#!/usr/bin/env python3
"""Plays the rows of faults of docs/reliability.md with many seeds.

    tests/chaos/play.py                                 every row, seeds 1 to 20
    tests/chaos/play.py row_04 --seeds 5 --first 21     the rows with that in their name, seeds 21 to 25
    tests/chaos/play.py --lanes 2                       two runs beside each other

One line per run goes to $PARLOR_CHAOS_LOG, or target/chaos.log; what a run said that was not clean is kept beside it. A run that was
not clean does not end the others. Where every row is played, the longest get fewer seeds (FEW), and a run that is in the log
already is not played again. `table.py` makes the tables.
"""
import argparse
import json
import os
import queue
import subprocess
import sys
import threading

from table import NAMES, ROWS, runs_in

# Rows of minutes, which differ from a shorter one in their time only.
FEW = {
    "row_02_node_frozen_for_60_s": 3,
    "row_07_redis_frozen_for_30_s": 5,
    "row_12_redis_away_for_5_min": 3,
    "row_18_reconnect_storm_of_thousands": 3,
}
# A run ends by itself long before; this ends one that hangs.
RUN_S_MAX = 900
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
LOG = os.path.abspath(os.environ.get("PARLOR_CHAOS_LOG", os.path.join(TARGET, "chaos.log")))


def built():
    """The test binary and the server, copied aside so that a build meanwhile changes neither."""
    subprocess.run(["cargo", "build", "--workspace", "--bins"], cwd=ROOT, check=True)
    command = ["cargo", "test", "--workspace", "--test", "chaos", "--no-run", "--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    made = [json.loads(line).get("executable") for line in lines if '"executable":"' in line]
    chaos = next(path for path in made if "/chaos-" in path)
    aside = os.path.join(TARGET, "chaos")
    os.makedirs(aside, exist_ok=True)
    for source, name in ((chaos, "chaos"), (os.path.join(TARGET, "debug", "parlor"), "parlor")):
        subprocess.run(["cp", "--remove-destination", source, os.path.join(aside, name)], check=True)
    return os.path.join(aside, "chaos"), os.path.join(aside, "parlor")


def play(chaos, parlor, test, seed):
    row = test.rsplit("::", 1)[1]
    environ = dict(os.environ, PARLOR_BIN=parlor, PARLOR_SEED=str(seed), PARLOR_CHAOS_LOG=LOG)
    command = [chaos, "--include-ignored", "--test-threads", "1", "--exact", test]
    try:
        run = subprocess.run(command, cwd=os.path.join(ROOT, "tests"), env=environ, text=True, errors="replace",
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=RUN_S_MAX)
        clean, said = run.returncode == 0, run.stdout
    except subprocess.TimeoutExpired as late:
        clean, said = False, f"ended after {RUN_S_MAX} s\n{late.stdout}"
    if not clean:
        with open(f"{LOG.removesuffix('.log')}-{row}-{seed}.txt", "w", encoding="utf-8") as kept:
            kept.write(said)
    print(f"{row} {seed}: {'clean' if clean else 'NOT CLEAN'}", flush=True)
    return clean


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="?", default="", metavar="ROW", help="a part of a row's name")
    parser.add_argument("--seeds", type=int, default=20, help="how many (20)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--lanes", type=int, default=1, help="runs beside each other (1)")
    asked = parser.parse_args()
    if not any(asked.row in name for name in NAMES):
        parser.error(f"no row is called {asked.row}")
    return asked


def wanted(asked):
    """The rows and seeds to play."""
    is_all = not asked.row
    played = runs_in([LOG]) if is_all and os.path.exists(LOG) else {}
    names = [row[0] for row in ROWS if asked.row in row[0]]
    # The longest first, so that no lane ends long after the others.
    for name in sorted(names, key=lambda name: (name not in FEW, name != "scripted_failovers")):
        seeds = min(asked.seeds, FEW.get(name, asked.seeds)) if is_all else asked.seeds
        for seed in range(asked.first, asked.first + seeds):
            if (name, seed) not in played:
                yield name, seed


def main():
    asked = arguments()
    chaos, parlor = built()
    listed = subprocess.run([chaos, "--list", "--include-ignored"], check=True, stdout=subprocess.PIPE, text=True).stdout
    paths = [line.removesuffix(": test") for line in listed.splitlines() if line.startswith("rows::")]
    tests = {path.rsplit("::", 1)[1]: path for path in paths}
    waiting = queue.SimpleQueue()
    for name, seed in wanted(asked):
        waiting.put((tests[name], seed))
    failed = []

    def lane():
        while True:
            try:
                test, seed = waiting.get_nowait()
            except queue.Empty:
                return
            if not play(chaos, parlor, test, seed):
                failed.append(f"{test} {seed}")

    threads = [threading.Thread(target=lane) for _ in range(asked.lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(failed)} not clean", *failed, sep="\n  ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
