"""The parts that run JUnit: the contract suite, and compute-sanitizer over a part of it."""

import collections
import re

from check_run import Cut, Failure, Skip, find_tool, read_json, run, run_all, say

CONSOLE = "org.junit.platform.console.ConsoleLauncher"
HELD = "io.fbnet.bench.gpu.HeldDevice"
PACKAGES = ("io/fbnet/engine/program", "io/fbnet/engine/cuda")
# Compares a file of the repository with the sources; no device is in it.
LEFT_OUT = {"io.fbnet.engine.program.OperationsDocumentTest": "it reads the repository's docs"}
FEED = re.compile(r"(.*) :: (STARTED|SUCCESSFUL|FAILED|ABORTED)")
AT_ONCE = 4
FAILURES_SHOWN = 20

CONTRACT = "io.fbnet.engine.program.OperationContractTest"
CASE = "io.fbnet.engine.program.OperationCases$Case"
ON_DEVICES = f"--select-method={CONTRACT}#agreesWithReference({CASE},java.lang.String)"
STEP = "io.fbnet.bench.gpu.SupernetStep"


def arguments(*selectors):
    return ["execute", "--disable-banner", "--disable-ansi-colors", "--details=testfeed",
            "--exclude-tag=full", *selectors]


def parse_feed(text):
    """Counts of a console's test feed, which is whole up to where a process was cut."""
    counts = collections.Counter()
    reasons, failures = collections.Counter(), []
    last, open_test = None, None
    for line in text.splitlines():
        match = FEED.fullmatch(line)
        if match:
            name, what = match[1].removeprefix("JUnit Jupiter > "), match[2]
            counts[what] += 1
            open_test = name if what == "STARTED" else None
            last = (name, what)
        elif last and line.startswith("\t") and not line.startswith("\t\t"):
            message = line.strip()
            if last[1] == "ABORTED":
                reasons[message.split("Assumption failed: ", 1)[-1]] += 1
            elif last[1] == "FAILED":
                failures.append({"test": last[0], "message": message[:500]})
            last = None
    return {"passed": counts["SUCCESSFUL"], "failed": counts["FAILED"],
            "aborted": counts["ABORTED"], "unfinished": open_test or "",
            "reasons_of_aborts": dict(reasons), "failures": failures}


def test_classes(home):
    names = []
    for package in PACKAGES:
        folder = home / "test" / "classes" / package
        names += [f"{package}/{p.stem}".replace("/", ".") for p in folder.glob("*Test.class")
                  if "$" not in p.name]
    # The longest first, so that it does not run alone at the end.
    return sorted(names, key=lambda n: (n != CONTRACT, n))


TINY = ("OperationContractTest", "NotANumberTest")


def contract(part):
    """Each class in a process of its own: a fault leaves a device unusable for its process.

    Classes that an earlier call ended are not run again.
    """
    java = part.java
    classes = part.result.setdefault("classes", {})
    names = [n for n in test_classes(java.home)
             if n not in LEFT_OUT and (not part.options.tiny or short(n) in TINY)
             and classes.get(short(n), {}).get("end") != "whole"]
    jobs = [(java.command(CONSOLE, *arguments(f"--select-class={n}"), tests=True),
             java.logs / f"contract-{short(n)}.log", lambda: part.limit, java.environment)
            for n in names]

    def done(i, result):
        feed = parse_feed(result.text)
        row = {k: feed[k] for k in ("passed", "failed", "aborted", "unfinished",
                                    "reasons_of_aborts", "failures")}
        row["seconds"] = round(result.seconds, 1)
        row["end"] = "cut" if result.cut else "whole"
        expected = (0, 1) if feed["failed"] else (0,)
        if not result.cut and result.code not in expected:
            row["end"] = f"ended with code {result.code}: {result.reason()}"
        classes[short(names[i])] = row
        say(f"contract: {short(names[i])}: {row['passed']} passed, {row['failed']} failed, "
            f"{row['aborted']} aborted, {row['seconds']} s, {row['end']}")
        part.save()

    run_all(jobs, AT_ONCE, done)
    judge(part.result)


def short(name):
    return name.rsplit(".", 1)[1]


def judge(result):
    """Sums up the classes; raises where one failed or was cut."""
    classes = result["classes"]
    for what in ("passed", "failed", "aborted"):
        result[what] = sum(c[what] for c in classes.values())
    result["reasons_of_aborts"] = {}
    for c in classes.values():
        for reason, count in c["reasons_of_aborts"].items():
            result["reasons_of_aborts"][reason] = \
                result["reasons_of_aborts"].get(reason, 0) + count
    result["failures"] = [{"class": n, **f} for n, c in classes.items()
                          for f in c["failures"]][:FAILURES_SHOWN]
    wrong = [f"{n} {c['end']}" for n, c in classes.items() if c["end"] not in ("whole", "cut")]
    if result["failed"]:
        wrong.insert(0, f"{result['failed']} tests failed")
    if wrong:
        raise Failure("; ".join(wrong))
    cut = [n for n, c in classes.items() if c["end"] == "cut"]
    if cut:
        raise Cut(f"the time ended in {', '.join(cut)}, after {result['passed']} tests that passed")
    if not result["passed"]:
        raise Failure("no test passed")


ERROR_LINE = re.compile(
    r"========= (Invalid|Race reported|Error: Race|Warning: Race|Error:|Program hit|Barrier error"
    r"|Uninitialized|Internal)")
REFUSED = re.compile(r"(Device not supported|not supported on this|Unable to initialize|"
                     r"InvalidDevice|Target application (?:terminated|returned an error) before)")


def findings(report, ours):
    """Errors of a sanitizer's log, those in our kernels apart from those in NVIDIA's."""
    blocks, block = [], None
    for line in report.splitlines():
        if ERROR_LINE.match(line):
            block = [line]
            blocks.append(block)
        elif block is not None and line.strip() != "=========":
            block.append(line)
        else:
            block = None
    own = [b for b in blocks if any(k in x for x in b for k in ours)]
    summary = [x.strip("= \n") for x in report.splitlines() if "SUMMARY" in x]
    reported = re.search(r"(\d+) (?:error|hazard)", summary[-1]) if summary else None
    first = own or blocks
    return {"errors": len(own), "errors_in_libraries": len(blocks) - len(own),
            "first": [" ".join(x.strip("= ") for x in b[:3]) for b in first[:10]],
            "summary": summary[-1] if summary else "",
            "reported": int(reported[1]) if reported else 0}


def sanitizer(part):
    """The tool, once it has run Java on this device."""
    java = part.java
    tool = find_tool("compute-sanitizer")
    if not tool:
        raise Skip("compute-sanitizer was not found")
    probe = [tool, "--tool", "memcheck", "--report-api-errors", "no",
             *java.command("io.fbnet.bench.gpu.DeviceProbe", "--out",
                           part.work / "probe-sanitized.json")]
    trial = run(probe, java.logs / "sanitizer-probe.log", part.limit, java.environment, "probe")
    refused = REFUSED.search(trial.text)
    if trial.cut:
        raise Cut("the time ended while compute-sanitizer started Java")
    if trial.code != 0 or refused:
        raise Skip("compute-sanitizer cannot run Java on this device: "
                   + (refused[0] if refused else trial.last_line()[:200]))
    return tool


def watched(part, target, *flags):
    """Runs a command under the part's tool; what it found, and whether its time ended first."""
    java, name = part.java, part.name
    errors = java.logs / f"{name}-errors.log"
    errors.unlink(missing_ok=True)
    command = [sanitizer(part), "--tool", name, *flags, "--target-processes", "all",
               "--check-exit-code", "no", "--print-limit", "50", "--log-file", errors, *target]
    result = run(command, java.logs / f"{name}.log", part.limit, java.environment)
    report = errors.read_text(errors="replace") if errors.exists() else ""
    found = findings(report, (java.home / "kernels.txt").read_text().split())
    return result, found


def conclude(part, result, found, count):
    """Keeps the findings, and raises where they are errors, nothing, or a part only."""
    name = part.name
    part.result.update(found)
    if count or name == "memcheck" and found["reported"]:
        raise Failure(f"{name} reports errors: {(found['first'] or [found['summary']])[0]}")
    if result.cut:
        raise Cut(f"the time ended after {found['runs']} runs, no error until then")
    if not found["runs"]:
        raise Failure(f"{name} ran nothing: {result.reason()}")
    if not found["summary"]:
        raise Failure(f"{name} gave no summary: {result.reason()}")


def memcheck(part):
    """Over every operation in each precision."""
    # Libraries ask the driver for what it may lack; such calls are no errors of ours.
    result, found = watched(part, part.java.command(HELD, *arguments(ON_DEVICES), tests=True),
                            "--report-api-errors", "no")
    feed = parse_feed(result.text)
    found["runs"] = feed["passed"] + feed["failed"]
    # A library that was given a wrong place reads it for us.
    conclude(part, result, found, found["errors"] + found["errors_in_libraries"])


def racecheck(part):
    """Over the smallest supernet's two steps.

    Only kernels of ours fail it: NVIDIA's order shared memory by means that it may not know.
    """
    steps = part.work / "racecheck.json"
    steps.unlink(missing_ok=True)
    result, found = watched(part, part.java.command(
        STEP, "--tiny", "--cases", "fashion:2", "--precisions", "bf16,f32", "--out", steps))
    found["runs"] = len((read_json(steps) or {}).get("cases", []))
    conclude(part, result, found, found["errors"])
