#!/usr/bin/env python3
"""How a supernet's w step grows: with batch, resolution, candidates and threads, on this CPU.

Times by JMH, each in a Java process of its own, with the peak of its memory; planned memory as the program says it.
Slopes are those of a straight line through the logarithms. Goes on where it was stopped.

  mvn -q -B package -pl bench -am -DskipTests
  python3 bench/growth.py [--quick] [--java JAVA] [--out FILE]
"""
import argparse
import json
import math
import os
import pathlib
import re
import statistics
import tempfile

import machine
import supernet_peers

HERE = pathlib.Path(__file__).resolve().parent
CIFAR = HERE.parent / "nas/src/main/resources/io/fbnet/nas/space/cifar.yaml"
BLOCKS = ["k3_e6", "k5_e6", "k3_e3", "k5_e3", "k3_e1", "k5_e1", "k3_e1_g2", "k5_e1_g2", "skip"]
# What grows: its values, and what stays (batch, resolution, candidates, threads).
SERIES = {
    "batch": [8, 16, 32, 64, 128],
    "resolution": [32, 64, 96, 128, 224],
    "candidates": [1, 2, 4, 6, 9],
    "threads": [1, 2]}
STAYS = {
    "batch": (None, 32, 9, 2), "resolution": (8, None, 9, 2), "candidates": (32, 32, None, 2),
    "threads": (32, 32, 9, None)}


def space(folder, resolution, candidates):
    """The cifar outline at a resolution and with the first few candidates."""
    text = re.sub(r"height: \d+, width: \d+", "height: %d, width: %d" % (resolution, resolution), CIFAR.read_text())
    text = re.sub(r"blocks: .*", "blocks: [%s]" % ", ".join(BLOCKS[:candidates]), text)
    file = pathlib.Path(folder) / ("cifar-%d-%d.yaml" % (resolution, candidates))
    file.write_text(text)
    return file


def measure(java, folder, memory, batch, resolution, candidates, threads, steps):
    """Median ms, peak MiB, planned MiB."""
    file = space(folder, resolution, candidates)
    side = ("ours", supernet_peers.OURS, ["device=cpu", "memory=" + memory], {}, steps, steps)
    times, peak = supernet_peers.run(java, side, str(file), batch, "w", threads)
    rows = supernet_peers.planned(java, "%s:%d" % (file, batch)).splitlines()
    held = next(float(row.split("|")[4]) for row in rows if "| %s |" % memory in row)
    return statistics.median(times), peak, held


def slope(xs, ys):
    lx, ly = [math.log(x) for x in xs], [math.log(y) for y in ys]
    mx, my = statistics.mean(lx), statistics.mean(ly)
    return sum((a - mx) * (b - my) for a, b in zip(lx, ly)) / sum((a - mx) ** 2 for a in lx)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--java", help="of JDK 25; by default what bench/jdk finds")
    parser.add_argument("--quick", action="store_true", help="two values of each series, one step: whether it runs")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/growth.md")
    args = parser.parse_args()
    args.java = args.java or machine.java()
    tree = machine.revision("HEAD:engine")
    raw = HERE / "target" / ("growth-%s%s.json" % (tree, "-quick" if args.quick else ""))
    kept = json.loads(raw.read_text()) if raw.exists() else {}
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for what, values in SERIES.items():
            values = values[:2] if args.quick else values
            rows, columns = [], {m: [] for m in ("normal", "lean")}
            for value in values:
                setting = [value if v is None else v for v in STAYS[what]]
                row = "| %d |" % value
                for memory in columns:
                    key = " ".join(map(str, [memory] + setting))
                    if key not in kept:
                        kept[key] = measure(args.java, folder, memory, *setting, 1 if args.quick else 4)
                        raw.write_text(json.dumps(kept))
                    print("%s %d %s: %.0f ms, peak %.0f MiB, planned %.0f MiB" % (what, value, memory, *kept[key]), flush=True)
                    columns[memory].append(kept[key])
                    row += " %.0f | %.0f | %.0f |" % tuple(kept[key])
                rows.append(row)
            end = "| slope |"
            for found in columns.values():
                for i in range(3):
                    end += " %.2f |" % slope(values, [f[i] for f in found])
            stays = dict(zip(("batch", "resolution", "candidates", "threads"), STAYS[what]))
            fixed = ", ".join("%s %d" % (k, v) for k, v in stays.items() if v is not None)
            tables.append("## %s\n\n%s.\n\n| %s | ms | peak MiB | planned MiB | lean: ms | peak MiB | planned MiB |\n"
                          "| --- | --- | --- | --- | --- | --- | --- |\n%s\n%s\n" % (
                              what.capitalize(), fixed.capitalize(), what, "\n".join(rows), end))
    processor = machine.processor()
    body = "\n".join(tables)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(f"""# How a step grows

The w step of the `cifar` outline, f32; {os.cpu_count()} cores of {processor}; tree {tree} of `engine`; `python3
bench/growth.py`. Medians of four steps after four; peak is the process's, planned the arena's. A slope is that of a
straight line through the logarithms: 1 is proportional.

{body}""")
    print("written to", args.out)


if __name__ == "__main__":
    main()
