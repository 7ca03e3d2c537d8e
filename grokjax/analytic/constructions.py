"""The neurons of closed-form networks, in float64 and without scale, and the models they make."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.analytic.frequencies import check_frequencies
from grokjax.checks import check_choice, check_integer, check_key, check_size
from grokjax.models import QuadraticMLP, power, square

Params = dict[str, jax.Array]
Construction = Literal["clock", "one_hot", "pizza", "random_phase"]
Parameterization = Literal["mean_field", "standard"]
MAX_OPERANDS = 64  # beyond, factorials and powers of the weights leave float64
Weights = tuple[np.ndarray, np.ndarray]  # float64[S, p, K] and float64[K, p]


def addition_weights(
    p: int,
    operands: int,
    construction: Construction,
    frequencies: Sequence[int] | None = None,
    width: int | None = None,
    key: jax.Array | None = None,
    *,
    reserved: int = 0,
) -> Weights:
    """Weights of `logits = (sum_s w1[s, n_s])^S @ w2` that add S residues.

    Args:
      p: the modulus.
      operands: S.
      construction: which neurons.
      frequencies: theirs, or the construction's own.
      width: how many neurons, the reserved ones included; as many as needed when not given.
      key: of random phases.
      reserved: neurons that the caller adds.

    Raises:
      ValueError: for arguments that do not suit each other, and for weights that memory cannot
        hold.
    """
    check_choice("construction", construction, get_args(Construction))
    operands = check_integer("operands", operands, at_least=1, below=MAX_OPERANDS + 1)
    if key is not None:
        check_key("key", key, otherwise="None for exact constructions")
    if (construction == "random_phase") != (key is not None):
        raise ValueError(
            'construction="random_phase" needs a key, such as jax.random.key(0), and the others '
            f"take none; got construction={construction!r} with key={key!r}."
        )
    if frequencies is not None:
        frequencies = check_frequencies(p, frequencies)
    if construction == "one_hot" and frequencies is not None:
        raise ValueError(
            f'construction="one_hot" uses every frequency; got frequencies={frequencies!r}, which '
            'construction="clock" takes.'
        )
    if construction == "random_phase" and width is None:
        raise ValueError('construction="random_phase" works at any width; give width=...')
    needed = reserved + _neurons(p, operands, construction, frequencies)
    width = needed if width is None else check_integer("width", width, at_least=1)
    if width < needed:
        raise ValueError(
            f"width={width} is too small: construction={construction!r} for {operands} operands "
            f"modulo {p}{', and the neuron of zeros,' if reserved else ''} needs {needed} neurons; "
            f"use width={needed} or more, or fewer frequencies."
        )
    neurons = f"{width:,}" if width < 10**15 else f"about 10^{math.log10(width):.0f}"
    check_size(
        f"a network of {neurons} neurons for {operands} operands modulo {p}",
        (operands + 1) * p * width,
        "use fewer operands, a smaller p, or a construction of fewer neurons",
    )
    width -= reserved
    if key is not None:
        return _random_phase(p, operands, frequencies, width, key)
    if construction == "one_hot":
        frequencies = range(1, p // 2 + 1)
        blocks = [_clock(p, f, operands, 1 / p if 2 * f == p else 2 / p) for f in frequencies]
        blocks.append((np.full((operands, p, 1), 1 / operands), np.full((1, p), 1 / p)))
    elif construction == "pizza":
        blocks = [_pizza(p, operands, frequencies or (1,))]
    else:
        frequencies = frequencies or (1,)
        counted = sum(0.5 if 2 * f == p else 1.0 for f in frequencies)
        blocks = [
            _clock(p, f, operands, (0.5 if 2 * f == p else 1.0) / counted) for f in frequencies
        ]
    spare = width - sum(w2.shape[0] for _, w2 in blocks)
    blocks.append((np.zeros((operands, p, spare)), np.zeros((spare, p))))
    return (
        np.concatenate([w1 for w1, _ in blocks], axis=2),
        np.concatenate([w2 for _, w2 in blocks], axis=0),
    )


def _neurons(
    p: int, operands: int, construction: Construction, frequencies: Sequence[int] | None
) -> int:
    """How many neurons a construction needs; random phases make do with any number."""
    if construction == "random_phase":
        return 1
    if construction == "pizza":
        return 3
    signs = 2 ** (operands - 1)
    if construction == "one_hot":  # of half the frequencies, the Nyquist one, and the constant
        return signs * ((operands + 1) * ((p - 1) // 2) + (p + 1) % 2) + 1
    return sum(signs * (1 if 2 * f == p else operands + 1) for f in frequencies or (1,))


def relabel_inputs(w1: np.ndarray, maps: Sequence[np.ndarray]) -> np.ndarray:
    """Input weights that see `maps[s][n]` in place of operand s equal to n."""
    return np.stack([w1[s][labels] for s, labels in enumerate(maps)])


def build(
    w1: np.ndarray, w2: np.ndarray, parameterization: Parameterization
) -> tuple[QuadraticMLP, Params]:
    """The model and its float32 parameters, with the same logits in either parameterization.

    Raises:
      ValueError: for another parameterization.

    Each neuron is balanced, `||w1_k||^2 = S ||w2_k||^2`: the smallest weights for its function,
    and the value that random initial weights have on average of what gradient flow conserves.
    """
    check_choice("parameterization", parameterization, get_args(Parameterization))
    operands, _, width = w1.shape
    model = QuadraticMLP(
        p=w2.shape[1],
        width=width,
        operands=operands,
        activation=square if operands == 2 else power(operands),
        parameterization=parameterization,
    )
    norm1 = np.sqrt((w1**2).sum(axis=(0, 1)))
    norm2 = np.sqrt(operands * (w2**2).sum(axis=1))
    live = (norm1 > 0) & (norm2 > 0)
    gain = np.where(live, norm2 / np.where(live, norm1, 1), 1) ** (1 / (operands + 1))
    # The model's factors on preactivations and logits, undone evenly in both layers.
    scale = (model.input_scale**operands * model.output_scale) ** (-1 / (operands + 1))
    weights = {"w1": scale * gain * w1, "w2": (scale * gain**-operands)[:, None] * w2}
    # Unlike jnp.asarray this does not compile a conversion for every shape.
    return model, jax.device_put({k: w.astype(np.float32) for k, w in weights.items()})


# --------------------------------------------------------------------------------------------
# Blocks of neurons
# --------------------------------------------------------------------------------------------


def _cosines(p: int, frequencies: Any, phases: np.ndarray) -> np.ndarray:
    """`cos(2 pi f n / p + phase)` for every residue n and neuron: float64[p, K]."""
    turns = np.outer(np.arange(p), frequencies) % p / p  # reduced first, so exact
    return np.cos(2 * np.pi * turns + phases[None, :])


def _clock(p: int, frequency: int, operands: int, amplitude: float) -> Weights:
    """Neurons whose logits are exactly `amplitude * cos(2 pi f (n_1 + ... + n_S - q) / p)`.

    The signs single out the product of all operands from `(x_1 + ... + x_S)^S`; the S + 1 phases
    single out the sum from the sums and differences in a product of cosines. At the Nyquist
    frequency all cosines are signs, sums and differences are the same, and one phase is enough.
    """
    num_phases = 1 if 2 * frequency == p else operands + 1
    signs = np.array(list(itertools.product((1, -1), repeat=operands - 1)))
    signs = np.concatenate([np.ones((len(signs), 1)), signs], axis=1)  # the first one is free
    signs = np.repeat(signs, num_phases, axis=0)
    theta = np.tile(np.pi * np.arange(num_phases) / num_phases, 2 ** (operands - 1))
    wanted = 2 ** (operands - 1) * math.factorial(operands)  # of the product, over all signs
    if num_phases > 1:
        wanted *= num_phases / 2**operands
    cosines = _cosines(p, frequency, theta)
    w1 = signs.T[:, None, :] * cosines[None, :, :]
    w2 = signs.prod(axis=1) * _cosines(p, frequency, operands * theta)
    return w1, amplitude / wanted * w2.T


def _pizza(p: int, operands: int, frequencies: Sequence[int]) -> Weights:
    """Three neurons with logits `cos(w (n - m) / 2 + psi / 2)^2 cos(w (n + m - q))`.

    The first factor must not vanish: for even p a shift psi keeps it off its zeros.
    """
    if operands != 2 or len(frequencies) != 1 or p < 3:
        raise ValueError(
            'construction="pizza" is for p >= 3, two operands and one frequency, got '
            f'p={p}, operands={operands}, frequencies={tuple(frequencies)}; use "clock".'
        )
    theta = np.pi * np.arange(3) / 3
    half = 0.0 if p % 2 else np.pi / (2 * p)
    (f,) = frequencies
    w1 = np.stack([_cosines(p, f, theta + half), _cosines(p, f, theta - half)])
    return w1, _cosines(p, f, 2 * theta).T / 3


def _random_phase(
    p: int, operands: int, frequencies: Sequence[int] | None, width: int, key: jax.Array
) -> Weights:
    """Neurons of random phases; frequencies take turns."""
    if frequencies is None:
        # Over all p - 1 residues f and p - f come once each, and for even p so does p/2.
        frequencies = range(1, (p - 1) // 2 + 1 if p % 2 else p)
    f = np.resize(np.array(frequencies), width)
    phi = np.asarray(
        jax.random.uniform(key, (operands, width), minval=-jnp.pi, maxval=jnp.pi), np.float64
    )
    amplitude = 2**operands / (width * math.factorial(operands))
    w1 = np.stack([_cosines(p, f, phase) for phase in phi])
    return w1, amplitude * _cosines(p, f, phi.sum(axis=0)).T
