"""Folds the parts' results into report.json and report.md."""

import json
import pathlib
import subprocess
import time

from check_run import find_tool

STATUS = {"ok": "ok", "failed": "**failed**", "skipped": "skipped", "cut": "**cut**",
          "not run": "not run"}
# PyTorch's time over ours, on each row of w and theta that both have.
GOALS = {"eager": 8, "best": 3}


def output(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def commit(home):
    file = pathlib.Path(home) / "commit.txt"
    return file.read_text().strip() if file.is_file() else "unknown"


def machine(of_commit):
    """What a number means nothing without; asked for once, since it starts programs."""
    facts = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "commit": of_commit}
    smi = output("nvidia-smi", "--query-gpu=name,driver_version,memory.total",
                 "--format=csv,noheader")
    facts["gpu"] = smi.splitlines()[0] if smi else "nvidia-smi says nothing"
    nvcc = find_tool("nvcc")
    release = [x for x in output(nvcc, "--version").splitlines() if "release" in x] if nvcc else []
    facts["nvcc"] = release[0].strip() if release else "not found"
    return facts


def hardware(facts, parts):
    facts = dict(facts)
    for part in parts.values():
        device = part.get("device") or {}
        for name in ("processor", "driver", "cuDNN", "cuBLASLt"):
            if name in device:
                facts[f"device's {name}" if name == "processor" else name] = device[name]
        if device.get("software"):
            facts["note"] = "THE SOFTWARE DEVICE OF THE TESTS, NO GPU: no time below means anything"
        for name, what in (("torch", "PyTorch"), ("cuda", "PyTorch's CUDA"),
                           ("cudnn", "PyTorch's cuDNN")):
            if part.get(name):
                facts[what] = part[name]
    return facts


def ratios(parts):
    """Each of our rows with PyTorch's best eager time and its best of all, over ours.

    By the host's clock on both sides, uploads included.
    """
    rows = []
    for ours in parts.get("steps", {}).get("rows", []):
        ms = median(ours, "wall_ms")
        row = {k: ours[k] for k in ("space", "batch", "precision", "step")}
        row.update(ours_ms=ms, ours_device_ms=median(ours, "device_ms"),
                   skipped=ours.get("skipped", ""),
                   images_per_second=round(1000 * ours["batch"] / ms) if ms else None)
        theirs = [(median(t, "wall_ms"), f"{t['variant']}, {t['mode']}")
                  for t in parts.get("torch", {}).get("rows", [])
                  if identity(t) == identity(ours) and median(t, "wall_ms")]
        for what, among in (("eager", [t for t in theirs if t[1].endswith(", eager")]),
                            ("best", theirs)):
            if among and ms:
                least, how = min(among)
                row[what] = {"ms": least, "how": how, "ratio": round(least / ms, 3),
                             "goal": GOALS[what], "met": least / ms >= GOALS[what]}
        rows.append(row)
    return rows


def identity(row):
    return row["space"], row["batch"], row["precision"], row["step"]


def median(row, what):
    return (row.get(what) or {}).get("median")


def number(x, form="{:.2f}"):
    return "" if x is None else form.format(x)


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return [*lines, *("| " + " | ".join(cell(c) for c in row) + " |" for row in rows), ""]


def steps_text(rows):
    """Our steps beside PyTorch's; the goals are PyTorch's time over ours."""
    lines, notes = [], []
    for row in rows:
        line = [row["space"], row["batch"], row["precision"], row["step"], number(row["ours_ms"]),
                number(row["ours_device_ms"]), number(row["images_per_second"], "{}")]
        for what in ("eager", "best"):
            peer = row.get(what)
            line += [number(peer["ms"]), number(peer["ratio"]), "yes" if peer["met"] else "no",
                     peer["how"]] if peer else ["", "pending", "pending", ""]
        lines.append(line)
        if row["skipped"]:
            notes.append(f"- {row['space']}:{row['batch']} {row['precision']} {row['step']}: "
                         f"{row['skipped']}")
    head = ["space", "batch", "precision", "step", "ours, ms", "on the device, ms", "images/s"]
    for what, goal in GOALS.items():
        head += [f"PyTorch {what}, ms", f"{what} / ours", f"at least {goal}", "by"]
    text = ["By the host's clock over many steps, uploads included; median.", "",
            *table(head, lines)]
    return text + (["Skipped:", "", *notes, ""] if notes else [])


def apart_text(rows):
    """What it saves that some operations run as part of the ones that read them."""
    lines = []
    for row in rows:
        other = row.get("separate", {})
        line = [f"{row['space']}:{row['batch']}"]
        for what, unit in (("calls", 1), ("moved_bytes", 1e6), ("planned_bytes", 1e6)):
            line += [f"{r[what] / unit:.0f}" if what in r else "" for r in (row, other)]
        line += [number(median(r, "device_ms")) for r in (row, other)]
        lines.append(line + [other.get("skipped", "")])
    head = ["w step, bf16"]
    for what in ("calls", "MB moved", "MB of the arena", "ms on the device"):
        head += [what, "each operation by itself"]
    return table([*head, "skipped"], lines)


def torch_text(part):
    text = ["PyTorch by each variant, ms; set-up is what comes before the first timed step.", ""]
    text += table(["space", "batch", "step", "variant", "mode", "ms", "on the device, ms",
                   "set-up, s", "skipped"],
                  [[r["space"], r["batch"], r["step"], r["variant"], r["mode"],
                    number(median(r, "wall_ms")), number(median(r, "device_ms")),
                    number(r.get("set_up_s"), "{:.1f}"), r.get("skipped", "")]
                   for r in part.get("rows", [])])
    for name, attempt in part.get("tried", {}).items():
        if attempt["cut"]:
            text.append(f"- {name}: its {attempt['limit_s']} s ended in the stage "
                        f"'{attempt.get('stage', '')}'")
        if "failed" in attempt:
            text.append(f"- {name}: {attempt['failed']}")
        slow = [f"{s['stage']} {s['seconds']:.1f} s" for s in attempt["stages"]
                if (s["seconds"] or 0) >= 1]
        if slow:
            text.append(f"- {name}: {', '.join(slow)}")
    return text + [""]


def profile_text(rows):
    text = []
    for row in rows:
        text += [f"### {row['space']}:{row['batch']} {row['precision']} {row['step']}", "",
                 f"{row['kernels_ms']} ms a step in {row['calls']:.0f} kernels"
                 + (f", {row['lost']} records lost" if row["lost"] else "") + ".", ""]
        text += table(["kernel", "ms", "calls"],
                      [[f"`{k['kernel'][:80]}`", k["ms"], k["calls"]] for k in row["top"]])
    return text


def kernels_text(part):
    copy = part.get("copy", {})
    text = [f"A copy within the device: {copy.get('gigabytes_per_second')} GB/s, bytes read and "
            "written. The floor is the larger of the bytes' time at that speed and the "
            "arithmetic's at the square product's.", ""]
    rows = []
    for row in part.get("kernels", []):
        ms = row.get("milliseconds", {})
        spread = f"{number(ms.get('low'), '{:.4f}')} to {number(ms.get('high'), '{:.4f}')}"
        rows.append([
            row["kernel"], row["type"], row["images"], number(ms.get("median"), "{:.4f}"),
            row.get("skipped", spread), number(row.get("gigabytes_per_second"), "{:.0f}"),
            number(row.get("share_of_copy"), "{:.3f}"), number(row.get("teraflops"), "{:.1f}"),
            number(row.get("share_of_floor"), "{:.3f}") + (" slow" if "slow" in row else "")])
    return text + table(["kernel", "type", "images", "ms", "10th to 90th", "GB/s", "of the copy",
                         "TFLOP/s", "floor / time"], rows)


def tests_text(part):
    text = [f"{part['passed']} passed, {part['failed']} failed, {part['aborted']} aborted.", ""]
    text += table(["class", "passed", "failed", "aborted", "seconds"],
                  [[n, c["passed"], c["failed"], c["aborted"], c["seconds"]]
                   for n, c in part.get("classes", {}).items()])
    for failure in part.get("failures", []):
        text.append(f"- `{failure['class']}` {failure['test']}: {failure['message']}")
    for reason, count in part.get("reasons_of_aborts", {}).items():
        text.append(f"- {count} aborted: {reason}")
    return text + [""]


def sanitizer_text(part):
    text = [f"{part['runs']} runs, {part['errors']} errors in our kernels, "
            f"{part['errors_in_libraries']} in others. {part['summary']}", ""]
    return text + [f"- {line}" for line in part["first"]] + [""]


def search_text(part):
    text = f"{part['steps']} steps on {part['images']}"
    if part["losses"]:
        text += f", losses from {part['losses'][0]:.4f} to {part['losses'][-1]:.4f}"
    if "search_s" in part:
        text += f", {part['search_s']} s with the start of Java"
    return [text + ".", ""]


def markdown(report):
    text = ["# GPU check", ""]
    text += [f"- {name}: {value}" for name, value in report["hardware"].items()] + [""]
    parts = report["parts"]
    text += table(["part", "status", "seconds", "reason"],
                  [[name, STATUS[p["status"]], p["seconds"], p["reason"]]
                   for name, p in parts.items()])
    sections = (
        ("Contract suite", "contract", "passed", tests_text),
        ("Supernet steps", "steps", "rows", lambda p: steps_text(report["ratios"])),
        ("Without fusions and banks", "steps", "apart", lambda p: apart_text(p["apart"])),
        ("PyTorch", "torch", "tried", torch_text),
        ("Profile", "profile", "rows", lambda p: profile_text(p["rows"])),
        ("Kernels", "kernels", "kernels", kernels_text),
        ("Search", "search", "steps", search_text),
        ("memcheck", "memcheck", "runs", sanitizer_text),
        ("racecheck", "racecheck", "runs", sanitizer_text))
    for title, name, needs, section in sections:
        if parts[name].get(needs):
            text += [f"## {title}", "", *section(parts[name])]
    parity = parts["torch"].get("parity")
    if parity:
        text += [f"The same weights and images, {parity['space']}, batch {parity['batch']}, "
                 f"f32: losses of the first steps are {parity['ours']} with us and "
                 f"{parity['peer']} with PyTorch.", ""]
    return "\n".join(text).rstrip() + "\n"


def write(folder, facts, parts, names):
    """Writes both reports, with every part; one that never ran says so."""
    parts = {name: parts.get(name) or {"part": name, "status": "not run", "seconds": 0,
                                       "reason": "no call has come to it"} for name in names}
    report = {"hardware": hardware(facts, parts), "parts": parts, "ratios": ratios(parts)}
    text = markdown(report)
    for name, content in (("report.json", json.dumps(report, indent=2) + "\n"),
                          ("report.md", text)):
        # Moved into place, so that a machine that ends now leaves the one before.
        fresh = folder / f"{name}.new"
        fresh.write_text(content)
        fresh.replace(folder / name)
    return text
