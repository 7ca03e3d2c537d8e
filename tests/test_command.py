"""A function as a command: its options, its end, and the report on its sweeps."""

import importlib.util
import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import pytest

import grokjax
from grokjax import command, losses, models, optimizers, plotting, tasks
from grokjax.command import check_option, choose, run_as_command

# --------------------------------------------------------------------------------------------
# Options
# --------------------------------------------------------------------------------------------


@command.experiment(
    "somewhere",
    paper={"p": 97, "widths": (500, 600)},
    cases={"kind": {"b": {"quick": {"rate": 7.0}, "paper": {"p": 31}}}},
)
def every_kind(
    study: command.Study,
    *,
    p: int = 5,
    widths: tuple[int, ...] = (8,),
    rate: float = 0.1,
    decays: tuple[float, ...] = (0.0,),
    steps: tuple[int, int] = (2, 2),
    names: tuple[str, ...] = ("adam",),
    none: tuple[float, ...] = (),
    kind: Literal["a", "b"] = "a",
    batch_size: int | None = None,
    seed: command.Count = 0,
    share: command.Share = 0.5,
    above: Annotated[float, command.Bounds(above=1)] = 2.0,
    tests: bool = False,
) -> tuple[command.Study, dict[str, Any]]:
    """One option of every kind.

    Args:
      rate: a rate,
        on two lines.

    Returns:
      What it was given.
    """
    own = dict(locals())
    return own.pop("study"), own


def test_an_option_is_what_was_given_or_that_of_the_scale_or_the_default():
    study, quick = every_kind()
    assert study[:5] == ("every_kind", "quick", Path("results/somewhere"), None, True)
    assert study.options == quick
    assert (quick["p"], quick["widths"], quick["none"]) == (5, (8,), ())
    study, paper = every_kind("paper", widths=[3, 9], output="there", progress=False)
    assert (study.scale, study.output, study.progress) == ("paper", Path("there"), False)
    assert (paper["p"], paper["widths"], paper["rate"]) == (97, (3, 9), 0.1)
    assert every_kind(kind="b")[1]["rate"] == 7.0
    assert every_kind(kind="b", rate=1)[1]["rate"] == 1.0
    assert every_kind("paper", kind="b")[1]["p"] == 31


def test_options_of_every_kind_are_taken():
    given: dict[str, Any] = {
        "p": np.int64(7), "widths": [3, 9], "rate": 1, "decays": np.array([0.5, 0.0]),
        "steps": (4, 4), "names": ("sgd", "adam"), "kind": "b", "batch_size": None, "seed": 0,
        "share": 1, "above": 1.5, "tests": True, "none": (1.0, 2.0),
    }  # fmt: skip
    expected = given | {"p": 7, "widths": (3, 9), "decays": (0.5, 0.0)}
    assert every_kind(**given)[1] == expected
    assert every_kind(batch_size=3)[1]["batch_size"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 0}, "p must be a positive integer, got 0"),
        ({"p": 2.5}, "p must be a positive integer, got 2.5"),
        ({"p": True}, "p must be a positive integer, got True"),
        ({"p": None}, "p must be a positive integer, got None"),
        ({"widths": ()}, r"widths needs at least one value, got \(\)"),
        ({"widths": 8}, r"widths must be a tuple, got 8; give \(8,\)"),
        ({"widths": (8, -1)}, r"widths\[1\] must be a positive integer, got -1"),
        ({"widths": (8, 9, 8)}, "widths has 8 twice"),
        ({"rate": -0.1}, "rate must be a finite number of at least 0, got -0.1"),
        ({"rate": np.nan}, "rate must be a finite number"),
        ({"decays": (0.1, np.inf)}, r"decays\[1\] must be a finite number"),
        ({"decays": (0.1, 0.1)}, "decays has 0.1 twice"),
        ({"steps": (1, 2, 3)}, "steps needs 2 values"),
        ({"steps": 1}, "steps must be a tuple, got 1; give 2 of them"),
        ({"steps": (0, 2)}, r"steps\[0\] must be a positive integer"),
        ({"names": "adam"}, r"names must be a tuple, got 'adam'; give \('adam',\)"),
        ({"names": ("adam", "adam")}, "names has 'adam' twice"),
        ({"names": (3,)}, r"names\[0\] must be text"),
        ({"kind": "c"}, 'kind must be "a" or "b"'),
        ({"batch_size": 0}, "batch_size must be a positive integer, got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"share": 1.5}, "share must be a finite number .* got 1.5"),
        ({"above": 1.0}, "above must be a finite number above 1"),
        ({"tests": 1}, "tests must be True or False"),
        ({"scale": "large"}, 'scale must be "quick" or "paper"'),
        ({"alpha": 0.5}, "every_kind has no option 'alpha'; it has p, widths"),
        ({"progress": "no"}, "progress must be True or False"),
        ({"report": 1}, "report must be True or False"),
        ({"output": ""}, "output"),
    ],
)
def test_options_of_a_wrong_kind_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        every_kind(**options)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"paper": {"q": 3}}, "scale 'paper' of every_kind sets 'q', which is no option; it has p"),
        ({"paper": {"width": 3}}, "'width', which is no option; did you mean 'widths'"),
        ({"paper": 3}, "the scale 'paper' of every_kind must be the options that it sets"),
        ({"quick": {"p": 3}}, "the scale quick of every_kind is the defaults in its signature"),
        ({"cases": {"kin": {}}}, "cases of every_kind are those of 'kin', .* did you mean 'kind'"),
        (
            {"cases": {"kind": {"b": {"paper": {"rat": 1}}}}},
            "the scale 'paper' of every_kind, with kind='b', sets 'rat', .* did you mean 'rate'",
        ),
    ],
)
def test_a_scale_sets_options_only(scales, message):
    with pytest.raises(ValueError, match=message):
        command.experiment(**scales)(every_kind.__wrapped__)


def without_study(*, p: int = 3): ...
def study_is_an_option(*, study: int = 3): ...
def by_position(study: command.Study, p: int = 3): ...
def without_type(study: command.Study, *, p=3): ...
def without_default(study: command.Study, *, p: int): ...
def any_option(study: command.Study, **options: int): ...
def with_output(study: command.Study, *, output: str = "x"): ...
def with_cache(study: command.Study, *, cache: bool = True): ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            without_study,
            r"without_study needs a first parameter `study`.*def without_study\(study:",
        ),
        (study_is_an_option, "needs a first parameter `study`"),
        (by_position, r"p of by_position is no option: .* stand behind a \*"),
        (any_option, "options of any_option is no option"),
        (without_type, "the option 'p' of without_type needs a type: write p: int = 23"),
        (without_default, "the option 'p' of without_default needs a default"),
        (with_output, "with_output has an option 'output', which every experiment has already"),
        (with_cache, "with_cache has an option 'cache'"),
    ],
)
def test_what_is_no_experiment_is_refused_where_it_is_decorated(function, message):
    with pytest.raises(ValueError, match=message):
        command.experiment()(function)


def test_a_decorator_without_parentheses_is_refused():
    with pytest.raises(ValueError, match=r"@experiment above by_position needs .* @experiment\(\)"):
        command.experiment(by_position)  # type: ignore[arg-type]


def test_the_help_of_an_experiment_has_every_scale(run):
    status, out, err = run(every_kind, "--help")
    words = " ".join(out.replace("│", " ").split())
    assert (status, err) == (0, "")
    assert "the modulus. At scale paper: 97. (default: 5)" in words
    assert "a rate, on two lines. (default: 0.1)" in words
    assert "At scale paper: 500 600. (default: 8)" in words
    assert "folder for the dataset" in words
    assert "the modulus. At scale paper: 97. (default: 97)" in " ".join(
        run(every_kind, "--scale=paper", "--help")[1].replace("│", " ").split()
    )
    assert "(default: 7.0)" in run(every_kind, "--kind", "b", "--help")[1]


def test_the_signature_of_an_experiment_is_that_of_its_quick_scale():
    parameters = inspect.signature(every_kind).parameters
    assert next(iter(parameters)) == "scale"
    assert list(parameters)[-3:] == ["checkpoints", "progress", "report"]
    assert parameters["p"].default == 5
    assert "Returns:\n  What it was given." in every_kind.__doc__


def test_check_option_leaves_other_kinds_alone():
    assert check_option("output", Path("x"), Path) == Path("x")


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


def experiment(
    seeds: int = 2,
    *,
    widths: tuple[int, ...] = (8, 9),
    extra_names: str = "a",
    rate: float = 0.1,
):
    """Prints what it was given.

    Args:
      seeds: of them.
      widths: hidden units.
      extra_names: a word.
    """
    print(seeds, widths, extra_names)


def test_a_command_calls_its_function(run):
    assert run(experiment, "--seeds", "3", "--widths", "4", "5") == (0, "3 (4, 5) a\n", "")


def test_an_experiment_begins_with_its_question(run):
    question = "A function as a command: its options, its end, and the report on its sweeps.\n"
    assert run(every_kind) == (0, question, "")
    assert not run(every_kind, "--help")[1].startswith(question)
    assert run(every_kind, "--p", "0")[:2] == (2, question)
    assert run(every_kind, "--q", "0")[:2] == (2, "")


def test_a_long_question_is_wrapped_and_none_is_not_made_up(run, monkeypatch):
    module = sys.modules[__name__]
    monkeypatch.setattr(module, "__doc__", "Is it so? " * 20 + "\nReally?\n\nPerhaps.")
    out = run(every_kind)[1]
    assert max(map(len, out.splitlines())) <= 80
    assert out.split() == ("Is it so? " * 20 + "Really?").split()
    monkeypatch.setattr(module, "__doc__", None)
    assert run(every_kind)[1] == "One option of every kind.\n"
    assert run(command.experiment()(any_kind))[1] == ""


def any_kind(study: command.Study, *, p: int = 3): ...


def test_a_function_that_is_not_decorated_or_no_function_is_refused(run):
    line = "error: any_kind is no experiment yet: write @experiment() above def any_kind.\n"
    assert run(any_kind) == (2, "", line)
    status, _, err = run(None)
    assert (status, err.startswith("error: run_as_command needs a function, got None;")) == (
        2,
        True,
    )


CACHES = """
import jax
from grokjax.command import run_as_command
def main():
    "Says where compiled programs are kept."
    print(jax.config.jax_compilation_cache_dir)
run_as_command(main)
"""


@pytest.mark.parametrize(
    ("arguments", "variable", "expected"),
    [
        ([], {}, "{home}/.cache/grokjax"),
        ([], {"XDG_CACHE_HOME": "{home}/there"}, "{home}/there/grokjax"),
        ([], {"JAX_COMPILATION_CACHE_DIR": "{home}/mine"}, "{home}/mine"),
        (["--no-cache"], {}, "None"),
    ],
)
def test_compiled_programs_are_kept(arguments, variable, expected, tmp_path):
    kept = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME",)}
    given = {name: value.format(home=tmp_path) for name, value in variable.items()}
    command = [sys.executable, "-c", CACHES, *arguments]
    environment = {**kept, "HOME": str(tmp_path), **given}
    out = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert out.stdout == expected.format(home=tmp_path) + "\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--widths"], "error: --widths needs at least one value.\n"),
        (["--seeds"], "error: "),
        (["--extra-names"], "error: "),
        (["--seeds", "many"], "error: --seeds must be an integer, got 'many'.\n"),
        (["--seeds", "2.5"], "error: --seeds must be an integer, got '2.5'.\n"),
        (["--rate", "x"], "error: --rate must be a number, got 'x'.\n"),
        (["--widths", "1", "a"], "error: --widths has a value of the wrong kind, got '1', 'a'; "),
        (["--seeds", "2", "--seeds", "3"], "error: --seeds is given twice"),
        (["--extra_names=a", "--extra-names", "b"], "error: --extra-names is given twice"),
        (["--sedes", "3"], "error: there is no option --sedes; did you mean --seeds?"),
        (["--width", "4"], "error: there is no option --width; did you mean --widths?"),
        (["--widths", "4", "--colour", "red"], "error: there is no option --colour; --help lists"),
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


def refused():
    """Checks its options."""
    raise ValueError("p is too small")


def refused_by_the_library():
    """Gives a bad argument."""
    check_option("p", 0, int)


def broken():
    """Adds what cannot be added."""
    return np.ones(2) + np.ones(3)


@pytest.mark.parametrize(
    ("function", "place"),
    [(refused, None), (refused_by_the_library, None), (broken, "return np.ones(2)")],
)
def test_an_error_that_is_no_check_says_where_it_is_from(run, function, place):
    status, out, err = run(function)
    assert (status, out, err.startswith("error: ")) == (2, "", True)
    lines = Path(__file__).read_text().splitlines()
    found = [i for i, text in enumerate(lines, 1) if place and text.strip().startswith(place)]
    more = [f"(raised in tests/test_command.py:{i})" for i in found]
    assert err.splitlines()[1:] == more


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


def test_the_command_of_a_run_has_what_differs_from_its_scale():
    study, _ = every_kind(
        "paper", rate=0.5, widths=(500, 700), names=("a b",), tests=True, output="elsewhere"
    )
    assert study.command == (
        "python tests/test_command.py --scale paper --widths 500 700 --rate 0.5 "
        "--names 'a b' --tests"
    )
    study, _ = every_kind(kind="b", p=7, rate=7.0)
    assert study.command == "python tests/test_command.py --p 7 --kind b"


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


def test_a_page_that_cannot_be_written_is_refused_before_training(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs altair; pip install \"grokjax\[report\]\""):
        every_kind(report=True)


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
    assert err.splitlines()[1:] == [f"(raised in tests/test_command.py:{number})"]


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
        f"(raised in tests/test_command.py:{number})",
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
