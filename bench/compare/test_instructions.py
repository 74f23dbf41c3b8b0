"""What bench/instructions makes of counts, against a repository of its own and a callgrind that says what it is told."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "instructions"
WORKS = ("decode-json", "decode-msgpack", "encode-json", "encode-msgpack", "publish-memory", "fan-out")
# As `valgrind OPTION OPTION PROGRAM WORK TIMES`. It has no environment, so no programs either.
VALGRIND = """#!/bin/sh
while read -r work count; do
    if [ "$work" = "$4" ]; then echo "==1== Collected : $((7000 + count * $5))" >&2; fi
done <{counts}
"""
RUSTC = "#!/bin/sh\necho rustc {compiler} and more\n"


class Instructions(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="parlor-bench-")
        self.addCleanup(directory.cleanup)
        self.root, self.bin = pathlib.Path(directory.name, "tree"), pathlib.Path(directory.name, "bin")
        (self.root / "bench").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(SCRIPT, self.root / "bench")
        self.counts = pathlib.Path(directory.name, "counts")
        self.program("valgrind", VALGRIND.format(counts=self.counts))
        self.compiler("1.2.3")
        self.count(1_000)
        self.git("init", "-q", "-b", "main")
        self.assertEqual(self.run_script("--accept")[0], 0)
        self.commit("Begin")
        self.git("checkout", "-q", "-b", "work")

    def program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def compiler(self, version):
        self.program("rustc", RUSTC.format(compiler=version))

    def count(self, fan_out):
        """What callgrind will say: 1,000 for every work but the last."""
        counts = dict.fromkeys(WORKS, 1_000) | {"fan-out": fan_out}
        self.counts.write_text("".join(f"{work} {count}\n" for work, count in counts.items()))

    def git(self, *words):
        person = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *person, *words], cwd=self.root, check=True, stdout=subprocess.DEVNULL)

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def run_script(self, *options):
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "INSTRUCTIONS_BIN": "/bin/true"}
        run = subprocess.run([self.root / "bench" / "instructions", *options], env=environment, capture_output=True, text=True)
        return run.returncode, run.stdout + run.stderr

    def check(self, code, says, *options):
        ended, said = self.run_script(*options)
        self.assertEqual(ended, code, said)
        self.assertIn(says, said)

    def test_as_many_as_the_table_says_or_fewer_are_good(self):
        self.check(0, "|        1000 |    +0.0 |")
        self.count(500)
        self.check(0, "|         500 |   -50.0 |")

    def test_five_percent_more_are_good_and_six_are_not(self):
        self.count(1_050)
        self.check(0, "|        1050 |    +5.0 |")
        self.count(1_060)
        self.check(1, "more instructions than the table says: fan-out(+6.0%).")

    def test_a_table_that_allows_more_needs_a_reason(self):
        self.count(1_060)
        self.check(0, "Say why in its commit", "--accept")
        self.commit("Slow down")
        self.check(1, "the table allows more than the base's: fan-out(+6.0%), and no commit since says why")
        self.commit("Explain\n\nInstructions: it does more now")
        self.check(0, "accepted: it does more now")

    def test_small_steps_do_not_sum_up_unseen(self):
        for count in (1_040, 1_080):
            self.count(count)
            self.run_script("--accept")
            self.commit(f"Slow down to {count}")
        self.check(1, "fan-out(+8.0%), and no commit since says why")

    def test_another_compiler_is_not_compared(self):
        self.compiler("1.2.4")
        self.count(2_000)
        self.check(0, "the table was made by rustc 1.2.3, not 1.2.4: NOT COMPARED")
