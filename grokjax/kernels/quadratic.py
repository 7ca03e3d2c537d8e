"""The tangent kernel of `QuadraticMLP` in closed form, and what it is at infinite width."""

from typing import Any

import jax
import jax.numpy as jnp

from grokjax.checks import is_concrete, shown
from grokjax.kernels.tangent import check_rows
from grokjax.models import Params, QuadraticMLP, square
from grokjax.tasks import PAD


def quadratic(model: QuadraticMLP, params: Params, tokens: Any, other: Any = None) -> jax.Array:
    """Tangent kernel of a two-layer network, in closed form: float[P, P', p, p].

    With a and b the model's `input_scale` and `output_scale`, preactivations h and h' of two rows,
    and c of their operands equal,

        K_qr = b^2 ( [q = r] sum_k phi(h_k) phi(h'_k)
                     + a^2 c sum_k w2[k, q] w2[k, r] phi'(h_k) phi'(h'_k) )

    which for two operands and the square is
    `s^2 ( [q = r] sum h^2 h'^2 + 4 c sum w2 w2 h h' )` with `s = a^2 b` and h without scale.

    Args:
      model: any width, number of operands, activation and parameterization.
      params: its parameters.
      tokens: int32[P, S]. A `PAD` equals nothing.
      other: int32[P', S]; the same rows when not given.

    Raises:
      ValueError: for another model than a `QuadraticMLP`, or one with `normalize`, whose
        preactivations depend on all rows; for other parameters, no rows, and rows that are not
        int[P, S] with operands below p.

    Reference: "Grokking Phenomenon Reproduction", definition 4.1, for Gromov 2023,
    equations 1 and 2.
    """
    equal, (hidden, slope), (hidden2, slope2) = _features(model, params, tokens, other)
    w2 = jnp.asarray(params["w2"])
    with jax.default_matmul_precision("highest"):
        readout = jnp.einsum("ij,qr->ijqr", hidden @ hidden2.T, jnp.eye(w2.shape[1]))
        inner = jnp.einsum("ik,jk,kq,kr->ijqr", slope, slope2, w2, w2)
    return model.output_scale**2 * (
        readout + model.input_scale**2 * equal[:, :, None, None] * inner
    )


def quadratic_trace(
    model: QuadraticMLP, params: Params, tokens: Any, other: Any = None
) -> jax.Array:
    """`quadratic` summed over the classes, float[P, P']: two matrix products.

    Arguments and errors are those of `quadratic`.
    """
    equal, (hidden, slope), (hidden2, slope2) = _features(model, params, tokens, other)
    w2 = jnp.asarray(params["w2"])
    with jax.default_matmul_precision("highest"):
        readout = w2.shape[1] * (hidden @ hidden2.T)
        inner = (slope * jnp.sum(w2**2, axis=1)[None]) @ slope2.T
    return model.output_scale**2 * (readout + model.input_scale**2 * equal * inner)


def infinite_width(tokens: Any, other: Any = None) -> jax.Array:
    """Tangent kernel of infinitely many quadratic neurons, `s s' + 6 c^2`, a factor of [q = r].

    s and s' are the numbers of operands of two rows and c how many of them are equal: 4 for two
    equations without a common operand, 10 with one, 28 for an equation and itself. Weights are
    N(0, 1), and the sum over neurons is divided by their number; `expected_scale` converts.

    A kernel of c alone predicts for a test row (n, m) a mean over the equations with n, one over
    those with m, and one over all. The right class n + m is the only one that the first two can
    not contain, so it is predicted below all others' average: kernel regression is wrong
    on every test row, worse than chance.

    Args:
      tokens: int32[P, S]. A `PAD` equals nothing.
      other: int32[P', S]; the same rows when not given.

    Returns:
      float[P, P'].

    Raises:
      ValueError: if rows are not int[P, S], operands are negative and not `PAD`, or there are none.
    """
    tokens, other = check_rows(tokens, other)
    for rows in (tokens, other):
        if is_concrete(rows) and (smallest := int(rows.min())) < PAD:
            raise ValueError(f"tokens must be at least 0, or {PAD} for none, got {smallest}.")
    counts = [jnp.sum(rows >= 0, axis=1).astype(jnp.float32) for rows in (tokens, other)]
    return counts[0][:, None] * counts[1][None, :] + 6.0 * _equal_operands(tokens, other) ** 2


def expected_scale(model: QuadraticMLP) -> float:
    """Factor between `infinite_width` and the mean kernel of initial networks of any width.

    `width b^2 a^4 std^4`, with a and b the model's `input_scale` and `output_scale` and std its
    `init_std`. The mean of `quadratic` over initial weights is
    `expected_scale(model) * infinite_width(tokens) * [q = r]` exactly, at any width, and a wide
    network is near its mean.

    Raises:
      ValueError: for another model than a `QuadraticMLP`, another activation than the square, or
        with `normalize`.
    """
    _check_quadratic(model)
    if model.activation is not square or model.normalize:
        raise ValueError(
            f"the infinite-width kernel is that of x^2 without normalization, got {shown(model)}; "
            "use activation=square and normalize=False."
        )
    return model.width * model.output_scale**2 * model.input_scale**4 * model.init_std**4


def _features(
    model: QuadraticMLP, params: Params, tokens: Any, other: Any
) -> tuple[jax.Array, tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Equal operands [P, P'], and the hidden layer and its derivative of both sets: [P, K]."""
    _check_quadratic(model)
    if model.normalize:
        raise ValueError(
            "the closed form is that of a network without normalization; use kernels.tangent for "
            "normalize=True."
        )
    tokens, other = check_rows(tokens, other)
    hidden = []
    for rows in (tokens, other):
        h = model.preactivations(params, rows)
        hidden.append(jax.jvp(model.activation, (h,), (jnp.ones_like(h),)))
    return _equal_operands(tokens, other), hidden[0], hidden[1]


def _check_quadratic(model: Any) -> None:
    if not isinstance(model, QuadraticMLP):
        raise ValueError(
            "model must be a models.QuadraticMLP, which alone has a closed form, got "
            f"{shown(model)}; use kernels.tangent or kernels.trace for other models."
        )


def _equal_operands(tokens: jax.Array, other: jax.Array) -> jax.Array:
    """How many operands two rows share, place by place: float32[P, P']."""
    same = (tokens[:, None, :] == other[None, :, :]) & (tokens[:, None, :] >= 0)
    return jnp.sum(same, axis=-1).astype(jnp.float32)
