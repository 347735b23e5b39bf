"""Hybrid-modal attention: gates shift each modality by the others, inside the text's language model.

Lin and Hu's hybrid-modal attention network (2023), HMA: shifting gates (MSG), masked bimodal adjustment (MBA) and a
Huber loss of the shifts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, Given, Group, Output, Phase, Preset, masked_mean, present, squared_error
from msapipe.fusion._bridge import Bridge
from msapipe.fusion._checks import check_dropouts, check_sizes
from msapipe.fusion._language_model import FeatureText, LanguageModel, TextBranch, fit
from msapipe.fusion._mag import why_unaligned
from msapipe.fusion._packed import packed
from msapipe.fusion._shift_gate import GateBias, ShiftGate, shift_huber
from msapipe.fusion._text_grid import MOST_WITHOUT_TEXT, by_words, on_text_grid
from msapipe.fusion._text_states import TextFusion

Modality = Literal["text", "audio", "vision"]
Rnn = Literal["slstm", "blstm", "sgru", "bgru"]
Route = Literal["matched", "crossed"]


class States(nn.Module):
    """An RNN with states as wide as its input in each direction: (B, N, D), (B, N) to (B, N, D or 2 D)."""

    def __init__(self, width: int, rnn: Rnn) -> None:
        super().__init__()
        cell = nn.LSTM if rnn.endswith("lstm") else nn.GRU
        self.rnn = cell(width, width, batch_first=True, bidirectional=rnn.startswith("b"))
        self.width = width * (2 if rnn.startswith("b") else 1)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """The states; ``mask`` is True up to a clip's end, masked steps before it are zero."""
        return packed(self.rnn, values, mask)[0]


class Hma(TextFusion):
    """(B, T_m, D_m) per modality on the text's N steps: text states (B, N, d) and RNN states (B, N, D_m) of the others,
    each shifted by the others, concatenated through a layer (B, N, d), at [CLS] to scores (B,).

    language_model: BERT or XLNet, fine-tuned on token ids: google-bert/bert-base-uncased, a folder, or org/name@COMMIT.
    "": text features go through ``text_layers`` random transformer layers of ``text_width`` columns instead, unlike the
    paper.   language_config: see ``_language_model``.   insert_layer: layers before the text's gate.   msg: the shifted
    modalities.   msg_strength: initial maximum length of a shift relative to the shifted state.   msg_norm: normalise
    shifted states, as MAG does.   mba: apply MBA to the text and a modality before the text shifts it; mba_route
    "crossed" shifts audio by the text adjusted to vision, as the paper's wording says.   mba_steps: for mba_weight
    "matrix".   huber: keep shifts small; huber_weights: of text, audio, vision.
    aligned: step k of audio and vision belongs to step k of the text; if false, they are averaged over windows, unlike
    the paper.   word_exact: if the aligned text is token ids, the tokens of a word share the word's mean of audio and
    vision, as in the paper, and [CLS] and [SEP] have none; otherwise each token uses its own time.
    summary: "cls" is the first step, of XLNet the last; a clip without text uses the mean.
    lr_other: of all but the language model; 0: the same, or 1e-3 without a language model.

    Not specified in the paper: the gates' bias is a vector, the norm in MBA is per clip and has no gradient, and the
    weights of the Huber loss are 0.1.
    """

    version = 2
    facts: ClassVar[Mapping[str, str | int]] = {
        "paper": "Lin, Hu",
        "year": 2023,
        "inputs": "tokens, audio, vision",
        "aligned": "yes",
        "tasks": "M",
        "parameters": 229_423,
    }
    presets: ClassVar[Mapping[str, Preset]] = {
        "mosi": Preset(
            "Lin and Hu, section IV, of the BERT",
            {"insert_layer": 2, "rnn": "slstm", "batch": 48, "epochs": 40, "lr": 2e-5, "gate_bias": "scalar"},
        ),
        "mosei": Preset(
            "Lin and Hu, section IV, of the BERT",
            {"insert_layer": 2, "rnn": "slstm", "batch": 128, "epochs": 20, "lr": 2e-5, "gate_bias": "scalar"},
        ),
    }
    text: TextBranch | None

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        language_model: str = "",
        language_config: str = "",
        text_width: int = 64,
        text_layers: int = 3,
        text_heads: int = 4,
        insert_layer: int = 2,
        rnn: Rnn = "slstm",
        msg: tuple[Modality, ...] = ("text", "audio", "vision"),
        msg_strength: float = 1.0,
        msg_norm: bool = False,
        gate_bias: GateBias = "vector",
        mba: bool = True,
        mba_width: int = 30,
        mba_kernel: int = 1,
        mba_weight: Literal["scalar", "matrix"] = "scalar",
        mba_steps: int = 50,
        mba_route: Route = "matched",
        huber: bool = True,
        huber_delta: float = 1.0,
        huber_weights: tuple[float, float, float] = (0.1, 0.1, 0.1),
        aligned: bool = True,
        word_exact: bool = True,
        summary: Literal["cls", "masked_mean"] = "cls",
        dropout: float = 0.1,
        lr: float = 2e-5,
        lr_other: float = 0.0,
    ) -> None:
        super().__init__(dims)
        check_dropouts(dropout=dropout)
        check_sizes(mba_steps=mba_steps)
        if huber_delta <= 0:
            raise ConfigError(f"huber_delta: found {huber_delta}, expected more than 0")
        self.insert_layer, self.aligned, self.at_cls = insert_layer, aligned, summary == "cls"
        self.word_exact = word_exact and aligned
        self.lr, self.lr_other, self.huber_delta = lr, lr_other, huber_delta
        self.huber_weights = dict(zip(("text", "audio", "vision"), huber_weights, strict=True)) if huber else {}
        text: TextBranch | None = None
        if "text" in dims and (language_model or language_config):
            text = LanguageModel(language_model, language_config, "hma")
        elif "text" in dims:
            text = FeatureText(dims["text"], text_width, text_layers, text_heads, dropout)
        self.read_text(text)
        self.states = nn.ModuleDict({name: States(width, rnn) for name, width in dims.items() if name != "text"})
        widths = self._widths()
        gate = partial(ShiftGate, strength=msg_strength, gate_bias=gate_bias, norm=msg_norm, dropout=dropout)
        self.gates = _gates([name for name in dims if name in msg], widths, gate)
        self.meets = self._meetings(mba_route) if mba else {}
        bridge = partial(Bridge, width=mba_width, kernel=mba_kernel, steps=mba_steps if mba_weight == "matrix" else 0)
        met = sorted(set(self.meets.values()))
        self.bridges = nn.ModuleDict({name: bridge(widths["text"], widths[name]) for name in met})
        fused = widths.get("text", text_width)
        self.fuse = nn.Sequential(nn.Linear(sum(widths.values()), fused), nn.ReLU(), nn.Dropout(dropout))
        self.score = nn.Linear(fused, 1)

    def _widths(self) -> dict[str, int]:
        """Columns of each modality's states; rejects an invalid position of the text's gate."""
        widths = {} if self.text is None else {"text": self.text.width}
        if self.text is not None:
            self.text.check_insertion(self.insert_layer)
        return widths | {name: cast(int, states.width) for name, states in self.states.items()}

    def _meetings(self, route: Route) -> dict[str, str]:
        """Shifted modality to the modality of the MBA applied before; empty without text."""
        shifted = [name for name in self.gates if name != "text" and self.text is not None]
        crossed = {"audio": "vision", "vision": "audio"} if route == "crossed" else {}
        found = {name: crossed.get(name, name) for name in shifted}
        return {name: other if other in self.dims else name for name, other in found.items()}

    def forward(self, batch: Batch) -> Output:
        """Score a batch."""
        batch = self.seen(batch)
        if self.word_exact and self.language_model is not None:
            batch = by_words(batch, list(self.states))
        words = None if self.text is None else self.text.mask(batch)
        most = MOST_WITHOUT_TEXT if self.text is None else self.text.most
        values, mask = on_text_grid(batch, words, list(self.states), self.aligned, most)
        there = {name: mask & present(batch.mask[name]).unsqueeze(1) for name in self.states}
        low = {name: rnn(values[name], mask) * there[name].unsqueeze(-1) for name, rnn in self.states.items()}
        shifts: dict[str, Tensor] = {}
        high = dict(low)
        if words is not None:
            there["text"] = fit(words, mask.shape[1])
            high["text"] = self._text(batch, low, there["text"], shifts)
        looks = self._shift(high, low, there, shifts)
        fused = self._summary(self.fuse(torch.cat([high[name] for name in self.dims], dim=2)), mask, there.get("text"))
        return Output(
            score=self.score(fused)[:, 0],
            features={"fused": fused},
            losses={
                f"shift_{name}": self.huber_weights[name] * shift_huber(h, there[name], self.huber_delta)
                for name, h in shifts.items()
                if name in self.huber_weights
            },
            diagnostics={
                **{f"shift_{name}": h.detach().norm(dim=2) for name, h in shifts.items()},
                **{f"attention_{name}": weights.detach() for name, weights in looks.items()},
            },
        )

    def _text(self, batch: Batch, low: Mapping[str, Tensor], mask: Tensor, shifts: dict[str, Tensor]) -> Tensor:
        """Text states (B, N, d), shifted between two layers; adds the shift to ``shifts``."""

        def gate(states: Tensor) -> Tensor:
            states, shifts["text"] = self.gates["text"](states, low, mask)
            return states

        inserted = gate if "text" in self.gates else None
        states: Tensor = cast(TextBranch, self.text)(batch, mask.shape[1], self.insert_layer, inserted)
        return states

    def _shift(
        self,
        high: dict[str, Tensor],
        low: Mapping[str, Tensor],
        there: Mapping[str, Tensor],
        shifts: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Replace audio and vision in ``high`` by their shifted states; adds the shifts to ``shifts``.

        Returns the text's attention weights in each MBA: name to (B, N, N).
        """
        met, looks = {}, {}
        for name, bridge in self.bridges.items():
            met[name], looks[name] = bridge(high["text"], low[name], there["text"], there[name])
        for name in low:
            if name in self.gates:
                helpers = {**high, **low}
                if name in self.meets:
                    helpers["text"] = met[self.meets[name]]
                high[name], shifts[name] = self.gates[name](low[name], helpers, there[name])
        return looks

    def _summary(self, states: Tensor, mask: Tensor, words: Tensor | None) -> Tensor:
        """(B, N, d) to (B, d): the summary token, or the mean without text."""
        mean = masked_mean(states, mask)
        if self.text is None or words is None or not self.at_cls:
            return mean
        at = self.text.summary(words)
        cls = states[torch.arange(len(states), device=states.device), at]
        return torch.where(present(words).unsqueeze(1), cls, mean)

    def loss(self, output: Output, batch: Batch, phase: str) -> Tensor:
        """Mean squared error over the labelled clips, plus the weighted losses of the shifts."""
        error = squared_error(output.score, batch.labels["M"])
        for part in output.losses.values():
            error = error + part
        return error

    def phases(self) -> tuple[Phase, ...]:
        """The paper's settings for MOSI, keeping the epoch with the smallest loss; weight decay is that of MAG."""
        other = self.lr_other or (self.lr if self.language_model is not None else 1e-3)
        groups = (
            Group(lr=other, weight_decay=0.01, name="other"),
            Group(("text.net.",), lr=self.lr, weight_decay=0.01, name="language_model"),
        )
        return (
            Phase(
                groups=groups,
                optimizer="adamw",
                schedule="linear",
                warmup=0.1,
                epochs=40,
                batch=48,
                monitor="loss",
                patience=None,
            ),
        )

    @classmethod
    def unfit(cls, given: Given, params: Mapping[str, Any]) -> str | None:
        """Requires alignment: a word is shifted by audio and vision at that word."""
        return why_unaligned(given, params) or super().unfit(given, params)


def _gates(names: Iterable[str], widths: Mapping[str, int], make: Callable[..., ShiftGate]) -> nn.ModuleDict:
    """One gate per modality, with all others as helpers; none for a single modality."""
    gates = nn.ModuleDict()
    for name in names:
        helpers = {other: width for other, width in widths.items() if other != name}
        if helpers:
            gates[name] = make(widths[name], helpers)
    return gates
