#!/usr/bin/env python3
"""Does a latency target hold? Searches the cifar space for several devices and targets.

For each table three targets are set between the fastest network and the mean of uniform draws. Runs lie in
--runs; those that are finished are not repeated, those that were stopped go on. Writes a Markdown file.

  python3 bench/target_latency.py --data DIR [--threads N] [--runs DIR] [--out FILE] [--only NAME,...]
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

import machine

HERE = pathlib.Path(__file__).resolve().parent
TABLES = ["raspi4", "titan_rtx_64", "samsung_s7", "fpga"]
SHARES = [0.25, 0.5, 0.9]
FLAGS = ("--train-images 4000 --epochs 3 --warmup-epochs 1 --batch 32 --theta-rate 0.1 --tau-end 0.5 "
         "--samples 6 --seed 1").split()


def table(name):
    file = HERE.parent / "nas/src/main/resources/io/fbnet/nas/latency" / (name + ".json")
    return json.loads(file.read_text())


def targets(lut):
    """Three targets in ms, of three digits."""
    fastest = lut["fixed"] + sum(min(row) for row in lut["layers"])
    mean = lut["fixed"] + sum(sum(row) / len(row) for row in lut["layers"])
    values = [fastest + share * (mean - fastest) for share in SHARES]
    return fastest, mean, [float("%.3g" % v) for v in values]


def finished(run):
    return (run / "said.txt").exists() and (run / "architecture.json").exists()


def search(args, name, target, run):
    """Runs or resumes one search; its seconds are added up over its parts."""
    started = time.time()
    if (run / "config.yaml").exists():
        command = args.fbnet + ["search", "--resume", str(run)]
    else:
        command = args.fbnet + ["search", "--lut", name, "--target-latency", "%gms" % target, "--data",
                                args.data, "--threads", str(args.threads), "--out", str(run)] + FLAGS
    print("+", shlex.join(command), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.time() - started
    times = run / "seconds.txt"
    if run.exists():
        times.write_text("%f" % (seconds + (float(times.read_text()) if times.exists() else 0)))
    if done.returncode != 0:
        sys.exit("the search for %s at %g ms ended with exit code %d: %s"
                 % (name, target, done.returncode, done.stderr[-2000:]))
    (run / "said.txt").write_text(done.stdout)


def row(name, target, run, lut):
    said = (run / "said.txt").read_text()
    architecture = json.loads((run / "architecture.json").read_text())
    columns = lut["space"]["blocks"]
    ms = lut["fixed"] + sum(r[columns.index(b)] for r, b in zip(lut["layers"], architecture["blocks"]))
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in epochs if line.get("phase") == "epoch"][-1]
    inside = int(re.search(r"(\d+) of 100 draws", said).group(1))
    accuracy = float(re.search(r"([0-9.]+) on the theta split", said).group(1))
    held = 0.95 * target <= ms <= 1.02 * target
    threads = int(re.search(r"^threads: *(\d+)", (run / "config.yaml").read_text(), re.M).group(1))
    return "| %s | %g | %.4f | %.3f | %s | %.4f | %.3f | %d | %.3f | %d | %.1f |" % (
        name, target, ms, ms / target, "yes" if held else "**no**", last["expected_ms"],
        last["expected_ms"] / target, inside, accuracy, threads, float((run / "seconds.txt").read_text()) / 60)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10 as folders of images")
    parser.add_argument("--fbnet", default=str(HERE.parent / "fbnet"), help="how fbnet is called")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", metavar="NAME,...", help="run the searches of these tables or run folders and "
                        "write no file, so that several of these programs can share the work")
    parser.add_argument("--runs", type=pathlib.Path, default=HERE / "target/target-latency")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/target-latency.md")
    args = parser.parse_args()
    args.fbnet = shlex.split(args.fbnet)
    args.runs.mkdir(parents=True, exist_ok=True)
    plan = [(name, target, args.runs / ("%s-%g" % (name, target)))
            for name in TABLES for target in targets(table(name))[2]]
    for name, target, run in plan:
        if args.only and not {name, run.name} & set(args.only.split(",")):
            continue
        if not finished(run):
            search(args, name, target, run)
            print(row(name, target, run, table(name)), flush=True)
    if args.only:
        return
    commit = machine.revision()
    processor = machine.processor()
    ranges = "\n".join("- %s: fastest %.4f ms, mean of uniform draws %.4f ms" % ((n,) + targets(table(n))[:2])
                       for n in TABLES)
    rows = "\n".join(row(name, target, run, table(name)) for name, target, run in plan)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(f"""# A latency target that holds

Space `cifar`, 4,000 CIFAR-10 images, `search {' '.join(FLAGS)}`, {os.cpu_count()} cores of {processor},
commit {commit}; `python3 bench/target_latency.py --data DIR --threads N`. Minutes are wall time of the whole search
from start to end; where it ran with 1 thread, another search had the other core.

The exported architecture must take 0.95 to 1.02 of the target by the table. E[LAT] is the exact expectation of
drawing from theta after the last epoch; "inside" is how many of 100 plain draws from theta are in that range.

| table | target ms | exported ms | share | held | E[LAT] ms | share | inside | accuracy (theta split) | threads | minutes |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

{ranges}
""")
    print("written to", args.out)


if __name__ == "__main__":
    main()
