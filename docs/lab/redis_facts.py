#!/usr/bin/env python3
"""Asks a real Redis what it does, and prints tables. Loopback only; ends what it starts.

  docs/lab/redis_facts.py            lists the experiments
  docs/lab/redis_facts.py all        runs all of them (about five minutes)
  docs/lab/redis_facts.py NAME...    runs some

Needs redis-server and redis-cli (6.2 or later) and Python 3.9; nothing else. What was seen, and what follows
from it, stands in docs/cluster.md, section "What Redis does".
"""

import subprocess
import sys
import time

from lab import cluster, cost, errors, failover, memory, restart, scripts, tails
from lab.servers import Lab

MODULES = [errors, scripts, restart, failover, cluster, tails, cost, memory]


def experiments():
    for module in MODULES:
        for name, value in vars(module).items():
            code = getattr(value, "__code__", None)
            if code and code.co_varnames[:2] == ("lab", "row"):
                yield f"{module.__name__.split('.')[-1]}.{name}", value


def run(name, experiment):
    print(f"\n### {name}\n\n{(experiment.__doc__ or '').strip()}\n\n| tried | saw |\n|---|---|")

    def row(tried, saw):
        print("| {} | {} |".format(*(str(cell).replace("|", "\\|").replace("\n", " ") for cell in (tried, saw))))
        sys.stdout.flush()

    start = time.monotonic()
    with Lab() as lab:
        experiment(lab, row)
    print(f"\n({time.monotonic() - start:.1f} s)")


def main(wanted):
    known = dict(experiments())
    if not wanted:
        for name, experiment in known.items():
            print(f"{name:28} {(experiment.__doc__ or '').strip().splitlines()[0]}")
        return 0
    chosen = [n for n in known if "all" in wanted or any(n == w or n.split(".")[0] == w for w in wanted)]
    if not chosen:
        print(f"no experiment is called {' '.join(wanted)}", file=sys.stderr)
        return 2
    print(subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout.strip())
    for name in chosen:
        run(name, known[name])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
