"""How does the critical fraction of the table depend on its size, and on weight decay?

The fraction at which half of the networks grok within a budget, for several p: what the technical
report "Towards Understanding Grokking Phenomenon via Model and Training Efficiency" calls the
critical dataset size in its section 4.2. Its figure 9 puts it at 0.27, and figure 2a of the second
report, "Grokking Phenomenon Reproduction" by Sha, Wu and Yue, at 0.33, for p = 97 and other
budgets. With and without weight decay, about which the two contradict each other.

    python experiments/efficiency/critical_alpha.py  # quick: p to 23, a minute on 2 cores
    python experiments/efficiency/critical_alpha.py --scale paper  # p to 97: for a GPU

Expected: the critical alpha falls with p. If the rows that are needed grow like p log p, as for
covering all residues, `critical * p / log p` is constant; it is printed. A network that has not
grokked within the budget still may: without decay, and at small alpha, later than with it.
"""

import itertools
from collections.abc import Mapping

import numpy as np
import scipy  # its parts are imported when they are used
import xarray

import grokjax
from experiments.common import Network, networks_for
from grokjax import losses, optimizers, plotting, tasks
from grokjax.command import Study, experiment, print_table, run_as_command


@experiment("efficiency_critical_alpha", pages=False, paper={
    "moduli": (11, 17, 23, 31, 43, 59, 79, 97), "decays": (0.0, 5.0), "tolerance": 0.02,
    "max_lanes": 200, "max_steps": 3000,
})  # fmt: skip
def critical_alpha(
    study: Study,
    *,
    network: Network = "quadratic",
    moduli: tuple[int, ...] = (11, 13, 17, 23),
    decays: tuple[float, ...] = (0.0, 3.0),
    tolerance: float = 0.08,
    max_lanes: int = 60,
    max_steps: int = 500,
) -> xarray.Dataset:
    """The critical alpha of several moduli and weight decays: [p, weight_decay].

    Args:
      network: which one; with squared error.
      tolerance: length of the 95 % interval at which a search ends.
      max_lanes: networks after which it ends anyway.
    """
    study.open_folder(study.output)  # fails now rather than after the training
    addition = {p: tasks.modular_addition(p) for p in moduli}
    searches = list(itertools.product(moduli, decays))
    found: dict[tuple[int, float], xarray.Dataset] = {}
    state, folder, failed = "", study.checkpoints, None
    try:
        for p, decay in searches:
            model, rate = networks_for(p, study.scale)[network]
            found[p, decay] = grokjax.critical_alpha(
                grokjax.Recipe(model, losses.mse, optimizers.adamw), addition[p],
                {"learning_rate": rate, "weight_decay": decay},
                max_steps=max_steps, eval_every=max(1, max_steps // 50),
                tolerance=tolerance, max_lanes=max_lanes, progress=study.progress,
                directory=None if folder is None else folder / f"p{p}_decay{decay:g}",
            )  # fmt: skip
            if study.progress:
                print(f"p = {p}, decay {decay:g}: critical alpha {estimate(found[p, decay])}")
    except (KeyboardInterrupt, Exception) as error:  # what was found by then is reported
        if isinstance(error, grokjax.SearchInterrupted) and error.result.sizes["round"]:
            found[p, decay] = error.result
        if not found:
            raise
        state = f"in search {searches.index((p, decay)) + 1} of {len(searches)}"
        failed = None if isinstance(error, KeyboardInterrupt) else error
    dataset = joined(found)
    if state:
        dataset.attrs["interrupted"] = 1
    study.make_room(study.output, bool(state))
    dataset.to_netcdf(study.output / "results.nc", engine="h5netcdf")
    study.write_report(
        study.output, dataset, dataset.attrs, {"critical_alpha": draw}, print_searches, state
    )
    if failed is not None:
        raise failed
    if state:
        raise grokjax.SearchInterrupted(
            f"interrupted {state}: what was found is in {study.output}.", dataset
        )
    return dataset


def joined(found: Mapping[tuple[int, float], xarray.Dataset]) -> xarray.Dataset:
    """Searches as [p, weight_decay]: NaN for missing ones, and for alphas and rounds they lack."""
    cells = [search.expand_dims(p=[p], weight_decay=[d]) for (p, d), search in found.items()]
    return xarray.merge(cells, "no_conflicts", "outer", combine_attrs="drop_conflicts")


def is_found(search: xarray.Dataset) -> xarray.DataArray:
    """Whether there are networks on both sides of the critical alpha; else there is but a bound."""
    return (search.low > 0) & (search.high < 1)


def estimate(search: xarray.Dataset) -> str:
    """The critical alpha with its interval, or the bound where there is but one."""
    middle, low, high = (search[name].item() for name in ("critical_alpha", "low", "high"))
    if not is_found(search):
        return f"above {low:.3f}" if high >= 1 else f"below {high:.3f}"
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def draw(dataset: xarray.Dataset) -> "plotting.Figure":
    """The critical alpha over p, and for each weight decay the networks that it is found from."""
    steps, decays = dataset.attrs["max_steps"], dataset.weight_decay.values
    scale = plotting.colour_scale(dataset.p)
    size = (3.6 + 2.4 * len(decays), 3.2)
    figure, (left, *panels) = plotting.new_figure(1, 1 + len(decays), size=size)
    for i, (ax, decay) in enumerate(zip(panels, decays, strict=True)):
        searches = dataset.sel(weight_decay=decay).dropna("p", subset=["critical_alpha"])
        own = plotting.PALETTE[i % 7]
        look = {"color": own, "marker": plotting.MARKERS[i % 8], "markersize": 4}
        left.vlines(searches.p, searches.low, searches.high, color=own, linewidth=1)
        middle = searches.critical_alpha.where(is_found(searches))
        left.plot(searches.p, middle, linestyle="none", label=f"weight decay {decay:g}", **look)
        bounds = searches.low.where(searches.high >= 1, searches.high).where(middle.isnull())
        if count := int(bounds.notnull().sum()):
            label = f"only a bound: {count} of {bounds.size}"
            left.plot(searches.p, bounds, linestyle="none", fillstyle="none", label=label, **look)
        alpha = np.linspace(0, 1, 400)
        for p in searches.p.values:
            search, colour = searches.sel(p=p), scale.to_rgba(p)
            ax.scatter(search.alpha, search.fraction, 2.5 * search.n, color=colour, alpha=0.5)
            z = (alpha - search.critical_alpha.item()) / search.scale.item()
            ax.plot(alpha, scipy.special.expit(z), color=colour, linewidth=1)
        ax.scatter([], [], 12, color=plotting.GREY, label="tried; area: networks")
        ax.plot([], [], color=plotting.GREY, linewidth=1, label="logistic fit")
        ax.set(xlabel=rf"training fraction $\alpha$, decay {decay:g}", xlim=(0, 1))
    panels[0].set_ylabel(f"fraction grokked within {steps:,} steps")
    left.set(xlabel="p", ylabel=r"critical $\alpha$, 95 % interval", ylim=(0, 1.02))
    left.xaxis.get_major_locator().set_params(integer=True)
    for ax in (left, *panels):
        plotting.legend_above(ax)
    bar = figure.colorbar(scale, ax=panels, label="p", ticks=dataset.p.values, format="%g")
    bar.minorticks_off()
    return figure


def print_searches(dataset: xarray.Dataset) -> None:
    """Estimate and interval for each p and decay, and the rows that are needed."""
    rows = []
    for p, decay in itertools.product(dataset.p.values, dataset.weight_decay.values):
        search = dataset.sel(p=p, weight_decay=decay)
        middle = search.critical_alpha.item()
        if np.isnan(middle):
            continue  # not begun when the searches were interrupted
        needed = f"{middle * p**2:,.0f}", f"{middle * p / np.log(p):.2f}"
        cells = needed if is_found(search) else ("", "")
        rows.append((p, decay, estimate(search), search.n.sum().item(), *cells))
    title = f"critical alpha within {dataset.attrs['max_steps']:,} steps"
    headings = ("p", "decay", "critical alpha, 95 %", "networks", "rows", "rows / (p log p)")
    print_table(title, headings, rows, sections=True)


if __name__ == "__main__":
    run_as_command(critical_alpha)
