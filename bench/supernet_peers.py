#!/usr/bin/env python3
"""Times supernet steps of ours and of libtorch on this CPU by JMH and writes the table of ratios.

Each side runs in a Java process of its own, with waiting threads that sleep (OMP_WAIT_POLICY=passive). libtorch is run
as it comes and as its own users would tune it: allocator thresholds and primitive caches raised, channels_last. Sides
take turns within each round, and a ratio is taken of the medians over all rounds. What was measured is kept beside the
jar, for this tree of the engine: the script goes on where it was stopped.

  mvn -q -B package -Ppeers -pl bench -am -DskipTests
  python3 bench/supernet_peers.py [--cases cifar:32,fashion:64,imagenet:8] [--threads 2] [--rounds 3] [--out FILE]
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

import machine

HERE = pathlib.Path(__file__).resolve().parent
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456", "MALLOC_ARENA_MAX": "2",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8192", "LRU_CACHE_CAPACITY": "8192"}
OURS = "io.fbnet.bench.SupernetStepBenchmark"
TORCH = "io.fbnet.bench.peers.TorchStepBenchmark"
# Name, benchmark, parameters, environment, warm-up and measured steps of a round.
SIDES = [
    ("ours", OURS, ["device=cpu", "memory=normal"], {}, 6, 6),
    ("ours, lean", OURS, ["device=cpu", "memory=lean"], {}, 6, 6),
    ("libtorch default", TORCH, ["layout=contiguous"], {}, 2, 3),
    ("libtorch tuned", TORCH, ["layout=channels_last"], TUNED, 3, 5)]


def run(java, side, space, batch, step, threads):
    """Milliseconds of each measured step, and the peak of the process's memory in MiB."""
    _, benchmark, parameters, environment, warm, measured = side
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [java, "-jar", str(HERE / "target/benchmarks.jar"), benchmark + ".step$", "-rf", "json", "-rff", out.name,
                   "-f", "1", "-wi", str(warm), "-i", str(measured), "-foe", "true",
                   "-prof", "io.fbnet.bench.PeakMemory"]
        for p in parameters + ["space=" + space, "batch=%d" % batch, "step=" + step, "threads=%d" % threads]:
            command += ["-p", p]
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="passive", **environment)
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
        found = json.loads(pathlib.Path(out.name).read_text())[0]
    peak = next(v["score"] for k, v in found["secondaryMetrics"].items() if k.endswith("peakMiB"))
    return [ms for fork in found["primaryMetric"]["rawData"] for ms in fork], peak


def rows_of(java, program, *arguments):
    """Rows of a Markdown table that a program of ours prints."""
    return subprocess.run(
        [java, "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED", "-XX:+UseSerialGC",
         "-cp", str(HERE / "target/benchmarks.jar"), "io.fbnet.bench." + program, *arguments],
        check=True, capture_output=True, text=True).stdout


def planned(java, cases):
    """What w steps of ours plan to hold, normal and lean."""
    return rows_of(java, "StepMemory", cases)


def steps(args):
    """What is timed: libtorch's theta step is left out, as what is asked of ours is its share of the w step."""
    for case in args.cases.split(","):
        for step in args.steps.split(","):
            for side in SIDES if step == "w" else SIDES[:2]:
                yield case, step, side


def spread(values):
    return (max(values) - min(values)) / statistics.median(values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="cifar:32,fashion:64,imagenet:8", help="SPACE:BATCH, ...")
    parser.add_argument("--steps", default="w,theta")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--java", help="of JDK 25; by default what bench/jdk finds")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/supernet-peers.md")
    args = parser.parse_args()
    args.java = args.java or machine.java()
    commit = machine.revision("HEAD:engine")
    raw = HERE / "target" / ("supernet-peers-%s.json" % commit)
    kept = json.loads(raw.read_text()) if raw.exists() else {}
    for round_ in range(args.rounds):
        for case, step, side in steps(args):
            key = " ".join([case, step, side[0], str(args.threads), str(round_)])
            if key not in kept:
                space, batch = case.rsplit(":", 1)
                ms, peak = run(args.java, side, space, int(batch), step, args.threads)
                kept[key] = [statistics.median(ms), peak]
                raw.write_text(json.dumps(kept))
            print("%s: %.0f ms, peak %.0f MiB" % (key, *kept[key]), flush=True)
    rows = []
    for case, step, side in steps(args):
        found = [kept[" ".join([case, step, side[0], str(args.threads), str(r)])] for r in range(args.rounds)]
        ms, peak = statistics.median(f[0] for f in found), max(f[1] for f in found)
        if side is SIDES[0]:
            ours, least = ms, peak
        rows.append("| %s | %s | %s | %.0f | %.0f%% | %.2f | %.0f | %.2f |" % (
            case, step, side[0], ms, 100 * spread([f[0] for f in found]), ms / ours, peak, peak / least))
    memory = planned(args.java, args.cases)
    processor = machine.processor()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(rows)
    share = rows_of(args.java, "StepShares", args.cases, str(args.threads))
    args.out.write_text(f"""# Supernet steps: ours and libtorch

{processor}, {args.threads} threads, f32; tree {commit} of `engine`; `python3 bench/supernet_peers.py --rounds {args.rounds}`.
Median of {args.rounds} rounds, each the median of its steps after the first ones; spread is the largest less the smallest
round by the median. Both sides assert equal parameters and multiply-adds before they are timed.

| space:batch | step | side | ms | spread | time / ours | peak MiB | peak / ours |
| --- | --- | --- | --- | --- | --- | --- | --- |
{body}

The theta step, the lean w step and the w step on bf16 images as shares of the w step, the four taking turns in one
process: median and quartiles.

{share}
Memory that the steps of ours plan: MiB of the arena, of every value of the unfused graph (gradients included), the one
by the other, and what kernels hold beside it.

| space:batch | step | memory | planned | every value | planned / every | beside |
| --- | --- | --- | --- | --- | --- | --- |
{memory}""")
    print("written to", args.out)


if __name__ == "__main__":
    main()
