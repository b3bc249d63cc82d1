"""Times the supernet's two steps in PyTorch: the peer of io.fbnet.bench.gpu.SupernetStep.

One process runs one case by one variant (variants.py): the w step, then the theta step, each eager
and captured as a CUDA graph, or by torch.compile. It says each stage as it begins and as it ends.
What cannot run is a row that is skipped with its reason. Exit code 77: nothing can run here.
"""

import argparse
import collections
import json
import pathlib
import statistics
import sys
import time

import supernet_spec
from stages import Stages
from variants import VARIANTS

SKIPPED = 77
BATCHES = 4
SAMPLES = 5
WARM_UP = 3

BEFORE_IMPORT = time.perf_counter()
print("import torch ...", flush=True)


def skip(reason):
    print(f"skipped: {reason}", flush=True)
    sys.exit(SKIPPED)


try:
    import torch

    import supernet_model
except ImportError as e:
    skip(f"python3 has no PyTorch ({e})")
IMPORT_S = time.perf_counter() - BEFORE_IMPORT


class Step:
    """One of the two steps of a model, on batches in host memory that take turns."""

    def __init__(self, setting, batch, precision, theta, device, tau, variant):
        loss = setting["loss"]
        self.net = supernet_spec.check_counts(setting)
        self.batch, self.tau, self.device = batch, tau, device
        self.bf16 = precision == "bf16"
        on_gpu = device == "cuda"
        torch.backends.cuda.matmul.allow_tf32 = precision != "f32"
        torch.backends.cudnn.allow_tf32 = precision != "f32"
        torch.backends.cudnn.benchmark = variant.benchmark
        self.layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        self.model = supernet_model.Supernet(self.net, setting, batch, variant.native_depthwise)
        self.model.to(device).to(memory_format=self.layout).train()
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
        self.steps = 0
        self.loss = None

    def upload(self, i):
        images = self.images[i].to(self.device, non_blocking=True)
        return (images.to(memory_format=self.layout),
                self.labels[i].to(self.device, non_blocking=True))

    def forward(self, images, labels):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            self.loss = self.model(images, labels, self.tau)

    def compute(self, images, labels):
        self.forward(images, labels)
        self.optimiser.zero_grad(set_to_none=True)
        self.loss.backward()
        self.optimiser.step()

    def first(self, stages, by_kind):
        """The first step, in its parts: this is where libraries choose and compile."""
        with stages.stage("first forward") as row:
            if by_kind:
                row["convolutions"] = convolution_seconds(self)
            else:
                self.forward(*self.resident)
                self.synchronise()
        with stages.stage("first backward"):
            self.optimiser.zero_grad(set_to_none=True)
            self.loss.backward()
            self.synchronise()
        with stages.stage("first update"):
            self.optimiser.step()
            self.synchronise()

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


def kind(conv):
    """What a convolution is called in the table of first calls."""
    if conv.groups == 1:
        return "dense"
    if conv.groups < conv.in_channels:
        return "grouped"
    return f"depthwise {conv.kernel_size[0]}x{conv.kernel_size[0]}"


def convolution_seconds(step):
    """Runs a forward pass; calls and seconds of its convolutions by kind, each waited for."""
    found = collections.defaultdict(lambda: [0, 0.0])
    begun = {}

    def before(conv, _):
        step.synchronise()
        begun[conv] = time.perf_counter()

    def after(conv, *_):
        step.synchronise()
        row = found[kind(conv)]
        row[0] += 1
        row[1] += time.perf_counter() - begun[conv]

    hooks = []
    for module in step.model.modules():
        if isinstance(module, torch.nn.Conv2d):
            hooks += [module.register_forward_pre_hook(before),
                      module.register_forward_hook(after)]
    try:
        step.forward(*step.resident)
        step.synchronise()
    finally:
        for hook in hooks:
            hook.remove()
    return {name: {"calls": n, "seconds": round(s, 3)} for name, (n, s) in sorted(found.items())}


def compile_layers(step):
    """torch.compile of each layer, so that equal layers are compiled once."""
    # Every layer of another shape is compiled anew; the default limit of 8 would stop that.
    torch._dynamo.config.recompile_limit = 256
    torch._dynamo.config.accumulated_recompile_limit = 1024
    for part in (step.model.stem, *step.model.layers, step.model.head):
        part.compile(dynamic=False)


def warm_up(step, stages):
    for i in range(WARM_UP):
        with stages.stage(f"warm-up step {i + 1}"):
            step.wall(1)


def timed(step, options, row, stages):
    with stages.stage(f"timing, {row['mode']}"):
        once = step.wall(1)
        count = 1 if options.tiny else int(
            max(1, min(200, options.seconds * 1e3 / SAMPLES / once)))
        samples = 1 if options.tiny else SAMPLES
        row["wall_ms"] = spread([step.wall(count) for _ in range(samples)])
        if step.device == "cuda":
            row["device_ms"] = spread([step.events(count) for _ in range(samples)])
            row["peak_bytes"] = torch.cuda.max_memory_allocated()
        row["loss"] = step.loss.item()


def timings(setting, options, report, stages):
    """Both steps by one variant. A mode that PyTorch cannot do is a finding, not the end."""
    variant = VARIANTS[options.variant]
    space, batch = options.case.rsplit(":", 1)
    for what in ("w", "theta"):
        if options.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        rows = [{"space": space, "batch": int(batch), "precision": options.precision, "step": what,
                 "variant": variant.name, "mode": mode} for mode in variant.modes
                if "graph" not in mode or options.device == "cuda"]
        report["cases"] += rows
        try:
            with stages.stage(f"model of the {what} step"):
                step = Step(setting, int(batch), options.precision, what == "theta",
                            options.device, setting["loss"]["tau"], variant)
            begun = time.perf_counter()
            if variant.compiled:
                compile_layers(step)
            # What the compiler makes of a layer has no single convolutions to watch.
            step.first(stages, by_kind=not variant.compiled)
            warm_up(step, stages)
            for row in rows:
                if "graph" in row["mode"]:
                    with stages.stage("capture"):
                        step.capture()
                row["set_up_s"] = round(time.perf_counter() - begun, 2)
                timed(step, options, row, stages)
                print(json.dumps(row), flush=True)
        except supernet_spec.OtherNetwork:
            raise
        except Exception as e:
            lines = str(e).strip().splitlines() or [""]
            for row in rows:
                if "wall_ms" not in row:
                    row["skipped"] = f"{type(e).__name__}: {lines[0][:300]}"
                    print(json.dumps(row), flush=True)
        stages.write()
        step = None
        if options.device == "cuda":
            torch.cuda.empty_cache()


def parity(folder, options, report, stages):
    """Runs our first weights and batches, and compares the losses of the first steps."""
    setting = json.loads((folder / "parity.json").read_text())
    with stages.stage("model"):
        step = Step(setting, setting["batch"], "f32", False, options.device, setting["tau"],
                    VARIANTS["contiguous"])
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
    for i in range(len(setting["losses"])):
        with stages.stage(f"step {i + 1}"):
            step.step()
            theirs.append(step.loss.item())
    far = [abs(a - b) / abs(b) for a, b in zip(setting["losses"], theirs)]
    report["parity"] = {
        "space": step.net.name, "batch": step.batch, "ours": setting["losses"], "peer": theirs,
        "relative_differences": far,
        # The first step shows the forward pass, the others the gradients and the update; rounding
        # grows from step to step.
        "agree": far[0] < 1e-4 and max(far) < 1e-2}
    print(json.dumps(report["parity"]), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", type=pathlib.Path, help="JSON of SupernetStep --describe")
    parser.add_argument("--case", default="cifar:32")
    parser.add_argument("--precision", default="bf16", choices=["f32", "tf32", "bf16"])
    parser.add_argument("--variant", default="contiguous", choices=list(VARIANTS))
    parser.add_argument("--seconds", type=float, default=1, help="of one figure")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--parity", type=pathlib.Path, help="folder of SupernetStep --parity")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    report = {"complete": False, "torch": torch.__version__, "cuda": torch.version.cuda,
              "cudnn": torch.backends.cudnn.version(), "cases": []}

    def write():
        options.out.write_text(json.dumps(report, indent=2) + "\n")

    stages = Stages(report, write)
    stages.rows.append({"stage": "import torch", "seconds": None})
    stages.ended(stages.rows[0], IMPORT_S)
    with stages.stage("device"):
        if options.device == "cuda":
            if not torch.cuda.is_available():
                skip("PyTorch sees no GPU")
            torch.zeros(1, device="cuda")
            torch.cuda.synchronize()
    torch.manual_seed(1)
    if options.parity:
        parity(options.parity, options, report, stages)
    else:
        settings = {s["space"]["name"]: s
                    for s in json.loads(options.settings.read_text())["settings"]}
        timings(settings[options.case.rsplit(":", 1)[0]], options, report, stages)
    report["complete"] = True
    write()


if __name__ == "__main__":
    main()
