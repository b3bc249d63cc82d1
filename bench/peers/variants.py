"""The ways to run the supernet in PyTorch that its users know, from the cheapest to set up on.

cuDNN since 9.10 compiles a kernel for each shape of a depthwise convolution, about 1.5 s each
(NVIDIA/cudnn-frontend issue 1066), and PyTorch gives it every depthwise convolution of images in
channels-last order, whatever their type. The cifar supernet has 54 such shapes in three directions:
minutes before the first step. Contiguous images take PyTorch's own depthwise kernels, which are
compiled already.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    name: str
    limit_s: int  # of one process: two steps, each eager and as a graph
    channels_last: bool = False
    native_depthwise: bool = False  # PyTorch's own kernels where it would ask cuDNN
    benchmark: bool = False  # cuDNN times its algorithms
    compiled: bool = False  # torch.compile, layer by layer

    @property
    def modes(self):
        return ("compile", "compile, graph") if self.compiled else ("eager", "graph")


VARIANTS = {v.name: v for v in (
    Variant("contiguous", 60),
    Variant("channels-last native", 60, channels_last=True, native_depthwise=True),
    Variant("compiled", 150, compiled=True),
    Variant("contiguous benchmark", 120, benchmark=True),
    Variant("channels-last", 240, channels_last=True),
    Variant("channels-last benchmark", 400, channels_last=True, benchmark=True),
)}
