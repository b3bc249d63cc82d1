"""Runs processes for the GPU check: their environment, time limit and output."""

import json
import os
import pathlib
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import time

SKIPPED = 77
LINE = 200  # characters of a line that are said; the log has all
FLAGS = ["--enable-native-access=ALL-UNNAMED", "--add-modules=jdk.incubator.vector",
         "-Djdk.incubator.vector.warn=false", "-Xmx4g"]


class Skip(Exception):
    """A part that cannot run here, with its reason."""


class Failure(Exception):
    """A part that ran and is wrong."""


class Cut(Exception):
    """A part whose time ended before its work; a later call goes on with the rest."""


START = time.monotonic()


def say(text):
    """Prints at once, with the seconds since the start: the output is what a cut machine leaves."""
    print(f"[{time.monotonic() - START:4.0f} s] {text}", flush=True)


def nvidia_folder():
    """Where Python's packages keep NVIDIA's libraries, or nothing: then the system's are taken."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    folders += site.getsitepackages() if hasattr(site, "getsitepackages") else []
    for folder in folders:
        nvidia = pathlib.Path(folder) / "nvidia"
        if any(nvidia.glob("*/lib/lib*.so*")):
            return nvidia
    return None


def java_environment():
    """FBNET_CUDA_PATH as the caller set it, else Python's NVIDIA packages."""
    environment = dict(os.environ)
    nvidia = nvidia_folder()
    if not environment.get("FBNET_CUDA_PATH") and nvidia:
        environment["FBNET_CUDA_PATH"] = str(nvidia)
        # cuDNN loads its parts and cuBLAS by name.
        libraries = [str(p) for p in sorted(nvidia.glob("*/lib"))]
        if environment.get("LD_LIBRARY_PATH"):
            libraries.append(environment["LD_LIBRARY_PATH"])
        environment["LD_LIBRARY_PATH"] = ":".join(libraries)
    return environment


def cupti_folder():
    """The folder above CUPTI's header and library, or nothing."""
    folders = list(nvidia_folder().glob("*")) if nvidia_folder() else []
    for toolkit in sorted(pathlib.Path("/usr/local").glob("cuda*"), reverse=True):
        folders += [toolkit / "extras" / "CUPTI", toolkit]
    for folder in folders:
        for library in ("lib", "lib64"):
            if any((folder / library).glob("libcupti.so*")):
                return folder
    return None


def find_tool(name):
    """A CUDA tool on the PATH or in the toolkit's folder, or nothing."""
    found = shutil.which(name)
    if found:
        return found
    for toolkit in sorted(pathlib.Path("/usr/local").glob("cuda*"), reverse=True):
        for folder in ("bin", "compute-sanitizer"):
            if (toolkit / folder / name).is_file():
                return str(toolkit / folder / name)
    return None


class Result:
    def __init__(self, code, seconds, text):
        self.code, self.seconds, self.text = code, seconds, text

    @property
    def cut(self):
        return self.code is None

    def last_line(self, start=""):
        lines = [x for x in self.text.splitlines() if x.strip() and x.startswith(start)]
        return lines[-1].strip() if lines else ""

    def reason(self):
        """The line that says why a process failed: that of Java's first cause, else the last."""
        return (self.last_line("Caused by: ") or self.last_line("Exception in thread")
                or self.last_line())[:300]


class Job:
    """A process in a group of its own, its output in a file so that a cut one leaves what it said.

    With a name, each line is also said at once, and heard is called, which may keep what a line
    tells of.
    """

    def __init__(self, command, log, limit, environment=None, name=None, heard=lambda: None):
        self.log, self.start, self.name = pathlib.Path(log), time.monotonic(), name
        self.heard = heard
        self.said = 0
        # A limit may be a function, where a process waits for its turn.
        self.deadline = self.start + max(1, limit() if callable(limit) else limit)
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env=environment,
                stdin=subprocess.DEVNULL, start_new_session=True)

    def echo(self, whole=False):
        """Says the lines that are new; the last one only where it is whole or the process ended."""
        if self.name is None:
            return
        with open(self.log, "rb") as log:
            log.seek(self.said)
            data = log.read()
        end = len(data) if whole else data.rfind(b"\n") + 1
        self.said += end
        for line in data[:end].decode(errors="replace").splitlines():
            if line.strip():
                say(f"{self.name}: {line[:LINE]}")
        if end:
            self.heard()

    def poll(self):
        """The result where the process has ended or its time has, else nothing."""
        code = self.process.poll()
        if code is None and time.monotonic() < self.deadline:
            self.echo()
            return None
        if code is None:
            self.end()
        self.echo(whole=True)
        return Result(code, time.monotonic() - self.start,
                      self.log.read_text(errors="replace"))

    def wait(self):
        result = self.poll()
        try:
            while result is None:
                time.sleep(0.05)
                result = self.poll()
        finally:
            if result is None:
                self.end()
        return result

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def run(command, log, limit, environment=None, name=None, heard=lambda: None):
    return Job(command, log, limit, environment, name, heard).wait()


def run_all(jobs, at_once, done=lambda i, result: None):
    """Runs (command, log, limit, environment) in order, a few at once; results in the same order.

    As each ends, done is called with its place in the order and its result.
    """
    results, running, waiting = [None] * len(jobs), {}, list(enumerate(jobs))
    try:
        while running or waiting:
            while waiting and len(running) < at_once:
                i, job = waiting.pop(0)
                running[i] = Job(*job)
            for i, job in list(running.items()):
                results[i] = job.poll()
                if results[i] is not None:
                    del running[i]
                    done(i, results[i])
            time.sleep(0.05)
    finally:
        for job in running.values():
            job.end()
    return results


class Java:
    """The packed run-time image and what it runs."""

    def __init__(self, home, logs):
        self.home, self.logs = pathlib.Path(home), pathlib.Path(logs)
        self.environment = java_environment()

    def command(self, main, *arguments, tests=False):
        path = [str(self.home / "lib" / "*")]
        if tests:
            path = [str(self.home / "test" / "classes"), str(self.home / "test" / "*"), *path]
        return [str(self.home / "java" / "bin" / "java"), *FLAGS,
                "-XX:ErrorFile=" + str(self.logs / "hs_err_%p.log"),
                "-cp", ":".join(path), main, *map(str, arguments)]

    def run(self, name, limit, main, *arguments, heard=lambda: None, **environment):
        """Runs a main class; what the environment adds is for this process alone."""
        result = run(self.command(main, *arguments), self.logs / f"{name}.log", limit,
                     {**self.environment, **environment}, name, heard)
        if result.code == SKIPPED:
            raise Skip(result.last_line("skipped: ").removeprefix("skipped: "))
        return result


def read_json(file):
    try:
        return json.loads(pathlib.Path(file).read_text())
    except (OSError, ValueError):
        return None


def python():
    return sys.executable
