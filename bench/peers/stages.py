"""What a process that may be cut has done so far: each stage is printed and kept as it begins."""

import contextlib
import json
import time


class Stages:
    def __init__(self, report, write):
        """report: a dictionary that gets "stages"; write: keeps the report, called at each turn."""
        self.rows = report.setdefault("stages", [])
        self.write = write

    @contextlib.contextmanager
    def stage(self, name):
        row = {"stage": name, "seconds": None}
        self.rows.append(row)
        print(f"{name} ...", flush=True)
        self.write()
        start = time.perf_counter()
        yield row
        self.ended(row, time.perf_counter() - start)

    def ended(self, row, seconds):
        row["seconds"] = round(seconds, 3)
        more = {k: v for k, v in row.items() if k not in ("stage", "seconds")}
        print(f"{row['stage']}: {seconds:.3f} s" + (f" {json.dumps(more)}" if more else ""),
              flush=True)
        self.write()


def unfinished(stages):
    """The stage in which a cut process was, or nothing."""
    return next((s["stage"] for s in stages if s["seconds"] is None), "")
