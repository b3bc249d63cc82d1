"""Folds the parts' results into report.json and report.md."""

import json
import pathlib
import subprocess
import time

from check_run import find_tool

STATUS = {"ok": "ok", "failed": "**failed**", "skipped": "skipped"}


def output(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def hardware(parts, home):
    """What a number means nothing without."""
    facts = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}
    commit = pathlib.Path(home) / "commit.txt"
    facts["commit"] = commit.read_text().strip() if commit.is_file() else "unknown"
    smi = output("nvidia-smi", "--query-gpu=name,driver_version,memory.total",
                 "--format=csv,noheader")
    facts["gpu"] = smi.splitlines()[0] if smi else "nvidia-smi says nothing"
    nvcc = find_tool("nvcc")
    release = [x for x in output(nvcc, "--version").splitlines() if "release" in x] if nvcc else []
    facts["nvcc"] = release[0].strip() if release else "not found"
    for part in parts.values():
        device = (part or {}).get("device") or {}
        for name in ("processor", "driver", "cuDNN", "cuBLASLt"):
            if name in device:
                facts[f"device's {name}" if name == "processor" else name] = device[name]
        if device.get("software"):
            facts["note"] = "THE SOFTWARE DEVICE OF THE TESTS, NO GPU: no time below means anything"
        for name in ("torch", "cuda", "cudnn"):
            if (part or {}).get(name):
                facts[{"torch": "PyTorch", "cuda": "PyTorch's CUDA",
                       "cudnn": "PyTorch's cuDNN"}[name]] = part[name]
    return facts


def ratios(parts):
    """Each of our rows with the peer's in every mode, peer / ours by the host's clock."""
    peers = {}
    for part in ("step", "compile"):
        for row in (parts.get(part) or {}).get("peer", []):
            mode = row["mode"] + (" by layer" if row.get("region") == "layer" else "")
            peers.setdefault(identity(row), {})[mode] = row
    rows = []
    for ours in (parts.get("step") or {}).get("ours", []):
        row = {k: ours[k] for k in ("space", "batch", "precision", "step")}
        row["ours_ms"] = median(ours, "wall_ms")
        row["ours_device_ms"] = median(ours, "device_ms")
        row["skipped"] = ours.get("skipped", "")
        row["separate"] = both_ways(ours)
        row["peers"] = {}
        for mode, theirs in sorted(peers.get(identity(ours), {}).items()):
            ms = median(theirs, "wall_ms")
            row["peers"][mode] = {
                "ms": ms, "device_ms": median(theirs, "device_ms"),
                "ratio": round(ms / row["ours_ms"], 3) if ms and row["ours_ms"] else None,
                "skipped": theirs.get("skipped", "")}
        rows.append(row)
    return rows


def both_ways(ours):
    """Calls, bytes and time of a step as it runs and with every operation by itself."""
    other = ours.get("separate")
    if not other or "calls" not in ours:
        return None
    if "skipped" in other:
        return {"skipped": other["skipped"]}
    pairs = {what: [ours[what], other[what]] for what in ("calls", "moved_bytes", "planned_bytes")}
    return {**pairs, "device_ms": [median(ours, "device_ms"), median(other, "device_ms")]}


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
    modes = sorted({mode for row in rows for mode in row["peers"]})
    head = ["space", "batch", "precision", "step", "ours, ms", "ours on the device, ms"]
    for mode in modes:
        head += [f"PyTorch {mode}, ms", "PyTorch / ours"]
    lines, notes = [], []
    for row in rows:
        what = f"{row['space']} {row['batch']} {row['precision']} {row['step']}"
        line = [row["space"], row["batch"], row["precision"], row["step"],
                number(row["ours_ms"]), number(row["ours_device_ms"])]
        if row["skipped"]:
            notes.append(f"- ours, {what}: {row['skipped']}")
        for mode in modes:
            peer = row["peers"].get(mode, {})
            line += [number(peer.get("ms")), number(peer.get("ratio"))]
            if peer.get("skipped"):
                notes.append(f"- PyTorch {mode}, {what}: {peer['skipped']}")
        lines.append(line)
    text = ["By the host's clock over many steps, uploads included; median.", ""]
    text += table(head, lines)
    text += fusions_text(rows)
    return text + (["Skipped:", "", *notes, ""] if notes else [])


def fusions_text(rows):
    """What it saves that some operations run as part of the ones that read them."""
    lines = []
    for row in rows:
        both = row.get("separate")
        if both:
            line = [row["space"], row["batch"], row["precision"], row["step"]]
            if "skipped" in both:
                line += [both["skipped"], *[""] * 7]
            else:
                line += both["calls"]
                line += [f"{b / 1e6:.0f}" for b in both["moved_bytes"] + both["planned_bytes"]]
                line += [number(ms) for ms in both["device_ms"]]
            lines.append(line)
    if not lines:
        return []
    head = ["space", "batch", "precision", "step"]
    for what in ("calls", "MB moved", "MB of the arena", "ms on the device"):
        head += [what, "each operation by itself"]
    return ["Some operations run as part of those that read their results. Bytes are those that "
            "each call must read and write once.", "", *table(head, lines)]


def bandwidth_text(part):
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


def sanitize_text(part):
    rows = [[tool, r["runs"], r["errors"], r["errors_in_libraries"], r["summary"] or "none",
             "yes" if r["cut"] else "no"]
            for tool, r in part.items() if tool in ("memcheck", "racecheck")]
    text = table(["tool", "runs", "errors in our kernels", "in others", "summary",
                  "cut by the limit"], rows)
    for tool in ("memcheck", "racecheck"):
        text += [f"- {tool}: {line}" for line in part.get(tool, {}).get("first", [])]
    return text + [""]


def markdown(report):
    text = ["# GPU check", ""]
    text += [f"- {name}: {value}" for name, value in report["hardware"].items()] + [""]
    parts = report["parts"]
    text += table(["part", "status", "seconds", "reason"],
                  [[name, STATUS[p["status"]], p["seconds"], p["reason"]]
                   for name, p in parts.items()])
    if "passed" in parts["contract"]:
        text += ["## Contract suite", "", *tests_text(parts["contract"])]
    if "memcheck" in parts["sanitize"]:
        text += ["## compute-sanitizer", "", *sanitize_text(parts["sanitize"])]
    if parts["bandwidth"].get("kernels"):
        text += ["## Kernels", "", *bandwidth_text(parts["bandwidth"])]
    if report["ratios"]:
        text += ["## Supernet steps", "", *steps_text(report["ratios"])]
    parity = parts["step"].get("parity")
    if parity:
        text += [f"The same weights and images, {parity['space']}, batch {parity['batch']}, "
                 f"f32: losses of the first steps are {parity['ours']} with us and "
                 f"{parity['peer']} with PyTorch.", ""]
    return "\n".join(text).rstrip() + "\n"


def write(folder, parts, home):
    """Writes both reports; a part that never ran is skipped, too."""
    whole = {name: part or {"part": name, "status": "skipped", "seconds": 0,
                            "reason": "it was not run"} for name, part in parts.items()}
    report = {"hardware": hardware(parts, home), "parts": whole, "ratios": ratios(parts)}
    text = markdown(report)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "report.md").write_text(text)
    return text
