"""Sizes and spectra of the parameters, and of the gradient that moves them."""

import re
from typing import Any

import jax
import jax.numpy as jnp

from grokjax import spectral
from grokjax.measures.network import Network, Scalars, check_network, parameter


def weight_norms(network: Network) -> Scalars:
    """Euclidean norm of every parameter array, `norm_<name>`, and of all together, `norm`.

    A name is that of the array with "_" for all that no name in Python has in it.
    """
    return _norms("norm", check_network(network).params)


def gradient_norms(network: Network) -> Scalars:
    """Euclidean norm of the objective's gradient, `gradient_norm_<name>`, and of all together.

    The objective is what full-batch training descends, with the penalty and at the lane's logit
    scale: see `Network.objective`. Costs one more forward and backward pass over the table at each
    measurement.
    """
    check_network(network)
    return _norms("gradient_norm", jax.grad(network.objective)(network.params))


def ipr(network: Network) -> Scalars:
    """Inverse participation ratio of a `QuadraticMLP`'s weights, averaged over its neurons.

    1 for weights of one frequency each, 0.04 for random ones at p = 97.

    Raises:
      ValueError: for parameters other than `{"w1": float[S, p, K], "w2": float[K, p]}`.

    Reference: Gromov 2023, equations 20 and 21; convention of `spectral.network_ipr`.
    """
    check_network(network)
    w1, w2 = (parameter(network, (name,), (n,), "ipr") for name, n in (("w1", 3), ("w2", 2)))
    if w1.shape[:0:-1] != w2.shape:
        raise ValueError(
            "ipr needs the parameters w1: float[S, p, K] and w2: float[K, p] of a QuadraticMLP, "
            f"got the shapes {list(w1.shape)} and {list(w2.shape)}."
        )
    return {"ipr": jnp.mean(spectral.network_ipr({"w1": w1, "w2": w2}))}


def _norms(name: str, tree: Any) -> Scalars:
    squares: dict[str, jax.Array] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        key = re.sub(r"\W", "_", jax.tree_util.keystr(path, simple=True, separator="_"))
        if key in squares:
            raise ValueError(f"two arrays of the parameters are both called {key!r}; rename one.")
        squares[key] = jnp.sum(jnp.abs(leaf) ** 2)
    norms = {f"{name}_{key}": jnp.sqrt(value) for key, value in squares.items() if key}
    return {name: jnp.sqrt(sum(squares.values(), jnp.float32(0.0))), **norms}
