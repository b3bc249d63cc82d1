"""Times the supernet's two steps in PyTorch: the peer of io.fbnet.bench.gpu.SupernetStep.

Modes: eager; graph (the eager step captured once and replayed); compile and reduce-overhead
(torch.compile, of the whole model or of each layer). A row that cannot run is written as skipped
with its reason. Exit code 77: nothing can run here.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import supernet_spec

SKIPPED = 77
BATCHES = 4
SAMPLES = 5


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


try:
    import torch

    import supernet_model
except ImportError as e:
    skip(f"python3 has no PyTorch ({e})")


class Step:
    """One of the two steps of a model, on batches in host memory that take turns."""

    def __init__(self, setting, batch, precision, theta, device, tau):
        loss = setting["loss"]
        self.net = supernet_spec.check_counts(setting)
        self.batch, self.tau, self.device = batch, tau, device
        self.bf16 = precision == "bf16"
        on_gpu = device == "cuda"
        torch.backends.cuda.matmul.allow_tf32 = precision != "f32"
        torch.backends.cudnn.allow_tf32 = precision != "f32"
        torch.backends.cudnn.benchmark = True
        self.model = supernet_model.Supernet(self.net, setting, batch)
        self.model.to(device).to(memory_format=torch.channels_last).train()
        counted = self.model.counted_parameters()
        if counted != setting["parameters"]:
            raise supernet_spec.OtherNetwork(
                f"PyTorch has {counted} parameters, ours {setting['parameters']}")
        self.model.track(not theta)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_((name == "theta") == theta)
        if theta:
            self.optimiser = torch.optim.Adam(
                [self.model.theta], lr=loss["theta_rate"], capturable=on_gpu,
                weight_decay=loss["theta_weight_decay"])
        else:
            self.optimiser = torch.optim.SGD(
                self.model.weight_groups(), lr=loss["rate"], momentum=loss["momentum"],
                fused=on_gpu)
        self.images, self.labels = [], []
        for _ in range(BATCHES):
            images = torch.randn(batch, self.net.channels, self.net.height, self.net.width)
            labels = torch.randint(self.net.classes, (batch,))
            self.images.append(images.pin_memory() if on_gpu else images)
            self.labels.append(labels.pin_memory() if on_gpu else labels)
        self.resident = self.upload(0)
        self.graph = None
        self.reduce_overhead = False
        self.steps = 0
        self.loss = None

    def upload(self, i):
        images = self.images[i].to(self.device, non_blocking=True)
        return (images.to(memory_format=torch.channels_last),
                self.labels[i].to(self.device, non_blocking=True))

    def compute(self, images, labels):
        if self.reduce_overhead:
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            self.loss = self.model(images, labels, self.tau)
        self.optimiser.zero_grad(set_to_none=True)
        self.loss.backward()
        self.optimiser.step()

    def capture(self):
        """Makes the step one CUDA graph. Warm-up runs on a side stream, as PyTorch asks."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.compute(*self.resident)
        torch.cuda.current_stream().wait_stream(side)
        self.optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.compute(*self.resident)
        self.graph = graph

    def on(self, images, labels):
        if self.graph is None:
            self.compute(images, labels)
            return
        for static, fresh in zip(self.resident, (images, labels)):
            if static is not fresh:
                static.copy_(fresh, non_blocking=True)
        self.graph.replay()

    def step(self):
        i = self.steps % BATCHES
        self.steps += 1
        if self.graph is None:
            self.on(*self.upload(i))
        else:
            self.on(self.images[i], self.labels[i])

    def synchronise(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def wall(self, count):
        """Milliseconds a step by the host's clock, uploads included."""
        start = time.perf_counter()
        for _ in range(count):
            self.step()
        self.synchronise()
        return (time.perf_counter() - start) * 1e3 / count

    def events(self, count):
        """Milliseconds a step between two events, on a batch that is on the device already."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(count):
            self.on(*self.resident)
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / count


def spread(samples):
    ordered = sorted(samples)
    return {"median": round(statistics.median(ordered), 4), "low": round(ordered[0], 4),
            "high": round(ordered[-1], 4), "samples": len(ordered)}


def compiled(step, mode, region, backend):
    # Every layer of another shape is compiled anew; the default limit of 8 would stop that.
    torch._dynamo.config.recompile_limit = 256
    torch._dynamo.config.accumulated_recompile_limit = 1024
    kwargs = {"backend": backend}
    if mode == "reduce-overhead" and backend == "inductor":
        kwargs["mode"] = mode
        step.reduce_overhead = True
    model = step.model
    parts = [model] if region == "model" else [model.stem, *model.layers, model.head]
    for part in parts:
        part.compile(dynamic=False, **kwargs)


def measure(step, mode, options, row):
    start = time.perf_counter()
    step.graph = None
    if mode == "graph":
        step.capture()
    elif mode != "eager":
        compiled(step, mode, options.region, options.backend)
        row["region"] = options.region
    once = step.wall(1 if options.tiny else 5)
    row["compile_ms"] = round((time.perf_counter() - start) * 1e3)
    once = once if options.tiny else step.wall(1)
    count = 1 if options.tiny else int(max(1, min(200, options.seconds * 1e3 / SAMPLES / once)))
    samples = 1 if options.tiny else SAMPLES
    row["wall_ms"] = spread([step.wall(count) for _ in range(samples)])
    if step.device == "cuda":
        row["device_ms"] = spread([step.events(count) for _ in range(samples)])
        row["peak_bytes"] = torch.cuda.max_memory_allocated()
    row["loss"] = step.loss.item()
    if "region" in row:
        row["compiled_graphs"] = torch._dynamo.utils.counters["stats"]["unique_graphs"]


def timings(settings, options, report, write):
    """Every case; the modes of one step share a model, so that cuDNN chooses algorithms once."""
    deadline = time.perf_counter() + options.limit
    for case in options.cases.split(","):
        name, batch = case.rsplit(":", 1)
        for precision in options.precisions.split(","):
            for what in options.steps.split(","):
                step = None
                for mode in options.modes.split(","):
                    row = {"space": name, "batch": int(batch), "precision": precision,
                           "step": what, "mode": mode}
                    report["cases"].append(row)
                    if time.perf_counter() > deadline:
                        row["skipped"] = "no time was left for it"
                    else:
                        step = one(settings[name], row, step, options)
                    print(json.dumps(row), flush=True)
                    write()
                del step


def one(setting, row, step, options):
    """Fills in a row, on the model of the row before where there is one; returns the model."""
    on_gpu = options.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    try:
        if step is None:
            step = Step(setting, row["batch"], row["precision"], row["step"] == "theta",
                        options.device, setting["loss"]["tau"])
        measure(step, row["mode"], options, row)
        return step
    except supernet_spec.OtherNetwork:
        raise
    except Exception as e:  # A mode that PyTorch cannot do is a finding, not the end.
        lines = str(e).strip().splitlines() or [""]
        row["skipped"] = f"{type(e).__name__}: {lines[0][:300]}"
    step = None
    torch._dynamo.reset()
    if on_gpu:
        torch.cuda.empty_cache()
    return None


def parity(folder, options, report):
    """Runs our first weights and batches, and compares the losses of the first steps."""
    setting = json.loads((folder / "parity.json").read_text())
    step = Step(setting, setting["batch"], "f32", False, options.device, setting["tau"])
    weights = torch.frombuffer(bytearray((folder / "weights.bin").read_bytes()),
                               dtype=torch.float32)
    own = dict(step.model.named_parameters())
    names = {entry["name"] for entry in setting["weights"]}
    if names != set(own) - {"theta"}:
        raise supernet_spec.OtherNetwork(
            f"tensors differ: {sorted(names ^ (set(own) - {'theta'}))[:6]}")
    with torch.no_grad():
        for entry in setting["weights"]:
            part = weights[entry["offset"]:entry["offset"] + entry["elements"]]
            own[entry["name"]].copy_(part.view(own[entry["name"]].shape))
    for i in range(BATCHES):
        for into, file, kind in ((step.images[i], f"images{i}.bin", torch.float32),
                                 (step.labels[i], f"labels{i}.bin", torch.int32)):
            data = torch.frombuffer(bytearray((folder / file).read_bytes()), dtype=kind)
            into.copy_(data.view(into.shape))
    theirs = []
    for _ in setting["losses"]:
        step.step()
        theirs.append(step.loss.item())
    far = [abs(a - b) / abs(b) for a, b in zip(setting["losses"], theirs)]
    report["parity"] = {
        "space": step.net.name, "batch": step.batch, "ours": setting["losses"], "peer": theirs,
        "relative_differences": far,
        # The first step shows the forward pass, the others the gradients and the update; rounding
        # grows from step to step.
        "agree": far[0] < 1e-4 and max(far) < 1e-2}
    print(json.dumps(report["parity"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", type=pathlib.Path, help="JSON of SupernetStep")
    parser.add_argument("--cases", default="cifar:32,fashion:64,imagenet:8,imagenet:32,imagenet:64")
    parser.add_argument("--precisions", default="f32,tf32,bf16")
    parser.add_argument("--modes", default="eager,graph")
    parser.add_argument("--steps", default="w,theta")
    parser.add_argument("--region", default="model", choices=["model", "layer"])
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument("--seconds", type=float, default=1, help="of one figure")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds; no case begins later")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--parity", type=pathlib.Path, help="folder of SupernetStep --parity")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        skip("PyTorch sees no GPU")
    torch.manual_seed(1)
    report = {"complete": False, "torch": torch.__version__, "cuda": torch.version.cuda,
              "cudnn": torch.backends.cudnn.version(), "cases": []}

    def write():
        options.out.write_text(json.dumps(report, indent=2) + "\n")

    if options.parity:
        parity(options.parity, options, report)
    else:
        settings = {s["space"]["name"]: s
                    for s in json.loads(options.settings.read_text())["settings"]}
        timings(settings, options, report, write)
    report["complete"] = True
    write()


if __name__ == "__main__":
    main()
