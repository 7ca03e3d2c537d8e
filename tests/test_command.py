"""A function as a command: its options, and its end."""

import importlib.util
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from grokjax import command
from grokjax.command import check_option, choose

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


def test_a_page_that_cannot_be_written_is_refused_before_training(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs altair; pip install \"grokjax\[report\]\""):
        every_kind(report=True)


# --------------------------------------------------------------------------------------------
# Commands
# --------------------------------------------------------------------------------------------


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
    question = "A function as a command: its options, and its end.\n"
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
