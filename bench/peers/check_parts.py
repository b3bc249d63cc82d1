"""Runs the parts of the GPU check on the machine with the GPU. Started by bench/gpu-check.sh.

Each part writes WORK/results/PART.json, which a later call of the same part adds to, and copies
it and the report to the folder of --out. Exit code 1: a part failed; a skipped one is no failure.
"""

import argparse
import json
import pathlib
import shutil
import signal
import sys
import time
import traceback

import check_report
import check_tests
import check_timed
from check_run import Failure, Java, Skip, read_json

PARTS = {
    "contract": check_tests.contract,
    "sanitize": check_tests.sanitize,
    "bandwidth": check_timed.bandwidth,
    "step": check_timed.step,
    "compile": check_timed.compiled,
}
LIMIT = 450


class Part:
    """One run of one part: what it may use, and its result."""

    def __init__(self, name, options):
        self.name, self.options = name, options
        self.work = options.work
        self.results = self.work / "results"
        logs = self.work / "logs"
        for folder in (self.results, logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.file = self.results / f"{name}.json"
        self.before = read_json(self.file) or {}
        self.java = Java(options.home, logs)
        self.start = time.monotonic()
        self.result = {"part": name, "status": "failed", "reason": "it was ended from outside",
                       "seconds": 0, "limit_s": options.limit}

    @property
    def limit(self):
        """Seconds that are left."""
        return self.options.limit - (time.monotonic() - self.start)

    def save(self):
        self.result["seconds"] = round(time.monotonic() - self.start, 1)
        self.file.write_text(json.dumps(self.result, indent=2) + "\n")

    def run(self):
        self.save()  # What stands if the machine ends this process.
        device = self.work / "device.json"
        self.result["reason"] = ""
        try:
            probe = self.java.run("probe", 120, "io.fbnet.bench.gpu.DeviceProbe", "--out", device)
            if probe.code != 0:
                raise Failure(f"the device does not open: {probe.last_line()[:300]}")
            self.result["device"] = (read_json(device) or {}).get("device", {})
            PARTS[self.name](self)
            self.result["status"] = "ok"
        except Skip as e:
            self.result.update(status="skipped", reason=str(e))
        except Failure as e:
            self.result.update(reason=str(e))
        except Exception as e:
            traceback.print_exc()
            self.result.update(reason=f"the check itself broke: {type(e).__name__}: {e}")
        self.save()
        print(f"{self.name}: {self.result['status']}"
              + (f" ({self.result['reason']})" if self.result["reason"] else "")
              + f", {self.result['seconds']} s", flush=True)
        return self.result["status"] != "failed"


def publish(options):
    """Writes the report over all parts so far, and copies what is small to --out."""
    results = options.work / "results"
    results.mkdir(parents=True, exist_ok=True)
    parts = {name: read_json(results / f"{name}.json") for name in PARTS}
    text = check_report.write(results, parts, options.home)
    options.out.mkdir(parents=True, exist_ok=True)
    for file in results.iterdir():
        shutil.copy(file, options.out / file.name)
    for log in (options.work / "logs").glob("hs_err_*.log"):
        shutil.copy(log, options.out / log.name)
    return text


def main():
    parser = argparse.ArgumentParser(prog="gpu-check.sh")
    parser.add_argument("part", choices=[*PARTS, "all", "report"])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-check"),
                        help="folder for the results")
    parser.add_argument("--home", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of one part")
    parser.add_argument("--cases", help="step, compile: SPACE:BATCH,...")
    parser.add_argument("--precisions", help="step, compile: some of f32,tf32,bf16")
    parser.add_argument("--modes", help="compile with --cases: compile,reduce-overhead")
    parser.add_argument("--region", choices=["model", "layer"], help="compile with --cases")
    parser.add_argument("--classes", help="contract: simple names of test classes")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--peer-device", default="cuda", choices=["cuda", "cpu"],
                        help="cpu tries the PyTorch script where there is no GPU")
    parser.add_argument("--backend", default="inductor", help="compile: of torch.compile")
    options = parser.parse_args()
    # Processes of a part have sessions of their own; this ends them before this one ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.work, options.home = options.work.resolve(), options.home.resolve()
    options.out = options.out.resolve()
    names = list(PARTS) if options.part == "all" else [options.part]
    good = True
    if options.part != "report":
        for name in names:
            good &= Part(name, options).run()
            publish(options)
    text = publish(options)
    if options.part in ("report", "all"):
        print(text)
    print(f"results are in {options.out}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
