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

import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from grokjax import losses, measures, optimizers, spectral, tasks
from grokjax.checks import check_number
from grokjax.command import Sweeps, override, run_as_command
from grokjax.models import QuadraticMLP
from grokjax.train import Recipe

PHASES = (
    "coexistence",
    "partial inversion",
    "full inversion",
    "memorization",
    "confusion",
    "forgetting",
)
COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#F0E0B0", "#BBBBBB")
GROUPS = {  # of rows, with the measurement that tells how many get the answer in question
    "test rows: right": "test_accuracy",
    "uncorrupted rows: right": "uncorrupted_accuracy",
    "corrupted rows: as trained": "memorized",
    "corrupted rows: right": "inverted",
}


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    p: int
    width: int
    alphas: tuple[float, ...]
    fractions: tuple[float, ...]
    weight_decays: tuple[float, ...]
    dropouts: tuple[float, ...]
    example: tuple[float, float]
    seeds: int
    max_steps: int
    eval_every: int


TENTHS = tuple(np.linspace(0.1, 0.9, 17).round(2).tolist())
SCALES = {
    "quick": Scale(
        p=23,
        width=128,
        alphas=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        fractions=(0.05, 0.1, 0.2, 0.3),
        weight_decays=(0, 5, 10, 20),
        dropouts=(0.3, 0.6),
        example=(0.9, 0.1),
        seeds=1,
        max_steps=1000,
        eval_every=10,
    ),
    # The grids, the steps and the one seed of the authors' scripts.
    "paper": Scale(
        p=97,
        width=500,
        alphas=TENTHS,
        fractions=TENTHS,
        weight_decays=(0, 5, 15, 20),
        dropouts=(0.3, 0.6, 0.9),
        example=(0.5, 0.35),
        seeds=1,
        max_steps=2000,
        eval_every=20,
    ),
}


def label_corruption(
    scale: Literal["quick", "paper"] = "quick",
    *,
    p: int | None = None,
    width: int | None = None,
    alphas: tuple[float, ...] | None = None,
    fractions: tuple[float, ...] | None = None,
    weight_decays: tuple[float, ...] | None = None,
    dropouts: tuple[float, ...] | None = None,
    example: tuple[float, float] | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    eval_every: int | None = None,
    output: Path = Path("results/label_corruption"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> grokjax.SweepResult:
    """Phases of networks trained on partly random labels, and which neurons memorize them.

    Args:
      scale: quick: p = 23, width 128, a minute on two CPU cores; paper: p = 97, width 500.
      p: the modulus.
      width: hidden units.
      alphas: fractions of the table to train on.
      fractions: xi, of the training labels, that are random.
      weight_decays: of AdamW, in the standard parameterization, each without dropout.
      dropouts: of the hidden layer, each without weight decay.
      example: alpha and xi of networks that are followed through training, and pruned.
      seeds: networks for each cell of a diagram, with seeds 0, 1, ...; their medians are shown.
      max_steps: training steps of each.
      eval_every: steps between measurements of the examples; others are measured at their end.
      output: folder for the datasets, the configuration and the figures.
      checkpoints: folder to keep checkpoints in; the same command goes on from them.
      progress: show how far the sweep is, in a terminal.

    Returns:
      The networks of the phase diagrams. The examples are the result in `output/examples`, with the
      variable `pruned` [lane, order, removed, group].
    """
    setting = override(
        SCALES[scale],
        p=p,
        width=width,
        alphas=alphas,
        fractions=fractions,
        weight_decays=weight_decays,
        dropouts=dropouts,
        example=example,
        seeds=seeds,
        max_steps=max_steps,
        eval_every=eval_every,
    )
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    model = QuadraticMLP(setting.p, setting.width, parameterization="standard")
    recipe = Recipe(model, losses.mse, optimizers.adamw, measures=(measures.corruption,))
    recipes = {
        dropout: dataclasses.replace(recipe, model=dataclasses.replace(model, dropout=dropout))
        for dropout in (0.0, *setting.dropouts)
    }
    task = tasks.modular_addition(setting.p)
    alpha, fraction = setting.example
    # Refused now rather than after the diagrams.
    tasks.num_train_rows(task, alpha)
    check_number("example[1]", fraction, at_least=0, at_most=1)

    def train(sweeps: Sweeps, name: str, lanes: dict[str, Any], recipe: Recipe, **options: Any):
        sweeps.run(
            recipe,
            task,
            grokjax.grid(**lanes, seed=range(setting.seeds), learning_rate=1e-2),
            max_steps=setting.max_steps,
            stop=None,
            directory=None if checkpoints is None else checkpoints / name,
            progress=progress,
            **options,
        )

    table = {"label_noise": setting.fractions, "alpha": setting.alphas}
    with Sweeps() as sweeps:
        for dropout, dropping in recipes.items():
            train(
                sweeps,
                f"dropout_{dropout:g}",
                {"weight_decay": 0.0 if dropout else setting.weight_decays, **table},
                dropping,
                columns={"dropout": dropout},
                eval_every=setting.max_steps,
                keep_params="none",
            )
    result = sweeps.report(output, draw, print_phases)

    columns = {"weight_decay": setting.weight_decays, "label_noise": fraction, "alpha": alpha}
    with Sweeps() as sweeps:
        then = functools.partial(prune, recipe, task)
        train(sweeps, "examples", columns, recipe, eval_every=setting.eval_every, then=then)
    sweeps.report(
        output / "examples", lambda examples, _: draw_examples(examples, output), print_pruning
    )
    return result


def phase_table(result: grokjax.SweepResult) -> xarray.DataArray:
    """The phase of every cell, from the medians over seeds: [regularizer, label_noise, alpha].

    "" where no network was trained to the end, as after an interruption.
    """
    last = result.at(result.dataset.attrs["max_steps"]).drop_vars("step")
    names = ["test_accuracy", "memorized", "uncorrupted_accuracy"]
    decays = [f"weight decay {x:g}" for x in np.unique(last.weight_decay[last.dropout == 0])]
    drops = [f"dropout {x:g}" for x in np.unique(last.dropout) if x]
    regularizer = np.where(
        last.dropout.values > 0,
        [f"dropout {x:g}" for x in last.dropout.values],
        [f"weight decay {x:g}" for x in last.weight_decay.values],
    )
    trained = last[names].where(last.outcome != "interrupted")
    frame = trained.assign_coords(regularizer=("lane", regularizer))
    cells = frame.set_xindex(["regularizer", "label_noise", "alpha", "seed"]).unstack("lane")
    numbers = cells.median("seed").sel(regularizer=[*decays, *drops])
    numbers = numbers.transpose("regularizer", "label_noise", "alpha")
    phases = measures.corruption_phase(
        numbers.test_accuracy, numbers.memorized, numbers.uncorrupted_accuracy
    )
    return numbers.test_accuracy.copy(data=phases).rename("phase")


def prune(recipe: Recipe, task: tasks.Task, result: grokjax.SweepResult) -> grokjax.SweepResult:
    """The result with `pruned`, accuracies without some neurons: [lane, order, removed, group].

    Neurons are removed in the order of their inverse participation ratios, lowest or highest first,
    in 20 steps from none to all. The groups of rows are those of `GROUPS`.
    """
    assert result.params is not None
    width = result.params["w2"].shape[1]
    removed = np.linspace(0, width, 21).round().astype(int)

    @jax.jit
    def accuracies(params: Any, split: tasks.Split) -> jax.Array:
        rank = jnp.argsort(jnp.argsort(spectral.network_ipr(params)))

        def without(gone: jax.Array) -> jax.Array:
            pruned = params | {"w2": jnp.where(gone[:, None], 0.0, params["w2"])}
            network = measures.network_of(recipe.model, pruned, task, split, loss=recipe.loss)
            numbers = measures.accuracies(network) | measures.corruption(network)
            return jnp.stack([numbers[name] for name in GROUPS.values()])

        order = jnp.stack([rank, width - 1 - rank])
        gone = order[:, None, :] < removed[None, :, None]
        return jax.lax.map(without, gone.reshape(-1, width)).reshape(2, len(removed), -1)

    each = [
        accuracies(
            jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), result.params),
            result.split(i, task),
        )
        for i in range(result.dataset.sizes["lane"])
    ]
    dims = ("lane", "order", "removed", "group")
    pruned = dims, np.stack(each), {"long_name": "accuracy without some neurons"}
    return dataclasses.replace(result, dataset=result.dataset.assign(pruned=pruned))


def draw(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """The phase diagrams, drawn from their result, as PNG and SVG."""
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    from grokjax import plotting

    table = phase_table(result)
    columns = min(4, table.sizes["regularizer"])
    rows = -(-table.sizes["regularizer"] // columns)
    colours = {"cmap": ListedColormap(COLOURS), "norm": BoundaryNorm(np.arange(-0.5, 6), 6)}
    place = {phase: float(i) for i, phase in enumerate(PHASES)}
    numbers = np.vectorize(lambda phase: place.get(phase, np.nan))(table.values)  # NaN is blank
    with plotting.in_style():
        figure, axes = plotting.new_figure(
            rows, columns, size=(7.4, 0.6 + 1.75 * rows), sharex=True, sharey=True, squeeze=False
        )
        for ax, name, cells in zip(axes.flat, table.regularizer.values, numbers, strict=False):
            ax.pcolormesh(table.alpha, table.label_noise, cells, **colours, ec="white", lw=0.4)
            ax.set_title(name)
            ax.tick_params(length=2)
            ax.spines[:].set_visible(False)
        for i, ax in enumerate(axes.flat):
            if i >= len(numbers):
                ax.set_axis_off()
            elif i >= len(numbers) - columns:  # nothing below it
                ax.tick_params(labelbottom=True)
        figure.supxlabel(r"training fraction $\alpha$", fontsize=9)
        figure.supylabel(r"corrupted fraction $\xi$", fontsize=9)
        seen = [Patch(color=c, label=n) for c, n in zip(COLOURS, PHASES, strict=True) if n in table]
        figure.legend(handles=seen, loc="outside upper left", ncols=6, handlelength=1)
    return plotting.save(figure, output, "phases")


def draw_examples(result: grokjax.SweepResult, output: Path) -> list[Path]:
    """Training and pruning of the examples, drawn from their result, as PNG and SVG."""
    from matplotlib.lines import Line2D

    from grokjax import plotting

    dataset = result.dataset
    decays = np.unique(dataset.weight_decay)
    colours = dict(zip(GROUPS, plotting.PALETTE, strict=False))
    removed = np.linspace(0, 1, dataset.sizes["removed"])
    dashed = (0, (2, 1.5))
    with plotting.in_style():
        figure, axes = plotting.new_figure(
            2, len(decays), size=(7.4, 4.2), sharex="row", sharey=True, squeeze=False
        )
        for (above, below), decay in zip(axes.T, decays, strict=True):
            lanes = dataset.isel(lane=dataset.weight_decay.values == decay)
            pruned = lanes.pruned.median("lane").values
            for i, (group, name) in enumerate(GROUPS.items()):
                above.plot(lanes.step, lanes[name].median("lane"), color=colours[group])
                for order, line in enumerate(("-", dashed)):
                    below.plot(removed, pruned[order, :, i], color=colours[group], linestyle=line)
            above.set(title=f"weight decay {decay:g}", xscale="log", xlabel="step")
            below.set(xlabel="share of neurons removed", ylim=(-0.03, 1.03), xticks=(0, 0.5, 1))
        for ax in axes[:, 0]:
            ax.set_ylabel("fraction of rows")
        keys = [Line2D([], [], color=colour, label=group) for group, colour in colours.items()]
        keys += [Line2D([], [], color="0.4", label="lowest IPR removed first")]
        keys += [Line2D([], [], color="0.4", linestyle=dashed, label="highest IPR removed first")]
        figure.legend(handles=keys, loc="outside upper left", ncols=3)
    return plotting.save(figure, output, "examples")


def print_phases(result: grokjax.SweepResult) -> None:
    """How many cells of each diagram are in each phase."""
    dataset, table = result.dataset, phase_table(result)
    printed = Table(
        title=f"{dataset.attrs['task']}, AdamW: cells of alpha and xi in each phase, of "
        f"{table.sizes['alpha'] * table.sizes['label_noise']}",
        box=box.SIMPLE_HEAD,
    )
    printed.add_column("", no_wrap=True)
    for name in table.regularizer.values:
        printed.add_column(str(name).removeprefix("weight "), justify="right")
    for phase in [*PHASES, ""] if "" in table else PHASES:
        name = phase or "not trained"
        printed.add_row(name, *(str((cells == phase).sum()) for cells in table.values))
    Console().print(printed)


def print_pruning(result: grokjax.SweepResult) -> None:
    """Accuracies of the examples, whole and at the best pruning from below."""
    dataset = result.dataset
    alpha, fraction = dataset.alpha.values[0], dataset.label_noise.values[0]
    printed = Table(
        title=f"alpha {alpha:g}, xi {fraction:g}: all neurons, and without the share of lowest "
        "IPR that leaves most corrupted rows right",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("weight decay", "removed", *GROUPS):
        printed.add_column(heading, justify="right")
    for decay in np.unique(dataset.weight_decay):
        pruned = dataset.pruned.values[dataset.weight_decay.values == decay, 0]
        numbers = np.median(pruned, axis=0)
        share = np.linspace(0, 1, len(numbers))
        for i in (0, int(np.nanargmax(numbers[:, -1]))):
            cells = (f"{x:.2f}" for x in numbers[i])
            printed.add_row(f"{decay:g}", f"{share[i]:.0%}", *cells)
    Console().print(printed)


if __name__ == "__main__":
    run_as_command(label_corruption)
