#!/usr/bin/env python3
"""Which strategy finds the better network at equal cost? Searches on Fashion-MNIST with a measured latency table.

Five paired seeds by default. Each search may take the same multiply-adds, trains its supernet in its own way, scores the
same number of networks by the same scorer within the same latency, and has the same number of picks trained from scratch
by one recipe. The kept one is judged on the test images, which are read once for it. Costs are counted in multiply-adds,
so other work on the machine changes nothing but the seconds. The comparison lies in --runs: what is finished is not
repeated, what was stopped goes on, and however the command ends, what is known by then is written.

  python3 bench/contest.py [--strategies A,B] [--seeds 1,2,3,4,5] [--cost 7T] [--evaluations 100] [--train 1]
                           [--data NAME|DIR] [--threads N] [--lut TABLE] [--runs DIR] [--out FILE]

The table is written beside the results, as FILE's name with .latency.json: with it as --lut further seeds or strategies
can be compared with those that were run before, in another folder of --runs.
"""
import argparse
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import machine

HERE = pathlib.Path(__file__).resolve().parent
SPACE = "fashion"
RECIPE = """epochs: 15
batch: 64
rate: 0.1
schedule: cosine
weight-decay: 1e-4
label-smoothing: 0.1
"""


def call(command):
    """Runs a command to its end, which Ctrl-C reaches too. Returns its exit code."""
    print("+", shlex.join(command), flush=True)
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass


def target(table):
    """The mean of uniform draws, in milliseconds of three digits."""
    return float("%.3g" % (table["fixed"] + sum(sum(row) / len(row) for row in table["layers"])))


def number(value, form):
    return "-" if value is None else form % value


def write(args, results, limit):
    runs = results["runs"]
    seeds = sorted({run["seed"] for run in runs})
    rows, values, found = [], [], []
    for strategy in results["strategies"]:
        name = strategy["name"]
        rows.append("| %s | %d | %.3f | %.0f | %s | %s | %s | %s | %s |" % (
            name, strategy["runs"], strategy["macs"] / 1e12, strategy["seconds"],
            number(strategy["mean"], "%.4f"), number(strategy["deviation"], "%.4f"),
            number(strategy.get("difference"), "%+.4f") if "pairs" in strategy else "",
            number(strategy.get("t"), "%.2f") if "pairs" in strategy else "",
            number(strategy.get("p"), "%.3f") if "pairs" in strategy else ""))
        by = {run["seed"]: run for run in runs if run["strategy"] == name}
        values.append("| %s | %s |" % (name, " | ".join(
            number(by[s]["value"], "%.4f") if s in by else "" for s in seeds)))
    for run in sorted(runs, key=lambda r: (r["seed"], r["strategy"])):
        found.append("| %d | %s | %s | %s | %s | %.3f | %.0f | %s |" % (
            run["seed"], run["strategy"], number(run["value"], "%.4f"), number(run["score"], "%.4f"),
            number(run["latency_ms"], "%.4f"), run["macs"] / 1e12, run["seconds"], " ".join(run["blocks"])))
    missing = ("\n**%d searches of the comparison are not finished and not in here.**\n" % results["missing"]
               if results["missing"] else "")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(f"""# Strategies at equal cost

Space `{SPACE}`, {args.data}; latency table [{args.out.stem}.latency.json]({args.out.stem}.latency.json); searches on {os.cpu_count()} cores of {machine.processor()}, {args.threads}
threads; commit {machine.revision()}.

```sh
python3 bench/contest.py --strategies {args.strategies} --seeds {args.seeds} --cost {args.cost} --evaluations {args.evaluations} --train {args.train} --threads {args.threads} --lut {args.out.stem}.latency.json
```
{missing}
- each search: {args.cost} multiply-adds, scoring and recalibration included; `--target-latency {limit:g}ms`; {args.evaluations} networks scored; otherwise the space's defaults
- each pick, {args.train} a search, the best scored: `{", ".join(RECIPE.split(chr(10))).strip(", ")}`, on the images that trained w, with the search's seed; the one that is best on the held out images is kept
- value: the kept one's accuracy on all test images, read once for it; t and p (two-sided) are of Student's paired test over the seeds against `{results["base"]}`
- seconds are of a machine on which other work went on; multiply-adds are not touched by that

| strategy | searches | multiply-adds, 10^12 | seconds | value | deviation | less {results["base"]} | t | p |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}

| value | {" | ".join("seed %d" % s for s in seeds)} |
| --- |{" --- |" * len(seeds)}
{chr(10).join(values)}

| seed | strategy | value | held out | latency ms | multiply-adds, 10^12 | seconds of the search | blocks |
| --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(found)}
""")
    shutil.copyfile(args.runs / "latency.json", args.out.with_suffix(".latency.json"))
    print("written to", args.out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fbnet", default=str(HERE.parent / "fbnet"), help="the program and its first arguments")
    parser.add_argument("--strategies", default="fbnet,single-path,tf-nas,darts,random")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--cost", default="7T")
    parser.add_argument("--evaluations", default=100, type=int)
    parser.add_argument("--train", default=1, type=int)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--threads", default=os.cpu_count(), type=int)
    parser.add_argument("--lut", type=pathlib.Path, help="the table of an earlier contest; else one is measured")
    parser.add_argument("--runs", type=pathlib.Path, default=HERE / "target/contest")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/contest.md")
    args = parser.parse_args()
    fbnet = shlex.split(args.fbnet)
    args.runs.mkdir(parents=True, exist_ok=True)
    lut = args.runs / "latency.json"
    if args.lut and not args.lut.exists():
        sys.exit("there is no table %s" % args.lut)
    if args.lut and not lut.exists():
        shutil.copyfile(args.lut, lut)
    elif args.lut and args.lut.read_bytes() != lut.read_bytes():
        sys.exit("%s was begun with another table than %s: name another folder by --runs" % (args.runs, args.lut))
    if not lut.exists():
        code = call(fbnet + ["latency", "measure", "--space", SPACE, "--threads", str(args.threads), "--out", str(lut)])
        if code != 0:
            sys.exit(code)
    limit = target(json.loads(lut.read_text()))
    recipe = args.runs / "recipe.yaml"
    recipe.write_text(RECIPE)
    folder = args.runs / "comparison"
    if (folder / "config.yaml").exists():
        command = ["compare-strategies", "--resume", str(folder)]
    else:
        command = ["compare-strategies", "--out", str(folder), "--strategies", args.strategies, "--seeds", args.seeds,
                   "--space", SPACE, "--lut", str(lut), "--data", args.data, "--threads", str(args.threads),
                   "--target-latency", "%gms" % limit, "--cost", args.cost, "--evaluations", str(args.evaluations)]
        if args.train:
            command += ["--train", str(args.train), "--recipe", str(recipe)]
    code = call(fbnet + command)
    results = folder / "results.json"
    if results.exists() and json.loads(results.read_text())["runs"]:
        write(args, json.loads(results.read_text()), limit)
    sys.exit(code)


if __name__ == "__main__":
    main()
