"""The parts that run JUnit: the contract suite, and compute-sanitizer over a part of it."""

import collections
import re

from check_run import Failure, Job, Skip, find_tool, read_json, run_all

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


def contract(part):
    """Each class in a process of its own: a fault leaves a device unusable for its process."""
    java = part.java
    chosen = part.options.classes.split(",") if part.options.classes else None
    names = [n for n in test_classes(java.home)
             if n not in LEFT_OUT and (chosen is None or n.rsplit(".", 1)[1] in chosen)]
    jobs = [(java.command(CONSOLE, *arguments(f"--select-class={n}"), tests=True),
             java.logs / f"contract-{n.rsplit('.', 1)[1]}.log", lambda: part.limit,
             java.environment) for n in names]
    results = run_all(jobs, AT_ONCE)
    total = collections.Counter()
    reasons, classes, failures, wrong = collections.Counter(), {}, [], []
    for name, result in zip(names, results):
        short = name.rsplit(".", 1)[1]
        feed = parse_feed(result.text)
        for what in ("passed", "failed", "aborted"):
            total[what] += feed[what]
        reasons.update(feed["reasons_of_aborts"])
        failures += [{"class": short, **f} for f in feed["failures"]]
        classes[short] = {k: feed[k] for k in ("passed", "failed", "aborted", "unfinished")}
        classes[short]["seconds"] = round(result.seconds, 1)
        if result.cut:
            wrong.append(f"{short} was cut off by the time limit")
        elif result.code not in (0, 1) or result.code == 1 and not feed["failed"]:
            wrong.append(f"{short} ended with code {result.code}: {result.last_line()[:200]}")
    part.result.update(
        passed=total["passed"], failed=total["failed"], aborted=total["aborted"],
        reasons_of_aborts=dict(reasons), classes=classes, left_out=LEFT_OUT,
        failures=failures[:FAILURES_SHOWN])
    if total["failed"]:
        wrong.insert(0, f"{total['failed']} tests failed")
    if not total["passed"]:
        wrong.append("no test passed")
    if wrong:
        raise Failure("; ".join(wrong))


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


def sanitize(part):
    """memcheck over every operation, racecheck over a supernet's two steps, side by side.

    Only kernels of ours fail racecheck: NVIDIA's order shared memory by means it may not know.
    """
    java = part.java
    tool = find_tool("compute-sanitizer")
    if not tool:
        raise Skip("compute-sanitizer was not found")
    probe = [tool, "--tool", "memcheck", "--report-api-errors", "no",
             *java.command("io.fbnet.bench.gpu.DeviceProbe", "--out",
                           part.work / "probe-sanitized.json")]
    trial = Job(probe, java.logs / "sanitize-probe.log", min(120, part.limit),
                java.environment).wait()
    refused = REFUSED.search(trial.text)
    if trial.cut or trial.code != 0 or refused:
        why = refused[0] if refused else (
            "took over 120 s" if trial.cut else trial.last_line()[:200])
        raise Skip(f"compute-sanitizer cannot run Java on this device: {why}")
    steps = part.work / "racecheck.json"
    steps.unlink(missing_ok=True)
    targets = {
        "memcheck": java.command(HELD, *arguments(ON_DEVICES), tests=True),
        "racecheck": java.command(STEP, "--tiny", "--cases", "fashion:2", "--precisions",
                                  "f32,bf16", "--out", steps)}
    # Libraries ask the driver for what it may lack; such calls are no errors of ours.
    extra = {"memcheck": ["--report-api-errors", "no"], "racecheck": []}
    jobs, logs = [], {}
    for name, target in targets.items():
        logs[name] = java.logs / f"sanitize-{name}-errors.log"
        command = [tool, "--tool", name, *extra[name], "--target-processes", "all",
                   "--check-exit-code", "no", "--print-limit", "50", "--log-file", logs[name],
                   *target]
        jobs.append((command, java.logs / f"sanitize-{name}.log", part.limit, java.environment))
    ours = (java.home / "kernels.txt").read_text().split()
    wrong, cut = [], []
    for name, result in zip(targets, run_all(jobs, len(jobs))):
        report = logs[name].read_text(errors="replace") if logs[name].exists() else ""
        found = findings(report, ours)
        if name == "memcheck":
            feed = parse_feed(result.text)
            found["runs"] = feed["passed"] + feed["failed"]
            found["last"] = feed["unfinished"]
            # A library that was given a wrong place reads it for us.
            count = found["errors"] + found["errors_in_libraries"]
        else:
            found["runs"] = len((read_json(steps) or {}).get("cases", []))
            count = found["errors"]
        found.update(cut=result.cut, seconds=round(result.seconds, 1))
        part.result[name] = found
        if count or name == "memcheck" and found["reported"]:
            wrong.append(f"{name} reports errors: {(found['first'] or [found['summary']])[0]}")
        elif not found["runs"]:
            wrong.append(f"{name} ran nothing: {result.last_line()[:200]}")
        elif result.cut:
            cut.append(f"{name} was cut by the time limit after {found['runs']} runs, no error")
        elif not found["summary"]:
            wrong.append(f"{name} gave no summary: {result.last_line()[:200]}")
    if cut:
        part.result["reason"] = "; ".join(cut)
    if wrong:
        raise Failure("; ".join(wrong))
