"""P-Net, R-Net and O-Net of facenet-pytorch as ONNX files: the same numbers, for machines without a GPU.

On one core they are as fast as torch or faster, and torch, which takes two seconds to import, is not needed.
pixels: float32 (n, h, w, 3) in [0, 255]. Out of them: shift, (landmarks,) chance, as ``CascadeNet`` gives them.

    uv run python models/mtcnn/export.py
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

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
    """A net as nodes and numbers, one step behind the other.

    onnxruntime keeps convolutions and poolings in blocks of 16 channels, its fastest layout, as long as every step
    between them can stay in it: channels are filled up with zeros, and PReLU is written in such steps.
    """

    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.numbers: list[onnx.TensorProto] = []
        self.last = "pixels"

    def constant(self, name: str, value: NDArray[Any]) -> str:
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
        """PReLU as x + (1 - slope) max(-x, 0): it is the same, and fuses into two cheap steps behind a convolution."""
        slope, x = self.weights[f"{name}.weight"], self.last
        shape = (-1, 1, 1) if image else (-1,)
        turn = self.constant(f"{name}.turn", np.full_like(slope, -1).reshape(shape))
        share = self.constant(f"{name}.share", (1 - slope).reshape(shape))
        below = self.step("Mul", self.step("Relu", self.step("Mul", x, turn)), share)
        return self.step("Add", below, x)

    def prelu_of_largest(self, name: str) -> str:
        """The largest of PReLU from the largest x and, where the slope is negative, the largest -x, see ``filled``.

        The pooling in front of it leaves a quarter of the numbers.
        """
        slope, x = self.weights[f"{name}.weight"], self.last
        falls = np.flatnonzero(slope < 0)
        opposite = np.arange(len(slope))[len(slope) - len(falls) :]
        mix, share = -np.eye(len(slope), dtype=np.float32), (1 - slope).astype(np.float32)
        mix[falls, opposite], share[falls], share[opposite] = -slope[falls], 1, 0
        numbers = self.constant(f"{name}.mix", mix[:, :, None, None])
        shares = self.constant(f"{name}.share", share.reshape(-1, 1, 1))
        return self.step("Add", self.step("Mul", self.step("Relu", self.step("Conv", x, numbers)), shares), x)


def opposites(weights: dict[str, NDArray[np.float32]]) -> NDArray[np.int64]:
    """Channels of the first convolution with a negative slope, if what fills it up has room for their opposites."""
    falls = np.flatnonzero(weights["prelu1.weight"] < 0)
    return falls if len(falls) <= -len(weights["conv1.bias"]) % 16 else falls[:0]


def arranged(plan: Plan, weights: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The weights with what can be computed beforehand: scaled pixels, order of columns, one answer for two chances."""
    made = dict(weights)
    # (pixels - 127.5) / 128 in front of the first convolution
    first = weights["conv1.weight"] * np.float32(0.0078125)
    offset = 127.5 * first.astype(np.float64).sum((1, 2, 3))
    made["conv1.weight"], made["conv1.bias"] = first, (weights["conv1.bias"] - offset).astype(np.float32)
    if plan.dense is not None:  # its columns lie as (width, height, channels)
        dense, channels = weights[f"{plan.dense}.weight"], len(weights[f"conv{len(plan.pools)}.bias"])
        side = round((dense.shape[1] / channels) ** 0.5)
        columns = dense.reshape(-1, side, side, channels).transpose(0, 3, 2, 1)
        made[f"{plan.dense}.weight"] = columns.reshape(dense.shape)
    for part in ("weight", "bias"):  # softmax of two is the sigmoid of their difference
        no, yes = weights[f"{plan.chance}.{part}"]
        made[f"{plan.chance}.{part}"] = np.asarray(yes - no)[None]
    return filled(plan, made)


def filled(plan: Plan, weights: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The weights with channels of zeros, so that each convolution gives a multiple of 16; or with ``opposites``."""
    made, before = dict(weights), 3
    answers = (plan.shift, plan.chance) if plan.dense is None else ()
    for name in (*(f"conv{number}" for number in range(1, len(plan.pools) + 1)), *answers):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        more = 0 if name in answers else -len(weight) % 16
        made[f"{name}.weight"] = np.pad(weight, ((0, more), (0, before - weight.shape[1]), (0, 0), (0, 0)))
        made[f"{name}.bias"] = np.pad(bias, (0, more))
        if name not in answers:
            slope = f"{name.replace('conv', 'prelu')}.weight"
            made[slope] = np.pad(weights[slope], (0, more))
            before = len(weight) + more
    if len(falls := opposites(weights)):
        for part in ("weight", "bias"):
            made[f"conv1.{part}"][-len(falls) :] = -weights[f"conv1.{part}"][falls]
    return made


def exported(plan: Plan, weights: dict[str, NDArray[np.float32]], side: int | str) -> onnx.ModelProto:
    """One of the three nets, of pictures of any size or of ``side`` pixels."""
    graph = Graph(arranged(plan, weights))
    graph.step("Transpose", "pixels", perm=[0, 3, 1, 2])
    for number, pool in enumerate(plan.pools, 1):
        graph.layer(f"conv{number}", graph.last, "Conv")
        late = number == 1 and len(opposites(weights)) > 0
        if not late:
            graph.prelu(f"prelu{number}", image=True)
        if pool is not None:
            graph.step("MaxPool", graph.last, kernel_shape=[pool[0]] * 2, strides=[pool[1]] * 2, ceil_mode=1)
        if late:
            graph.prelu_of_largest(f"prelu{number}")
    if plan.dense is not None:
        graph.layer(plan.dense, graph.step("Flatten", graph.last), "Gemm")
        graph.prelu(plan.dense.replace("dense", "prelu"), image=False)
    kind, seen = ("Conv" if plan.dense is None else "Gemm"), graph.last
    said = [graph.layer(name, seen, kind, out=name) for name in (plan.shift, *plan.more)]
    axis = graph.constant("axis", np.array([1]))
    chance = graph.step("Sigmoid", graph.layer(plan.chance, seen, kind))
    said.append(graph.step("Squeeze", chance, axis, out="chance"))
    places: list[str | int | None] = [] if plan.dense else [None, None]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None, *places]) for name in said[:-1]]
    outputs.append(helper.make_tensor_value_info("chance", TensorProto.FLOAT, ["n", *places]))
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
