"""The files of a result: `results.nc`, `config.json` and `params.nc`.

`params.nc` is NetCDF-4 as well: a nested dict is a tree of groups, so that the variable of
`params["block"]["kernel"]` is called `block/kernel`; tuples and lists are groups too, whose members
are numbered. Its first dimension is `lane`. The files of one result carry the same random mark, so
that a reader can tell a pair of which only one was replaced.

Files may come from strangers: links and external storage, by which HDF5 reads other files of the
machine, are refused.
"""

import contextlib
import json
import os
import pathlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import h5netcdf
import h5py
import ml_dtypes
import numpy as np
import xarray

from grokjax.checks import check_array

MARK, HAS_PARAMS = "saved_as", "has_params"
RESULT, PARAMS, CONFIG, CARRY = "results.nc", "params.nc", "config.json", "carry.nc"


def write(directory: pathlib.Path, dataset: xarray.Dataset, params: Any, carry: Any = None) -> None:
    """Writes a result into a directory, which is made if need be.

    Everything is written under other names first, and then moved, `results.nc` last.

    Args:
      directory: where.
      dataset: what was measured.
      params: a nested dict of arrays, lanes first, or None.
      carry: another such tree, for a sweep to go on from, or None.

    Raises:
      ValueError: for parameters that cannot be named in a file.
      OSError: if the directory cannot be written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(8)
    with contextlib.ExitStack() as moved_on_success:
        place = lambda name: moved_on_success.enter_context(replacing(directory / name))
        # A read dataset remembers how it was stored, such as words of eight letters at most.
        stored = dataset.drop_encoding()
        stored = stored.assign_attrs({MARK: mark, HAS_PARAMS: int(params is not None)})
        encoding = {name: {"zlib": True} for name, v in dataset.data_vars.items() if v.ndim > 1}
        # The last one opened is the first one moved.
        stored.to_netcdf(place(RESULT), engine="h5netcdf", encoding=encoding)
        place(CONFIG).write_text(json.dumps(dataset.attrs, indent=2) + "\n")
        for name, tree in ((CARRY, carry), (PARAMS, params)):
            if tree is not None:
                write_tree(place(name), tree, {MARK: mark})
    for name, tree in ((CARRY, carry), (PARAMS, params)):
        if tree is None:
            (directory / name).unlink(missing_ok=True)


def read(directory: pathlib.Path) -> tuple[xarray.Dataset, Any]:
    """The dataset and the parameters, or None, that were written into a directory.

    Raises:
      ValueError: if there are none, if they cannot be read, do not belong together, or reach
        outside of their file.
    """
    path = directory / RESULT
    if not path.exists():
        raise ValueError(
            f"no result at {path}; give the directory that SweepResult.save or run_sweep wrote to."
        )
    with _readable(path):
        refuse_links(path)
        dataset = xarray.load_dataset(path, engine="h5netcdf", decode_times=False)
    dataset.attrs = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in dataset.attrs.items()
    }
    for name, variable in dataset.variables.items():
        if variable.dtype.kind == "O":  # NetCDF strings come back as objects
            dataset[name] = (variable.dims, variable.values.astype(str), variable.attrs)
    mark, has_params = dataset.attrs.pop(MARK, ""), dataset.attrs.pop(HAS_PARAMS, 0)
    if not has_params:
        return dataset, None
    path = directory / PARAMS
    if not path.exists():
        raise ValueError(
            f"{path} is missing: {RESULT} was saved with parameters. Restore it from a copy, run "
            "the sweep again, or read the measurements alone with xarray.open_dataset."
        )
    params, attributes = read_tree(path)
    if attributes.get(MARK) != mark:
        raise ValueError(
            f"{path} belongs to another result than {RESULT} beside it: a save was interrupted. "
            "Run the sweep again in its directory, or save the result again."
        )
    return dataset, params


def read_carry(directory: pathlib.Path) -> Any:
    """The tree that was written as `carry` with a result; None if there is none that belongs to it.

    Raises:
      ValueError: if it cannot be read.
    """
    if not (directory / CARRY).exists():
        return None
    tree, attributes = read_tree(directory / CARRY)
    with _readable(directory / RESULT), h5py.File(directory / RESULT, "r") as file:
        return tree if file.attrs.get(MARK) == attributes.get(MARK) else None


def write_tree(path: pathlib.Path, tree: Any, attributes: Mapping[str, str]) -> None:
    """A nested dict of arrays, all with equally many lanes first, as one NetCDF file.

    Raises:
      ValueError: for names that a file cannot have, and arrays of different lengths.
    """
    with h5netcdf.File(path, "w") as file:
        file.attrs.update(attributes)
        file.dimensions = {"lane": number_of_lanes(tree) or 0}
        _write_group(file, tree)


def number_of_lanes(tree: Any) -> int | None:
    """The length of the first axis, which all arrays of a tree share; None without any array.

    Raises:
      ValueError: if they have none, or several.
    """
    lengths = {np.shape(leaf)[:1] for leaf in _leaves(tree)}
    if len(lengths) > 1 or () in lengths:
        raise ValueError(
            "parameters must all have the lanes as their first axis, got the lengths "
            f"{sorted(lengths)}."
        )
    return lengths.pop()[0] if lengths else None


def read_tree(path: pathlib.Path) -> tuple[Any, dict[str, Any]]:
    """A nested dict of arrays from a NetCDF file, and the attributes of the file.

    Raises:
      ValueError: if it cannot be read, or reaches outside of the file.
    """
    with _readable(path):
        refuse_links(path)
        with h5netcdf.File(path, "r") as file:
            return _read_group(file), dict(file.attrs)


def refuse_links(path: pathlib.Path) -> None:
    """Refuses an HDF5 file that would have other files read, or the same part of it forever.

    These are links, external and virtual storage, and second names of what is there already.

    Raises:
      ValueError: naming what was found.
    """
    seen = set[h5py.HLObject]()  # equal where they are the same in the file

    def visit(group: h5py.Group) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{name!r} is a link, which a result never has")
            item = group[name]
            if item in seen:
                raise ValueError(f"{name!r} is in the file twice, which a result never is")
            seen.add(item)
            if isinstance(item, h5py.Group):
                visit(item)
            elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise ValueError(f"{name!r} is stored in another file, which a result never is")

    with h5py.File(path, "r") as file:
        seen.add(file["/"])
        visit(file)


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, Mapping):
        tree = tree.values()
    elif not isinstance(tree, tuple | list):
        yield tree
        return
    for child in tree:
        yield from _leaves(child)


def _write_group(group: Any, tree: Any) -> None:
    if not isinstance(tree, Mapping):  # a tuple or list
        group.attrs["kind"] = type(tree).__name__ if type(tree) in (tuple, list) else "tuple"
        tree = {str(place): child for place, child in enumerate(tree)}
    for name, value in tree.items():
        unnamed = not isinstance(name, str) or name in ("", ".", "..", "lane")
        if unnamed or {"/", "\0"} & set(name):
            raise ValueError(
                f"parameters need names other than 'lane', '.' and '..', and without '/', got "
                f"{name!r}; rename it."
            )
        if isinstance(value, Mapping | tuple | list):
            _write_group(group.create_group(name), value)
            continue
        value = check_array(f"the parameter {name!r}", value, kinds="biufc")
        # Dimensions are named by number, so that no parameter can have the name of one.
        dims = ("lane", *(f"{name} axis {i}" for i in range(1, value.ndim)))
        for dim, size in zip(dims[1:], value.shape[1:], strict=True):
            group.dimensions[dim] = size
        attrs = {}
        if value.dtype.kind in "Vb" or value.dtype == np.float16:
            # Not in NetCDF (bfloat16 and its like are "V"): the bits, as unsigned integers.
            attrs["dtype"] = value.dtype.name
            value = value.view(f"u{value.dtype.itemsize}")
        variable = group.create_variable(name, dims, data=value)
        variable.attrs.update(attrs)


def _read_group(group: Any) -> Any:
    tree: dict[str, Any] = {name: _read_group(child) for name, child in group.groups.items()}
    for name, variable in group.variables.items():
        value = variable[...]
        if "dtype" in variable.attrs:
            value = value.view(getattr(ml_dtypes, variable.attrs["dtype"], variable.attrs["dtype"]))
        tree[name] = value
    kind = group.attrs.get("kind")
    if kind not in ("tuple", "list"):
        return tree
    children = [tree[str(place)] for place in range(len(tree))]
    return children if kind == "list" else tuple(children)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary path that takes the place of `path` once everything is written.

    Its name cannot be guessed, and it is a new file: nobody can have put a link there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); restore it from a copy, or run the sweep again."
        ) from error
