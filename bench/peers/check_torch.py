"""The same steps in PyTorch: that it is the same network, then its best time by several ways."""

import importlib.util
import os
import pathlib
import re
import sys

from check_run import SKIPPED, Cut, Failure, Skip, read_json, run
from check_timed import STEP, merge, tiny
from stages import unfinished
from variants import VARIANTS

HERE = pathlib.Path(__file__).parent
PRECISION = "bf16"

# Case and variant, in order of worth.
PLAN = [
    ("cifar:32", "contiguous"),
    ("cifar:32", "channels-last native"),
    ("imagenet:32", "contiguous"),
    ("imagenet:32", "channels-last native"),
    ("cifar:32", "compiled"),
    ("cifar:32", "contiguous benchmark"),
    ("imagenet:128", "contiguous"),
    ("cifar:32", "channels-last"),
    ("imagenet:32", "contiguous benchmark"),
    ("imagenet:32", "compiled"),
    ("cifar:32", "channels-last benchmark"),
    ("imagenet:32", "channels-last"),
]
TINY_PLAN = [("fashion:2", "contiguous"), ("fashion:2", "channels-last native")]
PARITY_CASE = "fashion:4"
PARITY_S = 90  # at most
LEAST_S = 15  # to import PyTorch and to build the model
# A variant that its time cut is tried again where it gets this many times as much.
AGAIN = 1.5


def torch(part):
    """Raises Skip where there is no PyTorch; a variant that cannot run is a row with its reason."""
    if importlib.util.find_spec("torch") is None:
        raise Skip("python3 has no PyTorch")
    agree = parity(part)
    described = part.work / "settings.json"
    text = part.java.run("describe", min(60, part.limit), STEP, "--describe").text
    described.write_text(text[text.index("{"):])
    tried = part.result.setdefault("tried", {})
    plan = TINY_PLAN if part.options.tiny else PLAN
    late = []
    for case, name in plan:
        limit = min(VARIANTS[name].limit_s, part.limit)
        attempt = tried.get(f"{case} {name}")
        if attempt and (not attempt["cut"] or limit < AGAIN * attempt["limit_s"]):
            continue
        if limit < LEAST_S:
            late.append(f"{name} of {case}")
            continue
        variant(part, described, case, name, limit)
    if not agree:
        raise Failure("PyTorch's losses differ from ours on the same weights and images")
    if late:
        raise Cut(f"no time was left for {', '.join(late)}")
    if not any("wall_ms" in row for row in part.rows()):
        raise Cut("no variant gave a time")


def variant(part, described, case, name, limit):
    """One process; what it measured and where it was when its time ended are kept."""
    tried = part.result["tried"]
    attempt = tried[f"{case} {name}"] = {"limit_s": round(limit), "cut": True, "stages": []}
    out = part.work / "torch.json"

    def heard():
        tree = read_json(out) or {}
        attempt["stages"] = tree.get("stages", [])
        merge(part.rows(), [r for r in tree.get("cases", []) if "wall_ms" in r or "skipped" in r])
        part.result.update({k: tree[k] for k in ("torch", "cuda", "cudnn") if k in tree})
        part.save()

    log = re.sub(r"\W", "-", f"torch-{case}-{name}")
    result = peer(part, log, out, limit, heard, "--settings", described, "--case", case,
                  "--precision", PRECISION, "--variant", name, *tiny(part))
    attempt["cut"] = result.cut
    if result.cut:
        attempt["stage"] = unfinished(attempt["stages"])
    elif result.code != 0:
        # One way that PyTorch cannot go is a finding; the others still have their turn.
        attempt["failed"] = f"supernet_step.py ended with code {result.code}: {result.reason()}"
    part.save()


def peer(part, name, out, limit, heard, *arguments):
    out.unlink(missing_ok=True)
    # Images in PyTorch's own order: with the layout pass, inductor would ask cuDNN again.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1",
                   "TORCHINDUCTOR_CACHE_DIR": str(part.work / "inductor"),
                   "TORCHINDUCTOR_LAYOUT_OPTIMIZATION": "0"}
    device = "cpu" if part.device.get("software") else "cuda"
    command = [sys.executable, str(HERE / "supernet_step.py"), "--out", str(out), "--device",
               device, *map(str, arguments)]
    result = run(command, part.java.logs / f"{name}.log", limit, environment,
                 "torch", heard)
    heard()
    if result.code == SKIPPED:
        raise Skip(result.last_line("skipped: ").removeprefix("skipped: "))
    return result


def parity(part):
    """Whether PyTorch comes to our losses from our weights; kept from an earlier call."""
    kept = part.result.get("parity")
    if kept:
        return kept["agree"]
    folder, out = part.work / "parity", part.work / "parity.json"
    ours = part.java.run("parity", min(60, part.limit), STEP, "--cases", PARITY_CASE, "--parity",
                         folder, *tiny(part))
    if ours.cut:
        raise Cut("the time ended in our steps for the comparison of losses")
    if ours.code != 0:
        raise Failure(f"SupernetStep --parity: {ours.reason()}")
    result = peer(part, "torch-parity", out, min(PARITY_S, part.limit), lambda: None, "--parity",
                  folder)
    tree = read_json(out) or {}
    if result.cut:
        raise Cut("the time ended in PyTorch's comparison of losses, in the stage "
                  f"'{unfinished(tree.get('stages', []))}'")
    if result.code != 0 or "parity" not in tree:
        raise Failure(f"supernet_step.py --parity: {result.reason()}")
    part.result["parity"] = tree["parity"]
    part.save()
    return tree["parity"]["agree"]
