"""The files of a result: `results.nc`, `config.json` and `params.nc`.

`params.nc` is NetCDF-4 as well: a nested dict is a tree of groups, so that the variable of
`params["block"]["kernel"]` is called `block/kernel`. Its first dimension is `lane`.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import h5netcdf
import ml_dtypes
import numpy as np
import xarray


def write(directory: pathlib.Path, dataset: xarray.Dataset, params: Any) -> None:
    """Write a result into a directory, which is made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    if params is None:
        (directory / "params.nc").unlink(missing_ok=True)
    else:
        with replacing(directory / "params.nc") as path, h5netcdf.File(path, "w") as file:
            file.dimensions = {"lane": dataset.sizes["lane"]}
            _write_params(file, params)
    with replacing(directory / "config.json") as path:
        path.write_text(json.dumps(dataset.attrs, indent=2) + "\n")
    encoding = {name: {"zlib": True} for name, v in dataset.data_vars.items() if v.ndim > 1}
    with replacing(directory / "results.nc") as path:
        # A read dataset remembers how it was stored, such as words of eight letters at most.
        dataset.drop_encoding().to_netcdf(path, engine="h5netcdf", encoding=encoding)


def read(directory: pathlib.Path) -> tuple[xarray.Dataset, Any]:
    """The dataset and the parameters, or None, that were written into a directory.

    Raises:
      ValueError: if there are none, or they cannot be read.
    """
    path = directory / "results.nc"
    if not path.exists():
        raise ValueError(
            f"no result at {path}; give the directory that SweepResult.save or run_sweep wrote to."
        )
    with _readable(path):
        dataset = xarray.load_dataset(path, engine="h5netcdf", decode_times=False)
    dataset.attrs = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in dataset.attrs.items()
    }
    for name, variable in dataset.variables.items():
        if variable.dtype.kind == "O":  # NetCDF strings come back as objects
            dataset[name] = (variable.dims, variable.values.astype(str), variable.attrs)
    path = directory / "params.nc"
    if not path.exists():
        return dataset, None
    with _readable(path), h5netcdf.File(path, "r") as file:
        return dataset, _read_params(file)


def _write_params(group: Any, params: Mapping[str, Any]) -> None:
    for name, value in params.items():
        if not isinstance(name, str) or "/" in name or not name:
            raise ValueError(f"parameters need names without '/', got {name!r}; rename it.")
        if isinstance(value, Mapping):
            _write_params(group.create_group(name), value)
            continue
        value = np.asarray(value)
        dims = ("lane", *(f"{name}_axis_{i}" for i in range(1, value.ndim)))
        for dim, size in zip(dims[1:], value.shape[1:], strict=True):
            group.dimensions[dim] = size
        attrs = {}
        if value.dtype.kind in "Vb" or value.dtype == np.float16:
            # Not in NetCDF (bfloat16 and its like are "V"): the bits, as unsigned integers.
            attrs["dtype"] = value.dtype.name
            value = value.view(f"u{value.dtype.itemsize}")
        variable = group.create_variable(name, dims, data=value)
        variable.attrs.update(attrs)


def _read_params(group: Any) -> dict[str, Any]:
    params = {name: _read_params(child) for name, child in group.groups.items()}
    for name, variable in group.variables.items():
        value = variable[...]
        if "dtype" in variable.attrs:
            value = value.view(getattr(ml_dtypes, variable.attrs["dtype"], variable.attrs["dtype"]))
        params[name] = value
    return params


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary path that takes the place of `path` once everything is written."""
    # One name for all attempts: what a killed process left behind, the next one writes over.
    temporary = path.with_name(f".{path.name}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); restore it from a copy, or run the sweep again."
        ) from error
