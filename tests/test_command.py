"""A function as a command: its options, its end, and the report on its sweeps."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest

import grokjax
from grokjax import command
from grokjax.command import Sweeps, check_option, choose, override, run_as_command

# --------------------------------------------------------------------------------------------
# Options
# --------------------------------------------------------------------------------------------


class Setting(NamedTuple):
    """One field of every kind."""

    p: int = 5
    widths: tuple[int, ...] = (8,)
    rate: float = 0.1
    decays: tuple[float, ...] = (0.0,)
    steps: tuple[int, int] = (2, 2)
    names: tuple[str, ...] = ("adam",)
    kind: Literal["a", "b"] = "a"
    batch_size: int | None = None
    model: dict[str, Any] = {}  # noqa: RUF012  nobody changes it


def test_options_of_every_kind_replace_those_of_the_setting():
    given = override(
        Setting(), p=np.int64(7), widths=[3, 9], rate=1, decays=np.array([0.5, 0.0]), steps=(4, 4),
        names=("sgd", "adam"), kind="b", batch_size=None, model={"layers": 1},
    )  # fmt: skip
    assert given == Setting(
        7, (3, 9), 1.0, (0.5, 0.0), (4, 4), ("sgd", "adam"), "b", None, {"layers": 1}
    )
    assert override(Setting(), p=None, widths=None) == Setting()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 0}, "p must be a positive integer, got 0"),
        ({"p": 2.5}, "p must be a positive integer, got 2.5"),
        ({"p": True}, "p must be a positive integer, got True"),
        ({"widths": ()}, r"widths needs at least one value, got \(\)"),
        ({"widths": 8}, "widths needs at least one value, got 8"),
        ({"widths": (8, -1)}, r"widths\[1\] must be a positive integer, got -1"),
        ({"widths": (8, 9, 8)}, "widths has 8 twice"),
        ({"rate": -0.1}, "rate must be a finite number of at least 0, got -0.1"),
        ({"rate": np.nan}, "rate must be a finite number"),
        ({"decays": (0.1, np.inf)}, r"decays\[1\] must be a finite number"),
        ({"decays": (0.1, 0.1)}, "decays has 0.1 twice"),
        ({"steps": (1, 2, 3)}, "steps needs 2 values"),
        ({"steps": (0, 2)}, r"steps\[0\] must be a positive integer"),
        ({"names": "adam"}, "names needs at least one value, got 'adam'"),
        ({"names": ("adam", "adam")}, "names has 'adam' twice"),
        ({"names": (3,)}, r"names\[0\] must be text"),
        ({"kind": "c"}, 'kind must be "a" or "b"'),
    ],
)
def test_options_of_a_wrong_kind_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        override(Setting(), **options)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("sgd", "sgdd"), "unknown optimizer 'sgdd'; use any of adam, sgd"),
        (("sgd", "sgd"), "optimizers has 'sgd' twice"),
        ((), "optimizers needs at least one value"),
    ],
)
def test_names_are_chosen_among_those_there_are(names, message):
    assert choose("optimizer", ["sgd"], {"adam": 1, "sgd": 2}) == ("sgd",)
    with pytest.raises(ValueError, match=message):
        choose("optimizer", names, {"adam": 1, "sgd": 2})


# --------------------------------------------------------------------------------------------
# Commands
# --------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a function as a command: its exit status, and what it printed."""
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "4")  # JAX has begun to compute

    def run(function, *arguments):
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        status = 0
        try:
            run_as_command(function)
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return run


def experiment(seeds: int = 2, *, widths: tuple[int, ...] = (8, 9), extra_names: str = "a"):
    """Prints what it was given.

    Args:
      seeds: of them.
      widths: hidden units.
      extra_names: a word.
    """
    print(seeds, widths, extra_names)


def test_a_command_calls_its_function(run):
    assert run(experiment, "--seeds", "3", "--widths", "4", "5") == (0, "3 (4, 5) a\n", "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--widths"], "error: --widths needs at least one value.\n"),
        (["--seeds"], "error: "),
        (["--extra-names"], "error: "),
        (["--seeds", "many"], "error: "),
        (["--seeds", "2", "--seeds", "3"], "error: --seeds is given twice"),
        (["--extra_names=a", "--extra-names", "b"], "error: --extra-names is given twice"),
        (["--sedes", "3"], "error: "),
        (["--widths", "4", "--colour", "red"], "error: "),
    ],
)
def test_a_bad_command_line_is_one_line(run, arguments, line):
    status, out, err = run(experiment, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


def raising(error):
    def fails():
        """Fails."""
        raise error

    return fails


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("p must be prime."), 2, "error: p must be prime.\n"),
        (PermissionError(13, "Permission denied"), 2, "error: [Errno 13] Permission denied\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (KeyboardInterrupt("8 of 40 networks"), 130, "8 of 40 networks\n"),
    ],
)
def test_a_command_ends_with_one_line_and_its_status(run, error, status, line):
    assert run(raising(error)) == (status, "", line)


def test_other_errors_keep_their_traceback(run):
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_between_sweeps_interrupts(run, name):
    number = getattr(signal, name)
    before = signal.getsignal(number)

    def works():
        """Works."""
        os.kill(os.getpid(), number)
        raise AssertionError("the signal did not arrive")

    status, out, err = run(works)
    assert (status, out) == (130, "")
    assert err in ("interrupted\n", f"interrupted by {name}\n")
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_ignored(run, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert run(lambda: os.kill(os.getpid(), signal.SIGHUP)) == (0, "", "")
    finally:
        signal.signal(signal.SIGHUP, before)


PRINTS = """
import sys
from rich.console import Console
from grokjax.command import run_as_command

def prints():
    "Prints a good deal, in every way, and then writes a file."
    for number in range(3):
        print("line", number, "." * 10_000, flush=True)
        Console().print("line", number)
    open(sys.argv[1], "w").write("done")

path, sys.argv[1:] = sys.argv[1], []
def main():
    "All of it."
    sys.argv.append(path)
    prints()
run_as_command(main)
"""


@pytest.mark.parametrize("closed", ["at once", "after a line", "before it began"])
def test_a_closed_pipe_stops_nothing(closed, tmp_path):
    if closed == "before it began":  # there is no standard output at all
        shell = ["sh", "-c", '"$0" -c "$1" "$2" >&-', sys.executable, PRINTS, tmp_path / "file"]
    else:
        shell = [sys.executable, "-c", PRINTS, tmp_path / "file"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(shell, **pipes, text=True) as process:
        if closed == "after a line":
            process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert (tmp_path / "file").read_text() == "done"


# --------------------------------------------------------------------------------------------
# Sweeps
# --------------------------------------------------------------------------------------------


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

        monkeypatch.setattr(command, "run_sweep", run_sweep)

    return faked


def cut_short(result):
    """An interruption that found the last network in training."""
    dataset = result.dataset.copy(deep=True).assign_attrs(interrupted=1)
    dataset.outcome.values[-1] = "interrupted"
    return grokjax.SweepInterrupted("cut short", grokjax.SweepResult(dataset, result.params))


LANES = {"seed": range(3), "alpha": [0.5] * 3}


def report(sweeps, output):
    """The report of an experiment that draws nothing and prints how many networks there are."""
    return sweeps.report(
        output, lambda result, output: [output / "figure"], lambda result: print(len(result.params))
    )


def test_sweeps_are_joined_saved_drawn_and_printed(faked, sweep, tmp_path, capsys):
    faked(sweep.select([0, 1]), sweep.select([2]), sweep.select([3, 4]))
    with Sweeps() as sweeps:
        for name in ("first", "second"):
            run = {"title": f"{name} sweep", "columns": {"name": name}, "max_steps": 9}
            sweeps.run(None, None, LANES, **run, progress=name == "first")
        prepared = sweeps.run(None, None, LANES, kept=False)
    result = report(sweeps, tmp_path)
    assert prepared.dataset.sizes["lane"] == 2
    assert result.dataset.name.values.tolist() == ["first", "first", "second"]
    assert "interrupted" not in result.dataset.attrs
    assert grokjax.load_result(tmp_path).dataset.identical(result.dataset)
    assert capsys.readouterr().out.splitlines() == [
        "first sweep: 3 networks, at most 9 steps each", "2", f"{tmp_path / 'results.nc'}",
        f"{tmp_path / 'figure'}",
    ]  # fmt: skip


@pytest.mark.parametrize("running", [False, True])
def test_an_interruption_is_reported_and_then_raised(running, faked, sweep, tmp_path, capsys):
    faked(sweep.select([0, 1]), cut_short(sweep.select([2, 3])), sweep)
    with Sweeps(running=running) as sweeps:
        for number in range(3):
            sweeps.run(None, None, LANES, columns={"number": number}, directory=tmp_path / "there")
    line = "interrupted in sweep 2, with 1 of its 3 networks finished"
    message = f"{line}: what was finished is in {tmp_path}; the same call goes on from its check"
    with pytest.raises(grokjax.SweepInterrupted, match=message) as raised:
        report(sweeps, tmp_path)
    result = raised.value.result
    assert result.dataset.number.values.tolist() == [0, 0, 1, 1][: 3 + running]
    assert ("interrupted" in result.dataset.outcome.values) == running
    assert grokjax.load_result(tmp_path).dataset.attrs["interrupted"] == 1
    assert capsys.readouterr().out.splitlines()[1] == line


def test_an_interruption_between_sweeps_keeps_those_before(faked, sweep, tmp_path, capsys):
    faked(sweep.select([0, 1]))
    with Sweeps() as sweeps:
        sweeps.run(None, None, LANES)
        raise KeyboardInterrupt
    with pytest.raises(grokjax.SweepInterrupted, match="interrupted after sweep 1: what was") as e:
        report(sweeps, tmp_path)
    assert e.value.result.dataset.attrs["interrupted"] == 1
    assert "interrupted" not in sweep.dataset.attrs
    assert "interrupted after sweep 1" in capsys.readouterr().out


def test_an_interruption_of_what_is_computed_of_networks_keeps_them(faked, sweep, tmp_path):
    def doubled(result):
        if result.dataset.sizes["lane"] == 1:
            raise KeyboardInterrupt
        return grokjax.SweepResult(result.dataset.assign(doubled=2 * result.dataset.seed))

    faked(sweep.select([0, 1]), sweep.select([2]))
    with Sweeps() as sweeps:
        for number in range(2):
            sweeps.run(None, None, LANES, columns={"number": number}, then=doubled)
    with pytest.raises(grokjax.SweepInterrupted, match="interrupted after sweep 2"):
        sweeps.report(tmp_path, lambda result, output: [], print)
    saved = grokjax.load_result(tmp_path).dataset
    assert saved.number.values.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(saved.doubled, [0, 2, np.nan])


@pytest.mark.parametrize("prepares", [False, True])
def test_an_interruption_without_a_finished_network_ends_the_block(prepares, faked, sweep):
    faked(cut_short(sweep.select([0])))
    with (
        pytest.raises(grokjax.SweepInterrupted, match=r"0 of its 3 .* nothing is written\.") as e,
        Sweeps(running=prepares) as sweeps,
    ):
        sweeps.run(None, None, LANES, kept=not prepares)
    assert e.value.result.dataset.sizes["lane"] == 1


def test_a_figure_that_needs_more_networks_is_left_out(faked, sweep, tmp_path, capsys):
    faked(cut_short(sweep))
    with Sweeps() as sweeps:
        sweeps.run(None, None, LANES)

    def draw(result, output):
        raise IndexError("no such row")

    with pytest.raises(grokjax.SweepInterrupted):
        sweeps.report(tmp_path, draw, lambda result: print("a table"))
    out = capsys.readouterr().out
    assert out.startswith("no figure of so few networks (IndexError: no such row)\na table\n")
    assert (tmp_path / "results.nc").exists()


def test_a_figure_of_all_networks_may_not_fail(faked, sweep, tmp_path):
    faked(sweep)
    with Sweeps() as sweeps:
        sweeps.run(None, None, LANES)
    with pytest.raises(IndexError):
        sweeps.report(tmp_path, lambda result, output: [][0], print)


def test_an_error_is_no_interruption(faked, sweep):
    faked(sweep, ValueError("alpha"))
    sweeps = Sweeps()
    sweeps.run(None, None, LANES)
    with pytest.raises(ValueError, match="alpha"), sweeps:
        sweeps.run(None, None, LANES)


def test_check_option_leaves_other_kinds_alone():
    assert check_option("output", Path("x"), Path) == Path("x")
