"""Is the sum easier to learn when the first operand takes more values, or when there are more rows?

The question of section 4 and figure 9 of "Grokking Phenomenon Reproduction" (Sha, Wu and Yue): a
network learns n + m modulo p for n in a random set A, lambda = |A| / p, from 0.6 of the rows. The
report reads a larger lambda as a less linear function, which forces a network out of its kernel
regime. But at fixed alpha lambda also sets the number of training rows, so every lambda is trained
on as many rows as each smaller one has, too: what remains at equal rows is the effect of lambda.

    python experiments/lazy_rich/nonlinearity.py                  # quick: p = 31, 30 s on 2 cores
    python experiments/lazy_rich/nonlinearity.py --scale paper    # p = 151: hours; a GPU is better

The paper scale is the report's: an MLP under stochastic gradient descent with momentum. At p = 31
that network never generalizes, whatever lambda is; the quick scale is Gromov's network, which does.

Expected at the quick scale, at fixed alpha, is the report's picture: a larger lambda is slower to
fit (104, 264, 405, 718 steps) and ends with more right answers (0, 2, 15, 100 %). At equal rows it
is the other way round: of 279 rows lambda = 0.5 makes 15 % right and lambda = 1 only 1 %, and at 56
rows the curves of all lambdas lie on each other. It is the rows that matter.
"""

from typing import Literal

import jax
import numpy as np

import grokjax
from experiments.common import Training, gradient_descent
from grokjax import losses, models, optimizers, plotting, tasks
from grokjax.command import Study, experiment, number, print_table, run_as_command


@experiment("lazy_rich_nonlinearity", paper={
    "network": "mlp", "p": 151, "width": 256, "rate": 1e-3, "seeds": 3, "max_steps": 100_000,
})  # fmt: skip
def nonlinearity(
    study: Study,
    *,
    network: Literal["quadratic", "mlp"] = "quadratic",
    p: int = 31,
    width: int = 128,
    nonlinearity: tuple[float, ...] = (0.1, 0.3, 0.5, 1.0),
    alpha: float = 0.6,
    rate: float = 1e6,
    seeds: int = 2,
    max_steps: int = 3000,
) -> grokjax.SweepResult:
    """Loss and accuracy against lambda, at fixed alpha and at fixed training rows.

    Args:
      network: quadratic: gradient descent on the squared error; mlp: two hidden layers, dropout
        0.1, cross entropy, batches of 512, Nesterov momentum 0.99 after 10 steps of warmup.
      width: hidden units of a layer.
      nonlinearity: the values of lambda.
      alpha: the fraction of the rows of A x Z_p trained on.
      rate: the learning rate; of the quadratic network that of p = 97 and width 500, converted.

    Returns:
      Lanes for each lambda and each `train_rows` that it or a smaller one has at the fixed alpha.
    """
    recipe, numbers = (gradient_descent if network == "quadratic" else perceptron)(p, width, rate)
    values = sorted(nonlinearity)
    key = jax.random.key(0)  # one for all: the sets A are nested
    restricted = [tasks.restrict_operand(tasks.modular_addition(p), x, key) for x in values]
    rows = [tasks.num_train_rows(task, alpha) for task in restricted]
    measure_at = grokjax.log_spaced(max_steps, per_decade=16)
    with study.sweeps(draw, print_findings) as sweeps:
        for i, (value, task) in enumerate(zip(values, restricted, strict=True)):
            alphas = [count / task.num_rows for count in rows[: i + 1]]
            sweeps.run(
                recipe, task, grokjax.grid(alpha=alphas, seed=range(seeds), **numbers),
                title=f"lambda {value:g}", columns={"nonlinearity": value},
                checkpoints=f"lambda_{value:g}", then=with_train_rows, keep_params="none",
                max_steps=max_steps, eval_every=measure_at, stop=None,
            )  # fmt: skip
    return sweeps.result


def perceptron(p: int, width: int, rate: float) -> Training:
    """The report's MLP and its training: a recipe and its hyperparameters."""
    model = models.MLP(p, hidden=(width, width), dropout=0.1)
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.nesterov, batch_size=512)
    return recipe, {"learning_rate": rate, "momentum": 0.99, "warmup": 10}


def with_train_rows(result: grokjax.SweepResult) -> grokjax.SweepResult:
    """The result of a sweep with the column `train_rows`."""
    assert result.task is not None
    rows = [tasks.num_train_rows(result.task, alpha) for alpha in result.dataset.alpha.values]
    result = result.assign_coords(train_rows=("lane", rows, {"long_name": "training rows"}))
    result.dataset.nonlinearity.attrs["long_name"] = r"$\lambda$"
    return result


def compared(result: grokjax.SweepResult, *, rows_fixed: bool) -> grokjax.SweepResult:
    """The lanes of each lambda at the fixed alpha, which are most rows; or at the fewest rows."""
    chosen = lambda rows: rows == (rows.min() if rows_fixed else rows.max())
    return result.select(result.dataset.train_rows.groupby("nonlinearity").map(chosen))


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Losses at fixed alpha and at fixed rows, and accuracy against rows."""
    dataset = result.dataset
    colours = plotting.colours_by(result, "nonlinearity")
    figure, axes = plotting.new_figure(1, 3, size=(10, 3.6))
    titles = rf"$\alpha$ = {dataset.alpha.max():.2g}", f"{dataset.train_rows.min():g} training rows"
    for ax, rows_fixed, title in zip(axes, (False, True), titles, strict=False):
        plotting.loss_curves(compared(result, rows_fixed=rows_fixed), ax, by=colours, legend=False)
        ax.set(title=f"{title} for all", ylim=(1e-3 * dataset.train_loss.max().item(), None))
        plotting.label_log(ax.yaxis)
    axes[1].sharey(axes[0])
    where = {"by": colours, "ax": axes[2], "log_x": True, "legend": False}
    plotting.final_against(result, "test_accuracy", "train_rows", **where)
    plotting.legend_outside(figure, colours=colours)
    return figure


def print_findings(result: grokjax.SweepResult) -> None:
    """What came of each lambda at the fixed alpha, and all accuracies at equal rows."""
    dataset, budget = result.dataset, int(result.dataset.step[-1])
    rows = []
    for value, group in compared(result, rows_fixed=False).groups("nonlinearity"):
        lanes = group.dataset
        reached = lanes.memorization_step, lanes.grokking_step
        steps = [float(each.fillna(np.inf).median()) for each in reached]
        cells = [number(step, f">{number(budget)}") for step in steps]
        loss = lanes.test_loss.median("lane").values
        count = lanes.train_rows.values[0]
        rows.append((number(value), count, *cells, number(loss.max()), number(loss[-1])))
    task, seeds = dataset.attrs["task"].split(",")[0], len(np.unique(dataset.seed))
    title = f"{task}: medians of {seeds} seeds, {budget:,} steps"
    headings = ("lambda", "rows", "T_mem", "T_gen", "highest test loss", "test loss")
    print_table(title, headings, rows, left=0)
    accuracy = result.final("test_accuracy").groupby(["nonlinearity", "train_rows"]).median()
    headings = ("training rows", *(f"lambda = {number(x)}" for x in accuracy.nonlinearity.values))
    rows = [
        (count, *("" if np.isnan(x) else f"{x:.3f}" for x in cells))
        for count, cells in zip(accuracy.train_rows.values, accuracy.values.T, strict=True)
    ]
    print_table("final test accuracy", headings, rows)


if __name__ == "__main__":
    run_as_command(nonlinearity)
