"""Does making a network lazier create grokking, and making it richer remove it?

The question of Kumar et al. 2024 (section 6 and equation 7), on modular addition: gradient descent
without any regularization trains `a (f(theta) - f(theta_0))` at the learning rate `rate / a^2`,
which is the same speed in function space for every a. Large a is kernel regression with the initial
features, small a is feature learning from the start.

    python experiments/lazy_rich/laziness.py                  # quick: 40 s on 2 cores
    python experiments/lazy_rich/laziness.py --scale paper    # the source's rate: hours on 2 cores

Expected at the quick scale: the lazier, the longer between memorization and grokking: T_gen / T_mem
is 1.15 at a = 0.3, 1.26 at 1, 1.5 at 3 and 2.4 at 10. The test loss rises first, by 1, 5, 12 and
26 %, towards the 1.37 times its start of kernel regression with the initial features, which is
wrong on every test row. Yet every a groks, after a motion of more than the initial norm: making a
network lazier delays the rich phase, and does not replace it.
"""

from typing import Any

import jax
import numpy as np
import xarray

import grokjax
from experiments.common import about
from grokjax import kernels, losses, models, optimizers, plotting, survival, tasks
from grokjax.command import Positive, Study, experiment, number, print_table, run_as_command


@experiment("lazy_rich_laziness", paper={
    "laziness": (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), "rate": 100.0, "seeds": 3,
    "max_steps": 2_000_000,
})  # fmt: skip
def laziness(
    study: Study,
    *,
    p: int = 23,
    width: int = 100,
    alpha: float = 0.9,
    laziness: tuple[Positive, ...] = (0.3, 1.0, 3.0, 10.0),
    rate: float = 1000.0,
    seeds: int = 2,
    max_steps: int = 80_000,
) -> grokjax.SweepResult:
    """Memorization and grokking steps, parameter motion and kernel distance against laziness.

    Args:
      laziness: the factors a on the centred output.
      rate: the learning rate at a = 1.
    """
    model = kernels.Centred(models.QuadraticMLP(p, width))
    lanes = grokjax.grid(logit_scale=laziness, seed=range(seeds), alpha=[alpha])
    lanes["learning_rate"] = rate / lanes["logit_scale"] ** 2
    recipe = grokjax.Recipe(model, losses.mse, optimizers.gradient_descent)
    with study.sweeps(draw, print_delays) as sweeps:
        sweeps.run(
            recipe, tasks.modular_addition(p), lanes, checkpoints="laziness", max_steps=max_steps,
            eval_every=grokjax.log_spaced(max_steps, per_decade=50), then=lazy_measures,
        )  # fmt: skip
    return sweeps.result


def lazy_measures(result: grokjax.SweepResult) -> grokjax.SweepResult:
    """The result with what tells a lazy network from a rich one: [lane] each.

    `motion` and `kernel_distance` at the lane's end; `train_half` and `test_half`, the first steps
    at which the losses are at half of their start for good, NaN if never; `kernel_test_loss` and
    `kernel_test_accuracy` of kernel regression with the initial features.
    """
    dataset, task = result.dataset, result.task
    assert isinstance(result.model, kernels.Centred)
    assert task is not None
    model: Any = result.model.model
    trace = jax.jit(lambda params: kernels.quadratic_trace(model, params, task.tokens))
    rows = []
    for lane in range(dataset.sizes["lane"]):
        network = result.network(lane).params
        now, at_start = trace(network["trained"]), trace(network["initial"])
        lazy = kernels.regression(at_start, task.labels, result.split(lane).train)
        row = {
            "motion": kernels.relative_motion(network["trained"], network["initial"]),
            "kernel_distance": kernels.distance(now, at_start),
            "kernel_test_loss": lazy.test_loss,
            "kernel_test_accuracy": lazy.test_accuracy,
        }
        rows.append(row)
    columns: dict[str, Any] = {name: [float(row[name]) for row in rows] for name in rows[0]}
    for name in ("train", "test"):
        loss = dataset[f"{name}_loss"].values
        # At most half from a step to the last measurement, however many those are.
        columns[f"{name}_half"] = survival.first_sustained(
            -loss / loss[:, :1], dataset.step, -0.5, patience=loss.shape[1], ended=True
        )
    return result.assign(**{name: ("lane", values) for name, values in columns.items()})


def medians(result: grokjax.SweepResult) -> xarray.Dataset:
    """By laziness: medians over seeds, of steps that were not reached inf, and the two delays.

    `delay` is grokking step / memorization step, `loss_delay` the ratio of the steps at which test
    and training loss are at half of their start.
    """

    def of(lanes: xarray.Dataset) -> xarray.Dataset:
        names = ("motion", "kernel_distance", "train_half", "test_half")
        row = {name: lanes[name].fillna(np.inf).median() for name in names}
        row["peak"] = (lanes.test_loss.max("time") / lanes.test_loss.isel(time=0)).median()
        for name in ("memorization", "grokking"):
            steps = lanes[f"{name}_step"], lanes.watched_step
            row[name] = xarray.DataArray(survival.median(*steps).value)
        return xarray.Dataset(row)

    table = result.dataset.groupby("logit_scale").map(of)
    reached = table.where(np.isfinite(table))  # a delay of what never began is none
    table["delay"] = table.grokking / reached.memorization
    table["loss_delay"] = table.test_half / reached.train_half
    return table


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Losses and accuracies of every laziness, and when they memorized and grokked."""
    dataset = result.dataset
    start = dataset.test_loss.isel(time=0)
    scaled = {name: dataset[name] / start for name in ("train_loss", "test_loss")}
    dataset = dataset.assign({k: v.assign_attrs(dataset[k].attrs) for k, v in scaled.items()})
    dataset.logit_scale.attrs["long_name"] = "laziness $a$"
    colours = plotting.colours_by(dataset, "logit_scale")
    figure, (left, middle, right) = plotting.new_figure(1, 3, size=(10, 3.4))
    plotting.loss_curves(dataset, left, by=colours, legend=False)
    plotting.accuracy_curves(dataset, middle, by=colours, legend=False)
    left.set(ylabel="loss / initial loss", title=rf"$\alpha$ = {dataset.alpha.values[0]:g}")
    steps = {"memorization_step": "memorization", "grokking_step": "grokking"}
    plotting.step_against(dataset, steps, "logit_scale", right, log_x=True, legend=False)
    plotting.legend_outside(figure)
    colours.bar(figure, [left, middle])
    return figure


def print_delays(result: grokjax.SweepResult) -> None:
    """Medians over seeds for each laziness."""
    dataset, table = result.dataset, medians(result)
    headings = {
        "T_mem": "memorization",
        "T_gen": "grokking",
        "T_gen\n/ T_mem": "delay",
        "half test\n/ train loss": "loss_delay",
        "peak loss\n/ initial": "peak",
        "motion": "motion",
        "kernel\ndistance": "kernel_distance",
    }
    rate = (dataset.learning_rate * dataset.logit_scale**2).values[0]
    seeds = len(np.unique(dataset.seed))
    title = f"{about(result)}, rate {number(rate)} / a^2: medians of {seeds} seeds"
    values = table[list(headings.values())].to_array().values.T
    rows = [
        (number(a), *(number(x, "not yet") for x in row))
        for a, row in zip(table.logit_scale.values, values, strict=True)
    ]
    accuracy = dataset.kernel_test_accuracy.mean().item()
    loss = (dataset.kernel_test_loss / dataset.test_loss.isel(time=0)).mean().item()
    note = (
        "kernel regression with the initial features: "
        f"test accuracy {accuracy:.3f},\ntest loss / initial {loss:.3f}"
    )
    print_table(title, ("a", *headings), rows, notes=[note], left=0)


if __name__ == "__main__":
    run_as_command(laziness)
