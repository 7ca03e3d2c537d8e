"""Which functions of the operands does a trained network compute, and which does theory?

The question of Gromov 2023, figure 2: output and hidden preactivations as functions of (n, m), at
initialization, after gradient descent and for the analytic weights with random phases.

    python experiments/gromov/preactivations.py                  # quick: p = 23, 10 s on 2 cores
    python experiments/gromov/preactivations.py --scale paper    # p = 97: 2 minutes on 2 cores

    # with the networks of dynamics.py, without training
    python experiments/gromov/preactivations.py --scale paper --trained results/gromov_dynamics

Expected: noise at initialization; after gradient descent one series of Fourier peaks, that of
n + m; for random phases the same and weak ones of 2n, 2m and n - m.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import analytic, losses, optimizers, spectral, tasks
from grokjax.checks import check_integer
from grokjax.command import Sweeps, override, run_as_command
from grokjax.models import QuadraticMLP


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    width: int
    alpha: float
    max_steps: int


SCALES = {
    "quick": Scale(p=23, width=128, alpha=0.8, max_steps=2000),
    "paper": Scale(p=97, width=500, alpha=0.49, max_steps=3000),
}


def preactivations(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    width: int | None = None,
    alpha: float | None = None,
    seed: int = 0,
    max_steps: int | None = None,
    trained: Path | None = None,
    answer: int = 6,
    neuron: int = 30,
    output: Path = Path("results/gromov_preactivations"),
    progress: bool = True,
) -> grokjax.SweepResult:
    """Preactivations of an initial, a trained and an analytic network, and their Fourier images.

    Args:
      scale: quick: p = 23, width 128, seconds on two CPU cores; paper: p = 97, width 500, minutes.
      p: the modulus.
      width: hidden units.
      alpha: the fraction of the table trained on.
      seed: of the initial weights, the split, and the phases.
      max_steps: steps of gradient descent.
      trained: folder of a result of `dynamics.py` of the same p, width and seed, to be used
        instead of training.
      answer: which logit to draw.
      neuron: which hidden neuron to draw.
      output: folder for the dataset, the configuration and the figures.
      progress: show how far the training is, in a terminal.

    Returns:
      Three lanes, named by the column `network`, with their parameters and the shares of Fourier
      power in each series of peaks.
    """
    setting = override(SCALES[scale], p=p, width=width, alpha=alpha, max_steps=max_steps)
    for name, number in (("seed", seed), ("answer", answer), ("neuron", neuron)):
        check_integer(name, number, at_least=0)
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    model = QuadraticMLP(setting.p, setting.width)
    recipe = grokjax.Recipe(model, losses.mse, optimizers.gradient_descent)
    task = tasks.modular_addition(setting.p)
    rate = 1e6 * (setting.p / 97) ** 3 * (setting.width / 500)

    def network(name: str, max_steps: int, learning_rate: float, params=None) -> None:
        sweeps.run(
            recipe,
            task,
            grokjax.grid(alpha=[setting.alpha], seed=[seed], learning_rate=[learning_rate]),
            columns={"network": name},
            max_steps=max_steps,
            eval_every=max_steps,
            stop=None,
            initial=params,
            progress=progress,
        )

    found = None if trained is None else _params_of(trained, seed, model)
    random_phases = analytic.analytic_weights(setting.p, setting.width, key=jax.random.key(seed))
    with Sweeps() as sweeps:
        # A step of size 0 leaves a network as it is, and measures it.
        network("initial", 1, 0.0)
        if found is None:
            network("gradient descent", setting.max_steps, rate)
        else:
            network("gradient descent", 1, 0.0, found)
        network("random phases", 1, 0.0, jax.tree.map(_stack, random_phases))
    result = sweeps.joined()
    shares = [_series(tables(result, lane)[0]) for lane in range(result.dataset.sizes["lane"])]
    for name in shares[0]:
        values = [share[name] for share in shares]
        result.dataset[f"power_{name}"] = ("lane", np.array(values), {"units": "1"})
    return sweeps.report(
        output,
        lambda result, folder: draw(result, folder, answer=answer, neuron=neuron),
        print_series,
        result=result,
    )


def tables(result: grokjax.SweepResult, lane: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits float[p, p, q] and hidden preactivations float[p, p, K] of a network, by (n, m)."""
    assert result.params is not None
    params = {name: jnp.asarray(value[lane]) for name, value in result.params.items()}
    _, p, width = params["w1"].shape
    model = QuadraticMLP(p, width)
    tokens = tasks.modular_addition(p).tokens
    hidden = np.asarray(model.preactivations(params, tokens))
    logits = np.asarray(model.apply(params, tokens))
    return logits.reshape(p, p, p), hidden.reshape(p, p, width)


def draw(
    result: grokjax.SweepResult, output: Path, *, answer: int = 6, neuron: int = 30
) -> list[Path]:
    """The figure of three networks, drawn from their parameters, as PNG and SVG."""
    from grokjax import plotting

    figure, axes = plotting.new_figure(3, 3, size=(7.2, 6.3))
    for lane, network in enumerate(result.dataset.network.values):
        logits, hidden = tables(result, lane)
        p, width = len(logits), hidden.shape[-1]
        logit, unit = logits[..., answer % p], hidden[..., neuron % width]
        amplitude = np.sqrt(np.array(spectral.power_2d(logit))) / p**2
        amplitude[0, 0] = 0.0  # the constant, which would outshine all others
        rows = (
            (logit, f"$h^{{(2)}}_{{{answer % p}}}(n, m)$", "$m$", "$n$"),
            (np.fft.fftshift(amplitude), "Fourier image", r"$\nu$", r"$\mu$"),
            (unit, f"$h^{{(1)}}_{{{neuron % width}}}(n, m)$", "$m$", "$n$"),
        )
        for ax, (matrix, name, xlabel, ylabel) in zip(axes[:, lane], rows, strict=True):
            title = str(network) if ax is axes[0, lane] else ""
            if lane == 0:
                ylabel = f"{name}\n{ylabel}"
            plotting.heatmap(matrix, ax, title=title, xlabel=xlabel, ylabel=ylabel)
        places = np.array([p // 4, p // 2, 3 * p // 4])
        names = [f"{place - p // 2}".replace("-", "−") for place in places]
        axes[1, lane].set_xticks(places, names)
        axes[1, lane].set_yticks(places, names)
    return plotting.save(figure, output, "preactivations")


def print_series(result: grokjax.SweepResult) -> None:
    """The share of each series of peaks in the Fourier power of the logits, the constant apart."""
    dataset, accuracy = result.dataset, result.final("test_accuracy").values
    headings = {
        "power_wanted": "n + m",
        "power_twice_n": "2 n",
        "power_twice_m": "2 m",
        "power_difference": "n - m",
        "power_other": "other",
        "power_constant": "constant",
    }
    table = Table(title=f"{dataset.attrs['task']}: share of the logits' Fourier power")
    table.add_column("network")
    for heading in (*headings.values(), "accuracy"):
        table.add_column(heading, justify="right")
    for lane, network in enumerate(dataset.network.values):
        row = dataset.isel(lane=lane)
        cells = (*(row[name].item() for name in headings), accuracy[lane])
        table.add_row(str(network), *(f"{cell:.4f}" for cell in cells))
    Console().print(table)


def _series(logits: np.ndarray) -> dict[str, float]:
    """Shares of the Fourier power of all logits, by series; "other" is outside all of them."""
    power = spectral.power_2d(np.moveaxis(logits, -1, 0)).sum(axis=0)
    constant = float(power[0, 0] / power.sum())
    shares = np.array(power.at[0, 0].set(0.0))
    shares /= shares.sum()
    masks = spectral.series_masks(len(logits))
    series = {name: float(shares[mask].sum()) for name, mask in masks.items()}
    return {**series, "other": 1 - sum(series.values()), "constant": constant}


def _params_of(directory: Path, seed: int, model: QuadraticMLP) -> dict[str, np.ndarray]:
    """Parameters of one seed of a saved result, with an axis of one lane."""
    saved = grokjax.load_result(directory)
    lanes = np.flatnonzero(saved.dataset.seed.values == seed)
    if saved.params is None or not len(lanes):
        raise ValueError(f"{directory} holds no parameters of seed {seed}; run dynamics.py first.")
    return {name: value[lanes[:1]] for name, value in saved.params.items()}


def _stack(leaf: jax.Array) -> jax.Array:
    return leaf[None]


if __name__ == "__main__":
    run_as_command(preactivations)
