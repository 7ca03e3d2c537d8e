r"""How well do trained networks align their phases?

The question of Gromov 2023, figure 3: in the analytic solution the phases of every neuron satisfy
phi_1 + phi_2 = phi_3. The figure is the histogram of the difference, over all neurons of networks
found by gradient descent and by AdamW.

    python experiments/gromov/phases.py                  # quick: p = 23, 20 s on 2 cores
    python experiments/gromov/phases.py --scale paper    # p = 97, width 500: 5 minutes on 2 cores

    # with the networks of dynamics.py and ipr.py, without training
    python experiments/gromov/phases.py --gradient-descent results/gromov_dynamics \
        --adamw results/gromov_ipr

Expected: both are peaked at 0, AdamW more strongly.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, measures, optimizers, spectral, tasks
from grokjax.command import override, run_as_command
from grokjax.models import QuadraticMLP

OPTIMIZERS = ("gradient descent", "AdamW")


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    width: int
    alphas: tuple[float, float]  # of gradient descent, of AdamW
    seeds: int
    max_steps: tuple[int, int]


SCALES = {
    "quick": Scale(p=23, width=128, alphas=(0.8, 0.5), seeds=5, max_steps=(2000, 1000)),
    "paper": Scale(p=97, width=500, alphas=(0.49, 0.5), seeds=5, max_steps=(3000, 1500)),
}


def phases(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    width: int | None = None,
    alphas: tuple[float, float] | None = None,
    seeds: int | None = None,
    max_steps: tuple[int, int] | None = None,
    gradient_descent: Path | None = None,
    adamw: Path | None = None,
    output: Path = Path("results/gromov_phases"),
    progress: bool = True,
) -> grokjax.SweepResult:
    """Phase differences of the neurons that gradient descent and AdamW find.

    Args:
      scale: quick: p = 23, width 128, seconds on two CPU cores; paper: p = 97, width 500, minutes.
      p: the modulus.
      width: hidden units.
      alphas: the fraction of the table trained on, by gradient descent and by AdamW.
      seeds: networks of each, with seeds 0, 1, ...
      max_steps: training steps, of gradient descent and of AdamW.
      gradient_descent: folder of a result of `dynamics.py`, whose networks are used instead of
        training.
      adamw: folder of a result of `ipr.py`, likewise.
      output: folder for the dataset, the configuration and the figures.
      progress: show how far the training is, in a terminal.

    Returns:
      One lane for each network; the variables `delta`, `frequency` and `amplitude` have one entry
      for each neuron.
    """
    setting = override(
        SCALES[scale], p=p, width=width, alphas=alphas, seeds=seeds, max_steps=max_steps
    )
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    results = []
    for i, folder in enumerate((gradient_descent, adamw)):
        if folder is None:
            results.append(_train(setting, i, progress))
        else:
            results.append(grokjax.load_result(folder))
    result = grokjax.concatenate(results, optimizer=OPTIMIZERS)
    if result.params is None:
        raise ValueError("the two results hold no parameters, or of different p or width.")
    _add_phases(result)
    result.save(output)
    paths = [output / "results.nc", *draw(result, output)]
    print_summary(result.dataset)
    for path in paths:
        print(path)
    return result


def summary(dataset: xarray.Dataset) -> xarray.Dataset:
    """Circular mean, resultant length and aligned share of every lane's neurons."""
    numbers = spectral.circular_summary(dataset.delta.values)._asdict()
    weighted = spectral.circular_summary(dataset.delta.values, dataset.amplitude.values)
    numbers["weighted_resultant_length"] = weighted.resultant_length
    variables = {name: ("lane", np.asarray(value)) for name, value in numbers.items()}
    return xarray.Dataset(variables, {"optimizer": dataset.optimizer})


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The histogram of all neurons, drawn from its result, as PNG and SVG."""
    from grokjax import plotting

    dataset = result.dataset
    deltas = {name: dataset.delta.values[dataset.optimizer == name] for name in OPTIMIZERS}
    return plotting.save(plotting.phase_histogram(deltas), output, "phases")


def print_summary(dataset: xarray.Dataset) -> None:
    """Median over seeds, with the lowest and highest."""
    numbers = summary(dataset)
    seeds = len(np.unique(dataset.seed))
    table = Table(
        title=f"{dataset.attrs['task']}: phi_1 + phi_2 - phi_3 over neurons, {seeds} seeds, "
        "median (lowest to highest)"
    )
    for heading in ("", *OPTIMIZERS):
        table.add_column(heading)
    for name, values in numbers.data_vars.items():
        groups = [values.values[numbers.optimizer.values == group] for group in OPTIMIZERS]
        cells = [f"{np.median(x):.3f} ({x.min():.3f} to {x.max():.3f})" for x in groups]
        table.add_row(str(name).replace("_", " "), *cells)
    Console().print(table)


def _train(setting: Scale, which: int, progress: bool) -> grokjax.SweepResult:
    """The networks of gradient descent (0) or AdamW (1)."""
    model: Any
    if which == 0:
        model = QuadraticMLP(setting.p, setting.width)
        optimizer = optimizers.gradient_descent
        columns = {"learning_rate": [1e6 * (setting.p / 97) ** 3 * (setting.width / 500)]}
    else:
        model = QuadraticMLP(setting.p, setting.width, parameterization="standard")
        optimizer = optimizers.adamw
        columns = {"learning_rate": [1e-2], "weight_decay": [5.0]}
    return grokjax.run_sweep(
        grokjax.Recipe(model, losses.mse, optimizer, measures=(measures.ipr,)),
        tasks.modular_addition(setting.p),
        grokjax.grid(alpha=[setting.alphas[which]], seed=range(setting.seeds), **columns),
        max_steps=setting.max_steps[which],
        eval_every=max(1, setting.max_steps[which] // 50),
        stop=None,
        progress=progress,
    )


def _add_phases(result: grokjax.SweepResult) -> None:
    """Adds the phases of every neuron to the dataset."""
    assert result.params is not None
    lanes = [spectral.phases({k: v[i] for k, v in result.params.items()}) for i in _lanes(result)]
    dims = ("lane", "neuron")
    result.dataset["delta"] = (dims, np.stack([lane.delta for lane in lanes]), {"units": "rad"})
    result.dataset["frequency"] = (dims, np.stack([lane.frequency for lane in lanes]))
    # The output's amplitude: how much a neuron says.
    result.dataset["amplitude"] = (dims, np.stack([lane.amplitude[-1] for lane in lanes]))


def _lanes(result: grokjax.SweepResult) -> range:
    return range(result.dataset.sizes["lane"])


if __name__ == "__main__":
    run_as_command(phases)
