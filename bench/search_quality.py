#!/usr/bin/env python3
"""Does the search find better networks than chance? Trains what it finds beside random networks.

For each seed: one search with a latency target, then the network it found and random networks that are no faster
(uniform draws whose table sum is at least the found one's) are trained from scratch by one recipe with that seed.
The test images are read once for each child, after its training. Runs lie in --runs; what is finished is not
repeated, what was stopped goes on. Writes a Markdown file.

  python3 bench/search_quality.py [--data NAME|DIR] [--threads N] [--seeds 1,2,3] [--randoms 5] [--runs DIR] [--out FILE]
"""
import argparse
import json
import os
import pathlib
import random
import re
import shlex
import statistics
import subprocess
import sys
import time

import machine

HERE = pathlib.Path(__file__).resolve().parent
SPACE = "fashion"
# The target as a share of the mean of uniform draws.
SHARE = 1.0
SEARCH = "--epochs 10 --warmup-epochs 3 --train-images 12000".split()
CHILD = ("--train-images 12000 --epochs 10 --batch 64 --rate 0.1 --schedule cosine --weight-decay 1e-4 "
         "--label-smoothing 0.1").split()


def call(args, command, run, what):
    """Runs a command to its end; its seconds are added up over its parts. Returns what it printed."""
    print("+", shlex.join(command), flush=True)
    started = time.time()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.time() - started
    if run.exists():
        times = run / "seconds.txt"
        times.write_text("%f" % (seconds + (float(times.read_text()) if times.exists() else 0)))
    if done.returncode != 0:
        sys.exit("%s ended with exit code %d: %s" % (what, done.returncode, done.stderr[-2000:]))
    return done.stdout


def resumed(args, verb, run, begin, what):
    """Runs or resumes a run folder, unless it is finished."""
    said = run / "said.txt"
    if not said.exists():
        command = [verb, "--resume", str(run)] if (run / "config.yaml").exists() else begin
        said.write_text(call(args, args.fbnet + command, run, what))
    return said.read_text()


def latency(table, blocks):
    columns = table["space"]["blocks"]
    return table["fixed"] + sum(row[columns.index(b)] for row, b in zip(table["layers"], blocks))


def draws(table, least, seed, count):
    """Uniform networks that take at least this long, different from each other."""
    rng = random.Random("random networks of seed %d" % seed)
    found = []
    while len(found) < count:
        blocks = [rng.choice(table["space"]["blocks"]) for _ in table["layers"]]
        if latency(table, blocks) >= least and blocks not in found:
            found.append(blocks)
    return found


def child(args, name, architecture, seed, run, recipe=CHILD):
    """Trains an architecture and returns its test accuracy and minutes."""
    begin = ["train", str(architecture), "--seed", str(seed), "--data", args.data, "--threads", str(args.threads),
             "--out", str(run)] + recipe
    said = resumed(args, "train", run, begin, name)
    accuracy = float(re.search(r"test images of [^:]*: ([0-9.]+)", said).group(1))
    return accuracy, float((run / "seconds.txt").read_text()) / 60


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--fbnet", default=str(HERE.parent / "fbnet"), help="how fbnet is called")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--randoms", type=int, default=5)
    parser.add_argument("--runs", type=pathlib.Path, default=HERE / "target/search-quality")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/search-quality.md")
    args = parser.parse_args()
    args.fbnet = shlex.split(args.fbnet)
    args.runs.mkdir(parents=True, exist_ok=True)
    lut = args.runs / "latency.json"
    if not lut.exists():
        call(args, args.fbnet + ["latency", "measure", "--space", SPACE, "--threads", str(args.threads), "--out",
                                 str(lut)], args.runs / "none", "measuring")
    table = json.loads(lut.read_text())
    mean = table["fixed"] + sum(sum(row) / len(row) for row in table["layers"])
    target = float("%.3g" % (SHARE * mean))
    rows, summary = [], []
    for seed in map(int, args.seeds.split(",")):
        run = args.runs / ("search-%d" % seed)
        begin = ["search", "--space", SPACE, "--lut", str(lut), "--target-latency", "%gms" % target, "--seed",
                 str(seed), "--data", args.data, "--threads", str(args.threads), "--out", str(run)] + SEARCH
        resumed(args, "search", run, begin, "the search with seed %d" % seed)
        found = json.loads((run / "architecture.json").read_text())
        networks = [("searched", found["blocks"])]
        networks += [("random %d" % (i + 1), blocks) for i, blocks in
                     enumerate(draws(table, latency(table, found["blocks"]), seed, args.randoms))]
        accuracies = []
        for name, blocks in networks:
            file = args.runs / ("%s-%d.json" % (name.replace(" ", "-"), seed))
            file.write_text(json.dumps(dict(found, blocks=blocks)))
            accuracy, minutes = child(args, "%s, seed %d" % (name, seed), file, seed,
                                      args.runs / ("child-%s-%d" % (name.replace(" ", "-"), seed)))
            accuracies.append(accuracy)
            rows.append("| %d | %s | %.4f | %.4f | %.1f | %s |" % (
                seed, name, latency(table, blocks), accuracy, minutes, " ".join(blocks)))
            print(rows[-1], flush=True)
        others = accuracies[1:]
        won = accuracies[0] > statistics.mean(others)
        summary.append("| %d | %.4f | %.4f | %.4f | %.4f | %+.4f | %s | %.1f |" % (
            seed, accuracies[0], statistics.mean(others), min(others), max(others),
            accuracies[0] - statistics.mean(others), "yes" if won else "**no**",
            float((run / "seconds.txt").read_text()) / 60))
        print(summary[-1], flush=True)
    commit = machine.revision()
    processor = machine.processor()
    head = "\n".join(summary)
    body = "\n".join(rows)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(f"""# Searched networks beside random ones

Space `{SPACE}`, {args.data}; latency table measured on this machine ({os.cpu_count()} cores of {processor}, {args.threads}
thread(s)); commit {commit}; `python3 bench/search_quality.py --threads {args.threads}`.

- search: `--target-latency {target:g}ms {' '.join(SEARCH)}`, otherwise the space's defaults
- each child: `train NETWORK {' '.join(CHILD)}`, same seed as the search
- random networks: uniform draws that take at least as long as the searched one by the same table
- accuracies are on all test images, read once for each child after its training

| seed | searched | mean of random | least | largest | difference | better than the mean | minutes of the search |
| --- | --- | --- | --- | --- | --- | --- | --- |
{head}

| seed | network | latency ms | test accuracy | minutes | blocks |
| --- | --- | --- | --- | --- | --- |
{body}
""")
    print("written to", args.out)


if __name__ == "__main__":
    main()
