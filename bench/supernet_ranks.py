#!/usr/bin/env python3
"""How supernets of NAS-Bench-Macro's space order its networks, trained in four ways at about equal cost.

Each supernet is trained on CIFAR-10 by the library (SupernetRanks) and scores 200 networks drawn from all 6,561, 200 of
those between 0.97 and 1.0 of the median's multiply-adds, and what 50 evaluations of an evolution propose under the
median. Kendall's tau is that of the scores and the true mean accuracies, its interval by leaving out a network at a time
(95%). Goes on where it was stopped.

  mvn -q -B package -pl bench -am -DskipTests
  python3 bench/supernet_ranks.py IMAGES ORACLE RUNS [--seeds 1,2] [--supernets NAMES] [--threads 2] [--out FILE]

IMAGES is CIFAR-10 as folders (train/CLASS/*.jpg, test/CLASS/*.jpg), ORACLE nas-bench-macro-cifar10.json, RUNS a folder.
"""
import argparse
import json
import os
import pathlib
import subprocess

import machine

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = ["-Xmx2g", "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"]
MEDIAN = 55_398_912
IMAGES = 10_000
WEIGHTS = 0.9  # the share of them that trains the weights
EPOCHS = {"uniform": 30, "fair": 10, "sandwich": 8, "mixture": 9}


def train(args, name, seed, run):
    paths = [ROOT / "bench/target/benchmarks.jar", ROOT / "nas/target/test-classes"]
    command = [args.java, *FLAGS, "-cp", os.pathsep.join(map(str, paths)), "io.fbnet.bench.SupernetRanks"]
    command += [args.images, args.oracle, run, name, EPOCHS[name], IMAGES, args.threads, seed]
    subprocess.run([str(word) for word in command], check=True, cwd=ROOT)


def rows(file):
    """Networks as (digits, score, true mean accuracy, multiply-adds)."""
    for line in file.read_text().splitlines():
        network, accuracy, cross_entropy, truth, macs = line.split("\t")
        # Equal accuracies of few images are told apart by the cross-entropy.
        yield network, (float(accuracy), -float(cross_entropy)), float(truth), int(macs)


def sign(a, b):
    return (a > b) - (a < b)


def kendall(first, second):
    """Kendall's tau-a and half its 95% interval by the jackknife."""
    n = len(first)
    sums = [0] * n
    for i in range(n):
        for j in range(i):
            agree = sign(first[i], first[j]) * sign(second[i], second[j])
            sums[i] += agree
            sums[j] += agree
    total = sum(sums) / 2
    tau = total / (n * (n - 1) / 2)
    left = [(total - s) / ((n - 1) * (n - 2) / 2) for s in sums]
    mean = sum(left) / n
    error = ((n - 1) / n * sum((t - mean) ** 2 for t in left)) ** 0.5
    return tau, 1.96 * error


def shown(tau, half):
    return f"{tau:.3f} ({tau - half:.3f} to {tau + half:.3f})"


def cost(name, oracle):
    """Multiply-adds of training the weights, forward and backward as three forward passes, and theta's steps."""
    macs = {network: entry["flops"] for network, entry in oracle.items()}
    none = macs["0" * 8]
    mean = sum(macs.values()) / len(macs)
    mixture = none + sum(macs["0" * l + k + "0" * (7 - l)] - none for l in range(8) for k in "12")
    images = EPOCHS[name] * IMAGES * WEIGHTS
    if name == "mixture":
        return 3 * mixture * EPOCHS[name] * IMAGES
    step = {"uniform": mean, "fair": 3 * mean, "sandwich": max(macs.values()) + min(macs.values()) + 2 * mean}[name]
    return 3 * step * images


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("oracle", type=pathlib.Path)
    parser.add_argument("runs", type=pathlib.Path)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--supernets", default=",".join(EPOCHS))
    parser.add_argument("--threads", default="2")
    parser.add_argument("--java", help="of JDK 25; by default what bench/jdk finds")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    args.java = args.java or machine.java()
    oracle = json.loads(args.oracle.read_text())
    best = max(entry["mean_acc"] for entry in oracle.values() if entry["flops"] <= MEDIAN)
    lines = [
        "| supernet | seed | 10^12 multiply-adds | tau over all | that of multiply-adds | tau in the band"
        " | that of multiply-adds | regret of the best of 250, under the median |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in args.supernets.split(","):
        for seed in args.seeds.split(","):
            run = args.runs.resolve() / f"{name}-{seed}"
            if not (run / "evolution.tsv").exists():
                train(args, name, seed, run)
            found = {part: list(rows(run / f"{part}.tsv")) for part in ("all", "band", "evolution")}
            taus = []
            for part in ("all", "band"):
                _, scores, truths, macs = zip(*found[part])
                taus += [shown(*kendall(scores, truths)), shown(*kendall(macs, truths))]
            pick = max((row for row in found["band"] + found["evolution"] if row[3] <= MEDIAN), key=lambda row: row[1])
            lines.append(
                f"| {name} | {seed} | {cost(name, oracle) / 1e12:.1f} | {' | '.join(taus)}"
                f" | {best - 100 * pick[2]:.3f} ({pick[0]}) |"
            )
    text = "\n".join(lines) + f"\n\n{args.threads} threads of {machine.processor()}, commit {machine.revision()}\n"
    print(text, end="")
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
