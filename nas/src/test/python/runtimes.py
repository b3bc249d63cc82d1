"""What others make of ONNX files: the checker of the Python package onnx, and OpenCV.

Reads a JSON list from standard input, each entry with the path of a file ("file") and, where OpenCV
is to run it, a batch of images ("images", little-endian floats; "shape"). Writes the versions and
what was found of each to standard output. Standard error is OpenCV's own.
"""

import json
import sys

import cv2
import numpy
import onnx

LONGEST = 2000


def dimensions(tensor):
    """The lengths of a tensor's dimensions as the file or the checker has them; -1 where open."""
    dims = tensor.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else -1 for d in dims]


def checked(path):
    """What the checker says of a file, and what shapes its inference gives to all values."""
    onnx.checker.check_model(path, full_check=True)
    model = onnx.shape_inference.infer_shapes(
        onnx.load(path), check_type=True, strict_mode=True, data_prop=True
    )
    graph = model.graph
    shapes = {v.name: dimensions(v) for v in [*graph.value_info, *graph.input, *graph.output]}
    unknown = [name for node in graph.node for name in node.output if name not in shapes]
    return {
        "unknown": unknown,
        "most": max(len(s) for s in shapes.values()),
        "open": sum(s.count(-1) for s in shapes.values()),
        "inner": sum(s[1:].count(-1) for s in shapes.values()),
        "operators": sorted({node.op_type for node in graph.node}),
    }


def logits(path, images):
    """What OpenCV computes."""
    network = cv2.dnn.readNetFromONNX(path)
    network.setInput(images, "images")
    return network.forward("logits")


def judged(entry):
    found = {}
    try:
        found["checker"] = checked(entry["file"])
    except Exception as e:  # The checker has several kinds, and all are an answer.
        found["refusal"] = str(e)[:LONGEST]
    if "images" not in entry:
        return found
    images = numpy.fromfile(entry["images"], "<f4").reshape(entry["shape"])
    try:
        result = logits(entry["file"], images)
        found["shape"] = list(result.shape)
        found["logits"] = [float(value) for value in result.ravel()]
    except cv2.error as e:
        found["error"] = str(e)[:LONGEST]
    return found


if __name__ == "__main__":
    cv2.setNumThreads(1)
    answer = {
        "opencv": cv2.__version__,
        "onnx": onnx.__version__,
        "files": [judged(entry) for entry in json.load(sys.stdin)],
    }
    json.dump(answer, sys.stdout)
