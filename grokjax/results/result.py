"""The result of a sweep: its dataset and the parameters it ended with."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from grokjax import keys, tasks
from grokjax.checks import check_integer, check_mapping, check_number, check_path, shown
from grokjax.models import Model
from grokjax.models.protocol import check_model, keywords
from grokjax.results import files, weights
from grokjax.results.dataset import (
    DERIVED,
    carried,
    check_dataset,
    check_names,
    join,
    lane_columns,
    last_measured,
    unstack,
)
from grokjax.results.network import TrainedNetwork
from grokjax.tasks import Split, Task

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True, eq=False)
class SweepResult:
    """What a sweep measured, and the parameters it ended with.

    A *lane* is one training run of the sweep. Lanes end at different steps, so the last time of the
    dataset is NaN for most of them: `final` and `at` carry each lane's last measurement.

    Attributes:
      dataset: dimensions `lane` and `time`. Coordinates: the lane columns and `step`. Variables:
        measurements [lane, time], NaN after a lane retired, and per lane `memorization_step` and
        `grokking_step` (NaN if never), `final_step`, `watched_step` (up to which grokking could be
        seen, see `survival`), `stopped` (by the stop rule) and `outcome`. Attributes: what was run,
        where, and its cost; `interrupted` is 1 if lanes are missing or unfinished.
      params: nested dict of arrays, lanes first, as `model.init` makes it; those of every
        measurement, kept by `keep_params="all"`, have the time as their second axis. None if none
        were kept.
      model: what the lanes trained; None for a result that was loaded, or joined of several models.
      task: what they learned; None likewise.
    """

    dataset: xarray.Dataset
    params: dict[str, Any] | None = None
    model: Model | None = None
    task: Task | None = None

    def __post_init__(self):
        check_dataset("dataset", self.dataset)

    def __repr__(self) -> str:
        outcomes, counts = np.unique(self.dataset.outcome.values, return_counts=True)
        text = ", ".join(f"{n} {name}" for name, n in zip(outcomes, counts, strict=True))
        sizes = self.dataset.sizes
        return f"SweepResult({sizes['lane']} lanes, {sizes['time']} measurements: {text})"

    # -- measurements ---------------------------------------------------------------------------

    def final(self, name: str) -> xarray.DataArray:
        """The last value of a measurement that each lane has: [lane].

        Unlike the last time of the dataset it is a number for a lane that retired early too.

        Raises:
          ValueError: for a name that was not measured.

        Example:
          result.final("test_accuracy").groupby("alpha").median()
        """
        measured = [k for k, v in self.dataset.data_vars.items() if v.dims == ("lane", "time")]
        if not isinstance(name, str) or name not in measured:
            raise ValueError(f"{name!r} was not measured; there are {measured}.")
        return carried(self.dataset[[name, "final_step"]], last_measured(self.dataset))[name]

    def at(self, step: int) -> xarray.Dataset:
        """All measurements of each lane at its last one up to a step: dimension `lane` alone.

        A lane that had retired by then counts with its last measurement. The coordinate `step` says
        when each lane was measured.

        Raises:
          ValueError: for a step before the first measurement.
        """
        latest = check_number("step", step, at_least=0)
        return carried(self.dataset, last_measured(self.dataset, latest))

    def table(self, dims: Sequence[str] | None = None) -> xarray.Dataset:
        """The dataset with its lanes unstacked into their columns: [alpha, seed, ..., time].

        Numbers are sorted along a dimension, words stay in the order of the lanes. Combinations
        that no lane has are NaN, and "" among words.

        Args:
          dims: names of the columns to become dimensions; by default all that vary. Columns that
            never vary become scalar coordinates, others that are left out become coordinates of
            every cell.

        Raises:
          ValueError: if `dims` names no lane column, or one twice, or two lanes have the same place
            in the table.
        """
        return unstack(self.dataset, dims)

    def to_dataframe(self) -> "pandas.DataFrame":
        """One row for each lane: its columns, what became of it, and its last measurements.

        The columns of the frame are the lane columns, then `outcome`, `memorization_step`,
        `grokking_step`, `final_step`, `watched_step` and `stopped`, then the last value of every
        measurement that the lane has, as `final` gives it. `frame.attrs` are those of the dataset.

        Example:
          result.to_dataframe().groupby("alpha").grokking_step.median()
        """
        last = carried(self.dataset, last_measured(self.dataset)).drop_vars("step")
        first = [*lane_columns(self.dataset), *(name for name in DERIVED if name in last)]
        names = [str(name) for name, v in last.variables.items() if v.dims == ("lane",)]
        names = [*first, *(name for name in names if name not in (*first, "lane"))]
        frame = last.reset_coords()[names].to_dataframe()
        frame.attrs = dict(self.dataset.attrs)
        return frame

    def assign(self, **variables: Any) -> "SweepResult":
        """The result with further variables in its dataset, as `xarray.Dataset.assign` takes them.

        Raises:
          ValueError: as xarray, for what does not fit the dimensions of the dataset.

        Example:
          result.assign(peak=result.dataset.test_loss.max("time"))
        """
        return dataclasses.replace(self, dataset=self.dataset.assign(variables))

    def assign_coords(self, **columns: Any) -> "SweepResult":
        """The result with further columns of its lanes, as `xarray.Dataset.assign_coords` does.

        Raises:
          ValueError: as xarray, for what does not fit the dimensions of the dataset.

        Example:
          result.assign_coords(width=("lane", [16, 16, 64, 64])).groups("width")
        """
        return dataclasses.replace(self, dataset=self.dataset.assign_coords(columns))

    # -- lanes ----------------------------------------------------------------------------------

    def select(self, lanes: Any) -> "SweepResult":
        """Some of the lanes, with their parameters.

        The attributes say what these lanes cost: `lane_steps` is what they took themselves, and
        `slot_steps` and `wall_seconds` are shared out in proportion to it.

        Args:
          lanes: their numbers, in any order; or a boolean for every lane, as in
            `result.select(result.dataset.alpha == 0.7)`.

        Raises:
          ValueError: for anything else.
        """
        chosen = self._numbers(lanes)
        result = rows_of(self, chosen)
        dataset = result.dataset
        before, now = (int(d.final_step.sum()) for d in (self.dataset, dataset))
        if "lane_steps" in dataset.attrs and not np.array_equal(
            np.sort(chosen), np.arange(self.dataset.sizes["lane"])
        ):
            share = now / before if before else 0.0
            costs: dict[str, float] = {"lane_steps": now}
            for name, kind in (("slot_steps", round), ("wall_seconds", float)):
                if name in dataset.attrs:
                    costs[name] = kind(dataset.attrs[name] * share)
            dataset.attrs |= costs
        return result

    def groups(self, *columns: str) -> list[tuple[Any, "SweepResult"]]:
        """The lanes of every combination of values of some columns that there is.

            for (optimizer, alpha), lanes in result.groups("optimizer", "alpha"): ...

        Args:
          *columns: names of lane columns. With one name the values are not in a tuple.

        Returns:
          The values and their lanes: numbers from the lowest to the highest, NaN last, and words in
          the order of the lanes. The first column varies slowest.

        Raises:
          ValueError: without a name, or for one that is no lane column.
        """
        there = [str(k) for k, v in self.dataset.coords.items() if v.dims == ("lane",)]
        if not columns or (unknown := [name for name in columns if name not in there]):
            wrong = shown(unknown[0]) if columns else "nothing"
            raise ValueError(f"columns must name lane columns, got {wrong}; there are {there}.")
        codes, values = [], []
        for name in columns:
            column = self.dataset[name].values
            unique, first, code = np.unique(
                column.astype(str) if column.dtype.kind == "O" else column,
                return_index=True,
                return_inverse=True,
            )
            if unique.dtype.kind == "U":
                rank = np.argsort(np.argsort(first))
                unique, code = unique[np.argsort(first)], rank[code]
            codes.append(code)
            values.append(unique.tolist())
        table = np.stack(codes, axis=1)
        found = []
        for row in sorted(set(map(tuple, table.tolist()))):
            key = tuple(values[i][code] for i, code in enumerate(row))
            lanes = self.select((table == row).all(axis=1))
            found.append((key if len(columns) > 1 else key[0], lanes))
        return found

    def split(self, lane: int, task: Task | None = None) -> Split:
        """The rows that a lane trained on and was tested on, and the labels of all rows.

        Args:
          lane: its number.
          task: what the sweep learned; only needed where `result.task` is None, as after loading.

        Returns:
          `train` and `test`, bool[P], and `labels`, int32[P], with the lane's label noise.

        Raises:
          ValueError: for a lane that there is not, for a task that is missing or another one, and
            for a result without the columns `seed` and `alpha`.
        """
        columns = self._coordinates(lane)
        task = tasks.check_task(self._given("task", self.task, task))
        for name, has in (("task", task.name), ("rows", task.num_rows)):
            known = self.dataset.attrs.get(name, has)
            if str(has) not in str(known).split(" | "):  # several, of results that were joined
                raise ValueError(
                    f"the result is one of {name}={known!r}, and the task given has {has!r}; give "
                    "the task that the sweep learned."
                )
        if missing := {"seed", "alpha"} - set(columns):
            raise ValueError(
                f"the result does not have the column {min(missing)!r}, which splits are drawn by."
            )
        seed = int(columns.get("split_seed", columns["seed"]))
        order = tasks.split_order(task, keys.split_key(seed))
        num_train = tasks.num_train_rows(task, columns["alpha"])
        split = tasks.split(task, order, num_train)
        if (noise := columns.get("label_noise", 0.0)) > 0:
            key = keys.label_key(seed)
            split = split._replace(labels=tasks.corrupt_labels(task, order, num_train, noise, key))
        on_host: list[Any] = [np.asarray(part) for part in split]
        return Split(*on_host)

    def network(
        self, lane: int, model: Model | None = None, *, step: int | None = None
    ) -> TrainedNetwork:
        """A lane's trained network, as a function of equations that gives their logits.

        Args:
          lane: its number.
          model: what the sweep trained; only needed where `result.model` is None, as after loading.
          step: of a sweep with `keep_params="all"`, the network as it was at the lane's last
            measurement up to this step; by default as it ended.

        Raises:
          ValueError: for a lane that there is not, for a model or parameters that are missing, or
            a step at which no parameters were kept.

        Example:
          result.network(0)([[3, 4], [5, 6]]).argmax(axis=-1)
        """
        columns = self._coordinates(lane)
        own_model = check_model(self._given("model", self.model, model))
        if step is not None:
            step = check_integer("step", step, at_least=0, otherwise="None for the final ones")
        params = self._params_at(np.array([check_integer("lane", lane)]), step)
        own = keywords(own_model)
        precision = self.dataset.attrs.get("precision", "highest")
        return TrainedNetwork(
            model=own_model,
            params=_map(params, lambda leaf: leaf[0]),
            numbers={name: float(x) for name, x in columns.items() if name in own},
            logit_scale=float(columns.get("logit_scale", 1.0)),
            # Of results that were joined it may be several.
            precision="highest" if " | " in precision else precision,
        )

    def branch(self, lanes: Mapping[str, Any], match: Sequence[str] = ()) -> dict[str, Any]:
        """Parameters for lanes that go on from these, for `run_sweep(initial=...)`.

        Each new lane gets those of the one lane here that has the same values in the columns
        `match`; without any, all get those of the only lane there is. So one trained network goes
        on under many conditions, and all of them start with the measurements it ended with.

        Args:
          lanes: the new ones, from `grid` or `zip_lanes`.
          match: columns of both tables.

        Raises:
          ValueError: if there are no parameters, a column is missing, or a new lane has no match,
            or several.

        Example:
          parents = run_sweep(recipe, task, grid(alpha=0.7, seed=range(3), ...), ...)
          lanes = grid(alpha=[0.05, 0.1, 0.2], seed=range(3), ...)
          run_sweep(recipe, task, lanes, initial=parents.branch(lanes, ["seed"]), ...)
        """
        new, number = _new_lanes(lanes)
        try:
            match = [match] if isinstance(match, str) else list(match)
        except TypeError:
            raise ValueError(f"match must be names of columns, got {shown(match)}.") from None
        matching = np.ones((number, self.dataset.sizes["lane"]), bool)
        own = lane_columns(self.dataset)
        for name in match:
            if name not in own or name not in new:
                raise ValueError(
                    f"{name!r} is no column of both: the result has {list(own)}, and the new lanes "
                    f"have {list(new)}."
                )
            matching &= new[name][:, None] == own[name]
        counts = matching.sum(axis=1)
        if (counts != 1).any():
            lane = int((counts != 1).argmax())
            has = {name: new[name][lane].item() for name in match}
            raise ValueError(
                f"new lane {lane} has {counts[lane]} lanes to go on from, with "
                f"{has or 'match=()'}, not one; select() the lanes to choose from, or name more "
                "columns in match."
            )
        return self._params_at(matching.argmax(axis=1), None)

    # -- files ----------------------------------------------------------------------------------

    def save(self, directory: str | os.PathLike) -> None:
        """Writes `results.nc`, `config.json` (the attributes) and `params.nc` into a directory.

        Every file is written under another name and then moved, `results.nc` last, so that nobody
        ever reads half a file; one who reads between two of the moves is told.

        Raises:
          ValueError: for what is no directory and cannot become one, and for parameters that are no
            arrays of numbers with the lanes first, or have names that no file can have.
          OSError: if the files cannot be written.
        """
        directory = check_path("directory", directory)
        lanes = self.dataset.sizes["lane"]
        has = None if self.params is None else files.number_of_lanes(self.params)
        if has not in (None, lanes):
            raise ValueError(
                f"params must have the {lanes} lanes first, as the dataset, got {has}."
            )
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"directory={str(directory)!r} cannot be made ({error}); choose another."
            ) from error
        files.write(directory, self.dataset, self.params)

    def to_safetensors(
        self,
        path: str | os.PathLike,
        lane: int | None = None,
        *,
        step: int | None = None,
        model: Model | None = None,
    ) -> None:
        """Writes the parameters of one lane, or of all of them, to a safetensors file.

        `params["block_0"]["query"]["kernel"]` is called `block_0.query.kernel` in the file; of all
        lanes, every array has the lanes as its first axis. The metadata hold the model's fields and
        the columns of each lane, so that `grokjax.pytorch.load` makes a PyTorch module of it, and
        any other reader of safetensors has the arrays.

        Args:
          path: of the file, such as "weights.safetensors".
          lane: its number, or None for all lanes.
          step: of a sweep with `keep_params="all"`, the parameters at the lane's last measurement
            up to this step; by default as it ended.
          model: what the sweep trained; where `result.model` is None, as after loading, the file
            otherwise has the arrays without the network.

        Raises:
          ValueError: for a lane that there is not, a result without parameters, a step at which
            none were kept, or a path that cannot be written to.
          ModuleNotFoundError: without safetensors, which `pip install "grokjax[weights]"` installs.

        Example:
          result.to_safetensors("weights.safetensors", lane=0)
        """
        path = check_path("path", path)
        own_model = self.model if model is None else check_model(model)
        if step is not None:
            step = check_integer("step", step, at_least=0, otherwise="None for the final ones")
        total = self.dataset.sizes["lane"]
        if lane is None:
            numbers = list(range(total))
        else:
            otherwise = "None for all lanes"
            lane = check_integer("lane", lane, at_least=-total, below=total, otherwise=otherwise)
            numbers = [lane % total]
        params = self._params_at(np.array(numbers, int), step)
        weights.write(
            path,
            params if lane is None else _map(params, lambda leaf: leaf[0]),
            model=own_model,
            lanes=[self._coordinates(number) for number in numbers],
            stacked=lane is None,
            attrs=self.dataset.attrs,
        )

    # -- inside ---------------------------------------------------------------------------------

    def _numbers(self, lanes: Any) -> np.ndarray:
        """Lane numbers, of numbers or of a mask."""
        total = self.dataset.sizes["lane"]
        allowed = (
            f"lanes must be numbers of lanes below {total}, or one boolean for each of them, as in "
            "result.select(result.dataset.alpha == 0.7)"
        )
        try:
            array = np.asarray(list(lanes) if isinstance(lanes, range | tuple) else lanes)
        except (TypeError, ValueError):
            array = np.empty((0, 0))
        if array.ndim == 1 and array.size == 0:
            return array.astype(int)
        if array.dtype == bool and array.shape == (total,):
            return np.flatnonzero(array)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(f"{allowed}, got {shown(lanes)}.")
        if array.min() < -total or array.max() >= total:
            wrong = array[(array < -total) | (array >= total)][0]
            raise ValueError(f"{allowed}; there is no lane {wrong}.")
        return array % total

    def _coordinates(self, lane: int) -> dict[str, Any]:
        """A lane's columns, without those that its own sweep did not have before it was joined."""
        total = self.dataset.sizes["lane"]
        lane = check_integer("lane", lane, at_least=-total, below=total)
        found = {name: column[lane].item() for name, column in lane_columns(self.dataset).items()}
        return {name: x for name, x in found.items() if x == x and x != ""}  # NaN is not itself

    def _given(self, name: str, own: Any, given: Any) -> Any:
        found = own if given is None else given
        if found is None:
            raise ValueError(
                f"this result does not know its {name}: it was loaded from files, or joined of "
                f"several; give {name}=."
            )
        return found

    def _params_at(self, lanes: np.ndarray, step: int | None) -> Any:
        """Parameters of some lanes, final ones or those at a step, lanes first."""
        if self.params is None:
            raise ValueError(
                'this result has no parameters; make it with keep_params="final" or "all".'
            )
        params = _take(self.params, lanes)
        along_time = self.dataset.attrs.get("keep_params") == "all"
        if step is not None and not along_time:
            raise ValueError(
                f"parameters at step {step} were not kept, only the final ones; run the sweep with "
                'keep_params="all".'
            )
        if not along_time:
            return params
        place = last_measured(self.dataset, np.inf if step is None else step)[lanes]
        return _map(params, lambda leaf: leaf[np.arange(len(lanes)), place])


def rows_of(result: SweepResult, lanes: np.ndarray) -> SweepResult:
    """Some lanes of a result by number, whose attributes stay as they are."""
    params = None if result.params is None else _take(result.params, lanes)
    dataset = result.dataset.isel(lane=lanes).copy()  # isel hands on the same attributes
    return dataclasses.replace(result, dataset=dataset, params=params)


def _map(tree: Any, fn: Any) -> Any:
    """A function of arrays, of all arrays of a tree."""
    if isinstance(tree, Mapping):
        return {name: _map(value, fn) for name, value in tree.items()}
    if isinstance(tree, tuple | list):
        return _sequence(tree, [_map(value, fn) for value in tree])
    return fn(np.asarray(tree))


def _sequence(like: Any, children: list[Any]) -> Any:
    """A tuple, a named one or a list, like another one, of these children."""
    return type(like)(*children) if hasattr(like, "_fields") else type(like)(children)


def _take(tree: Any, lanes: np.ndarray) -> Any:
    return _map(tree, lambda leaf: leaf[lanes])


def _new_lanes(lanes: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], int]:
    """Columns of equal length, from `grid` or `zip_lanes` or the same by hand, and that length."""
    such_as = "grid(alpha=[0.1, 0.2], seed=range(3))"
    check_mapping("lanes", lanes, such_as)
    columns = {}
    for name, values in lanes.items():
        try:
            listed = list(values) if isinstance(values, range | tuple) else values
            column = np.atleast_1d(np.asarray(listed))
        except (TypeError, ValueError):
            column = np.empty(0)
        if column.ndim != 1 or not column.size or column.dtype.kind not in "biufU":
            raise ValueError(
                f"lanes must be columns of numbers, such as {such_as}, got {name}={shown(values)}."
            )
        columns[name] = column
    number = max(map(len, columns.values()), default=1)
    for name, column in columns.items():
        if len(column) not in (1, number):
            raise ValueError(
                f"lanes must be columns of equal length, such as {such_as}; {name!r} has "
                f"{len(column)} values where others have {number}."
            )
    return {name: np.broadcast_to(column, number) for name, column in columns.items()}, number


def load_result(directory: str | os.PathLike) -> SweepResult:
    """The result that was saved in a directory; the code that made it is not needed.

    Raises:
      ValueError: if there is no result in the directory, or one that cannot be read, or files that
        do not belong together.
    """
    directory = check_path("directory", directory)
    dataset, params = files.read(directory)
    check_dataset(str(directory / files.RESULT), dataset)
    return SweepResult(dataset, params)


def concatenate(results: Sequence[SweepResult], **columns: Sequence[Any]) -> SweepResult:
    """Several results in one: lanes one after the other, on the union of their steps.

    What a result has not measured is NaN; a column it does not have is NaN, or "" among words.
    Costs (`lane_steps`, `slot_steps`, `wall_seconds`, `compilations`) are added; other attributes
    that differ are joined by " | ". Parameters are kept if all have them in the same shapes, the
    model and the task if all have the same.

    Args:
      results: at least one.
      **columns: new lane columns, one value for each result.

    Example:
      concatenate([with_adamw, with_sgd], optimizer=["adamw", "sgd"]).table()

    Raises:
      ValueError: if there is nothing to join, or a column has another length or exists already.
    """
    given = results
    try:
        results = [given] if isinstance(given, SweepResult) else list(given)
    except TypeError:
        results = []
    if not results or not all(isinstance(result, SweepResult) for result in results):
        raise ValueError(
            f"concatenate needs a list of one or more results of sweeps, got {shown(given)}."
        )
    datasets = [result.dataset for result in results]
    added_columns = {
        name: _one_each(name, values, len(datasets)) for name, values in columns.items()
    }
    check_names(columns, ())
    for name in columns:
        if any(name in dataset.variables or name in dataset.dims for dataset in datasets):
            raise ValueError(f"a result has {name!r} already; choose another name for the column.")
    added = [
        dataset.assign_coords(
            {k: ("lane", np.repeat(v[i], dataset.sizes["lane"])) for k, v in added_columns.items()}
        )
        for i, dataset in enumerate(datasets)
    ]
    model, task = results[0].model, results[0].task
    joined = join(added)
    return SweepResult(
        joined,
        join_params([_on_steps(result, joined.step.values) for result in results]),
        model if all(result.model == model for result in results) else None,
        task if all(result.task is task for result in results) else None,
    )


def _one_each(name: str, values: Any, number: int) -> np.ndarray:
    """A column of numbers or words, one value for each of several results."""
    try:
        listed = list(values) if isinstance(values, range | tuple) else values
        array = np.empty(0) if isinstance(values, str) else np.asarray(listed)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (number,) or array.dtype.kind not in "biufU":
        raise ValueError(
            f"column {name!r} must have one value for each of the {number} results, a number or a "
            f"word, got {shown(values)}."
        )
    return array


def _on_steps(result: SweepResult, steps: np.ndarray) -> Any:
    """The parameters of a result; those of every measurement on the given steps, else NaN."""
    along_time = result.dataset.attrs.get("keep_params") == "all"
    own = result.dataset.step.values
    if not along_time or result.params is None or np.array_equal(own, steps):
        return result.params

    def placed(leaf: np.ndarray) -> np.ndarray:
        empty = np.nan if leaf.dtype.kind in "fV" else 0
        whole = np.full((len(leaf), len(steps), *leaf.shape[2:]), empty, leaf.dtype)
        whole[:, np.searchsorted(steps, own)] = leaf
        return whole

    return _map(result.params, placed)


def join_params(params: Sequence[Any]) -> Any:
    """Trees of arrays, joined along their lanes; None if they do not fit."""
    if all(isinstance(p, Mapping) for p in params):
        if any(set(p) != set(params[0]) for p in params):
            return None
        joined = {name: join_params([p[name] for p in params]) for name in params[0]}
        return None if any(value is None for value in joined.values()) else joined
    if all(isinstance(p, tuple | list) for p in params):
        if len({(type(p), len(p)) for p in params}) > 1:
            return None
        children = [join_params(list(group)) for group in zip(*params, strict=True)]
        fits = all(child is not None for child in children)
        return _sequence(params[0], children) if fits else None
    if any(p is None or isinstance(p, Mapping | tuple | list) for p in params):
        return None
    if len({np.shape(p)[1:] for p in params}) > 1:
        return None
    return np.concatenate(params)
