"""What does a network make of training labels that are wrong?

The question of Doshi et al. 2023 (arXiv 2310.13061): modular addition by the two-layer network with
a square, AdamW and squared error, when a fraction xi of the training labels is random; without and
with weight decay or dropout.

    python experiments/label_corruption.py                  # quick: p = 23, a minute on 2 cores
    python experiments/label_corruption.py --scale paper    # p = 97: 2,023 networks, for a GPU

Expected: with enough data and few corrupted labels a network memorizes the corrupted labels and
generalizes at the same time (coexistence). Weight decay and dropout make it answer corrupted rows
with the truth instead (partial, then full inversion): it first groks and then unlearns what it had
memorized. Too much decay makes it forget everything. The neurons whose spectra are least
concentrated hold what was memorized: without them, corrupted rows get their true answers too, and
test accuracy survives.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray

import grokjax
from experiments.common import adamw
from grokjax import losses, measures, plotting, spectral, tasks
from grokjax.command import Share, Study, experiment, print_table, run_as_command

PHASES = {
    "coexistence": "#0072B2",
    "partial inversion": "#56B4E9",
    "full inversion": "#009E73",
    "memorization": "#E69F00",
    "confusion": "#CC79A7",
    "forgetting": "#777777",
}
GROUPS = {  # of rows, with the measurement that tells how many get the answer in question
    "test rows: right": "test_accuracy",
    "uncorrupted rows: right": "uncorrupted_accuracy",
    "corrupted rows: as trained": "memorized",
    "corrupted rows: right": "inverted",
}
TENTHS = tuple(np.linspace(0.1, 0.9, 17).round(2).tolist())


# The grids, the steps and the one seed of the paper scale are those of the authors' scripts.
@experiment(paper={
    "p": 97, "width": 500, "alphas": TENTHS, "fractions": TENTHS,
    "weight_decays": (0, 5, 15, 20), "dropouts": (0.3, 0.6, 0.9), "example": (0.5, 0.35),
    "max_steps": 2000, "eval_every": 20,
})  # fmt: skip
def label_corruption(
    study: Study,
    *,
    p: int = 23,
    width: int = 128,
    alphas: tuple[float, ...] = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3),
    weight_decays: tuple[float, ...] = (0, 5, 10, 20),
    dropouts: tuple[float, ...] = (0.3, 0.6),
    example: tuple[float, Share] = (0.9, 0.1),
    seeds: int = 1,
    max_steps: int = 1000,
    eval_every: int = 10,
) -> grokjax.SweepResult:
    """Phases of networks trained on partly random labels, and which neurons memorize them.

    Args:
      fractions: xi, of the training labels, that are random.
      weight_decays: of AdamW, in the standard parameterization, each without dropout.
      dropouts: of the hidden layer, each without weight decay.
      example: alpha and xi of networks that are followed through training, and pruned.
      seeds: networks for each cell of a diagram, with seeds 0, 1, ...; their medians are shown.
      eval_every: steps between measurements of the examples; others are measured at their end.

    Returns:
      The networks of the phase diagrams. The examples are the result in `output/examples`, with the
      variable `pruned` [lane, order, removed, group].
    """
    trainings = {x: adamw(p, width, x, measures=(measures.corruption,)) for x in (0.0, *dropouts)}
    recipe, rates = trainings[0.0]
    task = tasks.modular_addition(p)
    alpha, fraction = example
    tasks.num_train_rows(task, alpha)  # refused now rather than after the diagrams
    grid = lambda **columns: grokjax.grid(**rates | columns, seed=range(seeds))
    options: dict[str, Any] = {"max_steps": max_steps, "stop": None}
    with study.sweeps({"phases": draw_phases}, print_phases) as sweeps:
        for dropout, (regularized, _) in trainings.items():
            decays = 0.0 if dropout else weight_decays
            sweeps.run(
                regularized, task, grid(weight_decay=decays, label_noise=fractions, alpha=alphas),
                columns={"dropout": dropout, "regularizer": regularizers},
                checkpoints=f"dropout_{dropout:g}", eval_every=max_steps,
                keep_params="none", **options,
            )  # fmt: skip
    lanes = grid(weight_decay=weight_decays, label_noise=fraction, alpha=alpha)
    with study.sweeps(draw_examples, print_pruning, part="examples") as examples:
        examples.run(
            recipe, task, lanes, checkpoints="examples", eval_every=eval_every, then=prune,
            **options,
        )  # fmt: skip
    return sweeps.result


def regularizers(lanes: xarray.Dataset) -> list[str]:
    """What regularizes each lane, such as "weight decay 5" or "dropout 0.3": [L]."""
    return [
        f"dropout {dropout:g}" if dropout else f"weight decay {decay:g}"
        for dropout, decay in zip(lanes.dropout.values, lanes.weight_decay.values, strict=True)
    ]


def phase_table(result: grokjax.SweepResult) -> xarray.DataArray:
    """The phase of every cell, from the medians over seeds: [regularizer, label_noise, alpha].

    "" where no network was trained to the end, as after an interruption.
    """
    accuracies = ("test_accuracy", "memorized", "uncorrupted_accuracy")
    last = {f"final_{name}": result.final(name).drop_vars("step") for name in accuracies}
    table = result.assign(**last).table(["regularizer", "label_noise", "alpha", "seed"])
    middle = table[list(last)].median("seed")
    test, memorized, uncorrupted = (middle[name] for name in last)
    phases = measures.corruption_phase(test, memorized, uncorrupted)
    return test.copy(data=phases).rename("phase")


def prune(result: grokjax.SweepResult) -> grokjax.SweepResult:
    """The result with `pruned`, accuracies without some neurons: [lane, order, removed, group].

    Neurons are removed in the order of their inverse participation ratios, lowest or highest first,
    in 20 steps from none to all. The groups of rows are those of `GROUPS`.
    """
    task, networks = result.task, [result.network(i) for i in range(result.dataset.sizes["lane"])]
    assert task is not None
    width = len(networks[0].params["w2"])
    removed = np.linspace(0, width, 21).round().astype(int)

    @jax.jit
    def accuracies(params: Any, split: tasks.Split) -> jax.Array:
        rank = jnp.argsort(jnp.argsort(spectral.network_ipr(params)))

        def without(gone: jax.Array) -> jax.Array:
            pruned = params | {"w2": jnp.where(gone[:, None], 0.0, params["w2"])}
            network = measures.network_of(networks[0].model, pruned, task, split, loss=losses.mse)
            numbers = measures.accuracies(network) | measures.corruption(network)
            return jnp.stack([numbers[name] for name in GROUPS.values()])

        order = jnp.stack([rank, width - 1 - rank])
        gone = order[:, None, :] < removed[None, :, None]
        return jax.lax.map(without, gone.reshape(-1, width)).reshape(2, len(removed), -1)

    each = [accuracies(x.params, result.split(lane)) for lane, x in enumerate(networks)]
    dims = ("lane", "order", "removed", "group")
    attributes = {"long_name": "accuracy without some neurons"}
    return result.assign(pruned=(dims, np.stack(each), attributes))


def draw_phases(result: grokjax.SweepResult) -> "plotting.Figure":
    """The phase diagram of every regularizer."""
    from matplotlib.colors import ListedColormap

    table = phase_table(result)
    colours = ListedColormap(list(PHASES.values()))
    place = {phase: float(i) for i, phase in enumerate(PHASES)}

    def draw_diagram(lanes: grokjax.SweepResult, ax: Any) -> None:
        cells = table.sel(regularizer=lanes.dataset.regularizer.values[0])
        numbers = cells.copy(data=[[place.get(x, np.nan) for x in row] for row in cells.values])
        plotting.heatmap(numbers, ax, ylabel=r"corrupted fraction $\xi$", colorbar=False)
        limits = (-0.5, len(PHASES) - 0.5)
        ax.collections[-1].set(cmap=colours, clim=limits, edgecolor="white", linewidth=0.4)
        for phase in PHASES:
            if phase in table:
                ax.fill([], [], color=PHASES[phase], label=phase)

    return plotting.group_panels(result, "regularizer", draw_diagram, columns=4, size=(1.75, 1.75))


def draw_examples(result: grokjax.SweepResult) -> "plotting.Figure":
    """Training and pruning of the examples."""
    dataset = result.dataset.copy()
    for group, name in GROUPS.items():
        dataset[name].attrs["long_name"] = group
    decays = np.unique(dataset.weight_decay)
    figure, axes = plotting.new_figure(
        2, len(decays), size=(7.4, 4.6), sharex="row", sharey=True, squeeze=False
    )
    for (above, below), decay in zip(axes.T, decays, strict=True):
        lanes = dataset.isel(lane=dataset.weight_decay.values == decay)
        plotting.curves(lanes, list(GROUPS.values()), above, legend=False)
        above.set_title(f"weight decay {decay:g}")
        pruned = lanes.pruned.median("lane").values
        removed = np.linspace(0, 1, pruned.shape[1])
        lines = {"lowest": plotting.TEST, "highest": plotting.TRAIN}
        for curves, (first, line) in zip(pruned, lines.items(), strict=True):
            for i in range(len(GROUPS)):
                below.plot(removed, curves[:, i], color=plotting.PALETTE[i], **line)
            below.plot([], [], color=plotting.GREY, label=f"{first} IPR removed first", **line)
        plotting.chance_line(below, dataset.attrs["chance"])
        below.set(xlabel="neurons removed", ylim=(-0.03, 1.03), xticks=(0, 0.5, 1))
    for ax in axes[:, 0]:
        ax.set_ylabel("fraction of rows")
    plotting.legend_outside(figure)
    alpha, fraction = (dataset[name].values[0] for name in ("alpha", "label_noise"))
    figure.supxlabel(rf"$\alpha$ = {alpha:g}, of which $\xi$ = {fraction:g} corrupted", size=9)
    return figure


def print_phases(result: grokjax.SweepResult) -> None:
    """How many cells of each diagram are in each phase."""
    table = phase_table(result)
    diagrams = [name.removeprefix("weight ") for name in table.regularizer.values.tolist()]
    task, size = result.dataset.attrs["task"], table.sizes["alpha"] * table.sizes["label_noise"]
    title = f"{task}, AdamW: cells of alpha and xi in each phase, of {size}"
    rows = [
        (phase or "not trained", *((cells == phase).sum() for cells in table.values))
        for phase in ([*PHASES, ""] if "" in table else PHASES)
    ]
    print_table(title, ("", *(name.replace(" ", "\n") for name in diagrams)), rows)


def print_pruning(result: grokjax.SweepResult) -> None:
    """Accuracies of the examples, whole and at the best pruning from below."""
    alpha, fraction = (result.dataset[name].values[0] for name in ("alpha", "label_noise"))
    rows = []
    for decay, lanes in result.groups("weight_decay"):
        middle = np.median(lanes.dataset.pruned.values[:, 0], axis=0)
        share = np.linspace(0, 1, len(middle))
        for i in (0, int(np.nanargmax(middle[:, -1]))):
            rows.append((decay, f"{share[i]:.0%}", *(f"{x:.2f}" for x in middle[i])))
    title = (
        f"alpha {alpha:g}, xi {fraction:g}: all neurons, and without the share of lowest IPR that "
        "leaves most corrupted rows right"
    )
    headings = ("weight\ndecay", "removed", *(group.replace(": ", "\n") for group in GROUPS))
    print_table(title, headings, rows, left=0, sections=True)


if __name__ == "__main__":
    run_as_command(label_corruption)
