"""Runs the parts of the GPU check on the machine with the GPU. Started by bench/gpu-check.sh.

All that is known lies in one file, report.json, written after every row: what a call that ends
early leaves, and what the next one goes on from. Exit code 1: a part failed; one that was skipped
or cut is no failure. 2: wrong flags; 3: a report that does not belong to this package.
"""

import argparse
import json
import pathlib
import shutil
import signal
import sys
import tarfile
import time
import traceback

import check_report
import check_tests
import check_timed
import check_torch
from check_run import Cut, Failure, Java, Skip, read_json, say

# In order of worth, with the share that each may take of the time that the parts before it leave.
PARTS = {
    "contract": (check_tests.contract, 16),
    "steps": (check_timed.steps, 22),
    "profile": (check_timed.profile, 9),
    "torch": (check_torch.torch, 33),
    "kernels": (check_timed.kernels, 12),
    "search": (check_timed.search, 8),
    "memcheck": (check_tests.memcheck, 18),
    "racecheck": (check_tests.racecheck, 14),
}
# What another card measured says nothing beside this one's numbers.
MEASURED = ("steps", "profile", "torch", "kernels", "search")
END_S = 5  # for the report and the logs
FINAL = ("ok", "failed", "skipped")


class Refused(Exception):
    """The command line or a report that cannot be used, with the exit code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Check:
    """What one call knows: its time, and the results of this and of earlier calls."""

    def __init__(self, options):
        self.options, self.work = options, options.work
        self.logs = self.work / "logs"
        for folder in (self.logs, options.out):
            folder.mkdir(parents=True, exist_ok=True)
        self.file = self.work / "report.json"
        self.java = Java(options.home, self.logs)
        self.end = time.monotonic() + options.seconds - options.spent - END_S
        self.commit = check_report.commit(options.home)
        self.parts = self.earlier()
        self.facts = check_report.machine(self.commit)
        self.device = {}

    @property
    def left(self):
        return self.end - time.monotonic()

    def earlier(self):
        """The parts of the report to go on from: that of --after, else that of the work folder."""
        file = self.options.after or self.file
        tree = read_json(file)
        if tree is None:
            if self.options.after:
                raise Refused(3, f"{file} is no report.json of an earlier call; leave --after out "
                                 "to begin anew")
            return {}
        theirs = tree.get("hardware", {}).get("commit")
        if theirs == self.commit:
            say(f"goes on from {file}")
            return tree["parts"]
        if self.options.after:
            raise Refused(3, f"{file} is of commit {theirs}, this package of {self.commit}; leave "
                             "--after out to begin anew")
        return {}

    def open(self):
        """Opens the device once; results of another card than this one are dropped."""
        found = self.work / "device.json"
        found.unlink(missing_ok=True)
        probe = self.java.run("probe", min(60, self.left), "io.fbnet.bench.gpu.DeviceProbe",
                              "--out", found)
        if probe.code != 0:
            raise Failure(f"the device does not open: {probe.reason()}")
        self.device = (read_json(found) or {}).get("device", {})
        for name in MEASURED:
            other = self.parts.get(name, {}).get("device", {}).get("processor")
            if other and other != self.device.get("processor"):
                say(f"{name} was measured on {other} and is measured again")
                del self.parts[name]

    def run(self, names):
        """Runs the parts that no earlier call has ended; each within its share of what is left."""
        names = [n for n in names if self.parts.get(n, {}).get("status") not in FINAL]
        refused = None
        try:
            self.open()
        except (Skip, Failure) as e:
            refused = e
        for i, name in enumerate(names):
            shares = [PARTS[n][1] for n in names[i:]]
            part = Part(name, self, self.left * shares[0] / sum(shares))
            part.run(refused)
            say(f"{name}: {part.result['status']}"
                + (f" ({part.result['reason']})" if part.result["reason"] else "")
                + f", {part.result['seconds']} s of {part.result['limit_s']} s")
        return all(self.parts[n]["status"] != "failed" for n in names)

    def write(self):
        """Writes the report, to --out too: a machine that ends brings that folder back."""
        text = check_report.write(self.work, self.facts, self.parts, list(PARTS))
        for name in ("report.json", "report.md"):
            shutil.copy(self.work / name, self.options.out / name)
        return text

    def publish(self):
        """Writes the report, and copies profiles and logs to --out: four files at most in all."""
        text = self.write()
        if (self.work / check_timed.PROFILE).exists():
            shutil.copy(self.work / check_timed.PROFILE, self.options.out)
        with tarfile.open(self.options.out / "logs.tar.gz", "w:gz") as archive:
            archive.add(self.logs, "logs")
        return text


class Part:
    """One run of one part: what it may use, and its result, which holds that of earlier calls."""

    def __init__(self, name, check, seconds):
        self.name, self.check, self.options = name, check, check.options
        self.work, self.java, self.device = check.work, check.java, check.device
        self.start = time.monotonic()
        self.seconds = max(0, seconds)
        self.result = {
            **check.parts.get(name, {}), "part": name, "status": "cut", "seconds": 0,
            "reason": "the check was ended from outside", "limit_s": round(self.seconds, 1),
            "device": check.device}
        check.parts[name] = self.result

    @property
    def limit(self):
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.start)

    def save(self):
        self.result["seconds"] = round(time.monotonic() - self.start, 1)
        self.check.write()

    def rows(self, name="rows"):
        """The rows of a list of the result, which a part adds to."""
        return self.result.setdefault(name, [])

    def need(self, seconds, what):
        """Ends the part where less time is left than the next step needs at least."""
        if self.limit < seconds:
            raise Cut(f"no time was left for {what}")

    def run(self, refused):
        self.save()
        try:
            if refused:
                raise refused
            self.need(1, "anything")
            PARTS[self.name][0](self)
            self.result.update(status="ok", reason="")
        except Skip as e:
            self.result.update(status="skipped", reason=str(e))
        except Cut as e:
            self.result.update(status="cut", reason=str(e))
        except Failure as e:
            self.result.update(status="failed", reason=str(e))
        except Exception as e:
            traceback.print_exc()
            self.result.update(status="failed",
                               reason=f"the check itself broke: {type(e).__name__}: {e}")
        self.save()


def arguments(argv):
    parser = argparse.ArgumentParser(prog="gpu-check.sh")
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--seconds", type=float, default=480, help="of this call, all in all")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-check"),
                        help="folder for the results")
    parser.add_argument("--after", type=pathlib.Path, metavar="REPORT.JSON",
                        help="goes on from the report of an earlier call on another machine")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--home", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--spent", type=float, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.seconds < 2 * END_S:
        parser.error(f"--seconds must be at least {2 * END_S}, not {options.seconds:g}")
    options.work, options.home = options.work.resolve(), options.home.resolve()
    options.out = options.out.resolve()
    return options


def main(argv=None):
    options = arguments(argv)
    # Processes of a part have sessions of their own; this ends them before this one ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        check = Check(options)
    except Refused as e:
        print(f"gpu-check: {e}", file=sys.stderr)
        return e.code
    good = False
    try:
        good = check.run(list(PARTS) if options.part == "all" else [options.part])
    finally:
        print(check.publish(), flush=True)
        say(f"results are in {options.out}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
