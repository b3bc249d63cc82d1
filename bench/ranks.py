#!/usr/bin/env python3
"""What it costs that ranks share a step: one and two of them on a core each, by MPI, on the CPU.

Weak scaling: each rank has as many images as one process by itself; strong: half as many. Beside them stand two processes
that know nothing of each other, since two cores of one machine share its memory and its clock. Runs the w step of
cifar:32, of which --sync-bn exchanges every norm's statistics too, and a mean of as many bytes as its gradients have
beside a copy of as many on both ranks at once.

  mvn -q -B package -pl bench -am -DskipTests
  python3 bench/ranks.py [--case cifar:32] [--mpirun 'mpirun.openmpi --bind-to core'] [--rounds 3] [--out FILE]
"""
import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

import machine

HERE = pathlib.Path(__file__).resolve().parent
JAR = HERE / "target/benchmarks.jar"


def lines(processes):
    """The results of processes that run at once."""
    found = []
    for process in processes:
        out, _ = process.communicate()
        if process.returncode:
            sys.exit(process.returncode)
        found += [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="cifar:32")
    parser.add_argument("--mpirun", default="mpirun.openmpi --bind-to core"
                        + (" --allow-run-as-root" if os.geteuid() == 0 else ""))
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/ranks.md")
    args = parser.parse_args()
    java = [machine.java(), "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED",
            "-XX:+UseSerialGC", "-cp", str(JAR), "io.fbnet.bench.RankSteps"]
    mpirun = shlex.split(args.mpirun) + ["-n", "2", "env"]
    space, batch = args.case.rsplit(":", 1)
    half = "%s:%d" % (space, int(batch) // 2)

    def start(command, *more):
        return subprocess.Popen(command + list(more), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    kinds = {
        "one process": lambda: [start(["taskset", "-c", "0"] + java, args.case)],
        "two that know nothing of each other": lambda: [start(["taskset", "-c", str(i)] + java, args.case)
                                                        for i in (0, 1)],
        "two ranks, as many images each": lambda: [start(mpirun + java, args.case)],
        "two ranks, as many with `--sync-bn`": lambda: [start(mpirun + java, args.case, "sync-bn")],
        "two ranks, half as many images each": lambda: [start(mpirun + java, half)],
    }
    results = {kind: [] for kind in kinds}
    for _ in range(args.rounds):
        for kind, begin in kinds.items():
            found = lines(begin())
            results[kind].append({key: statistics.mean(f[key] for f in found) for key in found[0]}
                                 | {"images_s": sum(f["images_s"] for f in found)})
            print(kind, results[kind][-1], flush=True)

    def median(kind, key):
        return statistics.median(r[key] for r in results[kind])

    one, apart = median("one process", "images_s"), median("two that know nothing of each other", "images_s")
    rows = []
    for kind in kinds:
        rate = median(kind, "images_s")
        ranks = "ranks" in kind
        rows.append("| %s | %.1f | %.1f | %.2f | %s | %s |" % (
            kind, median(kind, "step_ms"), rate, rate / one, "%.2f" % (rate / apart) if ranks else "",
            "%.1f%%" % (100 * median(kind, "mean_ms") / median(kind, "step_ms")) if ranks else ""))
    weak = results["two ranks, as many images each"]
    ratio = statistics.median(r["mean_ms"] / r["copy_ms"] for r in weak)
    args.out.write_text("""# What ranks cost

w step of `%s`, f32, one thread each on a core of its own; %d cores of %s; commit %s; `python3 bench/ranks.py`
(`%s`). Medians of %d runs, of 30 steps each; images a second are those of both processes.

| | step, ms | images/s | of one process | of two apart | mean of gradients, of the step |
| --- | --- | --- | --- | --- | --- |
%s

A step exchanges %.2f MB (gradients %.2f MB, the rest running statistics and results). A mean of the gradients takes %.2f
ms, a copy of as many bytes on both ranks at once %.2f ms: %.2f times as long (of each run %s).
""" % (args.case, os.cpu_count(), machine.processor(), machine.revision(), args.mpirun, args.rounds, "\n".join(rows),
       weak[0]["bytes"] / 1e6, weak[0]["gradient_bytes"] / 1e6, statistics.median(r["mean_ms"] for r in weak),
       statistics.median(r["copy_ms"] for r in weak), ratio,
       ", ".join("%.2f" % (r["mean_ms"] / r["copy_ms"]) for r in weak)))
    print("written to", args.out)


if __name__ == "__main__":
    main()
