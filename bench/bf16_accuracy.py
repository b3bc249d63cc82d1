#!/usr/bin/env python3
"""Is a short search on bf16 images as good as one in f32? Both for each seed, and what they found trained in f32.

The two searches of a seed differ in --precision alone: same table, same target, same images. Runs lie in --runs; what
is finished is not repeated, what was stopped goes on. Writes a Markdown file.

  python3 bench/bf16_accuracy.py [--data NAME|DIR] [--threads N] [--seeds 1,2,3] [--runs DIR] [--out FILE]
"""
import argparse
import json
import os
import pathlib
import shlex
import statistics

import machine
import search_quality

HERE = pathlib.Path(__file__).resolve().parent
SPACE = "fashion"
SEARCH = "--epochs 5 --warmup-epochs 1 --train-images 6000".split()
CHILD = ("--train-images 12000 --epochs 6 --batch 64 --rate 0.1 --schedule cosine --weight-decay 1e-4 "
         "--label-smoothing 0.1").split()


def supernet_accuracy(run):
    """The mean accuracy of the theta steps of the last epoch: images that w never sees."""
    lines = list(map(json.loads, (run / "metrics.jsonl").read_text().splitlines()))
    last = max(line["epoch"] for line in lines)
    return statistics.mean(line["accuracy"] for line in lines if line["epoch"] == last and line["phase"] == "theta")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--fbnet", default=str(HERE.parent / "fbnet"), help="how fbnet is called")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--runs", type=pathlib.Path, default=HERE / "target/bf16-accuracy")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/bf16-accuracy.md")
    args = parser.parse_args()
    args.fbnet = shlex.split(args.fbnet)
    args.runs.mkdir(parents=True, exist_ok=True)
    lut = args.runs / "latency.json"
    if not lut.exists():
        search_quality.call(args, args.fbnet + ["latency", "measure", "--space", SPACE, "--device", "cpu", "--threads",
                                                str(args.threads), "--out", str(lut)], args.runs / "none", "measuring")
    table = json.loads(lut.read_text())
    target = float("%.3g" % (table["fixed"] + sum(sum(row) / len(row) for row in table["layers"])))
    rows, differences = [], []
    for seed in map(int, args.seeds.split(",")):
        tests = {}
        for precision in ("f32", "bf16"):
            name = "%s-%d" % (precision, seed)
            run = args.runs / ("search-" + name)
            begin = ["search", "--space", SPACE, "--device", "cpu", "--precision", precision, "--lut", str(lut),
                     "--target-latency", "%gms" % target, "--seed", str(seed), "--data", args.data, "--threads",
                     str(args.threads), "--out", str(run)] + SEARCH
            search_quality.resumed(args, "search", run, begin, "the search " + name)
            found = run / "architecture.json"
            tests[precision], _ = search_quality.child(args, name, found, seed, args.runs / ("child-" + name),
                                                      CHILD)
            blocks = json.loads(found.read_text())["blocks"]
            rows.append("| %d | %s | %.4f | %.4f | %.4f | %s |" % (
                seed, precision, supernet_accuracy(run), tests[precision], search_quality.latency(table, blocks),
                " ".join(blocks)))
            print(rows[-1], flush=True)
        differences.append(tests["bf16"] - tests["f32"])
    body = "\n".join(rows)
    args.out.write_text(f"""# Short searches on bf16 images and in f32

Space `{SPACE}`, {args.data}; {os.cpu_count()} cores of {machine.processor()}, {args.threads} threads; commit {machine.revision()};
`python3 bench/bf16_accuracy.py`.

- search: `--target-latency {target:g}ms {' '.join(SEARCH)}`, with one table for all
- child: what was found, trained in f32: `train NETWORK {' '.join(CHILD)}`, same seed as the search

The child's accuracy on the test images is {statistics.mean(differences):+.4f} after bf16, in the mean of {len(differences)} seeds
({', '.join('%+.4f' % d for d in differences)}).

| seed | precision | supernet, images of theta | child, test images | latency ms | blocks |
| --- | --- | --- | --- | --- | --- |
{body}
""")
    print("written to", args.out)


if __name__ == "__main__":
    main()
