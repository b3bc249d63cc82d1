"""The supernet in PyTorch, with the engine's names and arithmetic."""

import torch
from torch import nn
from torch.nn import functional as F


def shuffle(x, groups):
    """y[n, i * groups + g] = x[n, g * C / groups + i], one copy in the order of x."""
    n, c, h, w = x.shape
    if x.is_contiguous():
        return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)
    y = x.permute(0, 2, 3, 1).reshape(n, h, w, groups, c // groups)
    return y.transpose(3, 4).reshape(n, h, w, c).permute(0, 3, 1, 2)


class NativeConvolution(torch.autograd.Function):
    """A convolution that never asks cuDNN, in either direction.

    The choice of a library is made anew by the backward pass, so a flag around the forward pass
    alone would not do.
    """

    @staticmethod
    def forward(ctx, x, w, stride, padding, groups):
        ctx.save_for_backward(x, w)
        ctx.sizes = stride, padding, groups
        with torch.backends.cudnn.flags(enabled=False):
            return F.conv2d(x, w, None, stride, padding, 1, groups)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        stride, padding, groups = ctx.sizes
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        with torch.backends.cudnn.flags(enabled=False):
            dx, dw, _ = torch.ops.aten.convolution_backward(
                dy, x, w, None, stride, padding, (1, 1), False, (0, 0), groups, wanted)
        return dx, dw, None, None, None


class NativeDepthwise(nn.Conv2d):
    def forward(self, x):
        kind = x.device.type
        # Autocast does not reach into a function of one's own.
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
            x, w = x.to(dtype), self.weight.to(dtype)
        else:
            w = self.weight
        return NativeConvolution.apply(x, w, self.stride, self.padding, self.groups)


def attach(module, spec, native):
    """Adds a convolution and its batch norm to a module, and tells how to run them.

    What is returned names no layer, so that torch.compile sees equal layers as equal. native:
    depthwise convolutions by PyTorch's own kernels alone.
    """
    depthwise = spec.groups > 1 and spec.groups == spec.inputs
    conv = (NativeDepthwise if native and depthwise else nn.Conv2d)(
        spec.inputs, spec.outputs, spec.kernel, spec.stride, spec.kernel // 2,
        groups=spec.groups, bias=False)
    fan_out = spec.kernel * spec.kernel * spec.outputs / spec.groups
    nn.init.normal_(conv.weight, std=(2 / fan_out) ** 0.5)
    norm = nn.BatchNorm2d(spec.outputs)
    # Counting batches would cost a kernel a norm, and nothing reads the count.
    norm.num_batches_tracked = None
    names = spec.name.rsplit(".", 1)[1], spec.norm.rsplit(".", 1)[1]
    setattr(module, names[0], conv)
    setattr(module, names[1], norm)
    return *names, spec.relu, spec.shuffle


def run(module, part, x):
    conv, norm, relu, groups = part
    x = getattr(module, norm)(getattr(module, conv)(x))
    if relu:
        x = F.relu(x, inplace=True)
    return shuffle(x, groups) if groups > 1 else x


class Block(nn.Module):
    def __init__(self, spec, native):
        super().__init__()
        self.parts = tuple(attach(self, c, native) for c in spec.convolutions)
        self.residual = spec.residual

    def forward(self, x):
        y = x
        for part in self.parts:
            y = run(self, part, y)
        return x + y if self.residual else y


class Single(nn.Module):
    """The stem or the head."""

    def __init__(self, spec):
        super().__init__()
        self.part = attach(self, spec, False)

    def forward(self, x):
        return run(self, self.part, x)


class Mixed(nn.ModuleDict):
    """A layer: the sum of its candidates, each times its coefficient of [N or 1, K]."""

    def __init__(self, layer, native):
        super().__init__({block.name: Block(block, native) for block in layer.blocks})

    def forward(self, x, m):
        y = None
        for k, block in enumerate(self.values()):
            share = block(x) * m[:, k].to(x.dtype).view(-1, 1, 1, 1)
            y = share if y is None else y + share
        return y


class Supernet(nn.Module):
    def __init__(self, net, setting, batch, native_depthwise):
        super().__init__()
        self.net = net
        self.loss = setting["loss"]
        self.rows = batch if self.loss["noise_per_image"] else 1
        self.stem = Single(net.stem)
        self.layers = nn.ModuleList(Mixed(layer, native_depthwise) for layer in net.layers)
        self.head = Single(net.head)
        self.classifier = nn.Linear(net.head.outputs, net.classes)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)
        latencies = torch.tensor(setting["layers_ms"]) * 1000
        self.theta = nn.Parameter(torch.zeros_like(latencies))
        self.register_buffer("latencies", latencies, persistent=False)

    def coefficients(self, tau):
        u = torch.rand(self.rows, *self.theta.shape, device=self.theta.device)
        noise = -torch.log(-torch.log(u.clamp(1e-7, 1 - 1e-7)))
        return torch.softmax((self.theta + noise) / tau, -1)

    def logits(self, images, m):
        x = self.stem(images)
        for i, layer in enumerate(self.layers):
            x = layer(x, m[:, i])
        return self.classifier(self.head(x).mean((2, 3)))

    def forward(self, images, labels, tau):
        m = self.coefficients(tau)
        ce = F.cross_entropy(self.logits(images, m).float(), labels, reduction="none")
        latency = (m * self.latencies).sum((1, 2)) + self.loss["fixed_ms"] * 1000
        power = torch.log(latency.clamp_min(torch.e)) ** self.loss["beta"]
        return (ce * power * self.loss["alpha"]).mean()

    def weight_groups(self):
        """w in two groups: weight decay spares batch norms and the bias."""
        named = [(n, p) for n, p in self.named_parameters() if n != "theta"]
        decayed = [p for n, p in named if p.dim() > 1]
        rest = [p for n, p in named if p.dim() == 1]
        return [{"params": decayed, "weight_decay": self.loss["weight_decay"]},
                {"params": rest, "weight_decay": 0.0}]

    def track(self, on):
        """Whether batch norms move their running statistics: in w steps, not in theta steps."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = on

    def counted_parameters(self):
        return sum(p.numel() for n, p in self.named_parameters() if n != "theta")
