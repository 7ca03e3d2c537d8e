"""The empirical tangent kernel of any model, in memory that an argument bounds.

`J[i, q]` is the gradient of the logit q of row i. A column of the kernel is one vector-Jacobian
product at one row and one class, and one Jacobian-vector product over all rows; neither the
Jacobian, which has rows x classes x parameters numbers, nor a batch of gradients larger than
`batch_size` is ever held.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from grokjax.checks import check_integer, check_jax_array, shown
from grokjax.models import Model, Params, arguments
from grokjax.models.protocol import check_model


def tangent(
    model: Model, params: Params, tokens: Any, other: Any = None, *, batch_size: int = 32
) -> jax.Array:
    """Neural tangent kernel: `K[i, j, q, r] = <J_tokens[i, q], J_other[j, r]>`.

    Args:
      model: any model.
      params: where the gradients are taken.
      tokens: int32[P, S], rows.
      other: int32[P', S]; the same rows when not given.
      batch_size: gradients held at once; memory is the kernel and
        `batch_size * (parameters + P * (width + C))` numbers.

    Returns:
      float[P, P', C, C], symmetric under `(i, q) <-> (j, r)` if `other` is `tokens`.

    Raises:
      ValueError: for what is no model, other parameters than the model's, rows that are not
        int[P, S] with equal S or that the model does not know, no rows, or a batch_size that is not
        positive.

    Reference: Jacot, Gabriel and Hongler 2018.
    """
    tokens, other = check_rows(tokens, other)
    params = check_network(model, params, tokens, other)
    batch_size = check_integer("batch_size", batch_size, at_least=1)
    with jax.default_matmul_precision("highest"):
        logits, forward = jax.linearize(lambda params: model.apply(params, tokens), params)
        classes = logits.shape[-1]

        def column(pair: jax.Array) -> jax.Array:
            row, q = pair // classes, pair % classes
            return forward(_gradient(model, params, other[row], q, classes))  # [P, C]

        columns = jax.lax.map(column, jnp.arange(other.shape[0] * classes), batch_size=batch_size)
    return columns.reshape(other.shape[0], classes, *logits.shape).transpose(2, 0, 3, 1)


def trace(
    model: Model, params: Params, tokens: Any, other: Any = None, *, batch_size: int = 32
) -> jax.Array:
    """Tangent kernel summed over the classes: `sum_q K[i, j, q, q]`, float[P, P'].

    Arguments and errors are those of `tangent`. The classes are taken one after another, so memory
    does not grow with the square of their number.
    """
    tokens, other = check_rows(tokens, other)
    params = check_network(model, params, tokens, other)
    batch_size = check_integer("batch_size", batch_size, at_least=1)
    with jax.default_matmul_precision("highest"):
        logits, forward = jax.linearize(lambda params: model.apply(params, tokens), params)
        classes = logits.shape[-1]

        def column(row: jax.Array) -> jax.Array:
            def add(q: jax.Array, total: jax.Array) -> jax.Array:
                gradient = _gradient(model, params, row, q, classes)
                return total + jnp.take(forward(gradient), q, axis=-1)

            return jax.lax.fori_loop(0, classes, add, jnp.zeros_like(logits[:, 0]))

        return jax.lax.map(column, other, batch_size=batch_size).T


def product(
    model: Model,
    params: Params,
    tokens: Any,
    vector: Any,
    other: Any = None,
    *,
    batch_size: int = 256,
) -> jax.Array:
    """Tangent kernel times a vector: `sum_jr K[i, j, q, r] vector[j, r]`, float[P, C].

    One backward pass over `other` and one forward pass over `tokens`: the kernel is never held.

    Args:
      model: any model.
      params: where the gradients are taken.
      tokens: int32[P, S], rows of the result.
      vector: float[P', C].
      other: int32[P', S], rows of the vector; `tokens` when not given.
      batch_size: rows whose activations are held at once.

    Raises:
      ValueError: as `tangent`, or if the vector does not have one number for each row and class.
    """
    tokens, other = check_rows(tokens, other)
    params = check_network(model, params, tokens, other)
    vector = jnp.asarray(check_jax_array("vector", vector))
    with jax.default_matmul_precision("highest"):
        logits, backward = jax.vjp(logits_of(model, other, batch_size), params)
        if vector.shape != logits.shape:
            raise ValueError(
                f"vector must have one number for each row and class, {list(logits.shape)}, got "
                f"{list(vector.shape)}."
            )
        (direction,) = backward(vector.astype(logits.dtype))
        return jax.jvp(logits_of(model, tokens, batch_size), (params,), (direction,))[1]


def logits_of(model: Model, tokens: jax.Array, batch_size: int) -> Any:
    """The logits of given rows as a function of the parameters, `batch_size` rows at a time."""
    batch_size = check_integer("batch_size", batch_size, at_least=1)
    # Checkpointed: a backward pass computes a batch's activations again instead of keeping all.
    row = jax.checkpoint(functools.partial(_row_logits, model))
    return lambda params: jax.lax.map(lambda x: row(params, x), tokens, batch_size=batch_size)


def check_rows(tokens: Any, other: Any = None) -> tuple[jax.Array, jax.Array]:
    """Both sets of rows as arrays; the second is the first when not given.

    Raises:
      ValueError: if they are not int[P, S] and int[P', S], or have no rows.
    """
    rows = _check_rows("tokens", tokens)
    if other is None:
        return rows, rows
    others = _check_rows("other", other)
    if rows.shape[1] != others.shape[1]:
        raise ValueError(
            f"tokens and other must have as many operands, got {rows.shape[1]} and "
            f"{others.shape[1]}."
        )
    return rows, others


def _check_rows(name: str, rows: Any) -> jax.Array:
    rows = check_jax_array(name, rows, shape=["P", "S"], kinds="iu")
    if 0 in rows.shape:
        raise ValueError(f"{name} must have one row or more, got shape {list(rows.shape)}.")
    return jnp.asarray(rows)


def check_network(model: Model, params: Any, *rows: jax.Array, name: str = "params") -> Params:
    """Parameters with which a model has logits for some rows, and a gradient.

    Args:
      model: any model.
      params: its parameters.
      *rows: int32[P, S] each.
      name: of the parameters, for the message.

    Raises:
      ValueError: for what is no model, other parameters than the model's, operands that the model
        does not know, and logits that are not [P, C].
    """
    check_model(model)
    leaves, structure = jax.tree.flatten(params)
    if not leaves:
        raise ValueError(f"{name} must be the model's parameters, got {shown(params)}.")
    leaves = [check_jax_array(f"each array of {name}", leaf, kinds="f") for leaf in leaves]
    params = structure.unflatten(leaves)
    for tokens in {id(x): x for x in rows}.values():  # often the same ones twice
        try:
            # Not with abstract rows: models look at operands where they can.
            logits = jax.eval_shape(lambda params, x=tokens: model.apply(params, x), params)
        except Exception:
            arguments.explain(model, params, tokens.shape[1], name)
            raise
        if getattr(logits, "ndim", 0) != 2 or logits.shape[0] != len(tokens):
            raise ValueError(
                f"the model must return logits float[P, C], got {shown(logits)} for {len(tokens)} "
                "rows."
            )
    return params


def _row_logits(model: Model, params: Params, row: jax.Array) -> jax.Array:
    return model.apply(params, row[None])[0]


def _gradient(model: Model, params: Params, row: jax.Array, q: jax.Array, classes: int) -> Params:
    """The gradient of one logit of one row."""
    logits, backward = jax.vjp(lambda params: _row_logits(model, params, row), params)
    return backward(jax.nn.one_hot(q, classes, dtype=logits.dtype))[0]
