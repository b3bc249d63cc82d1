"""What the parts make of processes' output, and what the report makes of the parts."""

import json
import pathlib
import tempfile
import types
import unittest
from unittest import mock

import check_parts
import check_report
import check_run
import check_tests
import check_timed
import check_torch
import stages
import variants

FEED = """WARNING: Using incubator modules: jdk.incubator.vector
JUnit Jupiter > OneTest > a(String) > [1] cuda :: STARTED
JUnit Jupiter > OneTest > a(String) > [1] cuda :: SUCCESSFUL
JUnit Jupiter > OneTest > a(String) > [2] cpu :: STARTED
JUnit Jupiter > OneTest > a(String) > [2] cpu :: ABORTED
\torg.opentest4j.TestAbortedException: Assumption failed: no oneDNN: sorry
\t\tat org.junit.jupiter.api.Assumptions.throwAssumptionFailed(Assumptions.java:321)
JUnit Jupiter > OneTest > b() :: STARTED
JUnit Jupiter > OneTest > b() :: FAILED
\torg.opentest4j.AssertionFailedError: y[3] ==> expected: <1> but was: <2>
\t\tat io.fbnet.Some.where(Some.java:3)
JUnit Jupiter > OneTest > c() :: STARTED
"""

FAKE_SANITIZER = """#!/bin/sh
# Stands in for compute-sanitizer: takes its options off, and reports what the test asks for.
tool=
log=/dev/stdout
while :; do
  case $1 in
    --tool) tool=$2; shift 2 ;;
    --log-file) log=$2; shift 2 ;;
    --*) shift 2 ;;
    *) break ;;
  esac
done
{text}
exit {code}
"""


def check(folder, **options):
    """A check whose device is never opened."""
    known = dict(home=folder, work=folder, out=folder / "out", after=None, seconds=70, spent=0,
                 tiny=False)
    with mock.patch.object(check_report, "machine", lambda commit: {"commit": commit}):
        return check_parts.Check(types.SimpleNamespace(**{**known, **options}))


def part(folder, name="memcheck", seconds=60, **options):
    return check_parts.Part(name, check(folder, **options), seconds)


class FeedTest(unittest.TestCase):
    def test_counts_reasons_and_failures(self):
        feed = check_tests.parse_feed(FEED)
        self.assertEqual((1, 1, 1), (feed["passed"], feed["failed"], feed["aborted"]))
        self.assertEqual({"no oneDNN: sorry": 1}, feed["reasons_of_aborts"])
        self.assertEqual("OneTest > b()", feed["failures"][0]["test"])
        self.assertIn("expected: <1>", feed["failures"][0]["message"])
        self.assertEqual("OneTest > c()", feed["unfinished"])


class SanitizeTest(unittest.TestCase):
    def run_with(self, text, code=0, tool="memcheck"):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            fake = folder / "compute-sanitizer"
            fake.write_text(FAKE_SANITIZER.replace("{text}", text).replace("{code}", str(code)))
            fake.chmod(0o755)
            (folder / "kernels.txt").write_text("sgd_f32\nadam_f32\n")
            one = part(folder, tool)
            with mock.patch.object(check_tests, "find_tool", lambda _: str(fake)):
                check_parts.PARTS[tool][0](one)
            return one.result

    FEED = f"cat <<'END'\n{FEED.split('JUnit Jupiter > OneTest > b')[0]}END\n"

    # The second target writes rows where the real one would.
    ROWS = 'echo \'{"cases": [{}, {}]}\' > "$(dirname "$0")/racecheck.json"\n'

    def test_clean(self):
        text = self.FEED + self.ROWS + 'echo "========= ERROR SUMMARY: 0 errors" >> "$log"'
        self.assertEqual((1, 0), tuple(self.run_with(text)[k] for k in ("runs", "errors")))
        races = self.run_with(text, tool="racecheck")
        self.assertEqual((2, 0), (races["runs"], races["errors"]))

    def test_errors_of_our_kernels_fail(self):
        for line in ("========= Invalid __global__ write of size 4 bytes",
                     "========= Error: Race reported between Write access"):
            with self.assertRaisesRegex(check_run.Failure, "memcheck reports errors: .*sgd_f32"):
                self.run_with(self.FEED + self.ROWS + f'echo "{line}" >> "$log"\n'
                              'echo "=========     at sgd_f32+0x90" >> "$log"\n'
                              'echo "========= ERROR SUMMARY: 1 error" >> "$log"')

    def test_a_summary_alone_is_enough_to_fail(self):
        with self.assertRaisesRegex(check_run.Failure, "memcheck reports errors"):
            self.run_with(self.FEED + self.ROWS
                          + 'echo "========= ERROR SUMMARY: 2 errors" >> "$log"')

    def test_no_tests_are_no_success(self):
        with self.assertRaisesRegex(check_run.Failure, "ran nothing"):
            self.run_with('echo "========= ERROR SUMMARY: 0 errors" >> "$log"')

    def test_races_in_libraries_are_told_apart(self):
        race = "========= Error: Race reported between Read access at 0x10 in {}\n=========\n"
        log = race.format("cutlass_gemm") + race.format("sgd_f32")
        found = check_tests.findings(log, ["sgd_f32"])
        self.assertEqual((1, 1), (found["errors"], found["errors_in_libraries"]))
        self.assertIn("sgd_f32", found["first"][0])

    def test_a_refused_device_is_skipped(self):
        with self.assertRaisesRegex(check_run.Skip, "Device not supported"):
            self.run_with('echo "========= Error: Device not supported"', 1)

    def test_a_missing_tool_is_skipped(self):
        with tempfile.TemporaryDirectory() as name:
            with mock.patch.object(check_tests, "find_tool", lambda _: None):
                with self.assertRaisesRegex(check_run.Skip, "was not found"):
                    check_tests.memcheck(part(pathlib.Path(name)))


def row(ms=None, skipped=None, **more):
    made = {"space": "cifar", "batch": 32, "precision": "f32", "step": "w", **more}
    if ms:
        made["wall_ms"] = {"median": ms}
    if skipped:
        made["skipped"] = skipped
    return made


class ReportTest(unittest.TestCase):
    def test_a_later_call_adds_to_an_earlier_one(self):
        rows = [row(ms=2, mode="eager"), row(skipped="no time", mode="graph")]
        check_timed.merge(rows, [row(skipped="no time", mode="eager"), row(ms=1, mode="graph"),
                                 row(ms=7, mode="compile")])
        self.assertEqual([2, 1, 7], [r["wall_ms"]["median"] for r in rows])

    def test_ratios_goals_and_text(self):
        parts = {
            "steps": {"status": "ok", "reason": "", "seconds": 3,
                      "rows": [row(ms=2.0), row(skipped="too | large", batch=64)],
                      "apart": [row(ms=2.0, calls=70, moved_bytes=3e9, planned_bytes=2e9,
                                    device_ms={"median": 1.5},
                                    separate={"calls": 90, "moved_bytes": 4e9,
                                              "planned_bytes": 3e9,
                                              "device_ms": {"median": 1.75}})]},
            "torch": {"status": "cut", "reason": "no time", "seconds": 9,
                      "rows": [row(ms=18.0, variant="contiguous", mode="eager"),
                               row(ms=17.0, variant="channels-last", mode="eager"),
                               row(ms=5.0, variant="contiguous", mode="graph")],
                      "tried": {"cifar:32 compiled": {
                          "limit_s": 60, "cut": True, "stage": "first backward",
                          "stages": [{"stage": "first forward", "seconds": 41.25},
                                     {"stage": "first backward", "seconds": None}]}}}}
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            text = check_report.write(folder, {"commit": "abc"}, parts, list(check_parts.PARTS))
            report = json.loads((folder / "report.json").read_text())
        first = report["ratios"][0]
        self.assertEqual((8.5, True), (first["eager"]["ratio"], first["eager"]["met"]))
        self.assertEqual((2.5, False), (first["best"]["ratio"], first["best"]["met"]))
        self.assertEqual("contiguous, graph", first["best"]["how"])
        self.assertEqual(16000, first["images_per_second"])
        self.assertIn("| 17.00 | 8.50 | yes | channels-last, eager | 5.00 | 2.50 | no |", text)
        self.assertIn("| pending | pending |", text)
        self.assertIn("| 70 | 90 | 3000 | 4000 | 2000 | 3000 | 1.50 | 1.75 |", text)
        self.assertIn("| contract | not run | 0 | no call has come to it |", text)
        self.assertIn("its 60 s ended in the stage 'first backward'", text)
        self.assertIn("cifar:64 f32 w: too | large", text)


class CheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "commit.txt").write_text("abc\n")

    def state(self, name, commit="abc", **parts):
        file = self.folder / name
        file.write_text(json.dumps({"hardware": {"commit": commit}, "parts": parts}))
        return file

    def test_goes_on_from_the_work_folder_and_from_another_machines_report(self):
        self.state("report.json", contract={"status": "ok"})
        self.assertEqual(["contract"], list(check(self.folder).parts))
        other = self.state("other.json", steps={"status": "cut"})
        self.assertEqual(["steps"], list(check(self.folder, after=other).parts))

    def test_a_report_of_another_commit_is_refused_where_it_was_asked_for(self):
        other = self.state("report.json", commit="def", contract={"status": "ok"})
        self.assertEqual({}, check(self.folder).parts)
        for file, said in ((other, "of commit def, this package of abc"),
                           (self.folder / "none.json", "is no report.json")):
            with self.assertRaisesRegex(check_parts.Refused, said) as refused:
                check(self.folder, after=file)
            self.assertEqual(3, refused.exception.code)

    def test_each_part_has_its_share_and_what_others_leave(self):
        one = check(self.folder, seconds=105)
        shares, limits = {"a": 1, "b": 2, "c": 1}, []
        parts = {n: (lambda part: limits.append(part.limit), s) for n, s in shares.items()}
        # The report's text is of the real parts.
        with mock.patch.object(check_parts, "PARTS", parts), \
                mock.patch.object(one, "write"), \
                mock.patch.object(check_parts.Check, "open"):
            one.parts["a"] = {"status": "ok", "reason": "", "seconds": 1}
            self.assertTrue(one.run(list(parts)))
        # Of 100 seconds: two thirds for b, and all for c, as b took none.
        self.assertAlmostEqual(66.7, limits[0], delta=1)
        self.assertAlmostEqual(100, limits[1], delta=1)

    def test_a_part_that_ends_early_keeps_its_rows_and_says_why(self):
        def cut(part):
            part.rows().append(1)
            part.save()
            part.need(1e9, "the next row")

        one = check(self.folder)
        with mock.patch.dict(check_parts.PARTS, {"contract": (cut, 1)}), \
                mock.patch.object(check_parts.Check, "open"):
            self.assertTrue(one.run(["contract"]))
            left = json.loads((self.folder / "out/report.json").read_text())["parts"]["contract"]
        self.assertEqual(("cut", [1]), (left["status"], left["rows"]))
        self.assertEqual("no time was left for the next row", left["reason"])

    def test_another_cards_times_are_dropped_and_its_tests_are_kept(self):
        device = {"processor": "card one"}
        self.state("report.json", contract={"status": "ok", "device": device},
                   steps={"status": "ok", "device": device})
        one = check(self.folder)
        (self.folder / "device.json").write_text("{}")

        def probe(*_, **__):
            (self.folder / "device.json").write_text('{"device": {"processor": "card two"}}')
            return check_run.Result(0, 1, "")

        with mock.patch.object(one.java, "run", probe):
            one.open()
        self.assertEqual(["contract"], list(one.parts))


class StepsTest(unittest.TestCase):
    """Which of our steps are asked for, with a SupernetStep that only writes what it should."""

    def run_with(self, fits, fails=(), before=()):
        asked = []

        def java(name, limit, main, *words, heard=lambda: None, **_):
            flags = dict(zip(words[::2], words[1::2]))
            asked.append(flags["--cases"])
            if flags["--cases"] in fails:
                return check_run.Result(1, 1, "Caused by: a fault")
            cases = []
            for case in flags["--cases"].split(","):
                space, batch = case.split(":")
                result = {"wall_ms": {"median": 1}} if int(batch) <= fits else {"skipped": "full"}
                cases += [{"space": space, "batch": int(batch), "step": step,
                           "precision": flags["--precisions"], **result}
                          for step in ("w", "theta")]
            pathlib.Path(flags["--out"]).write_text(json.dumps({"complete": True, "cases": cases}))
            heard()
            return check_run.Result(0, 1, "")

        with tempfile.TemporaryDirectory() as name:
            one = part(pathlib.Path(name), "steps", 100)
            one.rows().extend(before)
            one.result["apart"] = [{"space": s, "batch": b, "precision": "bf16", "step": "w"}
                                   for s, b in check_timed.APART]
            with mock.patch.object(one.java, "run", java):
                try:
                    check_timed.steps(one)
                except check_run.Failure as e:
                    return asked, one.rows(), str(e)
        return asked, one.rows(), ""

    def test_batches_grow_until_one_does_not_fit(self):
        asked, rows, _ = self.run_with(fits=600)
        self.assertEqual("cifar:32,imagenet:32,imagenet:128,cifar:256,fashion:64", asked[0])
        self.assertEqual(["cifar:64", "cifar:128", "cifar:512", "cifar:1024", "imagenet:64",
                          "imagenet:256", "imagenet:512", "imagenet:1024"], asked[1:-1])
        again, same, _ = self.run_with(fits=600, before=rows)
        self.assertEqual(([], rows), (again, same))

    def test_a_fault_is_told_and_the_others_are_measured(self):
        asked, _, reason = self.run_with(fits=600, fails=("cifar:128",))
        self.assertIn("SupernetStep of cifar:128 ended with code 1: Caused by: a fault", reason)
        self.assertEqual("cifar:32,imagenet:32", asked[-1])


class ProfileTest(unittest.TestCase):
    TIMES = ("nanoseconds\tcalls\tkernel\tgrid\tblock\n9000\t1\t[copy]\t-\t-\n"
             "2000000\t24\tsgd_f32\t1x1x1\t256x1x1\n1000000\t12\tsgd_f32\t2x1x1\t256x1x1\n"
             "4000000\t12\tsum\t2x1x1\t256x1x1\n# 3 records lost\n")

    def test_sums(self):
        found = check_timed.profiled(self.TIMES, 12)
        self.assertEqual((0.5833, 4.0, 3), (found["kernels_ms"], found["calls"], found["lost"]))
        self.assertEqual(["sum", "sgd_f32"], [k["kernel"] for k in found["top"]])

    def test_half_a_file_is_refused(self):
        with self.assertRaisesRegex(check_run.Failure, "has no end"):
            check_timed.profiled(self.TIMES[:100], 12)

    def test_cases_share_one_file(self):
        row_of = {"space": "cifar", "batch": 32, "precision": "bf16", "step": "w", "steps_run": 12}
        with tempfile.TemporaryDirectory() as name:
            file = pathlib.Path(name) / "profile.tsv"
            check_timed.keep(file, row_of, self.TIMES)
            check_timed.keep(file, {**row_of, "step": "theta"}, self.TIMES)
            lines = file.read_text().splitlines()
        self.assertEqual(9, len(lines))
        self.assertEqual({9 + 1}, {len(line.split("\t")) for line in lines})


class TorchTest(unittest.TestCase):
    """The order of variants, with processes that only say what a real one would."""

    TIMED = [row(ms=1, variant="contiguous", mode="eager")]

    def run_with(self, peer, seconds, tried=None):
        with tempfile.TemporaryDirectory() as name:
            one = part(pathlib.Path(name), "torch", seconds)
            one.result["parity"] = {"agree": True, "space": "fashion", "batch": 4, "ours": [1],
                                    "peer": [1]}
            one.result["tried"] = tried or {}
            described = check_run.Result(0, 1, '{"settings": []}')
            reason = ""
            with mock.patch.object(one.java, "run", lambda *_, **__: described), \
                    mock.patch.object(check_torch.importlib.util, "find_spec", lambda _: True), \
                    mock.patch.object(check_torch, "peer", peer):
                try:
                    check_torch.torch(one)
                except check_run.Cut as e:
                    reason = str(e)
            return one.result, reason

    @staticmethod
    def writes(code, cases, stages_of):
        def peer(part, name, out, limit, heard, *_):
            out.write_text(json.dumps({"cases": cases, "stages": stages_of}))
            heard()
            return check_run.Result(code, limit, "")
        return peer

    def test_a_cut_variant_says_its_stage_and_is_tried_again_with_more_time(self):
        peer = self.writes(None, [], [{"stage": "capture", "seconds": None}])
        result, reason = self.run_with(peer, 100)
        self.assertEqual("no variant gave a time", reason)
        first = result["tried"]["cifar:32 channels-last"]
        self.assertEqual((True, "capture"), (first["cut"], first["stage"]))
        again, _ = self.run_with(self.writes(0, self.TIMED, []), 100, result["tried"])
        # Its limit would be no longer than that which was too short.
        self.assertTrue(again["tried"]["cifar:32 channels-last"]["cut"])
        again, _ = self.run_with(self.writes(0, self.TIMED, []), 300, result["tried"])
        self.assertFalse(again["tried"]["cifar:32 channels-last"]["cut"])

    def test_a_variant_that_fails_does_not_end_the_others(self):
        result, reason = self.run_with(self.writes(1, self.TIMED, []), 1000)
        self.assertEqual("", reason)
        self.assertEqual(len(check_torch.PLAN), len(result["tried"]))
        self.assertIn("ended with code 1", result["tried"]["cifar:32 compiled"]["failed"])

    def test_what_finds_no_time_is_named(self):
        _, reason = self.run_with(self.writes(0, self.TIMED, []), 10)
        self.assertIn("no time was left for contiguous of cifar:32", reason)

    def test_every_variant_of_the_plan_exists(self):
        for _, name in check_torch.PLAN + check_torch.TINY_PLAN:
            self.assertEqual(name, variants.VARIANTS[name].name)


class StagesTest(unittest.TestCase):
    def test_a_stage_is_kept_before_it_ends(self):
        report, written = {}, []
        kept = stages.Stages(report, lambda: written.append(json.dumps(report)))
        with self.assertRaises(KeyError), kept.stage("first forward"):
            raise KeyError("as if the process were cut")
        with kept.stage("second"):
            pass
        self.assertEqual("first forward", stages.unfinished(report["stages"]))
        self.assertIn('"first forward", "seconds": null', written[0])
        self.assertGreaterEqual(report["stages"][1]["seconds"], 0)


class RunTest(unittest.TestCase):
    def test_a_process_past_its_limit_is_cut_and_what_it_said_is_kept(self):
        with tempfile.TemporaryDirectory() as name:
            log = pathlib.Path(name) / "log"
            result = check_run.run(["sh", "-c", "echo said; sleep 60"], log, 1)
        self.assertTrue(result.cut)
        self.assertEqual("said", result.last_line())

    def test_a_named_process_is_heard_line_by_line(self):
        heard = []
        with tempfile.TemporaryDirectory() as name, \
                mock.patch.object(check_run, "say", heard.append):
            log = pathlib.Path(name) / "log"
            script = "echo one; sleep 0.3; printf 'two\nthr'; sleep 0.3; echo ee"
            check_run.run(["sh", "-c", script], log, 30, name="job")
        self.assertEqual(["job: one", "job: two", "job: three"], heard)

    def test_jobs_keep_their_order(self):
        with tempfile.TemporaryDirectory() as name:
            jobs = [(["sh", "-c", f"exit {i}"], pathlib.Path(name) / str(i), 30, None)
                    for i in range(5)]
            self.assertEqual([0, 1, 2, 3, 4], [r.code for r in check_run.run_all(jobs, 2)])


if __name__ == "__main__":
    unittest.main()
