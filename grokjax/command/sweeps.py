"""The sweeps of an experiment, and the report on them that an interruption does not prevent."""

import pathlib
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from grokjax.command.record import write_record
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
        """

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
                if not interrupted:
                    raise
                print(f"no {what} of so few networks ({type(error).__name__}: {error})")

        paths = [path for name in figures for path in tried("figure", drawn, name) or []]
        with recorded_tables() as tables:
            if table is not None:
                tried("table", table, result)
        part = "" if folder == self.output else folder.relative_to(self.output).as_posix()
        record = write_record(folder, self.command, part, self.options, attributes, tables, paths)
        pages = (tried("page", paged) or []) if self.report else []
        if interrupted:
            print(f"interrupted {interrupted}")
        print(folder / "results.nc", *paths, *pages, record, sep="\n")


class Sweeps:
    """The sweeps of an experiment, and a report on them that an interruption does not prevent.

        with study.sweeps(draw, table) as sweeps:
            for width in widths:
                columns = {"width": width}
                sweeps.run(recipe(width), task, lanes, max_steps=500, columns=columns, ...)
        return sweeps.result

    At the end of the block the results are joined, saved, drawn and printed. Ctrl-C, SIGTERM or
    SIGHUP ends the block too: what was finished by then is reported, marked as interrupted, and
    then the interruption raised. With nothing finished there is no report.

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
        self.output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self._report(None)
        elif isinstance(error, KeyboardInterrupt):
            if self.results:
                self._report(error)
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
        if title and self.study.progress:
            print(f"{title}: {number} networks, at most {options['max_steps']} steps each")
        folder = self.study.checkpoints
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
          then: adds to the result. If that is interrupted, the result stays as it is.
        """
        lanes = result.dataset.sizes["lane"]
        if not lanes:
            return
        for name, value in (columns or {}).items():
            values = value(result.dataset) if callable(value) else np.repeat(value, lanes)
            result = result.assign_coords(**{name: ("lane", values)})
        self.results.append(result)
        if then is not None:
            self.results[-1] = then(result)

    def _report(self, interruption: KeyboardInterrupt | None) -> None:
        """Joins the results, saves, draws and prints them, and raises the interruption again."""
        if not self.results:
            raise ValueError("no sweep was run, so there is nothing to report.")
        result = self.results[0] if len(self.results) == 1 else concatenate(self.results)
        if interruption is not None:
            result.dataset.attrs["interrupted"] = 1
        self.result = result
        result.save(self.output)
        where = "" if interruption is None else self._where
        self.study.write_report(
            self.output, result, result.dataset.attrs, self._figures, self._table, where
        )
        if interruption is not None:
            raise SweepInterrupted(
                f"interrupted {self._where}: what was finished is in {self.output}{self._goes_on}.",
                result,
            ) from interruption
