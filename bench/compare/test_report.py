"""The result's forms: every work has its table and its picture, and a failure does not hide the others."""

import unittest

from compare import report, sockets
from compare.works import WORKS

MACHINE = {"date": "2026-11-30", "cores": 2, "cpu": "some", "kernel": "6", "load_at_start": 0.1, "settings": {}}


def figures(work, value):
    return {work.figure: value, **{extra: 1.5 for extra in report.SHOWN[work.name]}}


class Report(unittest.TestCase):
    def test_every_work_is_shown_beside_the_limit(self):
        works = {work.name: {"bare-single": figures(work, 2), "parlor": figures(work, 4), "nchan": {"failed": "gone\nfor good"}} for work in WORKS}
        text = report.markdown({"machine": MACHINE, "peers": {}, "works": works}, WORKS)
        for work in WORKS:
            self.assertIn(f"### {work.title}", text)
            self.assertIn(f"| server | {work.unit} | × limit | × Parlor | ", text)
            self.assertIn("| bare-single | 2.00 | 1.00 | 0.50 | ", text)
            self.assertIn("| parlor | 4.00 | 2.00 | 1.00 | ", text)
            self.assertIn("| nchan | – (gone for good) |", text)
            self.assertEqual(report.svg(work, works[work.name]).count("<rect x="), 2)

    def test_a_figure_that_was_not_reached_leaves_its_cell_empty(self):
        work = next(work for work in WORKS if work.name == "cut-and-back")
        found = {"socket.io": figures(work, None) | {"back_all_ms": None}}
        self.assertIn("| socket.io |  |  | 1.50 |  | 1.50 |", "\n".join(report.table(work, found)))
        self.assertNotIn("<rect x=", report.svg(work, found))


    def test_all_rows_have_the_columns_of_the_head(self):
        for others in ({}, {"parlor": 4}, {"bare-joined": 2}, {"parlor": 4, "bare-joined": 2}):
            for work in WORKS:
                found = {name: figures(work, value) for name, value in others.items()} | {"ws": figures(work, 3), "nchan": {"failed": "gone"}}
                head, *rows = (line for line in report.table(work, found) if line.startswith("|"))
                self.assertEqual([row.count("|") for row in rows], [head.count("|")] * len(rows))

    def test_there_is_no_column_beside_parlor_where_parlor_has_no_figure(self):
        work = WORKS[0]
        for found in ({}, {"parlor": {"failed": "gone"}}, {"parlor": figures(work, None)}):
            self.assertNotIn("× Parlor", "\n".join(report.table(work, found | {"ws": figures(work, 3)})))


class Sockets(unittest.TestCase):
    def test_the_kernels_share_is_what_the_queues_hold(self):
        line = "ESTAB 0 9 127.0.0.1:1 127.0.0.1:2 skmem:(r1024,rb131072,t0,tb2626560,f512,w2048,o0,bl0,d0)"
        self.assertEqual(sockets.MEMORY.search(line).groups(), ("1024", "512", "2048"))
