"""With what data, weight decay and label noise does a network grok, and how sharp is the boundary?

Doshi et al. 2023 (arXiv 2310.13061) draw such diagrams of alpha and label noise, 1,156 cells of one
network each. Here every cell has several networks, so that a colour is a probability, and the
boundary, the alpha at which half of the networks grok, has a confidence interval. All networks of
both diagrams, alpha against weight decay and alpha against label noise, are one call of
`run_sweep`: decay and noise are columns of it.

    python experiments/phase_diagram.py                   # quick: p = 23, a minute on 2 cores
    python experiments/phase_diagram.py --scale medium    # 1,920 networks: 15 minutes, busy cores
    python experiments/phase_diagram.py --scale paper     # p = 97: 11,560 networks, for a GPU

Expected: the alpha that is needed falls with decay by about a third, and rises again steeply until
a network that forgets too fast groks at no alpha. Label noise raises it steadily: with 0.3 of the
labels random hardly any alpha is enough. The boundary is sharp: seeds disagree in one cell of a row
or in none, so that a single seed misplaces it by little.
"""

from typing import Any

import numpy as np

import grokjax
from experiments.common import adamw
from grokjax import plotting, tasks
from grokjax.command import Share, Study, experiment, number, print_table, run_as_command
from grokjax.critical import Transition, transition

# The rows of each diagram.
AXES = {"weight_decay": "weight decay", "label_noise": r"label noise $\xi$"}
BOUNDARY = "#D55E00"


@experiment(medium={
    "alphas": tuple(np.linspace(0.25, 0.95, 15).round(2).tolist()),
    "weight_decays": tuple(np.geomspace(0.1, 25.6, 9).round(1).tolist()),
    "label_noises": (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3), "seeds": 8, "max_steps": 1500,
}, paper={
    "p": 97, "width": 500, "alphas": tuple(np.linspace(0.1, 0.9, 17).round(2).tolist()),
    "weight_decays": tuple(np.geomspace(0.1, 25.6, 17).round(3).tolist()),
    "label_noises": (0, *np.linspace(0.05, 0.8, 16).round(2).tolist()), "seeds": 20,
    "max_steps": 20_000, "eval_every": 20,
})  # fmt: skip
def phase_diagram(
    study: Study,
    *,
    p: int = 23,
    width: int = 64,
    alphas: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    weight_decays: tuple[float, ...] = (0.3, 1, 3, 10, 30),
    label_noises: tuple[Share, ...] = (0, 0.1, 0.2, 0.3),
    reference_decay: float = 5.0,
    seeds: int = 4,
    max_steps: int = 1000,
    eval_every: int = 10,
) -> grokjax.SweepResult:
    """Probability of grokking over alpha and weight decay, and over alpha and label noise.

    A network groks if its answers to 99 % of the test rows are right, and stay so for three
    measurements; test rows have their true labels.

    Args:
      weight_decays: of AdamW, in the standard parameterization, without label noise.
      label_noises: xi, fractions of the training labels that are random, at the reference decay.
      reference_decay: the weight decay of the diagram of label noise.
      seeds: networks for each cell; every network of the study has a seed of its own, so that all
        are independent of each other.
      max_steps: training steps after which a network that has not grokked is given up.

    Returns:
      The networks of both diagrams, with the column `diagram`.
    """
    recipe, rates = adamw(p, width)
    task = tasks.modular_addition(p)
    cells = {
        "weight_decay": grokjax.grid(weight_decay=weight_decays, label_noise=0.0, alpha=alphas),
        "label_noise": grokjax.grid(
            weight_decay=reference_decay, label_noise=label_noises, alpha=alphas
        ),
    }
    columns = {
        name: np.repeat(np.concatenate([each[name] for each in cells.values()]), seeds)
        for name in ("weight_decay", "label_noise", "alpha")
    }
    lanes = grokjax.zip_lanes(
        learning_rate=rates["learning_rate"], seed=np.arange(len(columns["alpha"])), **columns
    )
    names = np.repeat(list(cells), [seeds * len(each["alpha"]) for each in cells.values()])
    with study.sweeps(draw, print_boundaries) as sweeps:
        sweeps.run(
            recipe, task, lanes, title="both diagrams", checkpoints="lanes",
            columns={"diagram": lambda dataset: names[dataset.seed.values]},
            max_steps=max_steps, eval_every=eval_every, keep_params="none",
        )  # fmt: skip
    return sweeps.result


def boundaries(result: grokjax.SweepResult, column: str) -> dict[float, Transition]:
    """The alpha at which half of the networks grok, for each value of a column."""
    return {
        value: transition(lanes.dataset.alpha, lanes.dataset.grokking_step.notnull())
        for value, lanes in result.groups(column)
    }


def shares(result: grokjax.SweepResult, column: str) -> np.ndarray:
    """The share of networks that grokked in each cell of a column and alpha, [cells]."""
    each = [lanes.dataset.grokking_step.notnull() for _, lanes in result.groups(column, "alpha")]
    return np.array([grokked.values.mean() for grokked in each])


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Both diagrams, with the boundary and its interval in every row of cells."""
    diagrams = result.groups("diagram")
    figure, axes = plotting.new_figure(
        1, len(diagrams), size=(7.4, 3.4), sharex=True, squeeze=False
    )
    for ax, (column, lanes) in zip(axes[0], diagrams, strict=True):
        plotting.phase_diagram(lanes, "alpha", column, ax, legend=False)
        ax.set(xlabel=plotting.ALPHA, ylabel=AXES[column])
        limits = ax.get_xlim()
        for place, edge in zip(_rows(ax), boundaries(lanes, column).values(), strict=True):
            if edge.low > 0 and edge.high < 1:  # elsewhere alpha does not decide
                interval = [[edge.alpha - edge.low], [edge.high - edge.alpha]]
                ax.errorbar(
                    edge.alpha, place, xerr=interval, fmt="o", color=BOUNDARY, markersize=4,
                    capsize=2.5, markeredgecolor="white", label="half grok, 95 % interval",
                )  # fmt: skip
        ax.set_xlim(limits)
        if ax.get_yscale() == "linear":
            ax.set_yticks([tick for tick in ax.get_yticks() if tick >= 0])
            ax.set_ylim(ax.collections[0].get_coordinates()[[0, -1], 0, 1])
    label = f"share of {_seeds(result)} networks that grokked"
    figure.colorbar(axes[0, 0].collections[0], ax=axes, label=label, pad=0.02, aspect=30)
    plotting.legend_outside(figure)
    return figure


def _rows(ax: Any) -> np.ndarray:
    """Where the middle of each row of cells is, from the bottom."""
    edges = ax.collections[0].get_coordinates()[:, 0, 1]
    logarithmic = ax.get_yscale() == "log"
    return np.sqrt(edges[1:] * edges[:-1]) if logarithmic else (edges[1:] + edges[:-1]) / 2


def _seeds(result: grokjax.SweepResult) -> str:
    """How many networks the cells have, such as "4"."""
    sizes = [lanes.dataset.sizes["lane"] for _, lanes in result.groups(*AXES, "alpha", "diagram")]
    few, many = min(sizes), max(sizes)
    return f"{many}" if few == many else f"{few} to {many}"


def print_boundaries(result: grokjax.SweepResult) -> None:
    """The boundary of each diagram, and what a single network in every cell would have shown."""
    attributes = result.dataset.attrs
    alone = []
    for column, lanes in result.groups("diagram"):
        name = column.replace("_", " ")
        rows = []
        for (value, edge), (_, row) in zip(
            boundaries(lanes, column).items(), lanes.groups(column), strict=True
        ):
            grokked = row.dataset.grokking_step.notnull()
            interval = f"{edge.low:.3f} to {edge.high:.3f}"
            if edge.low <= 0 or edge.high >= 1:
                interval = f"below {edge.high:.3f}" if edge.low <= 0 else f"above {edge.low:.3f}"
            alpha = f"{edge.alpha:.3f}" if edge.low > 0 and edge.high < 1 else ""
            count = f"{grokked.sum().item()} of {grokked.size}"
            rows.append((number(value), alpha, interval, count))
        print_table(
            f"{attributes['task']}, AdamW: alpha at which half of the networks grok within "
            f"{attributes['max_steps']:,} steps",
            (name, "alpha", "95 % interval", "grokked"),
            rows,
        )
        share = shares(lanes, column)
        wrong = np.minimum(share, 1 - share)
        split = (wrong > 0).sum()
        alone.append((name, share.size, split, f"{wrong.sum():.1f}"))
    print_table(
        f"What a single network in every cell would have shown instead of {_seeds(result)}",
        ("alpha and", "cells", "networks\ndisagree in", "expected on the wrong\nside of one half"),
        alone,
    )


if __name__ == "__main__":
    run_as_command(phase_diagram)
