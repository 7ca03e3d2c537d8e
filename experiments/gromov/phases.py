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

import numpy as np
import xarray

import grokjax
from experiments import common
from grokjax import measures, plotting, spectral, tasks
from grokjax.command import Study, experiment, print_table, run_as_command, spread


@experiment(
    "gromov_phases",
    paper={"p": 97, "width": 500, "alphas": (0.49, 0.5), "max_steps": (3000, 1500)},
)
def phases(
    study: Study,
    *,
    p: int = 23,
    width: int = 128,
    alphas: tuple[float, float] = (0.8, 0.5),
    seeds: int = 5,
    max_steps: tuple[int, int] = (2000, 1000),
    gradient_descent: Path | None = None,
    adamw: Path | None = None,
) -> grokjax.SweepResult:
    """Phase differences of the neurons that gradient descent and AdamW find.

    Args:
      alphas: the fraction of the table trained on, by gradient descent and by AdamW.
      max_steps: training steps, of gradient descent and of AdamW.
      gradient_descent: folder of a result of `dynamics.py`, whose networks are taken instead.
      adamw: folder of a result of `ipr.py`, likewise.

    Returns:
      One lane for each network, with `delta`, `frequency` and `amplitude`: [lane, neuron].
    """
    # What fails, fails now rather than after the training.
    folders = (gradient_descent, adamw)
    loaded = [None if folder is None else grokjax.load_result(folder) for folder in folders]
    held = [result.params for result in loaded if result is not None]
    sizes = {None if params is None else params["w1"].shape[-2:] for params in held}
    sizes |= {(p, width)} if None in folders else set()
    if len(sizes) > 1 or None in sizes:
        raise ValueError(
            "gradient_descent and adamw must hold parameters, of one p and width, which are also "
            f"those of networks to train; got (p, width) {' and '.join(map(str, sizes))}."
        )
    task = tasks.modular_addition(p)
    for alpha in alphas:
        tasks.num_train_rows(task, alpha)
    trainings = {"gradient descent": common.gradient_descent, "AdamW": common.adamw}
    planned = zip(trainings.items(), loaded, alphas, max_steps, strict=True)
    with study.sweeps(draw, table) as sweeps:
        for (name, training), result, alpha, steps in planned:
            columns = {"optimizer": name}
            if result is not None:
                sweeps.keep(result, columns, with_phases)
                continue
            recipe, hyperparameters = training(p, width, measures=(measures.ipr,))
            sweeps.run(
                recipe, task, grokjax.grid(alpha=[alpha], seed=range(seeds), **hyperparameters),
                columns=columns, checkpoints=training.__name__,
                then=with_phases, max_steps=steps, eval_every=max(1, steps // 50), stop=None,
            )  # fmt: skip
    return sweeps.result


def with_phases(result: grokjax.SweepResult) -> grokjax.SweepResult:
    """A result with the phase difference, frequency and amplitude of every neuron."""
    assert result.params is not None
    lanes = [
        spectral.phases({name: value[lane] for name, value in result.params.items()})
        for lane in range(result.dataset.sizes["lane"])
    ]
    dims = ("lane", "neuron")
    return result.assign(
        delta=(dims, np.stack([lane.delta for lane in lanes]), {"units": "rad"}),
        frequency=(dims, np.stack([lane.frequency for lane in lanes])),
        # The output's amplitude: how much a neuron says.
        amplitude=(dims, np.stack([lane.amplitude[-1] for lane in lanes])),
    )


def summary(dataset: xarray.Dataset) -> xarray.Dataset:
    """Circular mean, resultant length and aligned share of every lane's neurons."""
    numbers = spectral.circular_summary(dataset.delta.values)._asdict()
    weighted = spectral.circular_summary(dataset.delta.values, dataset.amplitude.values)
    numbers["weighted_resultant_length"] = weighted.resultant_length
    return xarray.Dataset({name: ("lane", np.asarray(value)) for name, value in numbers.items()})


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """The histogram of all neurons, of each optimizer."""
    figure, ax = plotting.new_figure()
    groups = result.groups("optimizer")
    plotting.phase_histogram({name: lanes.dataset.delta for name, lanes in groups}, ax)
    return figure


def table(result: grokjax.SweepResult) -> None:
    """Median over seeds, and the lowest and highest."""
    groups = {name: summary(lanes.dataset) for name, lanes in result.groups("optimizer")}
    task, seeds = result.dataset.attrs["task"], len(np.unique(result.dataset.seed))
    title = f"{task}: phi_1 + phi_2 - phi_3, median (lowest to highest) of {seeds} seeds"
    rows = [
        (str(name).replace("_", " "), *(spread(x[name], ".3f") for x in groups.values()))
        for name in next(iter(groups.values()))
    ]
    print_table(title, ("", *groups), rows)


if __name__ == "__main__":
    run_as_command(phases)
