"""The supernet as plain data: what both sides build, counted without any framework.

Reads a setting as `io.fbnet.bench.gpu.SupernetStep --describe` writes it. Names of tensors are the
engine's own, so that a peer's state dictionary and a checkpoint of ours agree.
"""

import re
from dataclasses import dataclass


class OtherNetwork(ValueError):
    """Two sides count differently: they are not the same network, so nothing may be compared."""


BLOCK_NAME = re.compile(r"k(\d+)_e(\d+)(?:_g(\d+))?")


@dataclass(frozen=True)
class Convolution:
    """A convolution without bias and the batch norm behind it."""

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int
    relu: bool
    shuffle: int  # groups of the channel shuffle behind the ReLU, 1 for none
    height: int  # of the output
    width: int

    @property
    def weights(self):
        return self.inputs // self.groups * self.outputs * self.kernel * self.kernel

    @property
    def parameters(self):
        return self.weights + 2 * self.outputs

    @property
    def macs(self):
        return self.weights * self.height * self.width


@dataclass(frozen=True)
class Block:
    """A candidate: convolutions in order, and whether the input is added. None of both: identity."""

    name: str
    convolutions: tuple
    residual: bool


@dataclass(frozen=True)
class Layer:
    index: int
    inputs: int
    outputs: int
    stride: int
    blocks: tuple


@dataclass(frozen=True)
class Supernet:
    name: str
    channels: int
    height: int
    width: int
    classes: int
    stem: Convolution
    layers: tuple
    head: Convolution

    def convolutions(self):
        yield self.stem
        for layer in self.layers:
            for block in layer.blocks:
                yield from block.convolutions
        yield self.head

    @property
    def parameters(self):
        """Trainable numbers, theta apart."""
        classifier = self.head.outputs * self.classes + self.classes
        return sum(c.parameters for c in self.convolutions()) + classifier

    @property
    def tensors(self):
        """Trainable tensors: weight, gamma and beta of each convolution; the classifier's two."""
        return 3 * sum(1 for _ in self.convolutions()) + 2

    @property
    def macs(self):
        """Multiply-adds of one image's forward pass through all candidates."""
        return sum(c.macs for c in self.convolutions()) + self.head.outputs * self.classes


def ceil_div(size, stride):
    return -(-size // stride)


def block_of(name):
    """Kernel, expansion, groups of a block's name; None for skip."""
    if name == "skip":
        return None
    match = BLOCK_NAME.fullmatch(name)
    if not match:
        raise ValueError(f"'{name}' is no block")
    return int(match[1]), int(match[2]), int(match[3] or 1)


def _block(prefix, name, inputs, outputs, stride, height, width, always_pw):
    keeps = stride == 1 and inputs == outputs
    out_height, out_width = ceil_div(height, stride), ceil_div(width, stride)
    parts = block_of(name)
    at = f"{prefix}.{name}"

    def conv(what, ins, outs, kernel, step, groups, relu, h, w, shuffle=1):
        return Convolution(
            f"{at}.{what}", f"{at}.{what}_bn" if what != "conv" else f"{at}.bn",
            ins, outs, kernel, step, groups, relu, shuffle, h, w)

    if parts is None:
        if keeps:
            return Block(name, (), False)
        one = conv("conv", inputs, outputs, 1, stride, 1, True, out_height, out_width)
        return Block(name, (one,), False)
    kernel, expansion, groups = parts
    inner = inputs * expansion
    convolutions = []
    if always_pw or expansion != 1:
        convolutions.append(
            conv("expand", inputs, inner, 1, 1, groups, True, height, width, groups))
    convolutions.append(
        conv("depthwise", inner, inner, kernel, stride, inner, True, out_height, out_width))
    convolutions.append(
        conv("project", inner, outputs, 1, 1, groups, False, out_height, out_width))
    return Block(name, tuple(convolutions), keeps)


def supernet(space):
    """The supernet of a space, given as the fields of its file."""
    image, stem = space["input"], space["stem"]
    height = ceil_div(image["height"], stem["stride"])
    width = ceil_div(image["width"], stem["stride"])
    first = Convolution("stem.conv", "stem.bn", image["channels"], stem["width"], 3,
                        stem["stride"], 1, True, 1, height, width)
    layers = []
    channels = stem["width"]
    for stage in space["stages"]:
        for i in range(stage["layers"]):
            stride = stage["stride"] if i == 0 else 1
            index = len(layers)
            blocks = tuple(
                _block(f"layers.{index}", name, channels, stage["width"], stride, height, width,
                       space["always_pw"])
                for name in space["blocks"])
            layers.append(Layer(index, channels, stage["width"], stride, blocks))
            channels = stage["width"]
            height, width = ceil_div(height, stride), ceil_div(width, stride)
    head = Convolution("head.conv", "head.bn", channels, space["head"], 1, 1, 1, True, 1,
                       height, width)
    return Supernet(space["name"], image["channels"], image["height"], image["width"],
                    space["classes"], first, tuple(layers), head)


def check_counts(setting):
    """The supernet of a setting; raises where its counts are not those that Java counted."""
    net = supernet(setting["space"])
    for what in ("parameters", "tensors", "macs"):
        ours, theirs = setting[what], getattr(net, what)
        if ours != theirs:
            raise OtherNetwork(f"{net.name}: {what} are {ours} in Java and {theirs} in Python")
    return net
