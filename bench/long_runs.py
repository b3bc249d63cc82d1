#!/usr/bin/env python3
"""Whether 10,000 steps of a search take more memory, files or threads than 500, on each back end.

The search of a small space runs in a Java process whose heap is touched from the beginning and keeps its size, so that what
grows is not Java's. Two things are taken from Java's second compiler, which allocates and frees 12 to 20 MiB once the steps'
methods are hot: glibc gives back every five seconds what was freed, as the program has it, and keeps one arena, since in many
of them remnants of 5 to 12 MiB stay (with the first compiler alone, or with one arena, nothing grows).
Goes on where it was stopped.

  mvn -q -B package -pl nas -am -DskipTests && make -s -C kernels software
  python3 bench/long_runs.py [--steps 10000] [--devices reference,cpu,cuda] [--java JAVA] [--out FILE]
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

import machine

HERE = pathlib.Path(__file__).resolve().parent
JAR = HERE.parent / "nas/target/fbnet-engine.jar"
SOFTWARE = HERE.parent / "kernels/target/software"
FIRST = 500
WINDOW = 1000
ALLOWED = 0.02
SPACE = """name: tiny
input: {channels: 1, height: SIDE, width: SIDE}
classes: 10
stem: {width: 8, stride: 2}
stages:
  - {width: 8, layers: 1, stride: 1}
  - {width: 16, layers: 1, stride: 2}
head: 16
blocks: [k3_e1, k5_e3, skip]
"""
TABLE = "unit us\ndevice bench\nfixed 50\n10 30 0\n12 35 8\n"
SIDES = {"reference": 20, "cuda": 12, "cpu": 96}
BATCHES = {"reference": 4, "cuda": 2, "cpu": 8}
EPOCH = 500  # Steps: 400 of w and 100 of theta.


def status(process, name):
    """A line of /proc/PID/status in KiB."""
    text = pathlib.Path("/proc/%d/status" % process).read_text()
    return int(re.search(r"%s:\s+(\d+)" % name, text).group(1))


def tracked(jcmd, process):
    """KiB that Java counts as its own and as the program's foreign memory."""
    said = subprocess.run([jcmd, str(process), "VM.native_memory", "summary"], capture_output=True, text=True).stdout
    return int(re.search(r"Total:.*committed=(\d+)KB", said).group(1))


def run(java, device, steps, folder):
    """Samples of [step, resident, anonymous, tracked, descriptors, threads]."""
    (folder / "tiny.yaml").write_text(SPACE.replace("SIDE", str(SIDES[device])))
    (folder / "tiny.txt").write_text(TABLE)
    program = [java, "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-XX:+UseSerialGC",
               "-Xms96m", "-Xmx96m", "-XX:+AlwaysPreTouch", "-XX:NativeMemoryTracking=summary",
               "-XX:TrimNativeHeapInterval=5000", "-cp", str(JAR), "io.fbnet.nas.cli.Main"]
    environment = dict(os.environ, MALLOC_ARENA_MAX="1", XDG_CACHE_HOME=str(folder / "cache"),
                       FBNET_CUDA_PATH=str(SOFTWARE))
    subprocess.run(program + ["latency", "import", str(folder / "tiny.txt"), "--space", str(folder / "tiny.yaml"),
                              "--out", str(folder / "tiny.json")], check=True, capture_output=True, env=environment)
    out = folder / device
    search = ["search", "--space", str(folder / "tiny.yaml"), "--lut", str(folder / "tiny.json"), "--data", "shapes",
              "--train-images", str(EPOCH * BATCHES[device]), "--epochs", str(steps // EPOCH), "--warmup-epochs", "0", "--batch",
              str(BATCHES[device]), "--device", device, "--samples", "2", "--out", str(out)]
    search += [] if device == "cuda" else ["--threads", "2" if device == "cpu" else "1"]
    jcmd = str(pathlib.Path(java).resolve().parent / "jcmd")
    samples, done, size = [], 0, 0
    with open(folder / "err", "w") as err, subprocess.Popen(program + search, stdout=subprocess.DEVNULL, stderr=err,
                                                              env=environment) as process:
        while process.poll() is None:
            time.sleep(0.2)
            file = out / "metrics.jsonl"
            if not file.exists():
                continue
            with open(file) as lines:
                lines.seek(size)
                text = lines.read()
            text = text[:text.rfind("\n") + 1]
            size += len(text)
            done = max([done] + [json.loads(line)["step"] for line in text.splitlines()])
            if not text or done >= steps:
                continue
            try:
                samples.append([done, status(process.pid, "VmRSS"), status(process.pid, "RssAnon"),
                                tracked(jcmd, process.pid), len(os.listdir("/proc/%d/fd" % process.pid)),
                                status(process.pid, "Threads")])
            except (OSError, AttributeError):
                break  # It has just ended.
            print("%s step %d: %d KiB resident" % (device, done, samples[-1][1]), end="\r", flush=True)
        if process.wait() != 0:
            raise SystemExit((folder / "err").read_text())
    print()
    return samples


def row(device, samples, steps):
    """One line of the table, and whether nothing grew."""
    early = [s for s in samples if FIRST <= s[0] < FIRST + WINDOW]
    late = [s for s in samples if s[0] >= steps - WINDOW]
    cells, good = [], True
    for i in (1, 2, 3):
        before, after = (statistics.median(s[i] for s in part) for part in (early, late))
        cells.append("%.1f, %.1f (%+.1f%%)" % (before / 1024, after / 1024, 100 * (after / before - 1)))
        good &= after <= (1 + ALLOWED) * before
    for i in (4, 5):
        before, after = (int(statistics.median_low(s[i] for s in part)) for part in (early, late))
        cells.append("%d, %d" % (before, after))
        good &= after <= before
    return "| `%s` | %d | %s | %s |" % (device, len(samples), " | ".join(cells), "yes" if good else "NO")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--java", help="of JDK 25; by default what bench/jdk finds")
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--devices", default="reference,cpu,cuda")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/long-runs.md")
    args = parser.parse_args()
    args.java = args.java or machine.java()
    tree = machine.revision()
    raw = HERE / "target" / ("long-%s-%d.json" % (tree, args.steps))
    raw.parent.mkdir(exist_ok=True)
    kept = json.loads(raw.read_text()) if raw.exists() else {}
    for device in args.devices.split(","):
        if device not in kept:
            with tempfile.TemporaryDirectory() as folder:
                kept[device] = run(args.java, device, args.steps, pathlib.Path(folder))
            raw.write_text(json.dumps(kept))
    rows = [row(device, samples, args.steps) for device, samples in kept.items()]
    args.out.write_text(f"""# Long runs

A search of {args.steps} steps of a small space on each back end (`cuda` is the software device of the tests); {os.cpu_count()} cores
of {machine.processor()}; commit {tree}; `python3 bench/long_runs.py --steps {args.steps} --devices {",".join(kept)}`.
Batches of {", ".join("%d images of %dx%d on `%s`" % (BATCHES[d], SIDES[d], SIDES[d], d) for d in kept)}.
The heap is fixed and touched at the start; glibc gives back every five seconds what Java's compilers freed, and has one arena
(`MALLOC_ARENA_MAX=1`). Medians of the samples from step {FIRST} to {FIRST + WINDOW} and of the last {WINDOW} steps:
memory in MiB, resident, of it anonymous, and what Java's native memory tracking counts; open files; threads.

| device | samples | resident | anonymous | tracked | files | threads | flat within {ALLOWED:.0%} |
| --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}
""")
    print(args.out.read_text())


if __name__ == "__main__":
    main()
