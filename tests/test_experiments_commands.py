"""What is asked wrongly of an experiment is one line, status 2, and not one network trained."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from grokjax.command import run_as_command
from grokjax.sweep import run

ROOT = Path(__file__).parent.parent
ONCE = "needs at least one value"
WRONG = {
    "accelerators": [("--methods Lion", "unknown method 'Lion'")],
    "alpha_sweep": [
        ("--optimizers", ONCE),
        ("--optimizers adamw adamw", "optimizers has 'adamw' twice"),
        ("--alphas 0.3 0.3", "alphas has 0.3 twice"),
        ("--alphas 0.3 1", "alpha=1.0 is not a fraction"),
        ("--seeds 0", "seeds must be a positive integer, got 0"),
        ("--seeds 2 --seeds 3", "--seeds is given twice"),
        ("--width -5", "width must be a positive integer, got -5"),
        ("--slots 0", "slots must be a positive integer"),
        ("--model rnn", "invalid choice 'rnn'"),
        ("--p 1", "p must be an integer of at least 2, got 1."),
        ("--optimizers sgdd", "unknown optimizer 'sgdd'; use any of gradient_descent,"),
        ("--scale tiny", "invalid choice 'tiny' for argument '--scale'."),
    ],
    "architectures.curves": [
        ("--networks mlp mlp", "networks has 'mlp' twice"),
        ("--networks rnn", "unknown network 'rnn'; use any of transformer"),
        ("--batch-size 0", "batch_size must be a positive integer"),
        ("--learning-rate nan", "learning_rate must be a finite number"),
    ],
    "critical_rows": [("--moduli 5 --ratios 4", "the table of p=5 has only 25 rows")],
    "data_efficiency.settings": [
        ("--names", ONCE),
        ("--names adam adam", "names has 'adam' twice"),
        ("--family optimizers --names dropout", "unknown setting 'dropout'"),
    ],
    "data_efficiency.weight_decay": [
        ("--weight-decays -1 2", r"weight_decays[0] must be a finite number of at least 0"),
        ("--alpha 0", "alpha=0.0 is not a fraction"),
    ],
    "efficiency.critical_alpha": [
        ("--moduli", ONCE),
        ("--moduli 11 11", "moduli has 11 twice"),
        ("--moduli 11 1", "p must be an integer of at least 2, got 1"),
        ("--decays 0 -1", "decays[1] must be a finite number of at least 0"),
        ("--network rnn", "invalid choice 'rnn'"),
        ("--tolerance 2", "tolerance must be a finite number"),
        ("--max-lanes 3", "max_lanes=3 is less than one round"),
    ],
    "efficiency.mixture": [
        ("--speeds 1 1", "speeds has 1.0 twice"),
        ("--decays -1", "decays[0] must be a finite number of at least 0"),
        ("--margins 1", "Missing value for argument '--margins'"),
        ("--learning-rate -1", "learning_rate must be a finite number of at least 0"),
        ("--max-steps 0", "max_steps must be a positive integer"),
    ],
    "efficiency.norms": [
        ("--decays", ONCE),
        ("--decays -1 2", "decays[0] must be a finite number"),
        ("--alphas 0.5 0.0005", "alpha=0.0005 leaves no training row"),
    ],
    "efficiency.semigrokking": [("--alphas 0.3 0", "alpha=0.0 is not a fraction")],
    "efficiency.ungrokking": [
        ("--small", ONCE),
        ("--small 0.1 0", "alpha=0.0 is not a fraction"),
        ("--small 0.9", "small=0.9 is no subset"),
        ("--networks mlp rnn", "unknown network 'rnn'"),
        ("--decays -1 0", "decays[0] must be a finite number"),
    ],
    "gromov.activations": [
        ("--widths 0", "widths[0] must be a positive integer"),
        ("--seeds 0", "seeds must be a positive integer"),
    ],
    "gromov.dynamics": [
        ("--faster", ONCE),
        ("--faster 2 -2", "faster[1] must be a finite number of at least 0"),
        ("--eval-every 0", "eval_every must be a positive integer"),
    ],
    "gromov.functions": [
        ("--names nm n-m", "unknown function 'n-m'"),
        ("--names nm nm", "names has 'nm' twice"),
        ("--p 3", "alpha=0.96 leaves no test row"),
    ],
    "gromov.ipr": [("--eval-every -1", "eval_every must be a positive integer")],
    "gromov.phases": [
        ("--alphas 0.8 1.0", "alpha=1.0 is not a fraction"),
        ("--alphas 0.8", "Missing value for argument '--alphas'. Expected 2 values."),
        ("--max-steps 5 0", "max_steps[1] must be a positive integer"),
        ("--adamw {tmp}/nowhere", "no result at"),
    ],
    "gromov.preactivations": [
        ("--seed -1", "seed must be an integer of at least 0"),
        ("--trained {tmp}/nowhere", "no result at"),
    ],
    "gromov.width": [
        ("--widths", ONCE),
        ("--widths 6 6", "widths has 6 twice"),
        ("--widths 6 2", "an exact network needs a width of at least 3"),
        ("--draws 0", "draws must be a positive integer"),
    ],
    "label_corruption": [
        ("--example 2 0.1", "alpha=2.0 is not a fraction"),
        ("--example 0.9 1.5", "example[1] must be a finite number"),
        ("--dropouts 0.3 1", "dropout must be a finite number of at least 0 and below 1"),
        ("--fractions 0.1 1.5", "label_noise must lie between 0 and 1"),
    ],
    "lazy_rich.kernel_motion": [
        ("--probe 0", "probe must be a positive integer"),
        ("--adamw-steps 0", "adamw_steps must be a positive integer"),
        ("--regression-rows 0", "regression_rows must be a positive integer"),
        ("--network lstm", "invalid choice 'lstm'"),
    ],
    "lazy_rich.laziness": [("--laziness 1 0", "laziness[1] must be a finite number above 0")],
    "lazy_rich.nonlinearity": [
        ("--nonlinearity 0.5 1.5", "fraction must be a finite number above 0 and of at most 1"),
        ("--network rnn", "invalid choice 'rnn'"),
    ],
    "operands": [
        ("--figures 5 5", "figures has '5' twice"),
        ("--figures 9", "unknown figure '9'; use any of 5, 6, 7, 8"),
        ("--tests-per-train nan", "tests_per_train must be a finite number above 0"),
    ],
    "phase_diagram": [
        ("--label-noises 1.5", "label_noises[0] must be a finite number"),
        ("--alphas 0.3 0.3", "alphas has 0.3 twice"),
    ],
    "scaling_law": [
        ("--weight-decays 0", "weight_decays"),
        ("--widths 0", "widths[0] must be a positive integer"),
    ],
}  # fmt: skip


IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print({"matplotlib", "flax", "scipy.stats", "scipy.special"} & set(sys.modules))
"""


def test_what_takes_long_to_import_waits_until_something_was_printed():
    modules = [f"experiments.{name}" for name in WRONG]
    command = [sys.executable, "-c", IMPORTS, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("name", "options", "line"), [(name, *case) for name, cases in WRONG.items() for case in cases]
)
def test_a_wrong_command_line_is_refused(name, options, line, monkeypatch, capsys, tmp_path):
    def trains(*args):
        raise AssertionError("a network is trained")

    monkeypatch.setattr(run, "_train", trains)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "4")  # JAX has begun to compute
    arguments = [*options.format(tmp=tmp_path).split(), "--output", str(tmp_path / "output")]
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    module = importlib.import_module(f"experiments.{name}")
    with pytest.raises(SystemExit) as exit:
        run_as_command(getattr(module, name.split(".")[-1]))
    assert exit.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert line in err
    assert err.count("\n") == 1
