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
from experiments.common import spread
from grokjax import losses, measures, optimizers, spectral, tasks
from grokjax.command import Sweeps, override, run_as_command
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
    # What fails, fails now rather than after the training.
    folders = (gradient_descent, adamw)
    loaded = [None if folder is None else grokjax.load_result(folder) for folder in folders]
    task = tasks.modular_addition(setting.p)
    for alpha in setting.alphas:
        tasks.num_train_rows(task, alpha)
    output.mkdir(parents=True, exist_ok=True)

    with Sweeps() as sweeps:
        for i, result in enumerate(loaded):
            columns = {"optimizer": OPTIMIZERS[i]}
            if result is None:
                _train(sweeps, columns, task, setting, i, progress)
            else:
                sweeps.keep(result, columns)
    result = sweeps.joined()
    if result.params is None:
        raise ValueError("the two results hold no parameters, or of different p or width.")
    _add_phases(result)
    return sweeps.report(output, draw, print_summary, result=result)


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
    names = dict.fromkeys(dataset.optimizer.values.tolist())
    deltas = {name: dataset.delta.values[dataset.optimizer == name] for name in names}
    return plotting.save(plotting.phase_histogram(deltas), output, "phases")


def print_summary(result: grokjax.SweepResult) -> None:
    """Median over seeds, with the lowest and highest."""
    dataset, numbers = result.dataset, summary(result.dataset)
    seeds = len(np.unique(dataset.seed))
    table = Table(
        title=f"{dataset.attrs['task']}: phi_1 + phi_2 - phi_3 over neurons, {seeds} seeds, "
        "median (lowest to highest)"
    )
    for heading in ("", *OPTIMIZERS):
        table.add_column(heading)
    for name, values in numbers.data_vars.items():
        groups = [values.values[numbers.optimizer.values == group] for group in OPTIMIZERS]
        table.add_row(str(name).replace("_", " "), *(spread(x, ".3f") for x in groups))
    Console().print(table)


def _train(
    sweeps: Sweeps,
    names: dict[str, str],
    task: tasks.Task,
    setting: Scale,
    which: int,
    progress: bool,
) -> None:
    """Trains the networks of gradient descent (0) or AdamW (1)."""
    model: Any
    if which == 0:
        model = QuadraticMLP(setting.p, setting.width)
        optimizer = optimizers.gradient_descent
        columns = {"learning_rate": [1e6 * (setting.p / 97) ** 3 * (setting.width / 500)]}
    else:
        model = QuadraticMLP(setting.p, setting.width, parameterization="standard")
        optimizer = optimizers.adamw
        columns = {"learning_rate": [1e-2], "weight_decay": [5.0]}
    sweeps.run(
        grokjax.Recipe(model, losses.mse, optimizer, measures=(measures.ipr,)),
        task,
        grokjax.grid(alpha=[setting.alphas[which]], seed=range(setting.seeds), **columns),
        columns=names,
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
