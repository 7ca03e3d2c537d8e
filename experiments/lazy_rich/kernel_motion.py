"""When does a network leave the kernel it began with, and what is the new kernel worth?

The question of section 4.1 of "Grokking Phenomenon Reproduction" (Sha, Wu and Yue), and of Fort et
al. 2020 and Kumar et al. 2024: along training, how far has the tangent kernel moved when the
training rows are memorized, and when the network groks? Kernel regression with the kernel of a
trained network, its after-kernel, says what its features alone are worth.

    python experiments/lazy_rich/kernel_motion.py                  # quick: p = 23, 30 s on 2 cores
    python experiments/lazy_rich/kernel_motion.py --scale paper    # p = 97: 20 minutes on 2 cores

The kernel of the quadratic network has a closed form. Those of the report's perceptron and
Transformer, under AdamW with the cross entropy, take a backward pass for every row and class; 4
and 6 minutes on busy cores:

    ... --network mlp --adamw-steps 2500 --probe 128
    ... --network transformer --width 32 --adamw-steps 3000 --probe 64

Expected at the quick scale, under gradient descent: kernel regression at the start is wrong on
every test row. When the training rows are memorized the parameters have moved by twice their norm,
the kernel's norm has grown 56 times, and the network linearized at its start has lost none of its
test and 8 % of its training loss: memorization is not lazy. The kernel's shape changes little
(centred distance 0.13), its alignment with the answers doubles, and its regression is right on 15 %
of the test rows when the others are memorized, as the network is, and on all when it groks. The
perceptron and the Transformer are no lazier: their after-kernels are right on 0 and 1 % of the test
rows at memorization, and on 99 % at grokking.
"""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray

import grokjax
from experiments.common import Training, adamw, gradient_descent
from grokjax import kernels, losses, measures, models, optimizers, plotting, tasks
from grokjax.command import Study, experiment, number, print_table, run_as_command

LINEAR = ("linear_train_loss", "linear_test_loss")
CHECKPOINTS = ("start", "memorized", "grokked", "end")


@experiment("lazy_rich_kernel_motion", paper={
    "p": 97, "width": 500, "alpha": 0.5, "rate": 2.5e5, "seeds": 3,
    "descent_steps": 8000, "adamw_steps": 1000,
})  # fmt: skip
def kernel_motion(
    study: Study,
    *,
    network: Literal["quadratic", "mlp", "transformer"] = "quadratic",
    p: int = 23,
    width: int = 128,
    alpha: float = 0.8,
    rate: float = 1e6,
    seeds: int = 2,
    descent_steps: int = 2000,
    adamw_steps: int = 500,
    probe: int = 256,
    regression_rows: int | None = None,
) -> grokjax.SweepResult:
    """Kernel norm, distance and alignment along training, and after-kernel regression.

    Args:
      network: quadratic: Gromov's, on the squared error; mlp or transformer: the report's, without
        dropout, on the cross entropy.
      width: hidden units; of the perceptron in each of two layers, of the Transformer in one.
      rate: the learning rate of gradient descent at p = 97 and width 500, at others the one of the
        same dynamics; the quadratic network alone is trained by it.
      descent_steps: training steps of gradient descent.
      adamw_steps: training steps of AdamW, at a rate of 1e-2 and a decay of 5 of the quadratic
        network, 3e-3 and 1 of the others.
      probe: random rows of the table on which kernels are compared, the same for all networks.
      regression_rows: random rows of the table on which after-kernels are fitted and judged; time
        and memory grow with their square. By default all, or 600 if network is not quadratic.
    """
    task = tasks.modular_addition(p)
    if network == "quadratic":
        families = {
            "gradient descent": (gradient_descent(p, width, rate), descent_steps),
            "AdamW": (adamw(p, width), adamw_steps),
        }
    else:
        families = {"AdamW": (perceptron_or_transformer(network, p, width), adamw_steps)}
    # 600 are more than the whole table at p = 23, where it was measured.
    rows = regression_rows or (task.num_rows if network == "quadratic" else 600)
    with study.sweeps(draw, print_checkpoints) as sweeps:
        for name, ((recipe, rates), max_steps) in families.items():
            measure = functools.partial(
                kernels_along_training, loss=recipe.loss, probe=probe, regression_rows=rows
            )
            sweeps.run(
                recipe, task, grokjax.grid(alpha=[alpha], seed=range(seeds), **rates),
                title=name, columns={"optimizer": name}, checkpoints=name.replace(" ", "_"),
                max_steps=max_steps, eval_every=grokjax.log_spaced(max_steps, per_decade=16),
                stop=None, keep_params="all", then=measure,
            )  # fmt: skip
    return sweeps.result


def perceptron_or_transformer(network: str, p: int, width: int) -> Training:
    """AdamW on the cross entropy, with the decay under which these networks grok at p = 23."""
    model: models.Model = models.MLP(p, hidden=(width, width), vocabulary=p, dropout=0.0)
    if network == "transformer":
        model = models.Transformer(p, layers=1, width=width, vocabulary=p, dropout=0.0)
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw)
    return recipe, {"learning_rate": 3e-3, "weight_decay": 1.0, "warmup": 10}


def kernels_along_training(
    result: grokjax.SweepResult, loss: losses.LossFn, probe: int, regression_rows: int
) -> grokjax.SweepResult:
    """A sweep of networks of one kind, trained on this loss, with all kernel measures of them.

    Parameters must be kept at all measurements; the numbers of rows are options of the experiment.

    Returns:
      The result without parameters, with `norm_ratio`, `distance`, `centred_distance`, `alignment`,
      `centred_alignment`, `motion`, `linear_train_loss` and `linear_test_loss` [lane, time]; with
      `checkpoint_step`, `regression_accuracy`, `regression_loss`, `span_fraction` and
      `linear_test_accuracy` [lane, checkpoint], NaN where a checkpoint was not reached; and with
      `random_span_fraction` [lane], the span fraction of a random direction.
    """
    dataset, params, model, task = result.dataset, result.params, result.model, result.task
    assert params is not None
    assert model is not None
    assert task is not None
    chosen, fitted = (some_rows(task, number) for number in (probe, regression_rows))
    answers = kernels.label_kernel(task.labels[chosen])
    # The closed form needs no pass for every class.
    is_quadratic = isinstance(model, models.QuadraticMLP)
    traced: Any = kernels.quadratic_trace if is_quadratic else kernels.trace
    trace = jax.jit(functools.partial(traced, model))
    probed, regressed = (np.asarray(task.tokens)[rows] for rows in (chosen, fitted))

    @jax.jit
    def along(params: Any, initial: Any, at_start: jax.Array, train: jax.Array) -> dict[str, Any]:
        now = trace(params, probed)
        lazy = loss(kernels.linearized(model, params, initial, task.tokens), task.labels)
        return {
            "norm_ratio": kernels.norm_ratio(now, at_start),
            "distance": kernels.distance(now, at_start),
            "centred_distance": kernels.distance(now, at_start, centred=True),
            "alignment": kernels.alignment(now, answers),
            "centred_alignment": kernels.alignment(now, answers, centred=True),
            "motion": kernels.relative_motion(params, initial),
            "linear_train_loss": measures.masked_mean(lazy, train),
            "linear_test_loss": measures.masked_mean(lazy, ~train),
        }

    span = jax.jit(functools.partial(kernels.span_fraction, model, iterations=100))
    trained = lambda split: jnp.asarray(task.tokens)[split.train]

    def checkpoint(now: Any, initial: Any, split: tasks.Split) -> dict[str, Any]:
        after = kernels.regression(trace(now, regressed), task.labels[fitted], split.train[fitted])
        logits = kernels.linearized(model, now, initial, task.tokens)
        right = logits.argmax(axis=1) == task.labels
        return {
            "regression_accuracy": after.test_accuracy,
            "regression_loss": after.test_loss,
            "span_fraction": span(now, initial, trained(split)),
            "linear_test_accuracy": measures.masked_mean(right, split.test),
        }

    curves, points, random = [], [], []
    for lane in range(dataset.sizes["lane"]):
        split = result.split(lane)
        at = lambda time, lane=lane: jax.tree.map(lambda leaf: leaf[lane, time], params)
        initial = at(0)
        start = trace(initial, probed)
        curves += [along(at(t), initial, start, split.train) for t in range(len(dataset.step))]
        row = dataset.isel(lane=lane)
        steps = 0, row.memorization_step, row.grokking_step, row.step[-1]
        for step in map(float, steps):
            time = np.flatnonzero(dataset.step.values == step)  # none is NaN
            measured = checkpoint(at(time[0]), initial, split) if time.size else {}
            points.append({"checkpoint_step": step, **measured})
        noise = optax.tree.random_like(jax.random.key(lane), initial)
        anywhere = jax.tree.map(jnp.add, initial, noise)
        random.append(float(span(anywhere, initial, trained(split))))
    variables: dict[str, Any] = {"checkpoint": list(CHECKPOINTS)}
    variables["random_span_fraction"] = "lane", random
    for dim, rows in (("time", curves), ("checkpoint", points)):
        for name in rows[0]:
            column = [float(row.get(name, np.nan)) for row in rows]
            variables[name] = ("lane", dim), np.reshape(column, (dataset.sizes["lane"], -1))
    return grokjax.SweepResult(dataset.assign(variables))


def some_rows(task: tasks.Task, number: int) -> np.ndarray:
    """Random rows of a table, all if it has no more: increasing, and always the same."""
    number = min(number, task.num_rows)
    return np.sort(np.random.default_rng(0).choice(task.num_rows, size=number, replace=False))


def at_checkpoints(dataset: xarray.Dataset) -> xarray.Dataset:
    """All measurements at the checkpoints: [lane, checkpoint]."""
    here = dataset.step == dataset.checkpoint_step
    return dataset.map(lambda v: v.where(here).max("time") if "time" in v.dims else v)


PANELS = {
    "accuracy": {"train_accuracy": "training", "test_accuracy": "test"},
    "distance and alignment": {
        "distance": "kernel distance",
        "centred_distance": "kernel distance, centred",
        "centred_alignment": "alignment with answers, centred",
    },
    "ratio": {
        "norm_ratio": r"$\|K_t\| / \|K_0\|$",
        "motion": r"$\|\theta_t - \theta_0\| / \|\theta_0\|$",
    },
    "loss / initial loss": {
        "train_loss": "training",
        "test_loss": "test",
        "linear_train_loss": "training, linearized",
        "linear_test_loss": "test, linearized",
    },
}


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Accuracies, kernels and losses of both optimizers, with the two steps as vertical lines."""
    families = result.groups("optimizer")
    size = 12, 3.5 * len(families)
    figure, axes = plotting.new_figure(len(families), len(PANELS), size=size, squeeze=False)
    for row, (optimizer, lanes) in zip(axes, families, strict=True):
        dataset = lanes.dataset
        after = (dataset[x].values.ravel() for x in ("checkpoint_step", "regression_accuracy"))
        mark = {"color": plotting.PALETTE[2], "markersize": 4, "label": "after-kernel, test"}
        row[0].plot(*after, "D", **mark)
        for ax, (ylabel, labels) in zip(row, PANELS.items(), strict=True):
            scale = dataset.test_loss.isel(time=0) if "loss" in ylabel else 1
            shown = dataset.assign({name: dataset[name] / scale for name in labels})
            for name, label in labels.items():
                shown[name].attrs["long_name"] = label
            yscale = "linear" if ax in row[:2] else "log"
            plotting.curves(shown, list(labels), ax, ylabel=ylabel, yscale=yscale)
            for step, label in (("memorization_step", "memorized"), ("grokking_step", "grokked")):
                plotting.vertical_line(ax, dataset[step].fillna(np.inf).median(), label)
        row[0].set_ylabel(rf"{optimizer}, $\alpha$ = {dataset.alpha.values[0]:g}" "\naccuracy")
        row[1].set_ylim(-0.03, 1.05)
        row[3].set_ylim(1e-3, 4)
        plotting.label_log(row[3].yaxis)
    return figure


def print_checkpoints(result: grokjax.SweepResult) -> None:
    """Medians over seeds at the checkpoints of each optimizer."""
    p = int(result.dataset.attrs["task"].split()[-1])
    rows = {
        "step": ("checkpoint_step", 1),
        "test accuracy": ("test_accuracy", 1),
        "after-kernel: test accuracy": ("regression_accuracy", 1),
        "after-kernel: test loss x p": ("regression_loss", p),
        "motion of the parameters": ("motion", 1),
        "norm of the kernel, of its start": ("norm_ratio", 1),
        "distance of the kernel": ("distance", 1),
        "distance, centred": ("centred_distance", 1),
        "alignment with answers, centred": ("centred_alignment", 1),
        "motion in the span of gradients": ("span_fraction", 1),
        "linearized: training loss, of its start": ("linear_train_loss", 1),
        "linearized: test loss, of its start": ("linear_test_loss", 1),
    }
    for optimizer, lanes in result.groups("optimizer"):
        of_start = {x: lanes.dataset[x] / lanes.dataset[x].isel(time=0) for x in LINEAR}
        found = at_checkpoints(lanes.dataset.assign(of_start))
        table = found.median("lane").sel(checkpoint=list(CHECKPOINTS))
        cell = lambda x: "" if np.isnan(x) else number(round(x, 4))  # a distance of 1e-8 is 0
        title = (
            f"{optimizer}, p = {p}, alpha {lanes.dataset.alpha.values[0]:g}: "
            f"medians of {lanes.dataset.sizes['lane']} seeds"
        )
        cells = [(text, *map(cell, x * table[name].values)) for text, (name, x) in rows.items()]
        note = f"a random direction is inside the span to {table.random_span_fraction:.3f}"
        print_table(title, ("", *CHECKPOINTS), cells, notes=[note])


if __name__ == "__main__":
    run_as_command(kernel_motion)
