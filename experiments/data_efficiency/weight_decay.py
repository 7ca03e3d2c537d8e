"""How much weight decay is good, and when does it undo what was learned?

The weight-decay sweep of section 3.3 of "Grokking Phenomenon Reproduction" by Sha, Wu and Yue: a
Transformer at alpha = 0.5 under AdamW, with decays from 0 to 1.5, trained on after it has
generalized. A rollback is a fall of the test accuracy below 50 % after it has been at 99 %.

    python experiments/data_efficiency/weight_decay.py  # quick: p = 17, a minute on 2 cores
    python experiments/data_efficiency/weight_decay.py --scale medium  # p = 31: 10 minutes, busy
    python experiments/data_efficiency/weight_decay.py --scale paper  # p = 97, for a GPU

At paper scale there are 28 networks of 1e5 steps, of about 17 ms of a core of an AMD EPYC each: 14
core hours.

Expected: more decay generalizes sooner; above 0.2 there are occasional rollbacks; at 1.5 the
accuracy is not restored within 3e4 steps. At quick scale, where fewer steps ask for more decay,
networks generalize with 0.3 to 1, sooner with more, and roll back more often the more it is; with 2
and above they no longer get there. So it is at medium scale, with 0.3 to 1.5 and short rollbacks.
"""

import numpy as np

import grokjax
from experiments.common import about, transformer
from grokjax import losses, optimizers, plotting, tasks
from grokjax.command import Study, experiment, print_table, run_as_command


@experiment("data_efficiency/weight_decay", medium={
    "p": 31, "alpha": 0.65, "seeds": 2, "max_steps": 10_000, "eval_every": 20,
    "weight_decays": (0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 3),
    "learning_rate": 3e-3,
}, paper={
    "p": 97, "alpha": 0.5, "seeds": 2, "max_steps": 100_000, "eval_every": 50,
    "weight_decays": (0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.5),
    "learning_rate": 1e-3,
})  # fmt: skip
def weight_decay(
    study: Study,
    *,
    p: int = 17,
    alpha: float = 0.8,
    weight_decays: tuple[float, ...] = (0, 0.1, 0.3, 0.5, 1, 2, 4),
    seeds: int = 3,
    max_steps: int = 2000,
    eval_every: int = 10,
    learning_rate: float = 1e-2,
) -> grokjax.SweepResult:
    """Generalization and rollbacks of Transformers under different weight decays.

    Args:
      max_steps: training steps of each; none stops sooner.
      eval_every: steps between measurements; a rollback that is over sooner is not seen.
    """
    model = transformer(p, study.scale)
    columns = {"learning_rate": learning_rate, "warmup": 10}
    with study.sweeps(draw, print_rollbacks) as sweeps:
        sweeps.run(
            grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=512),
            tasks.modular_addition(p),
            grokjax.grid(alpha=alpha, weight_decay=weight_decays, seed=range(seeds), **columns),
            max_steps=max_steps, eval_every=eval_every, stop=None,
            checkpoints="weight_decays", keep_params="none",
        )  # fmt: skip
    return sweeps.result


def with_rollbacks(
    result: grokjax.SweepResult, high: float = 0.99, low: float = 0.5
) -> grokjax.SweepResult:
    """The result with how often the test accuracy fell below `low` after it first was `high`.

    Returns:
      By lane: `generalization_step`, the first measurement of at least `high` (NaN if there is
      none), and `low_share`, the fraction of the later measurements that are below `low`. By lane
      and time: `rollbacks`, how often accuracy has gone below `low` since.
    """
    dataset = result.dataset
    accuracy = dataset.test_accuracy.values
    later = np.maximum.accumulate(accuracy >= high, axis=1)
    below = later & (accuracy < low)
    falls = np.diff(below, axis=1, prepend=False) & below  # the first of `later` itself is high
    measured = ~np.isnan(accuracy)
    with np.errstate(invalid="ignore"):
        low_share = below.sum(axis=1) / (later & measured).sum(axis=1)
    steps = np.where(later.any(axis=1), dataset.step.values[later.argmax(axis=1)], np.nan)
    return result.assign(
        generalization_step=("lane", steps),
        low_share=("lane", low_share),
        rollbacks=(("lane", "time"), falls.cumsum(axis=1)),
    )


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """When networks generalize, and how often they roll back, by weight decay."""
    dataset = with_rollbacks(result).dataset
    reached = dataset.generalization_step.notnull()
    dataset = dataset.assign(
        watched_step=dataset.final_step,  # the last measurement can be that of 99 %
        rollbacks=dataset.rollbacks.where(reached),  # otherwise there was nothing to lose
    )
    decays = [f"{decay:g}" for decay in dataset.weight_decay.values]
    dataset = dataset.assign_coords(weight_decay=("lane", decays))  # in even steps, also from 0
    figure, (left, right) = plotting.new_figure(1, 2, size=(8, 3.4))
    steps = {"generalization_step": "99 % of the test rows"}
    plotting.step_against(dataset, steps, "weight_decay", left)
    plotting.final_against(dataset, "rollbacks", "weight_decay", ax=right)
    top = max(4, dataset.rollbacks.max())
    right.set(ylabel="rollbacks of those that reached 99 %", ylim=(-0.4, top + 0.4))
    right.yaxis.get_major_locator().set_params(integer=True)
    return figure


def print_rollbacks(result: grokjax.SweepResult) -> None:
    """One row for each network."""
    budget = result.dataset.step.values[-1]
    columns = {
        "generalization_step": ("99 % at step", ",.0f"),
        "rollbacks": ("rollbacks", ".0f"),
        "low_share": ("time below 50 %", ".0%"),
        "test_accuracy": ("final accuracy", ".0%"),
    }
    cell = lambda x, form: "-" if np.isnan(x) else format(x.item(), form)
    rows = [
        (decay, seed, *(cell(end[name], form) for name, (_, form) in columns.items()))
        for (decay, seed), lane in with_rollbacks(result).groups("weight_decay", "seed")
        for end in [lane.at(budget).isel(lane=0)]
    ]
    headings = ("weight decay", "seed", *(heading for heading, _ in columns.values()))
    print_table(f"{about(result)}: {budget:,} steps", headings, rows, sections=True)


if __name__ == "__main__":
    run_as_command(weight_decay)
