"""The whole check on the software CUDA device, in about a minute.

Needs a build (mvn package) with the software device. A machine without PyTorch skips that part with
its reason, as the real check would.
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import check_parts

ROOT = pathlib.Path(__file__).resolve().parents[2]
JAR = ROOT / "bench/target/benchmarks.jar"
TESTS = ROOT / "engine/target/test-classes"
DEVICE = ROOT / "kernels/target/software"
FIRST_S, SECOND_S = 20, 50
MOST_FILES = 8


def jdk():
    """A JDK 25, as bench/gpu-check.sh looks for one."""
    found = subprocess.run([str(ROOT / "bench/jdk")], capture_output=True, text=True)
    if found.returncode:
        raise unittest.SkipTest(found.stderr.strip())
    return found.stdout.rstrip("\n")


def console(folder):
    """JUnit's console, which the build does not need: from Maven's repository or its servers."""
    version = re.search(r"<junit.version>5(.*)</junit.version>", (ROOT / "pom.xml").read_text())[1]
    subprocess.run(
        ["mvn", "-q", "-B", "-ntp", "-N", "-f", str(ROOT / "pom.xml"), "dependency:copy",
         f"-DoutputDirectory={folder}",
         f"-Dartifact=org.junit.platform:junit-platform-console-standalone:1{version}"],
        check=True, timeout=300)


class RehearsalTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for needed in (JAR, TESTS, DEVICE):
            if not needed.exists():
                raise unittest.SkipTest(f"{needed} is not built")
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        # The package, by links into the build.
        home = cls.folder / "package"
        for name in ("lib", "test"):
            (home / name).mkdir(parents=True)
        (home / "java").symlink_to(jdk())
        (home / "lib" / JAR.name).symlink_to(JAR)
        (home / "test" / "classes").symlink_to(TESTS)
        (home / "peers").symlink_to(pathlib.Path(__file__).parent)
        (home / "gpu-check.sh").symlink_to(ROOT / "bench/gpu-check.sh")
        (home / "commit.txt").write_text("rehearsal\n")
        (home / "kernels.txt").write_text("sgd_f32\n")
        console(home / "test")
        # What another machine than the first has is its own work folder alone.
        cls.first = cls.call("first", FIRST_S)
        cls.second = cls.call("second", SECOND_S, "--after", cls.folder / "first-out/report.json")

    @classmethod
    def call(cls, name, seconds, *more):
        out = cls.folder / f"{name}-out"
        environment = dict(os.environ, FBNET_CUDA_PATH=str(DEVICE),
                           GPU_CHECK_WORK=str(cls.folder / f"{name}-work"))
        done = subprocess.run(
            ["bash", str(cls.folder / "package/gpu-check.sh"), "all", "--tiny", "--seconds",
             str(seconds), "--out", str(out), *map(str, more)],
            env=environment, capture_output=True, text=True, timeout=300, check=False)
        files = sorted(p.name for p in out.iterdir())
        report = json.loads((out / "report.json").read_text())
        spent = max(float(s) for s in re.findall(r"^\[ *(\d+) s\]", done.stdout, re.MULTILINE))
        return {"code": done.returncode, "said": done.stdout + done.stderr, "files": files,
                "parts": report["parts"], "text": (out / "report.md").read_text(), "spent": spent,
                "seconds": seconds}

    def test_each_call_keeps_its_time_and_ends_well(self):
        for call in (self.first, self.second):
            self.assertEqual(0, call["code"], call["said"][-2000:])
            self.assertLess(call["spent"], call["seconds"] + check_parts.END_S)

    def test_the_report_has_every_part_in_few_files(self):
        for call in (self.first, self.second):
            self.assertLessEqual(len(call["files"]), MOST_FILES)
            self.assertIn("report.md", call["files"])
            self.assertEqual(list(check_parts.PARTS), list(call["parts"]))
            for name, part in call["parts"].items():
                self.assertIn(f"| {name} |", call["text"])
                self.assertIn(part["status"], ("ok", "cut", "skipped"), part["reason"])
                self.assertEqual(part["status"] == "ok", part["reason"] == "", name)

    def test_a_part_that_does_not_fit_is_marked_as_cut(self):
        """608 cases take minutes on the software device."""
        first = self.first["parts"]["contract"]
        self.assertEqual("cut", first["status"])
        self.assertRegex(first["reason"],
                         "the time ended in OperationContractTest|no time was left for anything")
        self.assertIn("| contract | **cut** |", self.first["text"])

    def test_the_second_call_goes_on_with_what_was_left(self):
        one, two = self.first["parts"], self.second["parts"]
        self.assertIn("goes on from", self.second["said"])
        for name, part in one.items():
            if part["status"] != "cut":
                self.assertEqual(part, two[name], f"{name} ran again")
        for part in (one, two):
            self.assertLessEqual(set(map(str, one["steps"].get("rows", []))),
                                 set(map(str, two["steps"]["rows"])))
        self.assertGreater(two["contract"]["seconds"], 0)

    def test_what_can_run_here_has_run(self):
        """A busy machine may cut the later rows of these parts, but not the first."""
        parts = self.second["parts"]
        self.assertIn("w", {r["step"] for r in parts["steps"]["rows"]})
        self.assertTrue(all(r["finite"] for r in parts["steps"]["rows"]))
        self.assertGreater(len(parts["kernels"]["kernels"]), 0)
        self.assertIn("only a GPU's own driver", parts["profile"]["reason"])


if __name__ == "__main__":
    unittest.main()
