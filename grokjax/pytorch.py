"""Networks that grokjax trained, as PyTorch modules.

    result.to_safetensors("weights.safetensors", lane=0)     # where JAX is

    from grokjax import pytorch                              # where PyTorch is
    network = pytorch.load("weights.safetensors")
    network(torch.tensor([[3, 4]])).argmax(-1)

Needs torch and safetensors and imports nothing of grokjax: a copy of this file works alone, where
there is no JAX.
"""

import inspect
import json
import operator
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
import torch.nn.functional as F  # pyright: ignore[reportMissingImports]
from safetensors import safe_open
from torch import nn  # pyright: ignore[reportMissingImports]

__all__ = ["LSTM", "MLP", "QuadraticMLP", "Transformer", "load"]

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "square": torch.square,
    "relu": torch.relu,
    "gelu": lambda x: F.gelu(x, approximate="tanh"),  # as jax.nn.gelu
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
    "abs": torch.abs,
}


def __dir__() -> list[str]:
    return __all__


def load(
    path: str | os.PathLike,
    lane: int | None = None,
    *,
    activation: Callable[[Any], Any] | None = None,
) -> nn.Module:
    """A trained network of a file of `SweepResult.to_safetensors`, in evaluation mode.

    `network(tokens)` takes equations, an integer tensor [..., S], and gives the logits, float
    [..., C], with the lane's logit scale. Padding, -1, stands at the end of shorter equations.
    `network.lane` holds the lane's columns.

    Args:
      path: of the file.
      lane: its number in a file of all lanes; not given for a file of one.
      activation: a function of tensors, only for a `QuadraticMLP` whose activation has no name in
        the file.

    Raises:
      ValueError: for a file that cannot be read or that grokjax did not write, a lane that there is
        not, or a network that is none of those here.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # of the library's own kind, or an OSError
        raise ValueError(f"path={str(path)!r} cannot be read as safetensors: {error}.") from error
    if about.get("format") != "grokjax":
        raise ValueError(
            f"path={str(path)!r} was not written by SweepResult.to_safetensors, so that nothing "
            "says which network it is; read it with safetensors.torch.load_file."
        )
    model, lanes = json.loads(about["model"]), json.loads(about["lanes"])
    if json.loads(about["stacked"]):
        number = _number(lane, len(lanes))
        tensors = {name: tensor[number] for name, tensor in tensors.items()}
        columns = lanes[number]
    elif lane is not None:
        raise ValueError(f"lane must not be given for a file of a single lane, got {lane!r}.")
    else:
        columns = lanes[0]
    networks: dict[str, Any] = {
        kind.__name__: kind for kind in (QuadraticMLP, MLP, LSTM, Transformer)
    }
    if model is None or model["type"] not in networks:
        what = "an unknown network" if model is None else model["text"]
        raise ValueError(
            f"path={str(path)!r} holds {what}, and there are modules of {list(networks)} only; "
            "give to_safetensors(model=...) if it is one of these, or read the arrays with "
            "safetensors.torch.load_file."
        )
    kind = networks[model["type"]]
    parameters = inspect.signature(kind).parameters
    fields = {name: model[name] for name in parameters if name in model}
    if "dropout" in columns:
        fields["dropout"] = columns["dropout"]
    if model["type"] == "QuadraticMLP":
        fields["activation"] = activation or _activation(model["activation"], model["text"])
    wide = {n: t if t.dtype == torch.float64 else t.float() for n, t in tensors.items()}
    positions = {"num_positions": len(wide["positions"])} if "positions" in wide else {}
    network = kind(**fields, **positions)
    network.load_state_dict(network._translated(wide))
    network.logit_scale = float(columns.get("logit_scale", 1.0))
    network.lane = columns
    return network.to(next(iter(wide.values())).dtype).eval()


def _number(lane: Any, lanes: int) -> int:
    try:
        number = lanes if isinstance(lane, bool) else operator.index(lane)
    except TypeError:
        number = lanes
    if not -lanes <= number < lanes:
        raise ValueError(
            f"lane must be an integer below {lanes}, one of the lanes of the file, got {lane!r}."
        )
    return number


def _activation(name: str | None, text: str) -> Callable[[Any], Any]:
    if name is not None and name.startswith("power "):
        degree = int(name.removeprefix("power "))
        return lambda x: x**degree
    if name not in ACTIVATIONS:
        raise ValueError(
            f"the activation of {text} has no name in the file; give it as a function of tensors, "
            "such as load(path, activation=torch.sin)."
        )
    return ACTIVATIONS[name]


class _Network(nn.Module):
    """What the networks share: a factor on the logits, and the columns of the lane."""

    logit_scale = 1.0
    lane: Mapping[str, Any] = {}

    def forward(self, tokens: Any) -> Any:
        """Logits: integers [..., S] -> float [..., C]."""
        rows = tokens.reshape(-1, tokens.shape[-1])
        logits = self.logit_scale * self._logits(rows)
        return logits.reshape(*tokens.shape[:-1], logits.shape[-1])

    def _logits(self, tokens: Any) -> Any:
        """Logits of rows of equations: integers [B, S] -> float [B, C]."""
        raise NotImplementedError

    def _translated(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of grokjax under the names, and in the shapes, of this module."""
        raise NotImplementedError


class QuadraticMLP(_Network):
    """Two layers without biases on one-hot operands: `activation(x W1) W2`.

    `w1` is [S, p, K] and `w2` [K, p], as in grokjax, since a table of rows is no linear layer.
    """

    def __init__(
        self,
        p: int,
        width: int,
        operands: int,
        activation: Callable[[Any], Any],
        parameterization: str,
        dropout: float,
        normalize: bool,
    ):
        super().__init__()
        self.w1 = nn.Parameter(torch.zeros(operands, p, width))
        self.w2 = nn.Parameter(torch.zeros(width, p))
        self.dropout = nn.Dropout(dropout)
        self.activation, self.normalize = activation, normalize
        mean_field = parameterization == "mean_field"
        self.input_scale = (operands * p) ** -0.5 if mean_field else 1.0
        self.output_scale = 1 / width if mean_field else 1.0

    def _logits(self, tokens: Any) -> Any:
        w1 = self.w1
        if self.normalize:
            w1 = w1 - w1.mean(1, keepdim=True)
            variance = w1.square().mean(1, keepdim=True).sum(0, keepdim=True)
            w1 = w1 / (self.input_scale * (variance + 1e-12).sqrt())
        rows = [
            _padded(w[column.clamp(min=0)], column) for w, column in zip(w1, tokens.T, strict=True)
        ]
        hidden = self.activation(self.input_scale * torch.stack(rows).sum(0))
        return self.output_scale * (self.dropout(hidden) @ self.w2)

    def _translated(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        return dict(tensors)


class MLP(_Network):
    """Fully connected ReLU layers on the operands side by side, one-hot or embedded."""

    def __init__(
        self,
        p: int,
        operands: int,
        hidden: list[int],
        embedding: int | None,
        vocabulary: int,
        dropout: float,
    ):
        super().__init__()
        classes = max(p, vocabulary)
        self.embed = _embedding(classes, embedding)
        sizes = [operands * (embedding or classes), *hidden, classes]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, sizes[1:]))  # noqa: B905, RUF007
        self.dropout = nn.Dropout(dropout)

    def _logits(self, tokens: Any) -> Any:
        h = _padded(self.embed(tokens.clamp(min=0)), tokens).flatten(1)
        h = self.layers[0](h)
        for layer in self.layers[1:]:
            h = layer(self.dropout(torch.relu(h)))
        return h

    def _translated(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        kernel = tensors["kernel_0"]
        found = {
            "layers.0.weight": kernel.reshape(-1, kernel.shape[-1]).T,
            "layers.0.bias": tensors["bias_0"],
        }
        for layer in range(1, len(self.layers)):
            found |= _linear(tensors, f"layer_{layer}", f"layers.{layer}")
        return found | _embedded(tensors)


class LSTM(_Network):
    """`torch.nn.LSTM` over the operands; the last hidden state is read out linearly."""

    def __init__(
        self,
        p: int,
        layers: int,
        width: int,
        embedding: int | None,
        vocabulary: int,
        dropout: float,
    ):
        super().__init__()
        classes = max(p, vocabulary)
        self.embed = _embedding(classes, embedding)
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(embedding or classes, width, layers, batch_first=True, dropout=between)
        self.readout = nn.Linear(width, classes)

    def _logits(self, tokens: Any) -> Any:
        states, _ = self.lstm(self.embed(tokens.clamp(min=0)))
        rows = torch.arange(len(tokens), device=tokens.device)
        return self.readout(states[rows, _last(tokens)])

    def _translated(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for i in range(self.lstm.num_layers):
            for ours, theirs in (("x", "ih"), ("h", "hh")):
                found[f"lstm.weight_{theirs}_l{i}"] = tensors[f"cell_{i}.weight_{ours}"].T
                found[f"lstm.bias_{theirs}_l{i}"] = tensors[f"cell_{i}.bias_{ours}"]
        return found | _linear(tensors, "readout", "readout") | _embedded(tensors)


class Transformer(_Network):
    """A causal Transformer over the operands, and a linear readout without bias."""

    def __init__(
        self,
        p: int,
        layers: int,
        width: int,
        heads: int,
        hidden: int,
        norm: str,
        readout: str,
        positions: str,
        equation: bool,
        vocabulary: int,
        dropout: float,
        num_positions: int = 0,
    ):
        super().__init__()
        classes = max(vocabulary, p + 2 * equation)
        self.p, self.equation, self.last = p, equation, readout == "last"
        self.embed = nn.Embedding(classes, width)
        learned = positions == "learned"
        self.positions = nn.Parameter(torch.zeros(num_positions, width)) if learned else None
        self.blocks = nn.ModuleList(
            _Block(width, heads, hidden, norm, dropout) for _ in range(layers)
        )
        self.final_norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.readout = nn.Linear(width, classes, bias=False)

    def _logits(self, tokens: Any) -> Any:
        tokens = self._with_signs(tokens) if self.equation else tokens
        x = self.embed(tokens.clamp(min=0))
        x = x + self._positions(x)
        for block in self.blocks:
            x = block(x)
        x = self.final_norm(x)
        if self.last:
            x = x[torch.arange(len(x), device=x.device), _last(tokens)]
        else:
            real = (tokens >= 0).sum(1, keepdim=True)
            x = _padded(x, tokens).sum(1) / real.clamp(min=1)
        return self.readout(x)

    def _positions(self, x: Any) -> Any:
        length, width = x.shape[1:]
        if self.positions is not None:
            return self.positions[:length]
        exponent = torch.arange(0, width, 2, dtype=torch.float64) / width
        angle = torch.arange(length, dtype=torch.float64)[:, None] / 10000**exponent
        return torch.stack([angle.sin(), angle.cos()], -1).reshape(length, width).to(x)

    def _with_signs(self, tokens: Any) -> Any:
        """The operands, each followed by the operator, and the last one by the equals sign."""
        after = F.pad(tokens[:, 1:], (0, 1), value=-1)
        signs = torch.where(tokens >= 0, self.p + 1, -1)
        signs = torch.where(after >= 0, self.p, signs)
        return torch.stack([tokens, signs], -1).flatten(1)

    def _translated(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        found = _linear(tensors, "readout", "readout") | _embedded(tensors)
        if self.positions is not None:
            found["positions"] = tensors["positions"]
        for i in range(len(self.blocks)):
            for name in ("query", "key_value", "out", "expand", "contract"):
                found |= _linear(tensors, f"block_{i}.{name}", f"blocks.{i}.{name}")
            for name in ("norm_attention", "norm_feed_forward"):
                found |= _norm(tensors, f"block_{i}.{name}", f"blocks.{i}.{name}")
        if isinstance(self.final_norm, nn.LayerNorm):
            found |= _norm(tensors, "final_norm", "final_norm")
        return found


class _Block(nn.Module):
    """A layer of attention and feed-forward, normalized before or after each of them."""

    def __init__(self, width: int, heads: int, hidden: int, norm: str, dropout: float):
        super().__init__()
        self.heads, self.pre = heads, norm == "pre"
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.expand = nn.Linear(width, hidden, bias=False)
        self.contract = nn.Linear(hidden, width, bias=False)
        self.norm_attention = nn.LayerNorm(width)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        if self.pre:
            h = x + self._attention(self.norm_attention(x))
            return h + self._feed_forward(self.norm_feed_forward(h))
        h = self.norm_attention(x + self._attention(x))
        return self.norm_feed_forward(h + self._feed_forward(h))

    def _attention(self, x: Any) -> Any:
        # Padding stands at the end, where nothing that comes before looks.
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        query, (key, value) = self.query(x), self.key_value(x).chunk(2, -1)
        mixed = F.scaled_dot_product_attention(
            split(query), split(key), split(value), is_causal=True
        )
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _feed_forward(self, h: Any) -> Any:
        return self.dropout(self.contract(torch.relu(self.expand(h))))


class _OneHot(nn.Module):
    rows: Any

    def __init__(self, classes: int):
        super().__init__()
        self.register_buffer("rows", torch.eye(classes), persistent=False)

    def forward(self, tokens: Any) -> Any:
        return self.rows[tokens]


def _embedding(classes: int, width: int | None) -> nn.Module:
    return _OneHot(classes) if width is None else nn.Embedding(classes, width)


def _padded(values: Any, tokens: Any) -> Any:
    """The values, [..., K], with 0 where a token is padding."""
    return torch.where((tokens >= 0)[..., None], values, 0.0)


def _last(tokens: Any) -> Any:
    """The place of the last token of each row that is no padding."""
    return ((tokens >= 0).sum(1) - 1).clamp(min=0)


def _linear(tensors: Mapping[str, Any], ours: str, theirs: str) -> dict[str, Any]:
    found = {f"{theirs}.weight": tensors[f"{ours}.kernel"].T}
    bias = tensors.get(f"{ours}.bias")
    return found if bias is None else {**found, f"{theirs}.bias": bias}


def _norm(tensors: Mapping[str, Any], ours: str, theirs: str) -> dict[str, Any]:
    return {f"{theirs}.weight": tensors[f"{ours}.scale"], f"{theirs}.bias": tensors[f"{ours}.bias"]}


def _embedded(tensors: Mapping[str, Any]) -> dict[str, Any]:
    table = tensors.get("embed.embedding")
    return {} if table is None else {"embed.weight": table}
