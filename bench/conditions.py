#!/usr/bin/env python3
"""Is a network best under the condition that it was found for? Two devices, and two resolutions.

Searches the space cifar once for each condition: for two devices by their built-in tables at 32x32, and for two
resolutions by tables measured on this machine. Each network is then trained by one recipe at every resolution in question
and judged on the test images, read once for each training; its latency under a condition is that of the condition's table.
A network keeps a condition if it is at most 1.02 of the target. Runs lie in --runs; what is finished is not repeated, what
was stopped goes on, and costs are counted in multiply-adds, so other work on the machine changes nothing but the seconds.

  python3 bench/conditions.py --data DIR [--strategy NAME] [--devices A,B] [--resolutions 32,24] [--cost 30T]
                              [--images N] [--threads N] [--runs DIR] [--out FILE]
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import machine
from contest import target

HERE = pathlib.Path(__file__).resolve().parent
SPACE = "cifar"
MOST = 1.02
RECIPE = ("--epochs 12 --batch 64 --rate 0.1 --schedule cosine --weight-decay 1e-4 --label-smoothing 0.1 "
          "--seed 1").split()


def call(command):
    """Runs a command and returns what it wrote; ends this program where it fails."""
    print("+", shlex.join(command), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def latency(table, blocks):
    """Milliseconds of a network's blocks by a table."""
    names = table["space"]["blocks"]
    return table["fixed"] + sum(row[names.index(block)] for row, block in zip(table["layers"], blocks))


class Condition:
    def __init__(self, name, resolution, lut):
        self.name, self.resolution, self.lut = name, resolution, lut

    def table(self):
        file = pathlib.Path(self.lut)
        built_in = HERE.parent / "nas/src/main/resources/io/fbnet/nas/latency" / (self.lut + ".json")
        return json.loads((file if file.exists() else built_in).read_text())


def finished(args, fbnet, condition):
    """Searches for a condition and returns the blocks that were found."""
    run = args.runs / ("search-" + condition.name)
    if not (run / "architecture.json").exists():
        if (run / "config.yaml").exists():
            call(fbnet + ["search", "--resume", str(run)])
        else:
            call(fbnet + ["search", "--space", SPACE, "--resolution", str(condition.resolution), "--lut", condition.lut,
                          "--data", args.data, "--train-images", str(args.images), "--strategy", args.strategy, "--batch",
                          "64", "--target-latency", "%gms" % target(condition.table()), "--cost", args.cost, "--samples",
                          "20", "--seed", "1", "--threads", str(args.threads), "--device", "cpu", "--out", str(run)]
                 + ([] if args.strategy in ("fbnet", "darts") else ["--evaluations", "20"]))
    return [layer if isinstance(layer, str) else layer["block"]
            for layer in json.loads((run / "architecture.json").read_text())["blocks"]]


def accuracy(args, fbnet, condition, resolution):
    """The test accuracy of a condition's network, trained at a resolution."""
    run = args.runs / ("train-%s-%d" % (condition.name, resolution))
    said = run / "accuracy.txt"
    if not said.exists():
        if (run / "config.yaml").exists():
            text = call(fbnet + ["train", "--resume", str(run)])
        else:
            network = args.runs / ("search-" + condition.name) / "architecture.json"
            text = call(fbnet + ["train", str(network), "--resolution", str(resolution), "--data", args.data,
                                 "--train-images", str(args.images), "--threads", str(args.threads), "--device", "cpu",
                                 "--out", str(run)] + RECIPE)
        said.write_text(re.search(r"accuracy on the \d+ test images of .*: ([0-9.]+)", text).group(1))
    return float(said.read_text())


def compare(args, fbnet, title, conditions):
    """A table of networks under conditions; and for each condition a sentence on which is best."""
    blocks = {c.name: finished(args, fbnet, c) for c in conditions}
    call(fbnet + ["compare-devices"] + [str(args.runs / ("search-" + c.name)) for c in conditions])
    rows, sentences = [], []
    for found in conditions:
        cells = []
        for at in conditions:
            table = at.table()
            cells.append("%s%.4f of %g ms, %.4f%s" % (
                "**" if at is found else "", latency(table, blocks[found.name]), target(table),
                accuracy(args, fbnet, found, at.resolution), "**" if at is found else ""))
        rows.append("| %s | %s | %s |" % (found.name, " | ".join(cells), " ".join(blocks[found.name])))
    for at in conditions:
        table = at.table()
        kept = {c.name: accuracy(args, fbnet, c, at.resolution) for c in conditions
                if latency(table, blocks[c.name]) <= MOST * target(table)}
        over = [c.name for c in conditions if c.name not in kept]
        best = max(kept, key=kept.get)
        sentences.append("- under `%s` %s%s" % (
            at.name, "the network found for it is best" if best == at.name
            else "the network found for `%s` is better, by %.4f" % (best, kept[best] - kept[at.name]),
            "; that of %s is too slow" % " and ".join("`%s`" % name for name in over) if over else
            "; all keep the target"))
    return """## %s

| found for | %s | blocks |
| --- |%s --- |
%s

%s
""" % (title, " | ".join("at `%s`" % c.name for c in conditions), " --- |" * len(conditions), "\n".join(rows),
       "\n".join(sentences))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fbnet", default=str(HERE.parent / "fbnet"), help="the program and its first arguments")
    parser.add_argument("--data", required=True, help="a folder of CIFAR-10")
    parser.add_argument("--strategy", default="fbnet")
    parser.add_argument("--devices", default="raspi4,titan_rtx_64")
    parser.add_argument("--resolutions", default="32,24")
    parser.add_argument("--cost", default="30T")
    parser.add_argument("--images", default=4000, type=int)
    parser.add_argument("--threads", default=os.cpu_count(), type=int)
    parser.add_argument("--runs", type=pathlib.Path, default=HERE / "target/conditions")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/conditions.md")
    args = parser.parse_args()
    fbnet = shlex.split(args.fbnet)
    args.runs = args.runs.resolve()
    args.runs.mkdir(parents=True, exist_ok=True)
    devices = [Condition(name, 32, name) for name in args.devices.split(",")]
    sizes = []
    for side in map(int, args.resolutions.split(",")):
        lut = args.runs / ("latency-%d.json" % side)
        if not lut.exists():
            call(fbnet + ["latency", "measure", "--space", SPACE, "--resolution", str(side), "--threads",
                          str(args.threads), "--device", "cpu", "--out", str(lut)])
        sizes.append(Condition("%dx%d" % (side, side), side, str(lut)))
    parts = [compare(args, fbnet, "Two devices", devices), compare(args, fbnet, "Two resolutions", sizes)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("""# Networks under the conditions of others

Space `%s`, %d training images of CIFAR-10, strategy `%s`, one seed; tables of the resolutions measured on this machine (%d
cores of %s, %d threads); commit %s.

```sh
python3 bench/conditions.py --data DIR --strategy %s --devices %s --resolutions %s --cost %s --images %d
```

Latency by the condition's table, of its target, which is the mean of uniform draws; and the test accuracy of a training at
its resolution (`%s`), the test images read once for it. Bold: a network under its own condition. One search and one
training each, so differences of accuracy below 0.01 say little (a binomial deviation is 0.005).

%s""" % (SPACE, args.images, args.strategy, os.cpu_count(), machine.processor(), args.threads, machine.revision(),
         args.strategy, args.devices, args.resolutions, args.cost, args.images, " ".join(RECIPE), "\n".join(parts)))
    print("written to", args.out)


if __name__ == "__main__":
    main()
