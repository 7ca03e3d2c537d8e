"""Progress measures: how far a network has formed the circuit that generalizes, and which one.

Those that have settings are classes: an instance, such as `fourier_gini()`, is the measure.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.checks import check_flag, check_integer, check_integers, shown
from grokjax.measures.network import (
    Network,
    Scalars,
    check_network,
    check_two_operands,
    masked_mean,
    parameter,
)

Path = tuple[str | int, ...]  # in the parameters: names, and numbers where those are tuples


@dataclasses.dataclass(frozen=True)
class fourier_losses:
    """Loss with the key frequencies of the answer alone, and without them.

    What the logits say about the answer `a = (n + m) mod p` is the part of them that is a function
    of a: the mean over the equations with that answer. Its Fourier series over a has the waves
    `cos(2 pi f a / p)` and `sin(2 pi f a / p)`, f = 0 ... p//2, and the key frequencies are those
    that the generalizing circuit uses.

        restricted logits = mean over the table + waves of the key frequencies
        excluded logits   = logits - waves of the key frequencies

    The restricted loss falls as soon as the circuit forms, before test accuracy rises; the excluded
    loss rises as the network comes to rely on it, and is that of memorization alone. Both are of
    the loss that the network is trained with.

    Attributes:
      frequencies: the key ones, between 1 and p//2; those of the trained network for measures of
        its whole history. None takes at each measurement the `count` strongest ones.
      count: how many, without `frequencies`.

    Returns:
      `restricted_loss`, the mean over the table; `excluded_loss`, the mean over the training rows;
      `key_share`, the part of the power of the non-constant waves that the key frequencies hold.

    Differs: waves are projected out by the mean over equations of equal answer, which is theirs
    where every answer is equally frequent, and defined for any table. They find the key frequencies
    in the embedding of the trained network; None finds them in the logits of the moment, where
    early ones are noise.

    Raises:
      ValueError: for no frequency, or one below 1; in a sweep, for one above p//2.

    Reference: Nanda et al. 2023, section 5.1.
    """

    frequencies: tuple[int, ...] | None = None
    count: int = 5

    def __post_init__(self):
        object.__setattr__(self, "count", check_integer("count", self.count, at_least=1))
        if self.frequencies is None:
            return
        key = check_integers("frequencies", self.frequencies, at_least=1)
        if not key:
            raise ValueError("frequencies is empty; name one or more, or None for the strongest.")
        object.__setattr__(self, "frequencies", key)

    def __call__(self, network: Network) -> Scalars:
        """The losses."""
        task, split, logits = check_network(network).task, network.split, network.logits
        answers, p = jnp.asarray(task.labels), task.num_classes
        waves = jnp.fft.rfft(_means(logits, answers, p), axis=0)  # [p//2 + 1, C]
        power = jnp.sum(jnp.abs(waves) ** 2, axis=1) * _multiplicity(p)
        power = power.at[0].set(0.0)
        key = self._key(power, p)
        kept = jnp.fft.irfft(jnp.where(key[:, None], waves, 0.0), p, axis=0)[answers]
        restricted = network.loss(jnp.mean(logits, axis=0, keepdims=True) + kept, split.labels)
        return {
            "restricted_loss": jnp.mean(restricted),
            "excluded_loss": masked_mean(network.loss(logits - kept, split.labels), split.train),
            "key_share": _ratio(jnp.sum(jnp.where(key, power, 0.0)), jnp.sum(power), 0.0),
        }

    def _key(self, power: jax.Array, p: int) -> jax.Array:
        """bool[p//2 + 1]: the key frequencies."""
        if self.frequencies is None:
            _, chosen = jax.lax.top_k(power[1:], min(self.count, p // 2))
            return jnp.zeros(power.shape, bool).at[1 + chosen].set(True)
        if max(self.frequencies) > p // 2:
            raise ValueError(
                f"frequencies={self.frequencies} are to be between 1 and {p // 2} for p={p}: f and "
                "p - f are one."
            )
        return jnp.zeros(power.shape, bool).at[jnp.array(self.frequencies)].set(True)


@dataclasses.dataclass(frozen=True)
class fourier_gini:
    """Gini coefficient of the norms of Fourier components: 0 for equal ones, near 1 for one alone.

    The norm at frequency f is that of the transform along the residues, over all other axes;
    `(sum_i (2 i - F - 1) x_i) / (F sum_i x_i)` for the F norms x in increasing order. A single
    frequency among F gives `1 - 1/F`, white noise about 0.

    Attributes:
      arrays: path in the parameters and axis of the residues, for each: `(("w1",), 1)` is
        `params["w1"]` of a `QuadraticMLP`.

    Returns:
      `gini_<path>` for each.

    Raises:
      ValueError: for no array, or two of one name; in a sweep, for one that the network lacks.

    Reference: Nanda et al. 2023, section 5.1 (of the embedding and the unembedding). Differs: sine
    and cosine of a frequency are one component.
    """

    arrays: tuple[tuple[Path, int], ...] = ((("w1",), 1), (("w2",), 1))

    def __post_init__(self):
        try:
            pairs = [(path, axis) for path, axis in self.arrays]
        except (TypeError, ValueError):
            raise ValueError(
                'arrays must be pairs of a path and an axis, such as ((("w1",), 1),), got '
                f"{shown(self.arrays)}."
            ) from None
        arrays = tuple(
            (_path(f"arrays[{i}][0]", path), check_integer(f"arrays[{i}][1]", axis))
            for i, (path, axis) in enumerate(pairs)
        )
        names = [_gini_name(path) for path, _ in arrays]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"arrays must be one or more of different names, got {shown(self.arrays)}."
            )
        object.__setattr__(self, "arrays", arrays)

    def __call__(self, network: Network) -> Scalars:
        """The coefficients."""
        check_network(network)
        scalars = {}
        for path, axis in self.arrays:
            weights = parameter(network, path, range(1, 9), "fourier_gini")
            if not -weights.ndim <= axis < weights.ndim:
                raise ValueError(
                    f"fourier_gini needs axis {axis} of the array {'/'.join(map(str, path))} of "
                    f"the parameters, which has the shape {list(weights.shape)}."
                )
            scalars[_gini_name(path)] = _gini(_frequency_norms(weights, axis))
        return scalars


@dataclasses.dataclass(frozen=True)
class gradient_symmetry:
    """Gradient symmetricity: how alike both operands act on a logit, between -1 and 1.

    The mean over random triples (a, b, c) of the cosine between `dQ_abc/dE_a` and `dQ_abc/dE_b`,
    where `Q_abc` is the logit of class c for the equation of a and b, and E what represents an
    operand. Where E is one-hot, its gradient is `W_s dQ/dh` with the first weights `W_s` of operand
    s and the preactivations h. 1 for the pizza, whose first layer adds the operands; near 0 for the
    clock, which multiplies them, and for random weights of a network without embedding.

    Attributes:
      weights: path in the parameters of the embedding, float[V, d], or of the first weights on
        one-hot operands: float[V, K], or float[S, V, K] with weights of their own for each operand.
      embedding: whether those are an embedding.
      samples: how many triples; they are the same at every measurement.

    Returns:
      `gradient_symmetry`.

    Differs: triples are rows of the table with a random class. Those with a = b do not count if the
    operands share their weights.

    Raises:
      ValueError: for a path that is none, or no sample; in a sweep, for weights that the network
        lacks or of other axes, and for a task of more or less than two operands.

    Reference: Zhong et al. 2023, section 4.2.
    """

    weights: Path = ("w1",)
    embedding: bool = False
    samples: int = 100

    def __post_init__(self):
        object.__setattr__(self, "weights", _path("weights", self.weights))
        check_flag("embedding", self.embedding)
        object.__setattr__(
            self, "samples", check_integer("samples", self.samples, at_least=1, below=2**31)
        )

    def __call__(self, network: Network) -> Scalars:
        """The mean cosine."""
        task, params = check_network(network).task, network.params
        check_two_operands(network, "gradient_symmetry")
        axes = (2,) if self.embedding else (2, 3)
        weights = parameter(network, self.weights, axes, "gradient_symmetry")
        if weights.ndim == 3 and weights.shape[0] != 2:
            raise ValueError(
                f"gradient_symmetry needs the array {'/'.join(map(str, self.weights))} of the "
                f"parameters as float[2, V, K], got the shape {list(weights.shape)}."
            )
        key_row, key_class = jax.random.split(jax.random.key(0))
        rows = jax.random.randint(key_row, (self.samples,), 0, task.num_rows)
        classes = jax.random.randint(key_class, (self.samples,), 0, task.num_classes)

        def cosine(triple):
            tokens, c = triple
            logit = lambda w: network.apply(tokens[None], _with_entry(params, self.weights, w))
            gradient = jax.grad(lambda w: logit(w)[0, c])(weights)
            shared = weights.ndim == 2
            by_operand = (
                [(w, g) for w, g in ([(weights, gradient)] * 2)]
                if shared
                else list(zip(weights, gradient, strict=True))
            )
            acts = [
                g[token] if self.embedding else w @ g[token]
                for (w, g), token in zip(by_operand, tokens, strict=True)
            ]
            size = jnp.linalg.norm(acts[0]) * jnp.linalg.norm(acts[1])
            counts = (size > 0) & ((tokens[0] != tokens[1]) | (not shared))
            return _ratio(jnp.vdot(*acts), size, 0.0), counts

        cosines, counts = jax.lax.map(cosine, (jnp.asarray(task.tokens)[rows], classes))
        return {"gradient_symmetry": masked_mean(cosines, counts)}


def distance_irrelevance(network: Network) -> Scalars:
    """Distance irrelevance: how little the logit of the answer depends on n - m.

    With Q(n, m) the logit of the right answer and std the standard deviation,

        distance_irrelevance = mean_d std(Q : n - m = d mod p) / std(Q)

    0 where Q depends on the distance n - m alone, as in the pizza; near 1 where the distance does
    not matter, as in the clock. A constant Q, as of the exact clock, gives 0/0: defined as 1.

    For sums of two residues; d runs over the distances that the table has.

    Raises:
      ValueError: for a task of another number of operands.

    Reference: Zhong et al. 2023, section 4.2.
    """
    task = check_network(network).task
    check_two_operands(network, "distance_irrelevance")
    tokens, p = jnp.asarray(task.tokens), task.num_classes
    answers = jnp.asarray(task.labels)
    right = jnp.take_along_axis(network.logits, answers[:, None], axis=1)
    distance = (tokens[:, 0] - tokens[:, 1]) % p
    within = right - _means(right, distance, p)[distance]
    spread = jnp.sqrt(_means(within**2, distance, p))[:, 0]
    there = jnp.zeros(p, bool).at[distance].set(True)
    total = jnp.std(right)
    # Rounding alone makes a constant spread about 1e-7 of itself.
    varies = total > 1e-5 * jnp.sqrt(jnp.mean(right**2))
    ratio = _ratio(masked_mean(spread, there), total, 1.0)
    return {"distance_irrelevance": jnp.where(varies, ratio, 1.0)}


def _means(values: jax.Array, group: jax.Array, groups: int) -> jax.Array:
    """Mean over the rows of each group: float[P, C], int[P] to float[groups, C]; 0 without rows."""
    totals = jnp.zeros((groups, values.shape[1]), values.dtype).at[group].add(values)
    counts = jnp.zeros((groups, 1), values.dtype).at[group].add(1.0)
    return totals / jnp.maximum(counts, 1.0)


def _multiplicity(p: int) -> np.ndarray:
    """How often a frequency of `rfft` is in the full transform: float32[p//2 + 1]."""
    counts = np.full(p // 2 + 1, 2.0, np.float32)
    counts[0] = 1.0
    if p % 2 == 0:
        counts[-1] = 1.0
    return counts


def _frequency_norms(weights: jax.Array, axis: int) -> jax.Array:
    waves = jnp.moveaxis(jnp.fft.rfft(weights, axis=axis), axis, 0)
    power = jnp.sum(jnp.abs(waves.reshape(waves.shape[0], -1)) ** 2, axis=1)
    return jnp.sqrt(power * _multiplicity(weights.shape[axis]))


def _gini(values: jax.Array) -> jax.Array:
    values = jnp.sort(values)
    number = values.size
    rank = 2 * np.arange(1, number + 1, dtype=np.float32) - number - 1
    return _ratio(jnp.sum(rank * values), number * jnp.sum(values), 0.0)


def _ratio(numerator: jax.Array, denominator: jax.Array, otherwise: float) -> jax.Array:
    """The quotient, and `otherwise` for a denominator of 0."""
    safe = jnp.where(denominator > 0, denominator, 1.0)
    return jnp.where(denominator > 0, numerator / safe, otherwise)


def _path(name: str, value: Any) -> Path:
    path = () if isinstance(value, str | bytes) or not isinstance(value, Sequence) else tuple(value)
    if not path or not all(type(key) in (str, int) for key in path):
        raise ValueError(f'{name} must be a path, such as ("w1",), got {shown(value)}.')
    return path


def _gini_name(path: Path) -> str:
    return "gini_" + "_".join(map(str, path))


def _with_entry(params: Any, path: Path, value: jax.Array) -> Any:
    """The parameters with another array at a path."""

    def keys(entries: Any) -> tuple[Any, ...]:
        return tuple(getattr(entry, "key", getattr(entry, "idx", None)) for entry in entries)

    return jax.tree_util.tree_map_with_path(
        lambda entries, leaf: value if keys(entries) == path else leaf, params
    )
