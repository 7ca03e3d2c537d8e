"""Does a network that generalizes go back to memorizing when its training set shrinks?

The question of figures 7 and 8 of the technical report "Towards Understanding Grokking Phenomenon
via Model and Training Efficiency": networks that grokked go on training on a small subset of the
rows they were trained on, for several sizes of the subset, networks and weight decays.

    python experiments/efficiency/ungrokking.py                  # quick: p = 23, a minute, 2 cores
    python experiments/efficiency/ungrokking.py --scale paper    # p = 97: for a GPU

Expected: below a critical size test accuracy falls towards chance, in every network and with every
weight decay above 0 alike; at the quick scale they forget there without decay too, though less.
"""

import numpy as np

import grokjax
from experiments.common import networks_for
from grokjax import losses, optimizers, plotting, tasks
from grokjax.command import Study, choose, experiment, print_table, run_as_command, spread


@experiment("efficiency_ungrokking", paper={
    "p": 97, "alpha": 0.7, "small": (0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
    "decays": (0.0, 0.1, 0.3, 1.0), "seeds": 3, "parent_steps": 100_000, "max_steps": 50_000,
})  # fmt: skip
def ungrokking(
    study: Study,
    *,
    networks: tuple[str, ...] = ("transformer", "lstm", "mlp"),
    p: int = 23,
    alpha: float = 0.9,
    small: tuple[float, ...] = (0.05, 0.2, 0.4),
    decays: tuple[float, ...] = (0.0, 0.3, 1.0),
    seeds: int = 2,
    parent_steps: int = 2000,
    max_steps: int = 400,
) -> grokjax.SweepResult:
    """Test accuracy of networks that grokked, while they train on a subset of their rows.

    The training sets of one seed are nested in alpha, so those of `small` are subsets. The test
    rows are all others, also those that the network saw before. AdamW's averages start anew.
    Training is on all rows at once; at scale paper in minibatches of 512.

    Args:
      networks: any of quadratic, mlp, lstm, transformer, which are told by the column `network`.
      alpha: the fraction of the table that the networks grok on before, with a weight decay of 1.
      small: fractions to go on with, each less than alpha.
      decays: weight decays to go on with; 0 is none.
      seeds: networks of each kind; those that have not grokked are left out.
      parent_steps: most steps in which they have to grok.
      max_steps: steps they go on for.

    Raises:
      ValueError: for an unknown network, a fraction that is not small, or if no network grokked.
    """
    known = networks_for(p, study.scale)
    networks = choose("network", networks, known)
    if max(small) >= alpha:
        raise ValueError(f"small={max(small):g} is no subset of alpha={alpha:g}; use less.")
    task = tasks.modular_addition(p)
    for fraction in small:
        tasks.num_train_rows(task, fraction)  # refused now rather than after the parents
    batch = 512 if study.scale == "paper" else None
    with study.sweeps(draw, print_accuracies) as sweeps:
        for name in networks:
            model, rate = known[name]
            recipe = grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=batch)
            columns = {"learning_rate": rate, "warmup": 10}
            parents = sweeps.run(
                recipe, task,
                grokjax.grid(alpha=alpha, seed=range(seeds), weight_decay=1.0, **columns),
                title=f"{name}, learning to generalize", checkpoints=f"{name}/parents", kept=False,
                max_steps=parent_steps, eval_every=max(1, parent_steps // 100),
            )  # fmt: skip
            grokked = parents.dataset.grokking_step.notnull().values
            if not grokked.any():
                print(f"{name}: none of {len(grokked)} grokked, left out; raise parent_steps")
                continue
            seed = parents.dataset.seed.values[grokked]
            lanes = grokjax.grid(alpha=small, weight_decay=decays, seed=seed, **columns)
            sweeps.run(
                recipe, task, lanes,
                title=f"{name}, of {grokked.sum()} that grokked", columns={"network": name},
                checkpoints=f"{name}/branches", keep_params="none",
                max_steps=max_steps, eval_every=max(1, max_steps // 50), stop=None,
                initial=parents.branch(lanes, ["seed"]),
            )  # fmt: skip
        if not sweeps.results:
            raise ValueError("no network grokked; raise parent_steps or alpha.")
    return sweeps.result


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """Final test accuracy over alpha, and its curves at the smallest one, for each network."""
    groups, fewest = result.groups("network"), result.dataset.alpha.values.min()
    colours = plotting.colours_by(result, "weight_decay")
    size = (2.5 * len(groups) + 0.4, 5.0)
    figure, axes = plotting.new_figure(2, len(groups), size=size, sharey=True, squeeze=False)
    for (above, below), (name, lanes) in zip(axes.T, groups, strict=True):
        plotting.final_against(lanes, "test_accuracy", "alpha", colours, above, legend=False)
        above.set_title(name)
        few = lanes.select(lanes.dataset.alpha == fewest)
        if few.dataset.sizes["lane"]:  # else they were interrupted
            options = {"by": colours, "xscale": "linear", "legend": False}
            plotting.curves(few, ["test_accuracy"], below, **options)
        rows = round(fewest * result.dataset.attrs["rows"])
        below.set(title=rf"$\alpha$ = {fewest:g}, {rows:,} rows", xlabel="step after the cut")
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    plotting.legend_outside(figure, colours=colours)
    return figure


def print_accuracies(result: grokjax.SweepResult) -> None:
    """Median final test accuracy for each network, decay and fraction."""
    attributes, alphas, rows = result.dataset.attrs, np.unique(result.dataset.alpha), []
    for (name, decay), lanes in result.groups("network", "weight_decay"):
        last = lanes.final("test_accuracy")
        ends = [last.values[last.alpha.values == alpha] for alpha in alphas]
        rows.append((name, decay, *(f"{np.median(end):.2f}" if end.size else "" for end in ends)))
    title = "{task}: test accuracy {max_steps:,} steps after the cut, chance {chance:.3f}"
    sizes = [f"{round(alpha * attributes['rows']):,}\nrows" for alpha in alphas]
    headings = ("network", "decay", *sizes)
    note = f"test accuracy at the cut: {spread(result.dataset.test_accuracy.values[:, 0], '.3f')}"
    print_table(title.format_map(attributes), headings, rows, notes=[note], sections=True)


if __name__ == "__main__":
    run_as_command(ungrokking)
