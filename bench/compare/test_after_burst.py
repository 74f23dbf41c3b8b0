"""The burst's scenario: as long as asked, between two rests in which nothing is said."""

import tomllib
import unittest

from compare import after_burst


class Stages(unittest.TestCase):
    def test_the_burst_is_as_long_as_asked_and_nothing_else_is(self):
        for seconds, rate, rest in ((10, 2000, 16), (3600, 500, 388)):
            scenario = tomllib.loads(after_burst.stages(seconds, rate))
            self.assertEqual(scenario["shape"], "rooms=50x100")
            self.assertEqual(
                [(stage["name"], stage["length"], stage["rate"]) for stage in scenario["stages"]],
                [("fill", "15s", 400.0), ("before", "8s", 0.0), ("burst", f"{seconds}s", float(rate)), ("after", f"{rest}s", 0.0)],
            )
