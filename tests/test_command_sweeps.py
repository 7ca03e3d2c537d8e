"""The sweeps of an experiment: the report, its folder, and what ends them early."""

import inspect
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

import grokjax
from grokjax import command, losses, models, optimizers, plotting, tasks


@pytest.fixture
def faked(monkeypatch, sweep):
    """Sweeps that take no time: what `run_sweep` gives or raises, one after the other."""

    def faked(*outcomes):
        left = list(outcomes)

        def run_sweep(recipe, task, lanes, **options):
            outcome = left.pop(0)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(command.sweeps, "run_sweep", run_sweep)

    return faked


def cut_short(result):
    """An interruption that found the last network in training."""
    dataset = result.dataset.copy(deep=True).assign_attrs(interrupted=1)
    dataset.outcome.values[-1] = "interrupted"
    return grokjax.SweepInterrupted("cut short", grokjax.SweepResult(dataset, result.params))


LANES = {"seed": range(3), "alpha": [0.5] * 3}


@pytest.fixture
def study(tmp_path):
    return command.Study("study", "quick", tmp_path, None, True)


def line(result):
    """A figure."""
    figure, ax = plotting.new_figure()
    ax.plot(result.dataset.seed)
    return figure


def count(result):
    """A table."""
    print(result.dataset.sizes["lane"])


def report(study, *runs, figures=line, table=count, end=None, **options):
    """The block of an experiment: sweeps with these options, and then an error."""
    with study.sweeps(figures, table, **options) as sweeps:
        for run in runs:
            sweeps.run(None, None, LANES, **run)
        if end is not None:
            raise end
    return sweeps.result


def test_sweeps_are_joined_saved_drawn_and_printed(faked, sweep, study, tmp_path, capsys):
    faked(sweep.select([0, 1]), sweep.select([2]), sweep.select([3, 4]))
    with study.sweeps(line, count) as sweeps:
        for name in ("first", "second"):
            run = {"title": f"{name} sweep", "columns": {"name": name}, "max_steps": 9}
            lanes = LANES if name == "first" else {"seed": [0]}
            sweeps.run(None, None, lanes, **run)
        prepared = sweeps.run(None, None, LANES, kept=False)
    assert prepared.dataset.sizes["lane"] == 2
    assert sweeps.result.dataset.name.values.tolist() == ["first", "first", "second"]
    assert "interrupted" not in sweeps.result.dataset.attrs
    assert grokjax.load_result(tmp_path).dataset.identical(sweeps.result.dataset)
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == [
        "first sweep: 3 networks, at most 9 steps each",
        "second sweep: 1 network, at most 9 steps each",
    ]
    assert out[2:5] == ["3", f"{tmp_path / 'results.nc'}", f"{tmp_path / 'study.png'}"]
    assert all(Path(path).exists() for path in out[3:])


def test_a_column_has_one_value_for_all_lanes_or_one_for_each(faked, sweep, study):
    faked(sweep.select([0, 1]))
    doubled = lambda dataset: 2 * dataset.seed.values + dataset.width.values
    with study.sweeps(line, None) as sweeps:
        sweeps.run(None, None, LANES, columns={"width": 5, "doubled": doubled})
    dataset = sweeps.result.dataset
    assert dataset.width.values.tolist() == [5, 5]
    np.testing.assert_array_equal(dataset.doubled, 2 * dataset.seed + 5)


def test_what_has_no_lanes_is_reported_too(study, tmp_path, capsys):
    figures = {"numbers": lambda numbers: plotting.new_figure()[0], "none": lambda numbers: 1 / 0}
    table = lambda numbers: command.print_line(f"{len(numbers)} numbers")
    with pytest.raises(ZeroDivisionError):
        study.write_report(tmp_path, [1, 2], {"date": "today"}, figures, table)
    capsys.readouterr()
    study.write_report(tmp_path, [1, 2], {"date": "today"}, figures, table, "in search 3")
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == [
        "no figure of so few networks (ZeroDivisionError: division by zero)",
        "2 numbers",
        "interrupted in search 3",
    ]
    names = ["results.nc", *(f"numbers.{kind}" for kind in ("png", "svg", "pdf")), "record.json"]
    assert out[3:] == [str(tmp_path / name) for name in names]
    record = json.loads((tmp_path / "record.json").read_text())
    assert (record["date"], record["part"]) == ("today", "")
    assert [table["title"] for table in record["tables"]] == ["2 numbers"]


def test_a_report_leaves_a_record_of_its_command_origin_and_tables(
    faked, sweep, study, tmp_path, capsys
):
    faked(sweep)

    def table(result):
        command.print_table("the title", ("a", "b"), [(1, "2\n3")])

    study = study._replace(options={"p": 5, "widths": (8, 9)}, command="python x.py --p 5")
    with study.sweeps(line, table) as sweeps:
        sweeps.run(None, None, LANES)
    command.print_table("after the report", ("a",), [])
    record = json.loads((tmp_path / "record.json").read_text())
    assert (record["command"], record["part"]) == ("python x.py --p 5", "")
    assert record["options"] == {"p": 5, "widths": [8, 9]}
    assert (record["experiment"], record["scale"]) == ("study", "quick")
    assert record["tables"] == [
        {"title": "the title", "headings": ["a", "b"], "rows": [["1", "2\n3"]]}
    ]
    assert record["figures"] == ["study.png", "study.svg", "study.pdf"]
    assert record["date"] == sweep.dataset.attrs["date"]  # of the networks, not of the report
    assert record["versions"]["jax"] == jax.__version__
    assert record["interrupted"] is False
    assert "the" in capsys.readouterr().out  # it is printed too


def test_a_report_writes_a_page_for_a_browser(faked, sweep, study, tmp_path, capsys):
    pytest.importorskip("altair")
    faked(sweep)
    with study._replace(report=True, name="a_study").sweeps(line, None) as sweeps:
        sweeps.run(None, None, LANES)
    assert "<title>a study</title>" in (tmp_path / "report.html").read_text()
    assert f"{tmp_path / 'report.html'}\n" in capsys.readouterr().out


def test_an_experiment_without_networks_offers_no_page():
    @command.experiment(pages=False)
    def counting(study: command.Study, *, p: int = 5) -> int:
        """Counts."""
        return p

    assert "report" not in inspect.signature(counting).parameters
    assert "report" not in counting.__doc__
    assert counting() == 5
    with pytest.raises(ValueError, match="counting keeps no networks"):
        counting(report=True)


def test_a_part_has_a_folder_and_figures_have_names(faked, sweep, study, tmp_path, capsys):
    faked(sweep)
    with study._replace(progress=False).sweeps({"a": line, "b": line}, None, part="x") as sweeps:
        sweeps.run(None, None, LANES, title="not shown")
    assert {"results.nc", "a.png", "b.svg"} <= {path.name for path in (tmp_path / "x").iterdir()}
    assert json.loads((tmp_path / "x" / "record.json").read_text())["part"] == "x"
    assert "not shown" not in capsys.readouterr().out


def test_checkpoints_of_a_sweep_are_a_folder_among_those_of_the_study(monkeypatch, sweep, study):
    given = []

    def run_sweep(*args, **options):
        given.append(options["directory"])
        return sweep

    monkeypatch.setattr(command.sweeps, "run_sweep", run_sweep)
    for place in (None, Path("there")):
        with study._replace(checkpoints=place).sweeps(None, None) as sweeps:
            sweeps.run(None, None, LANES, checkpoints="first")
    assert given == [None, Path("there/first")]


@pytest.mark.parametrize("running", [False, True])
def test_an_interruption_is_reported_and_then_raised(running, faked, sweep, tmp_path, capsys):
    study = command.Study("study", "quick", tmp_path, tmp_path / "there", True)
    faked(sweep.select([0, 1]), cut_short(sweep.select([2, 3])), sweep)
    message = "interrupted in sweep 2, with 1 of its 3 networks finished"
    end = f"{message}: what was finished is in {tmp_path}; the same command goes on from its check"
    with pytest.raises(grokjax.SweepInterrupted, match=end) as raised:
        report(study, *({"columns": {"number": n}} for n in range(3)), running=running)
    result = raised.value.result
    assert result.dataset.number.values.tolist() == [0, 0, 1, 1][: 3 + running]
    assert ("interrupted" in result.dataset.outcome.values) == running
    assert grokjax.load_result(tmp_path).dataset.attrs["interrupted"] == 1
    assert capsys.readouterr().out.splitlines()[1] == message


def test_an_interruption_between_sweeps_keeps_those_before(faked, sweep, study, capsys):
    faked(sweep.select([0, 1]))
    with pytest.raises(grokjax.SweepInterrupted, match="interrupted after sweep 1: what was") as e:
        report(study, {}, end=KeyboardInterrupt())
    assert e.value.result.dataset.attrs["interrupted"] == 1
    assert "interrupted" not in sweep.dataset.attrs
    assert "interrupted after sweep 1" in capsys.readouterr().out


def test_an_interruption_of_what_is_computed_of_networks_keeps_them(faked, sweep, study, tmp_path):
    def doubled(result):
        if result.dataset.sizes["lane"] == 1:
            raise KeyboardInterrupt
        return grokjax.SweepResult(result.dataset.assign(doubled=2 * result.dataset.seed))

    faked(sweep.select([0, 1]), sweep.select([2]))
    runs = [{"columns": {"number": number}, "then": doubled} for number in range(2)]
    with pytest.raises(grokjax.SweepInterrupted, match="interrupted after sweep 2"):
        report(study, *runs, figures=None, table=print)
    saved = grokjax.load_result(tmp_path).dataset
    assert saved.number.values.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(saved.doubled, [0, 2, np.nan])


@pytest.mark.parametrize("prepares", [False, True])
def test_an_interruption_without_a_finished_network_ends_the_block(prepares, faked, sweep, study):
    faked(cut_short(sweep.select([0])))
    with pytest.raises(grokjax.SweepInterrupted, match=r"0 of its 3 .* nothing is written\.") as e:
        report(study, {"kept": not prepares}, running=prepares)
    assert e.value.result.dataset.sizes["lane"] == 1
    assert not list(study.output.iterdir())


def no_such_row(result):
    """Needs more networks than there are."""
    raise IndexError("no such row")


def test_a_figure_that_needs_more_networks_is_left_out(faked, sweep, study, capsys):
    faked(cut_short(sweep))
    with pytest.raises(grokjax.SweepInterrupted):
        report(study, {}, figures=no_such_row, table=lambda result: print("a table"))
    out = capsys.readouterr().out
    assert out.startswith("no figure of so few networks (IndexError: no such row)\na table\n")
    assert (study.output / "results.nc").exists()


def test_a_figure_of_all_networks_may_not_fail(faked, sweep, study, capsys):
    faked(sweep)
    with pytest.raises(IndexError) as raised:
        report(study, {}, figures={"a": no_such_row, "b": line}, table=lambda result: 1 / 0)
    saved = study.output / "results.nc"
    assert raised.value.__notes__ == [
        f"The figure failed; the results are saved in {saved}.",
        "The table failed too (ZeroDivisionError: division by zero).",
    ]
    record = json.loads((study.output / "record.json").read_text())  # of all that did not fail
    assert record["figures"] == ["b.png", "b.svg", "b.pdf"]
    assert f"{saved}\n" in capsys.readouterr().out


def bad_figure(result):
    """Is wrong about its rank."""
    raise ValueError("rank must be at least 1, got 0")


class Unready(models.QuadraticMLP):
    """A model whose weights cannot be drawn."""

    def init(self, key, tokens):
        """Is wrong about its rank."""
        raise ValueError("rank must be at least 1, got 0")


def test_a_command_says_where_a_model_failed(run, tmp_path):
    @command.experiment()
    def trains_badly(study: command.Study):
        """Trains."""
        recipe = grokjax.Recipe(Unready(5, 8), losses.mse, optimizers.adamw)
        lanes = grokjax.grid(learning_rate=0.1, weight_decay=0.1)
        with study.sweeps(None, None) as sweeps:
            sweeps.run(recipe, tasks.modular_addition(5), lanes, max_steps=2, eval_every=1)

    status, _, err = run(trains_badly, "--output", str(tmp_path), "--no-progress")
    number = inspect.getsourcelines(Unready)[1] + 5
    assert status == 2
    assert "rank must be at least 1, got 0" in err
    assert err.splitlines()[1:] == [f"(raised in tests/test_command_sweeps.py:{number})"]


def test_a_command_says_where_its_figure_failed_and_that_results_are_saved(
    run, faked, sweep, tmp_path
):
    @command.experiment()
    def draws_badly(study: command.Study):
        """Draws."""
        with study.sweeps(bad_figure, None) as sweeps:
            sweeps.run(None, None, LANES)

    faked(sweep)
    status, _, err = run(draws_badly, "--output", str(tmp_path), "--no-progress")
    number = inspect.getsourcelines(bad_figure)[1] + 2
    assert status == 2
    assert err.splitlines() == [
        "error: rank must be at least 1, got 0",
        f"The figure failed; the results are saved in {tmp_path / 'results.nc'}.",
        f"(raised in tests/test_command_sweeps.py:{number})",
    ]


def asked(study, p, **fields):
    return study._replace(options={"p": p, "widths": (8, 9), "trained": Path("x")}, **fields)


def beside(study):
    """The folders beside that of a study, and the files in each."""
    folders = sorted(set(study.output.parent.iterdir()) - {study.output})
    return {folder: {path.name for path in folder.iterdir()} for folder in folders}


@pytest.fixture
def placed(study, tmp_path):
    """A study in a folder of its own, among others."""
    return study._replace(output=tmp_path / "results" / "study")


def test_results_of_other_options_are_moved_aside(faked, sweep, placed, capsys):
    faked(*[sweep] * 5)
    report(asked(placed, 5), {}, figures={"old": line})
    (placed.output / "notes.txt").touch()
    (placed.output / "checkpoints").mkdir()
    report(asked(placed, 5), {}, figures={"old": line})
    assert beside(placed) == {}
    assert "earlier run" not in capsys.readouterr().out
    report(asked(placed, 7), {})
    date = sweep.dataset.attrs["date"][:19].replace(":", "-")
    first = placed.output.with_name(f"study_{date}")
    old = {"results.nc", "config.json", "params.nc", "record.json", *(f"old.{x}" for x in KINDS)}
    assert beside(placed) == {first: old}
    assert f"the results of an earlier run are now in {first}\n" in capsys.readouterr().out
    new = {"notes.txt", "checkpoints", *(name.replace("old", "study") for name in old)}
    assert {path.name for path in placed.output.iterdir()} == new
    assert json.loads((first / "record.json").read_text())["options"]["p"] == 5
    assert grokjax.load_result(first).dataset.identical(sweep.dataset)
    report(asked(placed, 5), {})
    report(asked(placed, 5, scale="paper"), {})
    assert list(beside(placed)) == [first, *(first.with_name(f"{first.name}_{i}") for i in (2, 3))]


KINDS = ("png", "svg", "pdf")


def test_results_without_a_record_are_moved_aside(faked, sweep, placed):
    faked(sweep)
    sweep.save(placed.output)
    report(placed, {})
    (files,) = beside(placed).values()
    assert files == {"results.nc", "config.json", "params.nc"}


def test_only_the_part_that_is_written_again_is_moved(faked, sweep, placed):
    faked(*[sweep] * 3)
    for part in ("a", "b"):
        report(asked(placed, 5), {}, part=part)
    report(asked(placed, 7), {}, part="b")
    names = sorted(path.name for path in placed.output.iterdir())
    assert names[:2] == ["a", "b"]
    assert len(names) == 3
    assert names[2].startswith("b_20")
    assert beside(placed) == {}


def test_an_interrupted_run_is_replaced_but_replaces_no_whole_one(faked, sweep, placed):
    faked(sweep, ZeroDivisionError(), sweep, sweep, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        report(placed, {}, {})
    report(placed, {})
    assert beside(placed) == {}
    with pytest.raises(ZeroDivisionError):
        report(placed, {}, {})
    (aside,) = beside(placed)
    assert "interrupted" not in grokjax.load_result(aside).dataset.attrs
    assert grokjax.load_result(placed.output).dataset.attrs["interrupted"] == 1


def test_results_of_the_same_options_are_replaced_if_they_cannot_be_moved(
    faked, sweep, placed, monkeypatch, capsys
):
    def fails(folder):
        raise PermissionError(13, "Permission denied")

    faked(sweep, sweep, ZeroDivisionError())
    report(placed, {})
    monkeypatch.setattr(command.sweeps, "set_aside", fails)
    with pytest.raises(ZeroDivisionError):
        report(placed, {}, {})
    assert grokjax.load_result(placed.output).dataset.attrs["interrupted"] == 1
    assert "an earlier run are replaced: not moved ([Errno 13] Perm" in capsys.readouterr().out


def test_results_that_cannot_be_moved_are_refused_before_training(
    faked, sweep, placed, monkeypatch
):
    faked(sweep)  # and no second one
    report(asked(placed, 5), {})
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) == placed.output)
    message = f"which cannot be moved .* because {placed.output.parent} cannot be written to"
    with pytest.raises(ValueError, match=message):
        report(asked(placed, 7), {})


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("results.nc", "its result is in {}: only what is new is trained\n"),
        ("state/3.sha256", "it goes on from the checkpoints in {}\n"),
        ("segments/index.json", "it goes on from the checkpoints in {}\n"),
        ("sweep.json", ""),
    ],
)
def test_a_sweep_says_what_is_known_of_it(file, said, faked, sweep, study, tmp_path, capsys):
    faked(sweep, sweep)
    path = tmp_path / "there" / "first" / file
    path.parent.mkdir(parents=True)
    path.touch()
    for progress in (True, False):
        study = study._replace(checkpoints=tmp_path / "there", progress=progress)
        report(study, {"checkpoints": "first"}, figures=None, table=None)
        out = capsys.readouterr().out.partition(str(study.output / "results.nc"))[0]
        assert out == (said.format(tmp_path / "there" / "first") if progress else "")


def test_what_is_finished_before_an_error_is_reported(faked, sweep, study, tmp_path, capsys):
    error = ValueError("alpha")
    faked(sweep, error)
    with pytest.raises(ValueError, match="alpha") as raised:
        report(study, {}, {})
    assert raised.value is error
    assert error.__cause__ is error.__context__ is None
    assert error.__notes__ == [f"What was finished before is in {tmp_path}."]
    assert grokjax.load_result(tmp_path).dataset.attrs["interrupted"] == 1
    assert json.loads((tmp_path / "record.json").read_text())["interrupted"] is True
    assert "interrupted" not in sweep.dataset.attrs
    assert "interrupted in sweep 2 by ValueError\n" in capsys.readouterr().out


def test_an_error_before_anything_is_finished_leaves_nothing(faked, study):
    faked(ValueError("alpha"))
    with pytest.raises(ValueError, match="alpha"):
        report(study, {})
    assert not list(study.output.iterdir())


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        ({"then": lambda result: 1 / 0}, ZeroDivisionError),
        ({"then": lambda result: None}, ValueError),
        ({"columns": {"width": lambda dataset: [1]}}, ValueError),
    ],
)
def test_networks_are_kept_if_what_is_added_to_them_fails(run, kind, faked, sweep, study, capsys):
    faked(sweep)
    with pytest.raises(kind) as raised:
        report(study, run)
    assert grokjax.load_result(study.output).dataset.sizes["lane"] == sweep.dataset.sizes["lane"]
    assert f"interrupted after sweep 1 by {raised.type.__name__}" in capsys.readouterr().out


def test_an_error_goes_on_if_its_report_fails_too(faked, sweep, study, monkeypatch, capsys):
    faked(sweep, ZeroDivisionError())
    monkeypatch.setattr(grokjax.SweepResult, "save", lambda *args: {}["no disk"])
    with pytest.raises(ZeroDivisionError):
        report(study, {}, {})
    assert "no whole report on what was finished (KeyError: 'no disk')" in capsys.readouterr().out


def test_a_block_without_sweeps_is_refused(study):
    with pytest.raises(ValueError, match="no sweep was run"):
        report(study)
