"""How does the critical fraction of the table depend on its size, and on weight decay?

The fraction at which half of the networks grok within a budget, for several p: what S1, section
4.2, calls the critical dataset size, and S1's figure 9 and S2's figure 2a put at 0.27 and 0.33 for
p = 97 and other budgets. With and without weight decay, about which the sources contradict each
other.

    python experiments/efficiency/critical_alpha.py                  # quick: p to 23, a minute
    python experiments/efficiency/critical_alpha.py --scale paper    # p to 97: for a GPU

Expected: the critical alpha falls with p. If the rows that are needed grow like p log p, as for
covering all residues, `critical * p / log p` is constant; it is printed. A network that has not
grokked within the budget still may: without decay, and at small alpha, later than with it.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import xarray
from rich import box
from rich.console import Console
from rich.table import Table

import grokjax
from experiments.efficiency.common import learning_rate
from experiments.efficiency.common import network as build_network
from grokjax import losses, optimizers, tasks
from grokjax.command import override, run_as_command
from grokjax.critical import SearchInterrupted


class Scale(NamedTuple):
    """What `--scale` sets, unless an option of its own says otherwise."""

    network: str
    moduli: tuple[int, ...]
    decays: tuple[float, ...]
    tolerance: float
    max_lanes: int
    max_steps: int


SCALES = {
    "quick": Scale("quadratic", (11, 13, 17, 23), (0.0, 3.0), 0.08, 60, 500),
    "paper": Scale("quadratic", (11, 17, 23, 31, 43, 59, 79, 97), (0.0, 5.0), 0.02, 200, 3000),
}


def critical_alpha(
    scale: Literal["quick", "paper"] = "quick",
    *,
    network: str | None = None,
    moduli: tuple[int, ...] | None = None,
    decays: tuple[float, ...] | None = None,
    tolerance: float | None = None,
    max_lanes: int | None = None,
    max_steps: int | None = None,
    output: Path = Path("results/efficiency_critical_alpha"),
    checkpoints: Path | None = None,
    progress: bool = True,
) -> xarray.Dataset:
    """The critical alpha of several moduli, with and without weight decay.

    Args:
      scale: quick: p up to 23; paper: p up to 97.
      network: quadratic, mlp, lstm or transformer; with squared error.
      moduli: values of p.
      decays: weight decays of AdamW; 0 is none.
      tolerance: length of the 95 % interval at which a search ends.
      max_lanes: networks after which it ends anyway.
      max_steps: the budget of each network.
      output: folder for the dataset and the figure.
      checkpoints: folder to keep checkpoints in.
      progress: show how far the sweeps are, in a terminal.

    Returns:
      `grokjax.critical_alpha` of each: [p, weight_decay].
    """
    setting = override(
        SCALES[scale],
        network=network,
        moduli=moduli,
        decays=decays,
        tolerance=tolerance,
        max_lanes=max_lanes,
        max_steps=max_steps,
    )
    output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training

    rate = learning_rate(setting.network, scale)
    models = {p: build_network(setting.network, p, scale) for p in setting.moduli}
    addition = {p: tasks.modular_addition(p) for p in setting.moduli}
    searches = list(itertools.product(setting.moduli, setting.decays))
    found: dict[tuple[int, float], xarray.Dataset] = {}
    interruption = None
    try:
        for p, decay in searches:
            found[p, decay] = grokjax.critical_alpha(
                grokjax.Recipe(models[p], losses.mse, optimizers.adamw),
                addition[p],
                {"learning_rate": rate, "weight_decay": decay},
                max_steps=setting.max_steps,
                eval_every=max(1, setting.max_steps // 50),
                tolerance=setting.tolerance,
                max_lanes=setting.max_lanes,
                directory=None if checkpoints is None else checkpoints / f"p{p}_decay{decay:g}",
                progress=progress,
            )
            if progress:
                print(f"p = {p}, decay {decay:g}: {describe(found[p, decay])}")
    except KeyboardInterrupt as error:
        interruption = error
        if isinstance(error, SearchInterrupted) and error.result.sizes["round"]:
            found[p, decay] = error.result
        if not found:
            raise
    dataset = joined(found).assign_attrs(confidence=0.95)
    if interruption is not None:
        dataset.attrs["interrupted"] = 1
    dataset.to_netcdf(output / "results.nc", engine="h5netcdf")
    paths = [output / "results.nc", *draw(dataset, output)]
    print_table(dataset)
    state = f"interrupted in search {searches.index((p, decay)) + 1} of {len(searches)}"
    for line in paths if interruption is None else [state, *paths]:
        print(line)
    if interruption is not None:
        raise SearchInterrupted(f"{state}: what was found is in {output}.", dataset)
    return dataset


def joined(found: Mapping[tuple[int, float], xarray.Dataset]) -> xarray.Dataset:
    """Searches by p and weight decay: [p, weight_decay]; NaN where there is none.

    What differs between searches, alphas and rounds, is padded with NaN too.
    """
    return (
        xarray.concat(
            list(found.values()), "search", join="outer", data_vars="all", coords="minimal",
            compat="override", combine_attrs="drop_conflicts",
        )
        .assign_coords(
            p=("search", [p for p, _ in found]), weight_decay=("search", [d for _, d in found])
        )
        .set_xindex(["p", "weight_decay"])
        .unstack("search")
        .transpose("p", "weight_decay", ...)
    )  # fmt: skip


def describe(search: xarray.Dataset) -> str:
    """The estimate, its interval and the networks that it took."""
    middle, low, high = (search[name].item() for name in ("critical_alpha", "low", "high"))
    return f"{middle:.3f} ({low:.3f} to {high:.3f}), {search.n.sum().item():.0f} networks"


def draw(dataset: xarray.Dataset, output: Path) -> list[Path]:
    """The figure of a run, drawn from its dataset, as PNG and SVG."""
    from matplotlib.lines import Line2D

    from grokjax import plotting
    from grokjax.plotting import ALPHA, colour_scale, legend_above

    lines = ("-", (0, (3, 1.5)), (0, (1, 1)))
    moduli, decays = dataset.p.values, dataset.weight_decay.values
    with plotting.in_style():
        figure, (left, right) = plotting.new_figure(1, 2, size=(7.4, 3.1))
        for i, decay in enumerate(decays):
            here = dataset.sel(weight_decay=decay)
            colour, marker = plotting.PALETTE[i], "os^D"[i % 4]
            x = moduli * (1 + 0.012 * (i - (len(decays) - 1) / 2))
            middle = here.critical_alpha.values
            known = (here.low > 0).values & (here.high < 1).values
            left.plot(x[known], middle[known], marker, color=colour, markersize=4)
            left.vlines(x, here.low, here.high, color=colour, linewidth=1)
            label = f"weight decay {decay:g}"
            left.plot([], [], marker + "-", color=colour, markersize=4, label=label)
        left.set(xlabel="p", ylabel=r"critical $\alpha$, 95 % interval", ylim=(0, 1.02))
        legend_above(left)
        colours = colour_scale(moduli)
        for p in moduli:
            for i, decay in enumerate(decays):
                here = dataset.sel(p=p, weight_decay=decay)
                tried = here.isel(alpha=here.n.values > 0)
                colour = colours.to_rgba(p)
                right.scatter(tried.alpha, tried.fraction, 2.5 * tried.n, color=[colour], alpha=0.5)
                alpha = np.linspace(0, 1, 400)
                z = np.clip((alpha - here.critical_alpha.item()) / here.scale.item(), -50, 50)
                line = lines[i % len(lines)]
                right.plot(alpha, 1 / (1 + np.exp(-z)), color=colour, linewidth=1, linestyle=line)
        steps = dataset.attrs["max_steps"]
        right.set(xlabel=ALPHA, ylabel=f"fraction grokked within {steps:,} steps", xlim=(0, 1))
        handles = [
            Line2D([], [], color="0.4", linestyle=lines[i % len(lines)], label=f"decay {decay:g}")
            for i, decay in enumerate(decays)
        ]
        legend_above(right, handles)
        figure.colorbar(colours, ax=right, label="p", pad=0.02, aspect=30)
    return plotting.save(figure, output, "critical_alpha")


def print_table(dataset: xarray.Dataset) -> None:
    """Estimate and interval for each p and decay, and the rows that are needed."""
    table = Table(
        title=f"critical alpha within {dataset.attrs['max_steps']:,} steps",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("p", "decay", "critical alpha, 95 %", "networks", "rows", "rows / (p log p)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for p in dataset.p.values.tolist():
        for decay in dataset.weight_decay.values.tolist():
            here = dataset.sel(p=p, weight_decay=decay)
            middle, low, high = (here[k].item() for k in ("critical_alpha", "low", "high"))
            if np.isnan(middle):
                continue  # not begun when the searches were interrupted
            estimate = f"{middle:.3f} ({low:.3f} to {high:.3f})"
            if high >= 1 or low <= 0:
                estimate = f"above {low:.3f}" if high >= 1 else f"below {high:.3f}"
            known = low > 0 and high < 1
            table.add_row(
                str(p),
                f"{decay:g}",
                estimate,
                f"{here.n.sum().item():.0f}",
                f"{middle * p**2:.0f}" if known else "",
                f"{middle * p / np.log(p):.2f}" if known else "",
            )
    Console().print(table)


if __name__ == "__main__":
    run_as_command(critical_alpha)
