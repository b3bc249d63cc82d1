"""python3 -m unittest, in this folder: the kit's runner with sessions that are not onnxruntime's."""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
SOURCE = HERE.parents[1] / "main" / "resources" / "io" / "fbnet" / "nas" / "kit" / "run.py"

# What lies beside the source is packed into the jar.
sys.dont_write_bytecode = True
SPEC = importlib.util.spec_from_file_location("run", SOURCE)
run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run)

PROTOCOL = {"rounds": 3, "steady_windows": 3, "steady_ratio": 1.05, "window_ms": 10,
            "first_warm_up_ms": 100, "longest_warm_up_ms": 1000, "round_ms": 20, "least_runs": 2,
            "most_runs": 50}


class Clock:
    """Nanoseconds that pass only while something runs."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


class Fake:
    """Takes its time by the fake clock: slow at first, less so with each run, then as told."""

    def __init__(self, clock, ms, slow_runs=0):
        self.clock = clock
        self.ms = ms
        self.slow = slow_runs
        self.runs = 0
        self.closed = False

    def time(self, runs):
        times = []
        for _ in range(runs):
            self.runs += 1
            ms = self.ms * (1 + max(0, self.slow - self.runs))
            self.clock.now += int(ms * 1e6)
            times.append(ms)
        return times

    def close(self):
        self.closed = True


def kit(folder):
    """A kit of two files that are no ONNX, which only a session would notice."""
    files = []
    for name, part in (("call.onnx", "call"), ("stem.onnx", "stem")):
        content = name.encode()
        (pathlib.Path(folder) / name).write_bytes(content)
        files.append({"name": name, "bytes": len(content), "part": part,
                      "sha256": hashlib.sha256(content).hexdigest(),
                      "input": {"name": "x", "shape": [1, 1, 1, 1]}})
    manifest = {"format": 1, "kind": "fbnet-latency-kit", "protocol": PROTOCOL, "files": files}
    (pathlib.Path(folder) / "manifest.json").write_text(json.dumps(manifest))
    return manifest


class RunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.manifest = kit(folder.name)
        self.opened = []

    def main(self, *arguments, version="9.9"):
        """The exit code and what was said."""
        said = io.StringIO()
        clock = Clock()

        def load(path, entry, provider, threads):
            fake = Fake(clock, 2.0 if entry["part"] == "stem" else 0.5)
            self.opened.append((os.path.basename(path), provider, threads, fake))
            return fake

        original = run.measure
        run.measure = lambda m, l, p: original(m, l, p, clock=clock)
        try:
            with contextlib.redirect_stderr(said):
                code = run.main(["--kit", self.folder, *arguments], load=load, version=version)
        finally:
            run.measure = original
        return code, said.getvalue()

    def test_a_result_is_written(self):
        code, said = self.main("--threads", "3", "--provider", "SomeProvider", "--device", "box")
        self.assertEqual(0, code, said)
        tree = json.loads((pathlib.Path(self.folder) / "result.json").read_text())
        manifest = (pathlib.Path(self.folder) / "manifest.json").read_bytes()
        self.assertEqual(hashlib.sha256(manifest).hexdigest(), tree["kit_sha256"])
        self.assertEqual(
            ("fbnet-latency-result", ".", "box", "onnxruntime", "9.9", "SomeProvider", 3),
            tuple(tree[key] for key in ("kind", "kit", "device", "runtime", "version", "provider",
                                        "threads")))
        self.assertEqual(["call.onnx", "stem.onnx"], [t["name"] for t in tree["times"]])
        self.assertEqual([0.5, 2.0], [t["median_ms"] for t in tree["times"]])
        self.assertEqual([0, 0], [t["spread"] for t in tree["times"]])
        self.assertEqual([3 * 40, 3 * 10], [t["runs"] for t in tree["times"]])
        self.assertEqual(6, len(self.opened))
        self.assertTrue(all(fake.closed for *_, fake in self.opened))
        self.assertIn("100%", said)

    def test_a_result_elsewhere_names_its_kit(self):
        with tempfile.TemporaryDirectory() as other:
            out = os.path.join(other, "r.json")
            self.assertEqual(0, self.main("--out", out)[0])
            with open(out, encoding="utf-8") as file:
                named = json.load(file)["kit"]
            self.assertTrue(os.path.samefile(self.folder, os.path.join(other, named)))

    def test_damaged_kits_are_refused(self):
        stem = pathlib.Path(self.folder) / "stem.onnx"
        stem.write_bytes(b"other")
        code, said = self.main()
        self.assertEqual(3, code)
        self.assertIn("stem.onnx is damaged", said)
        stem.unlink()
        self.refused(3, "stem.onnx cannot be read")
        for manifest, words in (("{", "no JSON"), ("{}", "no manifest"), ("[]", "no manifest"),
                                (json.dumps({**self.manifest, "format": 2}), "format 2"),
                                (json.dumps({**self.manifest, "protocol": {}}), "lacks"),
                                (json.dumps({**self.manifest, "files": [{}]}), "lacks")):
            (pathlib.Path(self.folder) / "manifest.json").write_text(manifest)
            self.refused(3, words)
        outside = {**self.manifest, "files": [{**self.manifest["files"][0], "name": "../x"}]}
        (pathlib.Path(self.folder) / "manifest.json").write_text(json.dumps(outside))
        self.refused(3, "outside")
        (pathlib.Path(self.folder) / "manifest.json").unlink()
        self.refused(3, "cannot be read")
        self.assertEqual([], self.opened)
        self.assertFalse((pathlib.Path(self.folder) / "result.json").exists())

    def refused(self, expected, words):
        code, said = self.main()
        self.assertEqual(expected, code, said)
        self.assertEqual(1, len(said.splitlines()), said)
        self.assertIn(words, said)

    def test_an_unwritable_result_is_a_storage_error(self):
        code, said = self.main("--out", os.path.join(self.folder, "none", "r.json"))
        self.assertEqual(5, code, said)
        self.assertIn("cannot write", said)

    def test_wrong_flags(self):
        for flags in (["--threads", "0"], ["--device", " "], ["--thread", "x"]):
            with self.assertRaises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()):
                run.parse(flags)
            self.assertEqual(2, ended.exception.code)

    def test_warm_up_waits_until_windows_agree(self):
        clock = Clock()
        slow = Fake(clock, 1.0, slow_runs=40)
        run.warm_up(slow, PROTOCOL, 0, clock)
        self.assertGreater(slow.runs, 40)
        self.assertLess(slow.runs, 120)
        first = Fake(clock, 1.0)
        start = clock.now
        run.warm_up(first, PROTOCOL, 100, clock)
        self.assertGreaterEqual(clock.now - start, 100e6)

    def test_warm_up_gives_up(self):
        clock = Clock()
        restless = Fake(clock, 1.0)
        plain = restless.time

        def time(runs):
            restless.ms *= 1.5 if restless.ms < 50 else 0.01
            return plain(runs)

        restless.time = time
        run.warm_up(restless, PROTOCOL, 0, clock)
        self.assertGreater(clock.now, 1000e6)

    def test_the_order_changes_from_round_to_round(self):
        files = [{"name": "f%d" % i} for i in range(8)]
        clock = Clock()
        order = []

        def load(entry):
            order.append(entry["name"])
            return Fake(clock, 1.0)

        times = run.measure({"protocol": PROTOCOL, "files": files}, load, lambda *_: None, clock)
        rounds = [order[i:i + 8] for i in (0, 8, 16)]
        for one in rounds:
            self.assertEqual(sorted(one), [f["name"] for f in files])
        self.assertEqual(3, len({tuple(one) for one in rounds}))
        self.assertEqual([t["name"] for t in times], [f["name"] for f in files])

    def test_spread_is_that_of_java(self):
        # StatisticsTest holds the quartiles of Java to the same definition.
        self.assertAlmostEqual((3.25 - 1.75) / 2.5, run.spread([4, 1, 3, 2]))
        self.assertEqual(0, run.spread([1.0]))
        self.assertEqual(0, run.spread([0, 0, 0]))


def has_onnxruntime():
    return importlib.util.find_spec("onnxruntime") is not None


class OnnxRuntimeTest(unittest.TestCase):
    def test_a_missing_onnxruntime_is_one_sentence(self):
        if has_onnxruntime():
            self.skipTest("onnxruntime is installed")
        with self.assertRaises(run.Refusal) as refused:
            run.runtime("CPUExecutionProvider")
        self.assertEqual(4, refused.exception.code)
        self.assertIn("pip install onnxruntime", str(refused.exception))

    def test_providers_are_checked(self):
        if not has_onnxruntime():
            self.skipTest("onnxruntime for Python is not installed")
        with self.assertRaises(run.Refusal) as refused:
            run.runtime("NoSuchProvider")
        self.assertEqual(4, refused.exception.code)
        self.assertTrue(run.runtime("CPUExecutionProvider"))


if __name__ == "__main__":
    unittest.main()
