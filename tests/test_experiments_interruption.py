"""Real signals to experiments that run as commands, and a real pipe that closes."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray
from forked import Forked

import grokjax

ROOT = Path(__file__).parent.parent


@contextlib.contextmanager
def started(*arguments):
    """A process that does not outlive a test that fails, and then says where it was."""
    process = Forked(*arguments, script="interrupted_experiment")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGABRT)  # see `interrupted_experiment.py`
            print(*process.communicate(timeout=60), sep="\n")


def interrupted(name, options, sweep, folder, number):
    """What an experiment prints that is sent a signal in the middle of a sweep: out, err."""
    flag, output = folder / "flag", folder / "output"
    words = [flag, sweep, name, *options.split(), "--no-progress", "--output", output]
    with started(*words) as process:
        deadline = time.monotonic() + 300
        while not flag.exists() and process.poll() is None:
            assert time.monotonic() < deadline, f"{name} has trained nothing for 300 s"
            time.sleep(0.02)
        time.sleep(0.2)  # into the training, or the host's work between two calls
        process.send_signal(number)
        printed = process.communicate(timeout=300)
    assert process.returncode == 130, printed
    return printed


# The signal; the options of a small run; the sweep that is interrupted; lanes that must be saved,
# by what they have; and the figure.
SLOW = "--max-steps 1000000 --eval-every 20"
EXPERIMENTS = {
    "alpha_sweep": (
        signal.SIGINT,
        f"--p 11 --width 48 --alphas 0.3 0.85 --seeds 1 --optimizers adamw {SLOW}",
        1, {"alpha": 0.85}, "alpha_sweep.png",
    ),
    "gromov.functions": (
        signal.SIGTERM,
        "--names nm n^2+m^2 --p 7 --width 16 --seeds 1 --max-steps 2000 --eval-every 2",
        2, {"function": "nm"}, "functions.png",
    ),
    "gromov.width": (
        signal.SIGINT,
        "--p 5 --widths 6 12 --seeds 1 --draws 2 --max-steps 4 20000 --eval-every 10",
        2, {"network": "exact", "width": 12}, "width.png",
    ),
    "lazy_rich.kernel_motion": (
        signal.SIGTERM,
        "--p 5 --width 8 --seeds 1 --descent-steps 4 --adamw-steps 100000 --probe 10",
        2, {"optimizer": "gradient descent"}, "kernel_motion.png",
    ),
    "efficiency.critical_alpha": (
        signal.SIGHUP,
        "--moduli 5 7 --decays 3 --tolerance 0.9 --max-lanes 20 --max-steps 2000",
        2, {"p": 5}, "critical_alpha.png",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_signal_leaves_what_is_finished_and_says_so(name, tmp_path):
    number, options, sweep, saved, figure = EXPERIMENTS[name]
    out, err = interrupted(name, options, sweep, tmp_path, number)
    output = tmp_path / "output"
    assert err.startswith("interrupted ")
    assert err.count("\n") == 1
    assert str(output) in err
    assert "\ninterrupted " in out
    dataset = xarray.load_dataset(output / "results.nc", engine="h5netcdf")
    assert dataset.attrs["interrupted"] == 1
    for column, value in saved.items():
        assert value in dataset[column].values
    assert (output / figure).stat().st_size > 5000


def test_without_a_finished_network_nothing_is_written(tmp_path):
    options = "--p 5 --width 8 --seeds 1 --descent-steps 100000 --probe 10"
    words = [tmp_path / "flag", 1, "lazy_rich.kernel_motion", *options.split()]
    with started(*words, "--output", tmp_path / "output") as process:
        assert process.stdout.readline().startswith("When does a network leave the kernel")
        assert process.stdout.readline() == "worth?\n"
        assert process.stdout.readline().startswith("gradient descent: 1 network,")
        process.send_signal(signal.SIGTERM)
        assert process.stderr.readline().startswith(("interrupted in sweep 1", "interrupted by"))
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert not list((tmp_path / "output").iterdir())


def test_head_takes_one_line_and_the_results_are_written(tmp_path):
    options = "--p 5 --widths 6 12 --seeds 1 --draws 2 --max-steps 4 4 --eval-every 2"
    words = [sys.executable, "-u", ROOT / "experiments" / "gromov" / "width.py", *options.split()]
    pipe = f"{shlex.join(map(str, words))} --output {tmp_path} | head -1; echo ${{PIPESTATUS[0]}}"
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_NUM_CPU_DEVICES": "1",
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-c", pipe], env=environment, capture_output=True, text=True, timeout=300
    )
    question = "How many neurons does modular addition need: trained, with random phases, and"
    assert done.stdout == f"{question}\n0\n"  # and "exactly?" in the second line
    assert done.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} >= {"results.nc", "width.png", "width.svg"}


def test_the_template_in_the_documentation_reports_an_interruption(interrupt, tmp_path, capsys):
    page = (ROOT / "docs" / "extending.md").read_text()
    code = page.partition("## An experiment")[2].partition("```python\n")[2].partition("```")[0]
    namespace = {"__name__": "template"}
    exec(compile(code, "extending.md", "exec"), namespace)
    interrupt(2, running=True)
    with pytest.raises(grokjax.SweepInterrupted, match="in sweep 2, with 1 of its 3 networks"):
        namespace["width_sweep"](seeds=3, output=tmp_path, progress=False)
    dataset = grokjax.load_result(tmp_path).dataset
    assert dataset.width.values.tolist() == [16] * 3 + [64] * 2
    assert dataset.outcome.values[-1] == "interrupted"
    assert dataset.attrs["interrupted"] == 1
    assert (tmp_path / "width_sweep.png").exists()
    assert "interrupted in sweep 2" in capsys.readouterr().out
