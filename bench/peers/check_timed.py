"""The parts that measure: bandwidth, our steps against PyTorch eager, and against torch.compile."""

import collections
import os
import pathlib

from check_run import SKIPPED, Failure, Skip, python, read_json, run

HERE = pathlib.Path(__file__).parent
CASES = "cifar:32,fashion:64,imagenet:64,imagenet:8,imagenet:32"
PRECISIONS = "f32,tf32,bf16"
STEP = "io.fbnet.bench.gpu.SupernetStep"

# In order of worth, since compiling hundreds of convolutions takes minutes: space and batch,
# precision, mode, and whether the model or each of its layers is compiled.
COMPILED = [
    ("fashion:64", "bf16", "compile", "model"),
    ("cifar:32", "bf16", "compile", "layer"),
    ("imagenet:64", "bf16", "compile", "layer"),
    ("fashion:64", "bf16", "reduce-overhead", "model"),
    ("cifar:32", "bf16", "reduce-overhead", "layer"),
    ("fashion:64", "tf32", "compile", "model"),
    ("cifar:32", "tf32", "compile", "layer"),
    ("imagenet:64", "tf32", "compile", "layer"),
    ("fashion:64", "f32", "compile", "model"),
    ("cifar:32", "f32", "compile", "layer"),
]
LONGEST_COMPILATION = 240


def key(row):
    return tuple(str(row.get(k, "")) for k in ("space", "batch", "precision", "step", "mode"))


def merged(old, new):
    """Rows of an earlier call of this part, those replaced that were measured again."""
    rows = {key(row): row for row in old}
    for row in new:
        if "skipped" not in row or "skipped" in rows.get(key(row), {"skipped": ""}):
            rows[key(row)] = row
    return list(rows.values())


def tiny(part):
    return ["--tiny"] if part.options.tiny else []


def bandwidth(part):
    out = part.work / "kernels.json"
    out.unlink(missing_ok=True)
    result = part.java.run("bandwidth", part.limit, "io.fbnet.bench.gpu.KernelBandwidth",
                           "--out", out, *tiny(part))
    tree = read_json(out) or {}
    part.result.update({k: tree[k] for k in ("device", "copy", "kernels") if k in tree})
    finish(result, tree, "KernelBandwidth")


def finish(result, tree, what):
    if result.cut:
        raise Failure(f"{what} was cut off by the time limit; what it measured until then is kept")
    if result.code != 0 or not tree.get("complete"):
        raise Failure(f"{what} ended with code {result.code}: {result.last_line()[:300]}")


def step(part):
    """Ours first, then the same network by PyTorch: first that it is the same, then its times."""
    options = part.options
    cases = options.cases or ("fashion:2" if options.tiny else CASES)
    precisions = options.precisions or PRECISIONS
    out = part.work / "ours.json"
    out.unlink(missing_ok=True)
    ours = part.java.run("step", part.limit * 0.5, STEP, "--out", out, "--cases", cases, "--precisions",
                         precisions, "--limit", int(part.limit * 0.35), *tiny(part))
    tree = read_json(out) or {}
    before = part.before
    part.result["device"] = tree.get("device", {})
    part.result["ours"] = merged(before.get("ours", []), tree.get("cases", []))
    part.result["peer"] = before.get("peer", [])
    finish(ours, tree, "SupernetStep")

    folder = part.work / "parity"
    parity = part.java.run("parity", min(60, part.limit), STEP, "--cases", "fashion:4", "--parity",
                           folder, *tiny(part))
    if parity.code != 0:
        raise Failure(f"SupernetStep --parity: {parity.last_line()[:300]}")
    try:
        same = peer(part, "peer-parity", 120, "--parity", folder)
    except Skip as e:
        raise Skip(f"ours ran, PyTorch did not: {e}") from e
    part.result["parity"] = same.get("parity", {})
    left = part.limit
    times = peer(part, "peer-eager", left, "--settings", out, "--cases", cases, "--precisions",
                 precisions, "--limit", int(left * 0.85), *tiny(part))
    part.result.update({k: times[k] for k in ("torch", "cuda", "cudnn") if k in times})
    part.result["peer"] = merged(part.result["peer"], times.get("cases", []))
    if not part.result["parity"].get("agree"):
        raise Failure("PyTorch's losses differ from ours on the same weights and images")


def peer(part, name, limit, *arguments):
    """Runs our PyTorch script; a part of the report says why where it cannot."""
    out = part.work / f"{name}.json"
    out.unlink(missing_ok=True)
    command = [python(), str(HERE / "supernet_step.py"), "--out", str(out),
               "--device", part.options.peer_device, *map(str, arguments)]
    environment = dict(os.environ, TORCHINDUCTOR_CACHE_DIR=str(part.work / "inductor"))
    result = run(command, part.java.logs / f"{name}.log", limit, environment)
    tree = read_json(out) or {}
    if result.code == SKIPPED:
        raise Skip(result.last_line("skipped: ").removeprefix("skipped: "))
    tree["cut"] = result.cut
    if not result.cut and (result.code != 0 or not tree.get("complete")):
        raise Failure(f"supernet_step.py ended with code {result.code}: "
                      f"{result.last_line()[:300]}")
    return tree


def chosen(options):
    plan = COMPILED
    if options.cases:
        precisions = (options.precisions or "bf16").split(",")
        modes = (options.modes or "compile").split(",")
        plan = [(c, p, m, options.region or "layer")
                for c in options.cases.split(",") for p in precisions for m in modes]
    return plan


def compiled(part):
    """Each compilation in a process of its own, so that one that takes too long ends alone."""
    described = part.work / "settings.json"
    result = part.java.run("describe", 60, STEP, "--describe")
    lines = result.text[result.text.index("{"):] if "{" in result.text else ""
    described.write_text(lines)
    rows = []
    part.result["peer"] = part.before.get("peer", [])
    for i, (case, precision, mode, region) in enumerate(chosen(part.options)):
        name, batch = case.rsplit(":", 1)
        limit = min(LONGEST_COMPILATION, part.limit - 5)
        reason, tree = "no time was left for it", {"cases": []}
        if limit > 20 or part.options.tiny:
            extra = tiny(part) + (["--backend", part.options.backend])
            tree = peer(part, f"peer-compile-{i}", limit, "--settings", described, "--cases",
                        case, "--precisions", precision, "--modes", mode, "--region", region,
                        *extra)
            reason = f"torch.compile took longer than the {limit:.0f} s that it had"
        part.result.update({k: tree[k] for k in ("torch", "cuda", "cudnn") if k in tree})
        found = {key(row): row for row in tree.get("cases", []) if len(row) > 5}
        for what in ("w", "theta"):
            row = {"space": name, "batch": int(batch), "precision": precision, "step": what,
                   "mode": mode, "region": region}
            rows.append(found.get(key(row), {**row, "skipped": reason}))
        part.result["peer"] = merged(part.before.get("peer", []), rows)
        part.save()
    count = collections.Counter("skipped" in row for row in part.result["peer"])
    if not count[False]:
        raise Skip("nothing was compiled in time: " + rows[0]["skipped"] if rows else "no case")
    if count[True]:
        part.result["reason"] = f"{count[True]} of {sum(count.values())} rows were skipped"
