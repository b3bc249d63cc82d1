#!/usr/bin/env python3
"""Times the ONNX files of an fbnet latency kit on this device and writes result.json.

It needs Python 3.8 or later and onnxruntime (with numpy, which comes with it); nothing of fbnet.
Copy the whole folder to the device, run `python3 run.py` there, copy result.json back, and make a
latency table of it: `fbnet latency import KIT/result.json --out TABLE.json`.

How the files are timed stands in manifest.json, under "protocol". A round takes every file once,
in an order drawn anew: it is loaded, run until several windows in a row have medians that agree,
timed, and let go. The figure is the median of the runs of all rounds.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import random
import statistics
import sys
import time

KIT = "fbnet-latency-kit"
RESULT = "fbnet-latency-result"
FORMAT = 1
MANIFEST = "manifest.json"

# Some builds of onnxruntime report what they do to its makers unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class Refusal(Exception):
    """Something the user can put right: one sentence, and what the process exits with."""

    def __init__(self, code, sentence):
        super().__init__(sentence)
        self.code = code


def sha256(path):
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
    except OSError as error:
        raise Refusal(3, "%s cannot be read (%s)" % (path, error.strerror))
    return digest.hexdigest()


def read_manifest(folder):
    """The kit's manifest, whose files all have the hashes that it names."""
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
    except OSError as error:
        raise Refusal(3, "%s cannot be read (%s)" % (path, error.strerror))
    except ValueError as error:
        raise Refusal(3, "%s is no JSON: %s" % (path, error))
    if not isinstance(manifest, dict) or manifest.get("kind") != KIT:
        raise Refusal(3, "%s is no manifest of an fbnet latency kit" % path)
    if manifest.get("format") != FORMAT:
        raise Refusal(3, "%s has format %s, this runner knows %d: take the run.py of that kit"
                      % (path, manifest.get("format"), FORMAT))
    try:
        require_whole(manifest, folder, path)
    except (KeyError, TypeError) as error:
        raise Refusal(3, "%s lacks what this runner needs: %s" % (path, error))
    return manifest


def require_whole(manifest, folder, path):
    for key in ("rounds", "steady_windows", "steady_ratio", "window_ms", "first_warm_up_ms",
                "longest_warm_up_ms", "round_ms", "least_runs", "most_runs"):
        manifest["protocol"][key] + 0
    for entry in manifest["files"]:
        entry["input"]["name"], entry["input"]["shape"]
        name = entry["name"]
        if os.path.basename(name) != name:
            raise Refusal(3, "%s names a file outside the kit: %s" % (path, name))
        if sha256(os.path.join(folder, name)) != entry["sha256"]:
            raise Refusal(3, "%s is damaged: its SHA-256 is not the one that %s names"
                          % (os.path.join(folder, name), MANIFEST))


class OrtFile:
    """An ONNX file in ONNX Runtime, with an input of noise."""

    def __init__(self, path, entry, provider, threads):
        import numpy
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=[provider])
        except Exception as error:
            raise Refusal(3, "onnxruntime refuses %s: %s" % (path, first_line(error)))
        if self.session.get_providers()[0] != provider:
            raise Refusal(4, "%s does not run on this device, only %s does"
                          % (provider, self.session.get_providers()[0]))
        shape = entry["input"]["shape"]
        draw = numpy.random.default_rng(1)
        if entry["input"].get("type") == "uint8":
            noise = draw.integers(0, 256, shape, dtype=numpy.uint8)
        else:
            noise = draw.standard_normal(shape).astype(numpy.float32)
        # Bound once, so that no run copies its output to a new array.
        self.binding = self.session.io_binding()
        self.binding.bind_cpu_input(entry["input"]["name"], noise)
        self.binding.bind_output(self.session.get_outputs()[0].name)

    def time(self, runs):
        """Milliseconds of each run."""
        times = []
        for _ in range(runs):
            start = time.perf_counter_ns()
            self.session.run_with_iobinding(self.binding)
            times.append((time.perf_counter_ns() - start) / 1e6)
        return times

    def close(self):
        self.binding = None
        self.session = None


def first_line(error):
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def window_median(timed, protocol, clock):
    start = clock()
    window = []
    while True:
        window += timed.time(protocol["least_runs"])
        if (clock() - start) / 1e6 >= protocol["window_ms"]:
            return statistics.median(window)


def warm_up(timed, protocol, least_ms, clock):
    """Runs until the medians of several windows in a row agree."""
    start = clock()
    last = []
    while True:
        last = (last + [window_median(timed, protocol, clock)])[-protocol["steady_windows"]:]
        steady = (len(last) == protocol["steady_windows"]
                  and max(last) <= protocol["steady_ratio"] * min(last))
        passed = (clock() - start) / 1e6
        if (steady and passed >= least_ms) or passed > protocol["longest_warm_up_ms"]:
            return


def one_round(timed, protocol):
    first = max(timed.time(1)[0], 1e-6)
    runs = int(min(max(protocol["round_ms"] / first, protocol["least_runs"]),
                   protocol["most_runs"]))
    return timed.time(runs)


def spread(samples):
    """The distance between the quartiles by the median."""
    if len(samples) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return (high - low) / middle if middle > 0 else 0.0


def measure(manifest, load, progress, clock=time.perf_counter_ns, seed=1):
    """The times of all files, in the manifest's order; load(entry) opens one."""
    protocol = manifest["protocol"]
    samples = {entry["name"]: [] for entry in manifest["files"]}
    order = list(manifest["files"])
    draw = random.Random(seed)
    total = protocol["rounds"] * len(order)
    done = 0
    for number in range(1, protocol["rounds"] + 1):
        draw.shuffle(order)
        for entry in order:
            timed = load(entry)
            try:
                warm_up(timed, protocol, 0 if done else protocol["first_warm_up_ms"], clock)
                samples[entry["name"]] += one_round(timed, protocol)
            finally:
                timed.close()
            done += 1
            progress(done, total, "round %d of %d" % (number, protocol["rounds"]))
    return [{"name": name, "median_ms": statistics.median(all_), "spread": spread(all_),
             "runs": len(all_)} for name, all_ in samples.items()]


def processor():
    """What the system calls its processor or board."""
    try:
        with open("/proc/device-tree/model", encoding="utf-8") as file:
            return file.read().strip("\0 \n")
    except OSError:
        pass
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith(("model name", "Hardware")):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def result(folder, out, manifest_hash, device, version, provider, threads, times):
    beside = os.path.dirname(os.path.abspath(out))
    return {
        "format": FORMAT,
        "kind": RESULT,
        "kit": os.path.relpath(os.path.abspath(folder), beside),
        "kit_sha256": manifest_hash,
        "device": device,
        "processor": processor(),
        "runtime": "onnxruntime",
        "version": version,
        "provider": provider,
        "threads": threads,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "runner": "run.py, Python " + platform.python_version(),
        "times": times,
    }


def write(path, tree):
    """The file whole or not at all."""
    temporary = path + ".tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(tree, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise Refusal(5, "cannot write %s (%s)" % (path, error.strerror))


def show_progress(done, total, what):
    if sys.stderr.isatty():
        sys.stderr.write("\r%3d%%  %s" % (100 * done // total, what))
        if done == total:
            sys.stderr.write("\n")
    elif done == total or done % max(1, total // 10) == 0:
        sys.stderr.write("%3d%%  %s\n" % (100 * done // total, what))
    sys.stderr.flush()


def runtime(provider):
    """The version of onnxruntime, which must be there and know the provider."""
    try:
        import onnxruntime
    except ImportError as error:
        raise Refusal(4, "onnxruntime is not installed (%s): python3 -m pip install onnxruntime"
                      % first_line(error))
    known = onnxruntime.get_available_providers()
    if provider not in known:
        raise Refusal(4, "this onnxruntime has no %s, but %s" % (provider, ", ".join(known)))
    return onnxruntime.__version__


def parse(arguments):
    parser = argparse.ArgumentParser(
        description="Times the ONNX files of this latency kit and writes result.json.")
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--kit", metavar="DIR", default=here,
                        help="the kit's folder (default: where run.py lies)")
    parser.add_argument("--threads", type=int, metavar="N", default=os.cpu_count() or 1,
                        help="threads inside one operation (default: as many as processors)")
    parser.add_argument("--provider", metavar="NAME", default="CPUExecutionProvider",
                        help="the execution provider (default: %(default)s)")
    parser.add_argument("--device", metavar="NAME", default=None,
                        help="what the table will call this device (default: its processor)")
    parser.add_argument("--out", metavar="FILE", default=None,
                        help="the result (default: result.json in the kit's folder)")
    flags = parser.parse_args(arguments)
    if flags.threads < 1:
        parser.error("--threads must be at least 1, but is %d" % flags.threads)
    if flags.device is not None and not flags.device.strip():
        parser.error("--device must not be empty")
    return flags


def main(arguments=None, load=None, version=None, progress=show_progress):
    """Runs the program; tests give a load(path, entry, provider, threads) and a version."""
    flags = parse(arguments)
    out = flags.out or os.path.join(flags.kit, "result.json")
    try:
        manifest = read_manifest(flags.kit)
        used = version or runtime(flags.provider)
        load = load or OrtFile
        times = measure(
            manifest,
            lambda entry: load(os.path.join(flags.kit, entry["name"]), entry, flags.provider,
                               flags.threads),
            progress)
        device = flags.device or "%s, %d thread%s, %s" % (
            processor(), flags.threads, "" if flags.threads == 1 else "s", flags.provider)
        write(out, result(flags.kit, out, sha256(os.path.join(flags.kit, MANIFEST)), device, used,
                          flags.provider, flags.threads, times))
    except Refusal as refusal:
        sys.stderr.write("run.py: %s\n" % refusal)
        return refusal.code
    except KeyboardInterrupt:
        sys.stderr.write("\nrun.py: interrupted, nothing was written\n")
        return 130
    sys.stderr.write("run.py: written to %s\n" % out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
