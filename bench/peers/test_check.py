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


def part(folder, **options):
    known = dict(home=folder, work=folder, limit=60, classes=None, cases=None, precisions=None,
                 modes=None, region=None, tiny=False, peer_device="cuda", backend="inductor")
    return check_parts.Part("sanitize", types.SimpleNamespace(**{**known, **options}))


class FeedTest(unittest.TestCase):
    def test_counts_reasons_and_failures(self):
        feed = check_tests.parse_feed(FEED)
        self.assertEqual((1, 1, 1), (feed["passed"], feed["failed"], feed["aborted"]))
        self.assertEqual({"no oneDNN: sorry": 1}, feed["reasons_of_aborts"])
        self.assertEqual("OneTest > b()", feed["failures"][0]["test"])
        self.assertIn("expected: <1>", feed["failures"][0]["message"])
        self.assertEqual("OneTest > c()", feed["unfinished"])


class SanitizeTest(unittest.TestCase):
    def run_with(self, text, code=0):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            tool = folder / "compute-sanitizer"
            tool.write_text(FAKE_SANITIZER.replace("{text}", text).replace("{code}", str(code)))
            tool.chmod(0o755)
            (folder / "kernels.txt").write_text("sgd_f32\nadam_f32\n")
            one = part(folder)
            with mock.patch.object(check_tests, "find_tool", lambda _: str(tool)):
                check_tests.sanitize(one)
            return one.result

    FEED = f"cat <<'END'\n{FEED.split('JUnit Jupiter > OneTest > b')[0]}END\n"

    # The second target writes rows where the real one would.
    ROWS = 'echo \'{"cases": [{}, {}]}\' > "$(dirname "$0")/racecheck.json"\n'

    def test_clean(self):
        result = self.run_with(
            self.FEED + self.ROWS + 'echo "========= ERROR SUMMARY: 0 errors" >> "$log"')
        self.assertEqual(1, result["memcheck"]["runs"])
        self.assertEqual((2, 0), (result["racecheck"]["runs"], result["racecheck"]["errors"]))

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
                    check_tests.sanitize(part(pathlib.Path(name)))


def row(ms=None, skipped=None, **more):
    made = {"space": "cifar", "batch": 32, "precision": "f32", "step": "w", **more}
    if ms:
        made["wall_ms"] = {"median": ms}
    if skipped:
        made["skipped"] = skipped
    return made


class ReportTest(unittest.TestCase):
    def test_a_later_call_adds_to_an_earlier_one(self):
        old = [row(ms=2, mode="eager"), row(skipped="no time", mode="graph")]
        new = [row(skipped="no time", mode="eager"), row(ms=1, mode="graph")]
        rows = check_timed.merged(old, new)
        self.assertEqual([2, 1], [r["wall_ms"]["median"] for r in rows])

    def test_ratios_and_text(self):
        parts = {name: None for name in check_parts.PARTS}
        parts["step"] = {"part": "step", "status": "ok", "reason": "", "seconds": 3,
                         "ours": [row(ms=2.0, calls=70, moved_bytes=3e9, planned_bytes=2e9,
                                      device_ms={"median": 1.5},
                                      separate={"calls": 90, "moved_bytes": 4e9,
                                                "planned_bytes": 3e9,
                                                "device_ms": {"median": 1.75}})],
                         "peer": [row(ms=5.0, mode="eager"), row(skipped="a | b", mode="graph")]}
        parts["compile"] = {"part": "compile", "status": "skipped", "reason": "no torch",
                            "seconds": 1,
                            "peer": [row(ms=3.0, mode="compile", region="layer")]}
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "commit.txt").write_text("abc\n")
            text = check_report.write(folder, parts, folder)
            report = json.loads((folder / "report.json").read_text())
        peers = report["ratios"][0]["peers"]
        self.assertEqual(2.5, peers["eager"]["ratio"])
        self.assertEqual(1.5, peers["compile by layer"]["ratio"])
        self.assertIn("- commit: abc", text)
        self.assertIn("| w | 70 | 90 | 3000 | 4000 | 2000 | 3000 | 1.50 | 1.75 |", text)
        self.assertIn("| contract | skipped | 0 | it was not run |", text)
        self.assertIn("PyTorch graph, cifar 32 f32 w: a | b", text)


class RunTest(unittest.TestCase):
    def test_a_process_past_its_limit_is_cut_and_what_it_said_is_kept(self):
        with tempfile.TemporaryDirectory() as name:
            log = pathlib.Path(name) / "log"
            result = check_run.run(["sh", "-c", "echo said; sleep 60"], log, 1)
        self.assertTrue(result.cut)
        self.assertEqual("said", result.last_line())

    def test_jobs_keep_their_order(self):
        with tempfile.TemporaryDirectory() as name:
            jobs = [(["sh", "-c", f"exit {i}"], pathlib.Path(name) / str(i), 30, None)
                    for i in range(5)]
            self.assertEqual([0, 1, 2, 3, 4], [r.code for r in check_run.run_all(jobs, 2)])


if __name__ == "__main__":
    unittest.main()
