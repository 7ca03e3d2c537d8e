"""Parameters as one safetensors file, which other frameworks read."""

import dataclasses
import importlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from grokjax.models import QuadraticMLP, power, square
from grokjax.models.noise import WeightNoise
from grokjax.results import files

ACTIVATIONS = {
    square: "square",
    jax.nn.relu: "relu",
    jax.nn.gelu: "gelu",
    jax.nn.silu: "silu",
    jax.nn.sigmoid: "sigmoid",
    jax.nn.tanh: "tanh",
    jnp.tanh: "tanh",
    jnp.sin: "sin",
    jnp.cos: "cos",
    jnp.abs: "abs",
}


def write(
    path: pathlib.Path,
    params: Any,
    *,
    model: Any,
    lanes: Sequence[Mapping[str, Any]],
    stacked: bool,
    attrs: Mapping[str, Any],
) -> None:
    """Writes parameters under their dotted names, with what is needed to call them.

    Args:
      path: of the file, which appears whole or not at all.
      params: a nested dict of arrays.
      model: what they are parameters of, or None where that is not known.
      lanes: the columns of each lane in the file.
      stacked: whether the arrays have the lanes as their first axis.
      attrs: of the dataset.

    Raises:
      ValueError: for a path that cannot be written to, and for two parameters of one name.
      ModuleNotFoundError: without safetensors.
    """
    try:
        library = importlib.import_module("safetensors.numpy")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'to_safetensors needs safetensors; install it with pip install "grokjax[weights]".'
        ) from error
    tensors = _flat(params)
    metadata = {
        "format": "grokjax",
        "format_version": "1",
        "grokjax": str(attrs.get("grokjax", "")),
        "task": str(attrs.get("task", "")),
        "model": json.dumps(description(model)),
        "lanes": json.dumps(list(lanes)),
        "stacked": json.dumps(stacked),
    }
    try:
        with files.replacing(path) as temporary:
            mode = temporary.stat().st_mode
            library.save_file(tensors, temporary, metadata)
            temporary.chmod(mode)  # which the library sets to the owner's alone
    except OSError as error:
        raise ValueError(
            f"path={str(path)!r} cannot be written ({error}); choose a file in a folder that "
            "exists and can be written to."
        ) from error


def description(model: Any) -> dict[str, Any] | None:
    """A model in words and numbers, for a loader that does not have its code; None without one.

    `type` is the name of one of grokjax's own networks, with their fields beside it, or "" for any
    other model, of which `text` alone says what it was. Weight noise is left out, because it acts
    in training only. An activation that has no name in common with other frameworks is null.
    """
    from grokjax.models.network import TokenNetwork  # imports flax.linen

    if model is None:
        return None
    text = repr(model)
    while isinstance(model, WeightNoise):
        model = model.model
    if type(model) is not QuadraticMLP and not isinstance(model, TokenNetwork):
        return {"type": "", "text": text}
    found = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}  # pyright: ignore[reportArgumentType]
    if "activation" in found:
        found["activation"] = _activation(found["activation"])
    return {"type": type(model).__name__, "text": text, **found}


def _activation(function: Any) -> str | None:
    if isinstance(function, power):
        return f"power {function.degree}"
    return next((name for known, name in ACTIVATIONS.items() if function is known), None)


def _flat(tree: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Arrays by their dotted names; members of tuples and lists are numbered."""
    if isinstance(tree, tuple | list):
        tree = {str(place): child for place, child in enumerate(tree)}
    if not isinstance(tree, Mapping):
        return {prefix: np.ascontiguousarray(tree)}
    found: dict[str, np.ndarray] = {}
    for name, child in tree.items():
        for key, array in _flat(child, f"{prefix}.{name}" if prefix else str(name)).items():
            if key in found:
                raise ValueError(
                    f"two parameters would be called {key!r} in the file; rename one of them."
                )
            found[key] = array
    return found
