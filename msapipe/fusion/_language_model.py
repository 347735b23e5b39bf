"""The text branch of models that fine-tune a language model: BERT or XLNet, with an optional gate between layers.

The network is built from its configuration alone, and its weights are read when training begins (``load``), so a
trained model is rebuilt without the checkpoint. The configurations of ``KNOWN`` are in this file; that of any other
checkpoint is the parameter ``language_config``, read from the checkpoint if empty.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from msapipe.documents import read_json
from msapipe.errors import ConfigError, WeightsError
from msapipe.fusion._aligned import lengths
from msapipe.fusion._attention import Dropout, Layer, sine_positions
from msapipe.fusion._base import Batch, present
from msapipe.fusion._checks import check_sizes
from msapipe.weights import Checkpoint, Weights, choose
from msapipe.weights.encoders import BERT, CHINESE_BERT, MINILM, XLNET, quiet_transformers

Gate = Callable[[Tensor], Tensor]

# Text features with one token per row: input id, token type, word index.
TOKEN_COLUMNS = 3


@dataclass(frozen=True)
class _Known:
    checkpoint: Checkpoint
    config: str


def _known(checkpoint: Checkpoint, **config: Any) -> _Known:
    return _Known(checkpoint, json.dumps(config))


KNOWN = {
    known.checkpoint.name: known
    for known in (
        _known(BERT, model_type="bert", vocab_size=30522),
        _known(CHINESE_BERT, model_type="bert", vocab_size=21128),
        _known(XLNET, model_type="xlnet", d_model=768, n_layer=12, n_head=12, d_inner=3072),
        _known(
            MINILM,
            model_type="bert",
            vocab_size=30522,
            hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
        ),
    )
}


class TextBranch(nn.Module, ABC):
    """Words to states (B, steps, width), zero without a word, through ``depth`` layers.

    most: maximum number of steps; later ones are cut off.   cls_last: the summary token is the last step.
    """

    width: int
    depth: int
    most: int
    cls_last: bool = False

    @abstractmethod
    def mask(self, batch: Batch) -> Tensor:
        """Which steps are words: bool (B, L)."""

    @abstractmethod
    def forward(self, batch: Batch, steps: int, at: int = 0, gate: Gate | None = None) -> Tensor:
        """Run ``at`` layers, the gate on (B, steps, width), and the other layers; pads to ``steps``."""

    def check_insertion(self, at: int) -> None:
        """Reject a position outside 0...depth."""
        if not 0 <= at <= self.depth:
            raise ConfigError(f"insert_layer: found {at}, expected 0 to {self.depth}, the number of layers of the text")

    def summary(self, mask: Tensor) -> Tensor:
        """Index of the summary token: bool (B, L) to int64 (B,)."""
        return (lengths(mask) - 1).clamp(min=0) if self.cls_last else mask.int().argmax(dim=1)


class FeatureText(TextBranch):
    """Text features through randomly initialised pre-norm transformer layers with sine positions."""

    def __init__(self, columns: int, width: int, depth: int, heads: int, dropout: float) -> None:
        super().__init__()
        check_sizes(text_width=width, text_heads=heads)
        if depth < 0:
            raise ConfigError(f"text_layers: found {depth}, expected 0 or more")
        self.width, self.depth, self.most = width, depth, 512
        self.enter = nn.Linear(columns, width)
        shares = Dropout(attention=dropout, hidden=dropout, residual=dropout)
        self.layers = nn.ModuleList(Layer(width, heads, dropout=shares) for _ in range(depth))

    def mask(self, batch: Batch) -> Tensor:
        """The valid rows of the features."""
        return batch.mask["text"][:, : self.most]

    def forward(self, batch: Batch, steps: int, at: int = 0, gate: Gate | None = None) -> Tensor:
        """See TextBranch; the features are standardised."""
        mask = fit(self.mask(batch), steps)
        states = self.enter(fit(batch.values["text"].transpose(1, 2), steps).transpose(1, 2))
        states = states + sine_positions(states)
        for layer in self.layers[:at]:
            states = layer(states, mask)
        if gate is not None:
            states = gate(states)
        for layer in self.layers[at:]:
            states = layer(states, mask)
        return states.masked_fill(~mask.unsqueeze(-1), 0.0)  # type: ignore[no-any-return]


class LanguageModel(TextBranch):
    """A BERT (without its pooler), an XLNet or another encoder over token ids.

    Padding may be on either side: XLNet has relative positions, other tokens are padded on the right.
    what: the model's name for errors.   families: accepted architectures; () is every encoder, of which only BERT and
    XLNet support a gate.
    """

    def __init__(
        self, language_model: str, language_config: str, what: str, families: tuple[str, ...] = ("bert", "xlnet")
    ) -> None:
        super().__init__()
        from transformers import AutoModel, BertConfig, BertModel, XLNetConfig, XLNetModel

        self.named, self.what = language_model, what
        config = _config(language_model, language_config, what)
        if families and config.model_type not in families:
            kinds = " or ".join(f"a {family}" for family in families)
            known = next(name for name, other in KNOWN.items() if json.loads(other.config)["model_type"] in families)
            raise ConfigError(
                f"{what}: language_model is a {config.model_type}, expected {kinds}, as in --set language_model={known}"
            )
        self.net: Any
        if isinstance(config, BertConfig):
            self.net = BertModel(config, add_pooling_layer=False)
            self.most = config.max_position_embeddings
        elif isinstance(config, XLNetConfig) and config.attn_type == "bi":
            self.net = XLNetModel(config)
            self.net.mask_emb = None  # used only in its pretraining
            self.most, self.cls_last = 2048, True
        elif _is_encoder(config):
            self.net = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
            self.net.pooler = None
            self.most = _positions(config)
        else:
            raise ConfigError(f"{what}: language_model is a {config.model_type}, expected an encoder of text")
        self.any = not self.cls_last and not isinstance(config, BertConfig)
        self.width, self.depth = config.hidden_size, config.num_hidden_layers

    @property
    def config(self) -> str:
        """The value of ``language_config`` that rebuilds the same network."""
        left_out = ("transformers_version", "_name_or_path", "architectures", "dtype")
        whole: dict[str, Any] = self.net.config.to_diff_dict()
        kept = {name: value for name, value in whole.items() if name not in left_out}
        return json.dumps({"model_type": self.net.config.model_type, **kept}, sort_keys=True)

    def load(self, pooler: nn.Linear | None = None) -> None:
        """Load the weights of the named checkpoint; raises MissingWeights if it is not on this machine.

        pooler: (width, width), receives the weights of BERT's pooler.
        """
        if not self.named:
            return
        folder = _checkpoint(self.named, self.what).path()
        quiet_transformers()
        with_pooler = pooler is not None and not self.cls_last and not self.any
        options = {} if self.cls_last or self.any else {"add_pooling_layer": with_pooler}
        try:
            loaded, found = type(self.net).from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
                **options,
            )
            unread = () if with_pooler else ("mask_emb", "pooler.")
            missing = [name for name in found["missing_keys"] if not name.startswith(("mask_emb", *unread))]
            if missing:
                raise WeightsError(f"{folder}: {len(missing)} parameters are not in it ({', '.join(missing[:3])})")
            if pooler is not None and with_pooler:
                pooler.load_state_dict(loaded.pooler.dense.state_dict())
            if self.cls_last:
                loaded.mask_emb = None
            else:
                loaded.pooler = None
            self.net.load_state_dict(loaded.state_dict())
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise WeightsError(f"{self.what}: {folder} does not fit the language model: {reason}") from error

    def mask(self, batch: Batch) -> Tensor:
        """The valid tokens; none if the text is switched off."""
        return self._tokens(batch)[:, 1, : self.most].bool() & present(batch.mask["text"]).unsqueeze(1)

    def forward(self, batch: Batch, steps: int, at: int = 0, gate: Gate | None = None) -> Tensor:
        """See TextBranch."""
        mask = fit(self.mask(batch), steps)
        ids, _, types = fit(self._tokens(batch), steps).unbind(dim=1)
        run = _run_xlnet if self.cls_last else _run_any if self.any else _run_bert
        states = run(self.net, ids, mask, types, at, gate)
        return states.masked_fill(~mask.unsqueeze(-1), 0.0)

    def _tokens(self, batch: Batch) -> Tensor:
        if batch.tokens is None:
            found = batch.values["text"].shape[2]
            raise ConfigError(
                f"{self.what}: language_model reads token ids, found text features of {found} columns and no tokens; "
                "extract the text with the stage tokens"
            )
        return batch.tokens


def with_tokens(batch: Batch) -> Batch:
    """The batch with tokens (B, 3, L), if its text features are token columns; otherwise unchanged.

    Call this before features are standardised.
    """
    rows = batch.values.get("text")
    if batch.tokens is not None or rows is None or rows.shape[2] != TOKEN_COLUMNS:
        return batch
    mask = batch.mask["text"]
    whole = rows.masked_fill(~mask.unsqueeze(-1), 0.0).round().long()
    return replace(batch, tokens=torch.stack([whole[..., 0], mask.long(), whole[..., 1]], dim=1))


def fit(rows: Tensor, steps: int) -> Tensor:
    """Cut, or zero-pad on the right, to ``steps``: (..., T) to (..., steps)."""
    return functional.pad(rows[..., :steps], (0, max(0, steps - rows.shape[-1])))


def _run_bert(net: Any, ids: Tensor, mask: Tensor, types: Tensor, at: int, gate: Gate | None) -> Tensor:
    states: Tensor = net.embeddings(input_ids=ids, token_type_ids=types)
    # A finite value avoids NaN for a row without tokens.
    unseen = torch.finfo(states.dtype).min * (~mask).to(states.dtype).view(len(mask), 1, 1, -1)
    unseen = unseen.expand(-1, 1, mask.shape[1], -1)
    for layer in net.encoder.layer[:at]:
        states = layer(states, unseen)
    if gate is not None:
        states = gate(states)
    for layer in net.encoder.layer[at:]:
        states = layer(states, unseen)
    return states


def _run_xlnet(net: Any, ids: Tensor, mask: Tensor, types: Tensor, at: int, gate: Gate | None) -> Tensor:
    """XLNet has time first: (L, B, width)."""
    count, steps = ids.shape
    states = net.dropout(net.word_embedding(ids.T))
    # A token sees itself even if it is padding: (L queries, L keys, B, 1).
    itself = torch.eye(steps, dtype=torch.bool, device=ids.device).unsqueeze(-1)
    unseen = (~mask.T.unsqueeze(0) & ~itself).unsqueeze(-1).to(states.dtype)
    apart = (types.T.unsqueeze(1) != types.T.unsqueeze(0)).long()
    segments = functional.one_hot(apart, 2).to(states.dtype)
    positions = net.dropout(net.relative_positional_encoding(steps, steps, bsz=count, device=ids.device))

    def through(layers: Any, states: Tensor) -> Tensor:
        for layer in layers:
            states = layer(states, None, attn_mask_h=unseen, attn_mask_g=None, r=positions, seg_mat=segments)[0]
        return states

    states = through(net.layer[:at], states)
    if gate is not None:
        states = gate(states.transpose(0, 1)).transpose(0, 1)
    states = through(net.layer[at:], states)
    return net.dropout(states).transpose(0, 1)  # type: ignore[no-any-return]


def _run_any(net: Any, ids: Tensor, mask: Tensor, types: Tensor, at: int, gate: Gate | None) -> Tensor:
    """An encoder as a whole, without a gate."""
    if gate is not None:
        raise ValueError(f"no gate fits into a {net.config.model_type}")
    # A row without tokens attends to its first step, which avoids NaN.
    first = torch.zeros_like(mask)
    first[:, 0] = ~mask.any(dim=1)
    more = {"token_type_ids": types} if getattr(net.config, "type_vocab_size", 0) > 1 else {}
    found = net(input_ids=ids, attention_mask=(mask | first).long(), **more)
    return found.last_hidden_state  # type: ignore[no-any-return]


def _is_encoder(config: Any) -> bool:
    """Whether a configuration is of a bidirectional encoder."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    return type(config) in MODEL_FOR_MASKED_LM_MAPPING and not config.is_encoder_decoder


def _positions(config: Any) -> int:
    """Maximum number of tokens; fewer if position ids start after the padding id."""
    most = getattr(config, "max_position_embeddings", 0) or 512
    return int(most) - (getattr(config, "pad_token_id", 0) or 0) - 1


def _checkpoint(name: str, what: str) -> Weights:
    return choose([known.checkpoint for known in KNOWN.values()], name, what)


def _config(language_model: str, language_config: str, what: str) -> Any:
    """The given configuration, else that of a known checkpoint, else that in the checkpoint's folder."""
    quiet_transformers()
    from transformers import AutoConfig

    given = language_config or (KNOWN[language_model].config if language_model in KNOWN else "")
    try:
        if given:
            return AutoConfig.for_model(**read_json(given))
        folder = _checkpoint(language_model, what).path()
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"{what}: no configuration of a language model: {reason}") from error
