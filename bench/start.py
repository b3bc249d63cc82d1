#!/usr/bin/env python3
"""Times how long `doctor` takes, and how long a search takes from its data to its first step.

The first step is timed from the line that names the run's folder, which is written once the images are read, to the
first line of progress; the latency table is in the user's cache (a search that is not timed comes first).

  mvn -q -B package -pl nas -am -DskipTests
  python3 bench/start.py [--starts 8] [--space fashion] [--threads 2] [--out FILE]
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import machine

HERE = pathlib.Path(__file__).resolve().parent
FBNET = str(HERE.parent / "fbnet")


def doctor():
    """Seconds of one run."""
    start = time.monotonic()
    subprocess.run([FBNET, "doctor"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def first_step(space, threads):
    """Seconds from the images to the first step."""
    with tempfile.TemporaryDirectory() as folder:
        command = [FBNET, "search", "--space", space, "--device", "cpu", "--threads", str(threads), "--epochs", "1",
                   "--warmup-epochs", "1", "--train-images", "640", "--samples", "2", "--out", folder + "/run"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            data = None
            said = []
            for line in process.stdout:
                said.append(line)
                if "run folder" in line:
                    data = time.monotonic()
                elif "epoch 1" in line and data is not None:
                    took = time.monotonic() - data
                    process.kill()
                    return took
        raise SystemExit("no step was seen: " + "".join(said))


def row(what, seconds):
    listed = ", ".join("%.2f" % s for s in seconds)
    return "| %s | %.2f | %s |" % (what, statistics.median(seconds), listed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--space", default="fashion")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/start.md")
    args = parser.parse_args()
    doctor()
    doctors = [doctor() for _ in range(args.starts)]
    first_step(args.space, args.threads)
    steps = [first_step(args.space, args.threads) for _ in range(args.starts)]
    args.out.write_text(f"""# Starts

{os.cpu_count()} cores of {machine.processor()}; commit {machine.revision()}; `python3 bench/start.py`. Seconds.

| what | median | each |
| --- | --- | --- |
{row("`./fbnet doctor`", doctors)}
{row("first step of a search, `%s`, %d threads, after its images are read" % (args.space, args.threads), steps)}
""")
    print(args.out.read_text())


if __name__ == "__main__":
    main()
