"""P-Net, R-Net and O-Net of facenet-pytorch as ONNX files: the same numbers, for machines without a GPU.

On one core they are as fast as torch or faster, and torch, which takes two seconds to import, is not needed.
pixels: float32 (n, h, w, 3) in [0, 255]. Out of them: shift, (landmarks,) chance, as ``CascadeNet`` gives them.

    uv run python models/mtcnn/export.py
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from msapipe.stages.faces._cascade import ON_CPU, PLANS, Plan
from msapipe.stages.faces.mtcnn import MTCNN
from msapipe.weights.torch_file import load_tensors

HERE = Path(__file__).resolve().parent
log = logging.getLogger("export")


class Graph:
    """A net as nodes and numbers, one step behind the other."""

    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.numbers: list[onnx.TensorProto] = []
        self.last = "pixels"

    def constant(self, name: str, value: NDArray[np.float32]) -> str:
        """Numbers under a name."""
        self.numbers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def step(self, kind: str, *inputs: str, out: str = "", **settings: object) -> str:
        """Add a node and go on with what it makes."""
        self.last = out or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.last], **settings))
        return self.last

    def layer(self, name: str, before: str, kind: str, out: str = "") -> str:
        """A convolution (Conv) or a linear layer (Gemm)."""
        numbers = [self.constant(f"{name}.{part}", self.weights[f"{name}.{part}"]) for part in ("weight", "bias")]
        return self.step(kind, before, *numbers, out=out, **({"transB": 1} if kind == "Gemm" else {}))

    def prelu(self, name: str, image: bool) -> str:
        """PReLU; as max(x, slope x), which is the same and faster, where no slope is above 1."""
        slope = self.weights[f"{name}.weight"]
        before, shape = self.last, (-1, 1, 1) if image else (-1,)
        numbers = self.constant(f"{name}.weight", slope.reshape(shape))
        if (slope > 1).any():
            return self.step("PRelu", before, numbers)
        return self.step("Max", before, self.step("Mul", before, numbers))


def exported(plan: Plan, weights: dict[str, NDArray[np.float32]], side: int | str) -> onnx.ModelProto:
    """One of the three nets, of pictures of any size or of ``side`` pixels."""
    graph = Graph(weights)
    middle, scale = (graph.constant(n, np.array([v], np.float32)) for n, v in (("middle", 127.5), ("scale", 0.0078125)))
    graph.step("Transpose", "pixels", perm=[0, 3, 1, 2])
    graph.step("Mul", graph.step("Sub", graph.last, middle), scale)
    for number, pool in enumerate(plan.pools, 1):
        graph.layer(f"conv{number}", graph.last, "Conv")
        graph.prelu(f"prelu{number}", image=True)
        if pool is not None:
            graph.step("MaxPool", graph.last, kernel_shape=[pool[0]] * 2, strides=[pool[1]] * 2, ceil_mode=1)
    if plan.dense is not None:
        graph.step("Flatten", graph.step("Transpose", graph.last, perm=[0, 3, 2, 1]))
        graph.layer(plan.dense, graph.last, "Gemm")
        graph.prelu(plan.dense.replace("dense", "prelu"), image=False)
    kind, seen = ("Conv" if plan.dense is None else "Gemm"), graph.last
    said = [graph.layer(name, seen, kind, out=name) for name in (plan.shift, *plan.more)]
    said.append(graph.step("Softmax", graph.layer(plan.chance, seen, kind), out="chance", axis=1))
    axes: list[str | int | None] = ["n", None] if plan.dense else ["n", None, None, None]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in said]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", side or "h", side or "w", 3])
    made = helper.make_graph(graph.nodes, "mtcnn", [pixels], outputs, graph.numbers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Write the three files and say their hashes."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for plan, published, target, side in zip(PLANS, MTCNN.weights, ON_CPU, ("", 24, 48), strict=True):
        weights = {n: t.numpy() for n, t in load_tensors(published.path()).items()}
        file = HERE / target.file
        file.write_bytes(exported(plan, weights, side).SerializeToString(deterministic=True))
        log.info("%s %d %s", file.name, file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
