"""The main job: its files, its table, and one clear line for whatever is asked wrongly."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import grokjax
from experiments.alpha_sweep import ALPHAS, DEEP, alpha_sweep, print_steps, variants
from grokjax import plotting

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alpha_sweep")
    alpha_sweep(
        optimizers=("gradient_descent", "adamw"), p=11, width=48, alphas=(0.3, 0.85), seeds=2,
        max_steps=600, eval_every=50, output=folder, progress=False,
    )  # fmt: skip
    return folder


def test_its_dataset_is_labelled(output):
    dataset = grokjax.load_result(output).dataset
    assert dataset.sizes["lane"] == 8
    assert set(dataset.optimizer.values) == {"gradient_descent", "adamw"}
    fast = dataset.where((dataset.optimizer == "adamw") & (dataset.alpha == 0.85), drop=True)
    slow = dataset.where(dataset.alpha == 0.3, drop=True)
    assert np.isfinite(fast.grokking_step).all()
    assert np.isnan(slow.grokking_step).all()


def test_its_figure_can_be_drawn_again(output, tmp_path):
    figure = plotting.alpha_sweep_figure(grokjax.load_result(output))
    paths = plotting.save(figure, tmp_path, "alpha_sweep")
    for path in paths:
        assert path.read_bytes() == (output / path.name).read_bytes()


def test_every_variant_trains(tmp_path):
    names = tuple(variants(11, 16))
    result = alpha_sweep(
        optimizers=names, p=11, width=16, alphas=(0.6,), seeds=1, max_steps=10, eval_every=5,
        output=tmp_path, progress=False,
    )  # fmt: skip
    assert result.dataset.optimizer.values.tolist() == list(names)
    losses = result.dataset.train_loss.values
    assert np.isfinite(losses[:, -1]).all()
    # Each moves in its own way: no variant is another under a second name.
    ends = {float(np.float32(loss[~np.isnan(loss)][-1])) for loss in losses}
    assert len(ends) >= len(names) - 1  # a decay of 1e-4 a step is below float32 here


def test_scales_are_those_that_are_documented():
    quick, paper = (alpha_sweep.values_at(scale, {}) for scale in ("quick", "paper"))
    assert {"gradient_descent", "momentum", "adamw"} <= set(quick["optimizers"])
    assert len(quick["alphas"]) >= 8
    assert quick["seeds"] >= 3
    assert (paper["p"], paper["width"], paper["seeds"]) == (97, 500, 5)
    np.testing.assert_allclose(ALPHAS, np.arange(0.2, 0.91, 0.05))
    deep = alpha_sweep.values_at("quick", {"model": "mlp"})
    assert (deep["p"], deep["width"]) == (DEEP["quick"]["p"], 128)


def test_an_interrupted_table_claims_no_more_than_was_watched(interrupt, tmp_path, capsys):
    interrupt(2, running=True, trained=True)
    with pytest.raises(grokjax.SweepInterrupted, match="with 2 of its 4 networks finished"):
        alpha_sweep(
            optimizers=("gradient_descent", "momentum"), p=5, width=8, alphas=(0.5, 0.8), seeds=2,
            max_steps=40, eval_every=10, output=tmp_path, progress=False,
        )  # fmt: skip
    dataset = grokjax.load_result(tmp_path).dataset
    assert dataset.optimizer.values.tolist() == ["gradient_descent"] * 4 + ["momentum"] * 3
    assert dataset.outcome.values[-1] == "interrupted"
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith(" momentum")]
    assert [row[-6:-3] for row in rows] == [["0", "of", "2"], ["0", "of", "1"]]
    dataset.watched_step.values[-1] = 7  # of the other cells it is 20
    print_steps(grokjax.SweepResult(dataset))
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "0.80" in line]
    assert [row[2:4] for row in rows] == [[">", "20"], [">", "7"]]
    assert "interrupted in sweep 2" in out
    assert (tmp_path / "alpha_sweep.png").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--alphas 1.5 --output {tmp}/out", "error: alpha=1.5 is not a fraction of the table; use"),
        ("--output {tmp}/file/below", "error: [Errno 20] Not a directory"),
    ],
)
def test_a_bad_option_gets_one_line(options, line, tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, ROOT / "experiments" / "alpha_sweep.py", "--no-progress"]
    arguments = options.format(tmp=tmp_path).split()
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout.startswith("How does grokking time depend on")
    assert done.stdout.count("\n") == 2  # the question, wrapped
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
