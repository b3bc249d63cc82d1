"""The parts that measure us: the supernet's steps, their profile, single kernels, a search."""

import json
import pathlib
import re
import shutil
import tarfile

from check_run import Cut, Failure, Skip, cupti_folder, read_json, run, say

STEP = "io.fbnet.bench.gpu.SupernetStep"
PROFILE = "profile.tsv"

# In order of worth.
TABLE = [("cifar", 32), ("imagenet", 32), ("imagenet", 128), ("cifar", 256), ("fashion", 64)]
# Until a batch does not fit.
GROWTH = {"cifar": [64, 128, 512, 1024, 2048, 4096, 8192], "imagenet": [64, 256, 512, 1024]}
TF32 = [("cifar", 32), ("imagenet", 32)]
APART = [("cifar", 32), ("imagenet", 32)]
TINY = [("fashion", 2), ("fashion", 3)]

PROFILED = [("cifar", 32, "w"), ("imagenet", 32, "w"), ("cifar", 32, "theta"),
            ("imagenet", 128, "w"), ("imagenet", 128, "theta"), ("cifar", 256, "w")]
PROFILED_STEPS = 12
SHOWN_KERNELS = 15
PROCESS_S = 5  # what a Java process takes before its first row, about


def key(row):
    return tuple(str(row.get(k, "")) for k in
                 ("space", "batch", "precision", "step", "variant", "mode"))


def merge(rows, new):
    """Adds rows to a list in place; one that was measured replaces one of the same key."""
    at = {key(row): i for i, row in enumerate(rows)}
    for row in new:
        i = at.get(key(row))
        if i is None:
            at[key(row)] = len(rows)
            rows.append(row)
        elif "skipped" not in row or "skipped" in rows[i]:
            rows[i] = row


def whole(row):
    return "wall_ms" in row or "skipped" in row


def tiny(part):
    return ["--tiny"] if part.options.tiny else []


def steps(part):
    """Our w and theta steps: the table, batches up to the largest, TF32, and without fusions."""
    if part.options.tiny:
        ours(part, "steps", TINY, "bf16")
        return
    wrong = []
    attempt(wrong, ours, part, "steps", TABLE, "bf16")
    for space, batches in GROWTH.items():
        for batch in batches:
            count = len(wrong)
            attempt(wrong, ours, part, f"steps-{space}-{batch}", [(space, batch)], "bf16",
                    "--seconds", "0.3")
            if len(wrong) > count or too_large(part.rows(), space, batch):
                break
    attempt(wrong, ours, part, "steps-tf32", TF32, "tf32")
    attempt(wrong, apart, part)
    if wrong:
        raise Failure("; ".join(wrong))


def attempt(wrong, run_one, *arguments):
    """What one case gets wrong is kept, so that the others still have their turn."""
    try:
        run_one(*arguments)
    except Failure as e:
        wrong.append(str(e))


def too_large(rows, space, batch):
    return any("skipped" in r for r in rows
               if (r["space"], r["batch"], r["step"]) == (space, batch, "w"))


def ours(part, name, cases, precision, *extra):
    """Measures those of the cases that no earlier call has."""
    rows = part.rows()
    done = {key(r) for r in rows if whole(r)}
    left = [(s, b) for s, b in cases
            if not {key({"space": s, "batch": b, "precision": precision, "step": step})
                    for step in ("w", "theta")} <= done]
    if not left:
        return
    words = ",".join(f"{s}:{b}" for s, b in left)
    part.need(PROCESS_S, words)
    out = part.work / f"{name}.json"
    out.unlink(missing_ok=True)

    def heard():
        merge(rows, [r for r in (read_json(out) or {}).get("cases", []) if whole(r)])
        part.save()

    result = part.java.run(name, part.limit, STEP, "--out", out, "--cases", words, "--precisions",
                           precision, *extra, *tiny(part), heard=heard)
    heard()
    finish(result, read_json(out) or {}, f"SupernetStep of {words}")


def finish(result, tree, what):
    if result.cut:
        raise Cut(f"the time ended in {what}; rows until then are kept")
    if result.code != 0 or not tree.get("complete"):
        raise Failure(f"{what} ended with code {result.code}: {result.reason()}")


def apart(part):
    """The w step with every operation by itself, which shows what fusions and banks are worth."""
    for space, batch in APART:
        rows = part.rows("apart")
        if any((r["space"], r["batch"]) == (space, batch) for r in rows):
            continue
        part.need(PROCESS_S, f"{space}:{batch} without fusions")
        out = part.work / "apart.json"
        out.unlink(missing_ok=True)
        result = part.java.run("apart", part.limit, STEP, "--out", out, "--cases",
                               f"{space}:{batch}", "--precisions", "bf16", "--steps", "w",
                               "--separate")
        tree = read_json(out) or {}
        finish(result, tree, f"SupernetStep --separate of {space}:{batch}")
        rows += tree["cases"]
        part.save()


def profile(part):
    """How long each kernel runs in a step, by a library that the driver loads into our process."""
    if part.device.get("software"):
        raise Skip("only a GPU's own driver loads a library that times kernels")
    cupti = cupti_folder()
    if not cupti:
        raise Skip("CUPTI was found neither among Python's packages nor under /usr/local/cuda*")
    library = kernel_times(part, cupti)
    wrong = []
    for space, batch, step in PROFILED:
        if not any((r["space"], r["batch"], r["step"]) == (space, batch, step)
                   for r in part.rows()):
            attempt(wrong, profile_case, part, cupti, library, space, batch, step)
    if wrong:
        raise Failure("; ".join(wrong))


def profile_case(part, cupti, library, space, batch, step):
    what = f"{space}:{batch} {step}"
    part.need(PROCESS_S, what)
    totals = part.work / "kernel-times.tsv"
    totals.unlink(missing_ok=True)
    # Last, so that our own libraries are those of every other part.
    paths = [part.java.environment.get("LD_LIBRARY_PATH", "")]
    paths += [str(p) for p in (cupti / "lib64", cupti / "lib") if p.is_dir()]
    result = part.java.run(
        "profile", part.limit, STEP, "--out", part.work / "profiled.json", "--cases",
        f"{space}:{batch}", "--precisions", "bf16", "--steps", step, "--untimed", PROFILED_STEPS,
        CUDA_INJECTION64_PATH=str(library), KERNEL_TIMES=str(totals),
        LD_LIBRARY_PATH=":".join(p for p in paths if p))
    if result.cut:
        raise Cut(f"the time ended in the profile of {what}")
    if result.code != 0 or not totals.exists():
        raise Failure(f"the profile of {what} wrote no times: {result.reason()}")
    row = {"space": space, "batch": batch, "precision": "bf16", "step": step,
           **profiled(totals.read_text(), PROFILED_STEPS)}
    part.rows().append(row)
    keep(part.work / PROFILE, row, totals.read_text())
    part.save()


def kernel_times(part, cupti):
    """The library, from the package or built here."""
    packed = part.java.home / "profile" / "libkernel-times.so"
    if packed.exists():
        return packed
    if not shutil.which("make"):
        raise Skip("the package has no libkernel-times.so, and make was not found to build it")
    built = part.work / "profile"
    run(["make", "-C", str(part.java.home / "profile"), f"OUT={built}", f"CUPTI={cupti}"],
        part.java.logs / "profile-make.log", min(60, part.limit), name="make")
    if not (built / "libkernel-times.so").exists():
        raise Skip("libkernel-times.so could not be built: see profile-make.log")
    return built / "libkernel-times.so"


def profiled(text, steps_run):
    """Sums of a file of kernel times; raises where it is not whole."""
    lost = re.search(r"^# (\d+) records lost$", text, re.MULTILINE)
    if not lost:
        raise Failure("the file of kernel times has no end")
    totals, calls, nanoseconds = {}, 0, 0
    for line in text.splitlines()[1:]:
        if line.startswith("#"):
            continue
        ns, count, kernel, _, _ = line.split("\t")
        if kernel.startswith("["):  # copies in, which are no kernels
            continue
        mine = totals.setdefault(kernel, [0, 0])
        mine[0] += int(ns)
        mine[1] += int(count)
        nanoseconds += int(ns)
        calls += int(count)
    top = sorted(totals.items(), key=lambda item: -item[1][0])[:SHOWN_KERNELS]
    return {"steps_run": steps_run, "lost": int(lost[1]),
            "kernels_ms": round(nanoseconds / 1e6 / steps_run, 4),
            "calls": round(calls / steps_run, 1),
            "top": [{"kernel": k, "ms": round(ns / 1e6 / steps_run, 4),
                     "calls": round(n / steps_run, 1)} for k, (ns, n) in top]}


def keep(file, row, text):
    """Appends a case's times to the file of all cases."""
    case = "\t".join(str(row[k]) for k in ("space", "batch", "precision", "step", "steps_run"))
    lines = text.splitlines()
    with open(file, "a") as out:
        if out.tell() == 0:
            out.write(f"space\tbatch\tprecision\tstep\tsteps_run\t{lines[0]}\n")
        out.writelines(f"{case}\t{line}\n" for line in lines[1:] if not line.startswith("#"))


def kernels(part):
    """Each kernel against a copy within the device."""
    rows = part.rows("kernels")
    before = list(rows)
    out = part.work / "kernels.json"
    out.unlink(missing_ok=True)

    def heard():
        tree = read_json(out) or {}
        rows[:] = before + tree.get("kernels", [])
        part.result.update({k: tree[k] for k in ("copy", "squares") if k in tree})
        part.save()

    result = part.java.run("kernels", part.limit, "io.fbnet.bench.gpu.KernelBandwidth", "--out",
                           out, "--skip", len(before), *tiny(part), heard=heard)
    heard()
    finish(result, read_json(out) or {}, "KernelBandwidth")


SEARCH = ["--space", "cifar", "--lut", "raspi4", "--epochs", "4", "--warmup-epochs", "1", "--batch",
          "128", "--precision", "bf16", "--samples", "2"]
TINY_SEARCH = ["--space", "cifar", "--lut", "raspi4", "--epochs", "2", "--warmup-epochs", "1",
               "--batch", "2", "--train-images", "10", "--samples", "1", "--data", "shapes"]


def search(part):
    """A whole search by the program itself, on real images where the package has them."""
    images = part.java.home / "images.tar.xz"
    flags = list(TINY_SEARCH) if part.options.tiny else list(SEARCH)
    if not part.options.tiny:
        packed = images.exists()
        flags += ["--data", str(unpack(images, part.work / "images")) if packed else "shapes"]
    run_folder = part.work / "search"
    shutil.rmtree(run_folder, ignore_errors=True)
    result = part.java.run("search", part.limit, "io.fbnet.nas.cli.Main", "search", *flags,
                           "--device", "cuda", "--offline", "--out", run_folder,
                           XDG_CACHE_HOME=str(part.work / "cache"))
    part.result.update(searched(run_folder / "metrics.jsonl"),
                       images="shapes" if flags[-1] == "shapes" else "the packed images")
    if result.cut:
        raise Cut(f"the time ended after {part.result['steps']} steps")
    if result.code != 0 or not (run_folder / "architecture.json").exists():
        raise Failure(f"the search ended with code {result.code}: {result.reason()}")
    part.result["found"] = read_json(run_folder / "architecture.json")
    part.result["search_s"] = round(result.seconds, 1)


def unpack(archive, folder):
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def searched(metrics):
    """What a run's record says: steps, and the first and the last loss."""
    lines = []
    if pathlib.Path(metrics).exists():
        lines = [json.loads(x) for x in metrics.read_text().splitlines()]
    taken = [x for x in lines if "loss" in x]
    say(f"search: {len(taken)} steps are recorded")
    return {"steps": len(taken), "losses": [x["loss"] for x in taken[:1] + taken[-1:]]}
