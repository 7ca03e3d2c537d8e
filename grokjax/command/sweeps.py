"""The sweeps of an experiment, and the report on what was finished, whatever ended them."""

import dataclasses
import pathlib
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from grokjax.checks import shown
from grokjax.command.record import (
    RESULT,
    check_can_set_aside,
    holds_another_run,
    set_aside,
    write_record,
)
from grokjax.command.tables import recorded_tables
from grokjax.results import SweepResult, concatenate
from grokjax.sweep import SweepInterrupted, run_sweep
from grokjax.tasks import Task
from grokjax.train import Recipe

Figures = Callable[[SweepResult], Any] | Mapping[str, Callable[[SweepResult], Any]] | None


class Study(NamedTuple):
    """What an experiment was asked for beside its own options.

    Attributes:
      name: of the experiment.
      scale: its size, such as "quick".
      output: the folder of its results.
      checkpoints: the folder of its checkpoints, or None.
      progress: whether to show how far it is.
      report: whether to write a page of each of its results, for a browser.
      options: of the experiment itself, all of them.
      command: that repeats it, without where it writes.
    """

    name: str
    scale: str
    output: pathlib.Path
    checkpoints: pathlib.Path | None
    progress: bool
    report: bool = False
    options: Mapping[str, Any] = types.MappingProxyType({})
    command: str = ""

    def sweeps(
        self,
        figures: Figures,
        table: Callable[[SweepResult], Any] | None,
        *,
        part: str = "",
        running: bool = False,
    ) -> "Sweeps":
        """The sweeps of this study, or of a part of it, that are reported together.

        Args:
          figures: makes the figure of their result, which is saved by the name of the part or the
            study; or several by name.
          table: prints the result.
          part: a folder inside the output, for one of several reports.
          running: whether networks that an interruption finds in training are part of the report,
            with their curves so far; their outcome is "interrupted".
        """
        return Sweeps(self, figures, table, part=part, running=running)

    @property
    def asked(self) -> dict[str, Any]:
        """What tells this run from another one of the same folder."""
        return {"experiment": self.name, "scale": self.scale, "options": dict(self.options)}

    def open_folder(self, folder: pathlib.Path) -> None:
        """Makes the folder of a report, so that it fails now rather than after the training.

        Raises:
          ValueError: if another run's results are there and cannot be moved away.
          OSError: if the folder cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if holds_another_run(folder, self.asked):
            check_can_set_aside(folder)

    def make_room(self, folder: pathlib.Path, interrupted: bool) -> None:
        """Moves another run's results out of the folder of a report, and says where they are now.

        Those of a run with the same options stay, to be replaced, unless they are whole and this
        run was interrupted.

        Raises:
          OSError: if those of other options cannot be moved after all.
        """
        if holds_another_run(folder, self.asked, interrupted):
            try:
                print(f"the results of an earlier run are now in {set_aside(folder)}")
            except OSError as error:
                if holds_another_run(folder, self.asked):
                    raise
                print(f"the results of an earlier run are replaced: not moved ({error})")

    def write_report(
        self,
        folder: pathlib.Path,
        result: Any,
        attributes: Mapping[str, Any],
        figures: Mapping[str, Callable[[Any], Any]],
        table: Callable[[Any], Any] | None,
        interrupted: str = "",
    ) -> None:
        """Draws and prints a result that is saved in a folder as `results.nc`, and lists the files.

        One of them is `record.json`: what the report was on, and what it said.

        Args:
          folder: of the report.
          result: of the experiment.
          attributes: of its dataset.
          figures: by name, what makes each of the result.
          table: prints the result.
          interrupted: where an interruption ended it, such as "in sweep 2"; a figure or table that
            needs networks that are missing then is left out.

        Raises:
          Exception: what a figure or a table raises, once everything else is written.
        """
        failed: list[Exception] = []

        def drawn(name: str) -> list[pathlib.Path]:
            from grokjax import plotting

            with plotting.in_style():
                return plotting.save(figures[name](result), folder, name)

        def paged() -> list[pathlib.Path]:
            from grokjax import page

            page.report(result, folder / "report.html", title=self.name.replace("_", " "))
            return [folder / "report.html"]

        def tried(what: str, function: Callable[..., Any], *args: Any) -> Any:
            try:
                return function(*args)
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                if interrupted:
                    print(f"no {what} of so few networks ({text})")
                elif failed:
                    failed[0].add_note(f"The {what} failed too ({text}).")
                else:
                    saved = f"the results are saved in {folder / RESULT}"
                    error.add_note(f"The {what} failed; {saved}.")
                    failed.append(error)

        paths = [path for name in figures for path in tried("figure", drawn, name) or []]
        with recorded_tables() as tables:
            if table is not None:
                tried("table", table, result)
        part = "" if folder == self.output else folder.relative_to(self.output).as_posix()
        record = write_record(folder, self.command, part, self.asked, attributes, tables, paths)
        pages = (tried("page", paged) or []) if self.report else []
        if interrupted:
            print(f"interrupted {interrupted}")
        # Not config.json and params.nc: they are parts of the result, as `load_result` reads it.
        print(folder / RESULT, *paths, *pages, record, sep="\n")
        if failed:
            raise failed[0]


class Sweeps:
    """The sweeps of an experiment, and a report on them that an interruption does not prevent.

        with study.sweeps(draw, table) as sweeps:
            for width in widths:
                columns = {"width": width}
                sweeps.run(recipe(width), task, lanes, max_steps=500, columns=columns, ...)
        return sweeps.result

    At the end of the block the results are joined, saved, drawn and printed. Ctrl-C, SIGTERM or
    SIGHUP ends the block too: what was finished by then is reported, marked as interrupted, and
    then the interruption raised. So does an error, such as one in a later sweep, which goes on as
    it is after the report. With nothing finished there is no report.

    The report replaces one of an earlier run with the same options in its folder. The files of any
    other run are moved into a folder beside it first.

    Args are those of `Study.sweeps`.

    Attributes:
      results: of the sweeps so far.
      result: all of them in one, after the block.
    """

    def __init__(
        self,
        study: Study,
        figures: Figures,
        table: Callable[[SweepResult], Any] | None,
        *,
        part: str = "",
        running: bool = False,
    ):
        self.results: list[SweepResult] = []
        self.study, self.output = study, study.output / part
        self._figures = {part or study.name: figures} if callable(figures) else dict(figures or {})
        self._table, self._running = table, running
        self._begun = 0
        self._where = "before the first sweep"
        self._goes_on = ""

    def __enter__(self) -> Self:
        self.study.open_folder(self.output)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self._report("")
        elif not isinstance(error, KeyboardInterrupt):
            if self.results:
                self._report_before(error)
        else:
            if self.results:
                self._report(self._where)
                raise SweepInterrupted(
                    f"interrupted {self._where}: what was finished is in "
                    f"{self.output}{self._goes_on}.",
                    self.result,
                ) from error
            if isinstance(error, SweepInterrupted):
                raise SweepInterrupted(
                    f"interrupted {self._where}, of which nothing is written{self._goes_on}.",
                    error.result,
                ) from error

    def run(
        self,
        recipe: Recipe,
        task: Task,
        lanes: Mapping[str, Any],
        *,
        title: str = "",
        columns: Mapping[str, Any] | None = None,
        checkpoints: str = "",
        kept: bool = True,
        then: Callable[[SweepResult], SweepResult] | None = None,
        **options: Any,
    ) -> SweepResult:
        """The result of a sweep, which the report will be on too.

        Args:
          recipe: as in `run_sweep`.
          task: likewise.
          lanes: likewise.
          title: what is printed before, with how many networks there are, where progress is shown.
          columns: as in `keep`, to tell sweeps apart that are reported together.
          checkpoints: the folder of this sweep among the study's checkpoints, if there are any.
          kept: False for a sweep that only prepares others.
          then: adds to the result what takes a while to compute of it; as in `keep`.
          **options: of `run_sweep`, such as max_steps, eval_every and stop.

        Raises:
          SweepInterrupted: as `run_sweep`; what is finished is kept before.
        """
        self._begun += 1
        number = max((np.size(column) for column in lanes.values()), default=1)
        folder = self.study.checkpoints
        if self.study.progress:
            if title:
                networks = f"{number} network{'s' * (number != 1)}"
                print(f"{title}: {networks}, at most {options['max_steps']} steps each")
            if folder is not None:
                _print_known(folder / checkpoints)
        self._where = f"in sweep {self._begun}"
        try:
            result = run_sweep(
                recipe,
                task,
                lanes,
                directory=None if folder is None else folder / checkpoints,
                progress=self.study.progress,
                **options,
            )
        except SweepInterrupted as interruption:
            result = interruption.result
            finished = result.dataset.outcome.values != "interrupted"
            self._where = (
                f"in sweep {self._begun}, with {finished.sum()} of its {number} networks finished"
            )
            if folder is not None:
                self._goes_on = "; the same command goes on from its checkpoints"
            if kept:
                self.keep(result if self._running else result.select(finished), columns, then)
            raise
        self._where = f"after sweep {self._begun}"
        if kept:
            self.keep(result, columns, then)
        return result

    def keep(
        self,
        result: SweepResult,
        columns: Mapping[str, Any] | None = None,
        then: Callable[[SweepResult], SweepResult] | None = None,
    ) -> None:
        """Takes a result into the report, with further lane columns.

        Args:
          result: any; one without lanes is left out.
          columns: by name one value for all lanes, or a function of the dataset that gives one for
            each, [L]; the dataset then has the columns before it already.
          then: adds to the result. If that is interrupted or fails, the result stays as it is.

        Raises:
          ValueError: if `then` returns something else than a result.
        """
        lanes = result.dataset.sizes["lane"]
        if not lanes:
            return
        self.results.append(result)  # first, so that it is there if a column or `then` fails
        for name, value in (columns or {}).items():
            values = value(result.dataset) if callable(value) else np.repeat(value, lanes)
            self.results[-1] = result = result.assign_coords(**{name: ("lane", values)})
        if then is not None:
            more = then(result)
            if not isinstance(more, SweepResult):
                raise ValueError(
                    f"then must return the result with what it adds to it, got {shown(more)}; "
                    "perhaps it has no return."
                )
            self.results[-1] = more

    def _report_before(self, error: BaseException) -> None:
        """Reports what was finished before an error, which nothing here may take the place of."""
        try:
            self._report(f"{self._where} by {type(error).__name__}")
            error.add_note(f"What was finished before is in {self.output}.")
        except Exception as second:
            print(f"no whole report on what was finished ({type(second).__name__}: {second})")

    def _report(self, interrupted: str) -> None:
        """Joins the results, saves, draws and prints them; with where they were interrupted."""
        if not self.results:
            raise ValueError("no sweep was run, so there is nothing to report.")
        result = self.results[0] if len(self.results) == 1 else concatenate(self.results)
        if interrupted:
            marked = result.dataset.assign_attrs(interrupted=1)
            result = dataclasses.replace(result, dataset=marked)
        self.result = result
        self.study.make_room(self.output, bool(interrupted))
        result.save(self.output)
        self.study.write_report(
            self.output, result, result.dataset.attrs, self._figures, self._table, interrupted
        )


def _print_known(directory: pathlib.Path) -> None:
    """Says what a sweep's checkpoints have of it already, if they have anything."""
    if (directory / RESULT).exists():
        print(f"its result is in {directory}: only what is new is trained")
    elif any(any(directory.glob(x)) for x in ("segments/index.json", "state/*.sha256")):
        print(f"it goes on from the checkpoints in {directory}")
