"""An LSTM over packed steps, equal to ``nn.LSTM`` but with fewer memory passes on a CPU.

Hochreiter and Schmidhuber, "Long Short-Term Memory" (1997), with the forget gate of Gers et al. (2000). It computes all
input products before the first step and all weight gradients after the last one; tanh is computed as a sigmoid, which
is many times faster on a CPU. ``benchmarks/train.py`` measures the gain.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from msapipe.fusion._aligned import lengths


class LastState(nn.LSTM):
    """The state after each clip's last valid step: (B, T, D), (B, T) to (B, hidden); one layer, one direction."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(width, hidden, batch_first=True)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """A clip without a valid step gets the state after its first step."""
        # Packed, since most clips are much shorter than the longest in their batch.
        steps = lengths(mask).clamp(min=1).cpu()
        packed = pack_padded_sequence(values, steps, batch_first=True, enforce_sorted=False)
        if values.device.type != "cpu":
            return super().forward(packed)[1][0][0]
        states: Tensor = _Lstm.apply(packed.data, packed.batch_sizes.tolist(), *self._flat_weights)
        return states[_last_rows(packed, steps)]


def _last_rows(packed: PackedSequence, steps: Tensor) -> Tensor:
    """Index of each clip's last step in the packed rows: int64 (B,)."""
    before = packed.batch_sizes.cumsum(0) - packed.batch_sizes
    place = packed.unsorted_indices if packed.unsorted_indices is not None else torch.arange(len(steps))
    return before[steps - 1] + place


class _Lstm(torch.autograd.Function):
    """Packed rows (N, D), batch sizes per step and the four parameters of a layer, to packed states (N, H).

    gates: i, f, g, o concatenated, (N, 4 H), after their sigmoid or tanh.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, sizes: list[int], w_in: Tensor, w_state: Tensor, b_in: Tensor, b_state: Tensor
    ) -> Tensor:
        """Run all steps, longest clips first."""
        gates = torch.addmm(b_in + b_state, rows, w_in.t())
        width = w_state.shape[1]
        states, cells, squashed = (rows.new_empty(len(rows), width) for _ in range(3))
        at = before = 0
        for step, count in enumerate(sizes):
            here, last = slice(at, at + count), slice(before, before + count)
            gate, cell = gates[here], cells[here]
            if step:
                gate.addmm_(states[last], w_state.t())
            doubled = gate[:, 2 * width : 3 * width]
            doubled.mul_(2)
            gate.sigmoid_()
            doubled.mul_(2).sub_(1)
            enter, keep, new, out = gate.chunk(4, dim=1)
            torch.mul(enter, new, out=cell)
            if step:
                cell.addcmul_(keep, cells[last])
            torch.mul(cell, 2, out=squashed[here]).sigmoid_().mul_(2).sub_(1)
            torch.mul(out, squashed[here], out=states[here])
            before, at = at, at + count
        ctx.save_for_backward(rows, gates, states, cells, squashed, w_in, w_state)
        ctx.sizes = sizes
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_states: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the rows and the four parameters."""
        rows, gates, states, cells, squashed, w_in, w_state = ctx.saved_tensors
        sizes: list[int] = ctx.sizes
        width = w_state.shape[1]
        enter, keep, new, out = gates.chunk(4, dim=1)
        # For all steps at once, independent of later ones: derivatives of cell or state by each gate's input.
        by_enter, by_new = new * enter * (1 - enter), enter * (1 - new * new)
        by_keep, by_out = keep * (1 - keep), squashed * out * (1 - out)
        by_cell = out * (1 - squashed * squashed)
        of_states, of_cells, of_gates = of_states.clone(), torch.zeros_like(cells), torch.empty_like(gates)
        ends = list(accumulate(sizes))
        for step in range(len(sizes) - 1, -1, -1):
            count, end = sizes[step], ends[step]
            here = slice(end - count, end)
            cell, gate = of_cells[here].addcmul_(of_states[here], by_cell[here]), of_gates[here]
            torch.mul(cell, by_enter[here], out=gate[:, :width])
            torch.mul(cell, by_new[here], out=gate[:, 2 * width : 3 * width])
            torch.mul(of_states[here], by_out[here], out=gate[:, 3 * width :])
            if not step:
                gate[:, width : 2 * width].zero_()
                break
            before = end - count - sizes[step - 1]
            last = slice(before, before + count)
            torch.mul(cell, cells[last], out=gate[:, width : 2 * width]).mul_(by_keep[here])
            of_cells[last].addcmul_(cell, keep[here])
            of_states[last].addmm_(gate, w_state)
        starts = [end - count for end, count in zip(ends, sizes, strict=True)]
        came = torch.cat([states[:0], *(states[starts[i - 1] :][: sizes[i]] for i in range(1, len(sizes)))])
        bias = of_gates.sum(0)
        of_rows = of_gates @ w_in if ctx.needs_input_grad[0] else None
        return of_rows, None, of_gates.t() @ rows, of_gates[sizes[0] :].t() @ came, bias, bias
