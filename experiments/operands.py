"""Does a Transformer grok sums of more operands from a smaller fraction of their table?

The question of section 3.4 and figures 5 to 8 of "Grokking Phenomenon Reproduction" by Sha, Wu and
Yue: K-wise addition modulo 31, for K from 2 to 5.

    python experiments/operands.py                       # quick: p = 13, a minute or two on 2 cores
    python experiments/operands.py --scale paper         # p = 31, up to 1e5 steps: for a GPU
    python experiments/operands.py --scale paper --figures 5    # K = 2 and 3 only

Expected: with three operands the network groks at smaller alpha than with two, and sooner after it
has memorized. With four (figure 6) test accuracy jumps before 60 % of the training rows are right,
at alpha 9 % and not at every value near it; with more decay and dropout (figure 7) at 6 to 8 %, but
accuracy falls back at times. With five (figure 8) 0.5 % of the table is not enough, and 0.1 % is if
all equations of two and three operands are trained on as well. At the quick scale three operands
are learned from 80 % of their table in 2e3 steps, nearly from 60 %, and two not even from 90 %; all
pairs do not help three operands there.

Tables of four and five operands are sampled: alpha is the fraction of the whole table, and the test
rows are `tests_per_train` times the training rows: 3 in the report's text, 9 in its code.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
import xarray

import grokjax
from grokjax import losses, models, optimizers, plotting, tasks
from grokjax.command import Positive, Study, choose, experiment, print_table, run_as_command, spread


class Sums(NamedTuple):
    """Networks on one table: those of one seed side by side, as in `zip_lanes`."""

    operands: int
    alpha: tuple[float, ...]
    weight_decay: tuple[float, ...] | float
    dropout: tuple[float, ...] | float = 0.1
    extra: tuple[int, ...] = ()  # operands of the equations that are all trained on as well


FIGURES = {
    # Smaller tables, which need more of their rows, and decay that a short training can feel. Three
    # operands stand for the four and five of the report, and all pairs for its pairs and triples.
    "quick": {
        "5": (Sums(2, (0.7, 0.8, 0.9), 0.3), Sums(3, (0.4, 0.6, 0.8), 0.3)),
        "6": (Sums(3, (0.5, 0.51, 0.52), 0.3),),
        "7": (Sums(3, (0.5, 0.5, 0.4), (0.3, 1.0, 1.0), (0.2, 0.3, 0.3)),),
        "8": (Sums(3, (0.4,), 0.3), Sums(3, (0.4,), 0.3, extra=(2,))),
    },
    "paper": {
        "5": (Sums(2, (0.4, 0.5, 0.6, 0.7, 0.8), 0.1), Sums(3, (0.15, 0.2, 0.25, 0.3, 0.35), 0.1)),
        "6": (Sums(4, (0.08, 0.09, 0.091, 0.092), 0.1),),
        "7": (Sums(4, (0.08, 0.08, 0.06), (0.1, 0.2, 0.2), (0.2, 0.3, 0.3)),),
        "8": (Sums(5, (0.005,), 0.1), Sums(5, (0.001,), 0.01, extra=(2, 3))),
    },
}


@experiment(paper={
    "figures": ("5", "6", "7", "8"), "p": 31, "width": 128, "layers": 2, "seeds": 3,
    "learning_rate": 1e-3, "max_steps": 100_000, "batch_size": 512,
})  # fmt: skip
def operands(
    study: Study,
    *,
    figures: tuple[str, ...] = ("5", "8"),
    p: int = 13,
    width: int = 64,
    layers: int = 1,
    seeds: int = 1,
    learning_rate: float = 3e-3,
    max_steps: int = 3000,
    batch_size: int = 256,
    tests_per_train: Positive = 3.0,
) -> dict[str, grokjax.SweepResult]:
    """Sums of two to five operands by a Transformer: a result for each figure, by its number.

    Args:
      figures: of the report, any of 5, 6, 7, 8.
      width: of the Transformer.
      layers: of the Transformer.
      learning_rate: of AdamW, after a warmup of 10 steps.
      batch_size: rows of a step.
      tests_per_train: test rows for each training row, where the table has more.
    """
    model = models.Transformer(p, width=width, layers=layers)
    recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=batch_size)
    results = {}
    for name in choose("figure", figures, FIGURES[study.scale]):
        steps = name == "5"  # which shows when networks have grokked, and the others the curves
        spacing = 50 if study.scale == "quick" else 100 if steps else 1000
        draw = draw_steps if steps else draw_accuracies
        with study.sweeps(draw, print_findings, part=f"figure_{name}", running=True) as sweeps:
            for i, sums in enumerate(FIGURES[study.scale][name]):
                task = task_of(sums, p, tests_per_train)
                each = grokjax.zip_lanes(
                    alpha=sums.alpha, weight_decay=sums.weight_decay, dropout=sums.dropout
                )
                each = {k: np.repeat(v, seeds) for k, v in each.items()}
                each["seed"] = np.tile(np.arange(seeds), len(sums.alpha))
                extra = ", ".join(f"K = {k}" for k in sums.extra)
                sweeps.run(
                    recipe, task, grokjax.zip_lanes(**each, learning_rate=learning_rate, warmup=10),
                    title=f"figure {name}: {task.name}, {task.num_rows:,} rows",
                    columns={"operands": sums.operands, "extra": extra}, checkpoints=f"{name}_{i}",
                    max_steps=max_steps, stop=grokjax.grokked() if steps else None,
                    eval_every=min(spacing, max(1, max_steps // 10)),  # of a short trial too
                    keep_params="none",
                )  # fmt: skip
        results[name] = sweeps.result
    return results


def task_of(sums: Sums, p: int, tests_per_train: float) -> tasks.Task:
    """The table of these sums: the whole one, or a sample for training and testing."""
    total = p**sums.operands
    wanted = round((1 + tests_per_train) * max(sums.alpha) * total)
    sample: dict[str, Any] = {"num_rows": wanted, "key": jax.random.key(0)}
    task = tasks.modular_addition(p, sums.operands, **(sample if wanted < total else {}))
    extra = [tasks.modular_addition(p, k) for k in sums.extra]
    return tasks.with_extra_training(task, *extra) if extra else task


def with_kinds(result: grokjax.SweepResult) -> grokjax.SweepResult:
    """The result with the column `kind`: a title that lanes share that differ in the seed only."""
    dataset = result.dataset
    varies = len(np.unique(dataset.dropout)) > 1
    names = ("operands", "extra", "alpha", "weight_decay", "dropout")
    titles = []
    columns = (dataset[name].values for name in names)
    for terms, extra, alpha, decay, dropout in zip(*columns, strict=True):
        title = f"K = {terms}, $\\alpha$ = {100 * alpha:g} %" + (f" + {extra}" if extra else "")
        titles.append(title + (f"\ndecay {decay:g}, dropout {dropout:g}" if varies else ""))
    return result.assign_coords(kind=("lane", titles))


def findings(result: grokjax.SweepResult) -> xarray.Dataset:
    """The numbers of the figures, one for every lane.

    Returns:
      `memorized` and `grokked`, steps; `train at half`, training accuracy when half of the test
      rows are right; `best test`, accuracy; `fall`, the most that test accuracy fell.
    """
    dataset = result.dataset
    test = dataset.test_accuracy
    half = test >= 0.5
    best = np.fmax.accumulate(test.values, axis=1)
    at_half = dataset.train_accuracy.isel(time=half.argmax("time")).where(half.any("time"))
    numbers = {
        "memorized": dataset.memorization_step,
        "grokked": dataset.grokking_step,
        "train at half": at_half,
        "best test": test.max("time"),
        "fall": (best - test).max("time"),
    }
    return xarray.Dataset(numbers).reset_coords(drop=True)


def draw_steps(result: grokjax.SweepResult) -> "plotting.Figure":
    """Steps to memorize and to generalize against alpha, a panel for each number of operands."""
    steps = {"memorization_step": "memorized", "grokking_step": "generalized"}
    panel = lambda lanes, ax: plotting.step_against(lanes, steps, "alpha", ax, legend=False)
    return plotting.group_panels(result, "operands", panel, size=(3.4, 2.7))


def draw_accuracies(result: grokjax.SweepResult) -> "plotting.Figure":
    """Training and test accuracy against the step, a panel for each kind of network."""
    names = ("train_accuracy", "test_accuracy")
    panel = lambda lanes, ax: plotting.curves(lanes, names, ax, ylabel="accuracy", legend=False)
    return plotting.group_panels(with_kinds(result), "kind", panel)


def print_findings(result: grokjax.SweepResult) -> None:
    """The findings of every kind of network: the median over seeds, and the extremes."""

    def cell(name: str, values: np.ndarray) -> str:
        """Of the lanes that have a value, and how many have none."""
        never = int(np.isnan(values).sum())
        some = f"\n{never} never" if never else ""
        form = "" if name in ("memorized", "grokked") else ".2f"  # steps, or accuracies
        known = values[~np.isnan(values)]
        return spread(known, form, lines=True) + some if known.size else "never"

    rows = [
        (title.replace("$\\alpha$", "alpha"), *(cell(str(k), x.values) for k, x in found.items()))
        for title, lanes in with_kinds(result).groups("kind")
        for found in [findings(lanes)]
    ]
    p = result.dataset.attrs["task"].split()[-1]
    seeds, steps = len(np.unique(result.dataset.seed)), result.dataset.final_step.max().item()
    of = f"median of {seeds} seeds" if seeds > 1 else "1 seed"
    headings = ("", *(str(name).replace(" ", "\n", 1) for name in findings(result)))
    print_table(f"sums modulo {p}: {of}, {steps:,} steps at most", headings, rows)


if __name__ == "__main__":
    run_as_command(operands)
