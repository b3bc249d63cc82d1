#!/usr/bin/env python3
"""kill -9 at random moments of a search, a training, `sample --train` and `latency measure`, and what a resume gives.

Each run is killed once, at a moment drawn evenly from its whole length or from its training, and resumed by the command that a user would
give: its results, metrics and newest checkpoint must be those of an unbroken run, byte for byte. A latency table is
measured, so there the file must be absent or whole after the kill, and whole after the command is given again.
Goes on where it was stopped.

  mvn -q -B package -pl nas -am -DskipTests
  python3 bench/kill_resume.py [--kills 100] [--seed 1] [--out FILE]
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import machine

HERE = pathlib.Path(__file__).resolve().parent
FBNET = str(HERE.parent / "fbnet")
SPACE = """name: tiny
input: {channels: 3, height: 16, width: 16}
classes: 2
stem: {width: 8, stride: 1}
stages:
  - {width: 8, layers: 1, stride: 1}
  - {width: 16, layers: 2, stride: 2}
head: 16
blocks: [k3_e1, k3_e3, k5_e1, skip]
"""
TABLE = """unit us
device bench
fixed 50
10 30 20 0
12 35 22 8
11 33 21 0
"""
VERBS = ["search", "train", "sample", "latency"]
TURNS = ["search", "train", "sample"] * 3 + ["latency"]
# From when a moment is drawn: a run is killed as often on its way to its first step as behind that.
SINCE = {"search": ["", "run folder"], "train": ["", "run folder"], "sample": ["", "run folder"], "latency": [""]}


def fbnet(arguments, kill_after=None, since=""):
    """Exit code (None where it was killed), standard error, and seconds, from the moment in which it says some words."""
    with tempfile.NamedTemporaryFile() as err:
        start = time.monotonic()
        process = subprocess.Popen([FBNET] + arguments, stdout=subprocess.DEVNULL, stderr=err)
        while process.poll() is None and since not in pathlib.Path(err.name).read_text():
            time.sleep(0.005)
            start = time.monotonic()
        try:
            code = process.wait(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            code = None
        return code, pathlib.Path(err.name).read_text(), time.monotonic() - start


def done(arguments, since=""):
    """Runs to the end, which must be good; seconds."""
    code, err, took = fbnet(arguments, since=since)
    if code != 0:
        raise SystemExit("%s ended with %d: %s" % (" ".join(arguments), code, err))
    return took


def images(folder, draw):
    """IDX files of random pictures of two classes, one of them brighter; the folder's name."""
    folder.mkdir()
    for split, count in (("train", 40), ("t10k", 10)):
        pixels = bytes(draw.randrange(128) + 100 * (i % 2) for i in range(count) for _ in range(256))
        (folder / (split + "-images-idx3-ubyte")).write_bytes(struct.pack(">4i", 0x803, count, 16, 16) + pixels)
        labels = bytes(i % 2 for i in range(count))
        (folder / (split + "-labels-idx1-ubyte")).write_bytes(struct.pack(">2i", 0x801, count) + labels)
    return str(folder)


def results(run):
    """Hashes of what counts in a run's folder: of the checkpoints, the newest."""
    found = {}
    for file in sorted(run.rglob("*")):
        name = str(file.relative_to(run))
        if file.is_file() and not name.endswith((".lock", ".html", "cost.jsonl")) and "tfevents" not in name:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    for folder in run.rglob("checkpoints"):
        for old in sorted(folder.iterdir())[:-1]:
            prefix = str(old.relative_to(run)) + "/"
            found = {name: value for name, value in found.items() if not name.startswith(prefix)}
    return found


class Work:
    """What is run, killed and resumed, in a folder of its own; paths are the same every time."""

    def __init__(self, folder):
        self.folder = folder
        self.run = folder / "run"
        self.kept = folder / "kept"
        self.table = folder / "measured.json"
        (folder / "tiny.yaml").write_text(SPACE)
        (folder / "tiny.txt").write_text(TABLE)
        done(["latency", "import", str(folder / "tiny.txt"), "--space", str(folder / "tiny.yaml"),
              "--out", str(folder / "tiny.json")])
        data = images(folder / "grey", random.Random(1))
        device = ["--device", "cpu", "--threads", "1"]
        search = ["search", "--space", str(folder / "tiny.yaml"), "--lut", str(folder / "tiny.json"), "--data", data,
                  "--epochs", "8", "--warmup-epochs", "1", "--batch", "4", "--theta-rate", "0.05", "--samples", "2",
                  "--max-macs", "150k", "--out", str(self.run)] + device
        done(search)
        shutil.move(self.run, self.kept)
        train = ["train", str(self.kept / "architecture.json"), "--data", data, "--epochs", "10", "--batch", "4", "--ema",
                 "0.99", "--out", str(self.run)] + device
        sample = ["sample", str(self.run), "--train", "2", "--epochs", "5", "--batch", "4"]
        self.begin = {"search": search, "train": train, "sample": sample,
                      "latency": ["latency", "measure", "--space", str(folder / "tiny.yaml"), "--out", str(self.table)] + device}

    def clear(self, verb):
        shutil.rmtree(self.run, ignore_errors=True)
        self.table.unlink(missing_ok=True)
        if verb == "sample":
            shutil.copytree(self.kept, self.run)

    def again(self, verb):
        """The command that goes on."""
        if verb in ("search", "train") and (self.run / "config.yaml").exists():
            return [verb, "--resume", str(self.run)]
        return self.begin[verb]

    def moment(self, verb, err):
        """Where the kill fell."""
        if verb == "latency":
            return "with the table" if self.table.exists() else "without a table"
        if verb != "sample" and not (self.run / "config.yaml").exists():
            return "before there was a run"
        torn = [c for c in self.run.rglob("checkpoints/*") if not (c / "manifest.json").exists()]
        return "inside a checkpoint" if torn else "in it" if "run folder" in err else "before its first step"


def kill(args, rows, raw):
    """Adds a row for each kill that is missing."""
    print("seed", args.seed)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["XDG_CACHE_HOME"] = temporary + "/cache"
        work = Work(pathlib.Path(temporary))
        lengths, unbroken = {}, {}
        for verb in VERBS:
            for since in SINCE[verb]:
                work.clear(verb)
                lengths[verb, since] = done(work.begin[verb], since)
                print("%s takes %.1f seconds %s" % (verb, lengths[verb, since], since and "from its " + since), flush=True)
            unbroken[verb] = results(work.run) if work.run.exists() else None
        while len(rows) < args.kills:
            number = len(rows)
            draw = random.Random("%d %d" % (args.seed, number))
            verb = TURNS[number % len(TURNS)]
            since = draw.choice(SINCE[verb])
            moment = draw.random()
            work.clear(verb)
            code, err, _ = fbnet(work.begin[verb], moment * lengths[verb, since], since)
            if code is not None:
                # It was quicker than the unbroken run: the next try has less.
                lengths[verb, since] *= 0.9
                continue
            where = work.moment(verb, err)
            if verb == "latency":
                whole = not work.table.exists() or fbnet(["latency", "show", str(work.table)])[0] == 0
                code, err, _ = fbnet(work.again(verb))
                equal = whole and code == 0 and fbnet(["latency", "show", str(work.table)])[0] == 0
            else:
                code, err, _ = fbnet(work.again(verb))
                equal = code == 0 and results(work.run) == unbroken[verb]
            rows.append({"verb": verb, "where": where, "equal": equal})
            raw.write_text(json.dumps(rows))
            print("%3d %-8s killed at %.2f, %s: %s" % (number + 1, verb, moment, where, "equal" if equal else "NOT EQUAL"), flush=True)
            if not equal:
                print(err)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results/faults.md")
    args = parser.parse_args()
    tree = machine.revision("HEAD:nas/src/main")
    raw = HERE / "target" / ("kills-%s-%d.json" % (tree, args.seed))
    raw.parent.mkdir(exist_ok=True)
    rows = json.loads(raw.read_text()) if raw.exists() else []
    if len(rows) < args.kills:
        kill(args, rows, raw)
    lines = []
    for verb, name in zip(VERBS, ["`search`", "`train`", "`sample --train 2`", "`latency measure`"]):
        of = [row for row in rows if row["verb"] == verb]
        places = sorted({row["where"] for row in of})
        said = "; ".join("%d %s" % (sum(row["where"] == p for row in of), p) for p in places)
        lines.append("| %s | %d | %s | %d |" % (name, len(of), said, sum(row["equal"] for row in of)))
    # What stands below was measured by other commands, which it names.
    below = "## One operation fails"
    rest = below + args.out.read_text().split(below)[1] if args.out.exists() else ""
    args.out.write_text(f"""# kill -9 and resume

{os.cpu_count()} cores of {machine.processor()}; tree {tree} of `nas/src/main`; `python3 bench/kill_resume.py --kills {len(rows)}
--seed {args.seed}`. Each run was killed once, at a moment drawn evenly from its whole length or from its training.
Equal: results, metrics and newest checkpoint are those of an unbroken run, byte for byte; of a latency table, which is
measured, that the file was absent or whole after the kill and whole after the same command.

| what was killed | kills | where they fell | equal afterwards |
| --- | --- | --- | --- |
{chr(10).join(lines)}

{rest}""")
    print(args.out.read_text())


if __name__ == "__main__":
    main()
