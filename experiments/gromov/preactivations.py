"""Which functions of the operands does a trained network compute, and which does theory?

The question of Gromov 2023, figure 2: output and hidden preactivations as functions of (n, m), at
initialization, after gradient descent and for the analytic weights with random phases.

    python experiments/gromov/preactivations.py                  # quick: p = 23, 10 s on 2 cores
    python experiments/gromov/preactivations.py --scale paper    # p = 97: 2 minutes on 2 cores

    # with the networks of dynamics.py, without training
    python experiments/gromov/preactivations.py --scale paper --trained results/gromov_dynamics

Expected: noise at initialization; after gradient descent one series of Fourier peaks, that of
n + m; for random phases the same and weak ones of 2n, 2m and n - m.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray

import grokjax
from experiments.common import gradient_descent
from grokjax import analytic, models, plotting, spectral, tasks
from grokjax.command import Count, Study, experiment, print_table, run_as_command

SERIES = {
    "wanted": "n + m",
    "twice_n": "2 n",
    "twice_m": "2 m",
    "difference": "n - m",
    "other": "other",
    "constant": "constant",
}
ANSWER, NEURON = 6, 30  # the logit and the hidden neuron that are drawn


@experiment(
    "gromov_preactivations", paper={"p": 97, "width": 500, "alpha": 0.49, "max_steps": 3000}
)
def preactivations(
    study: Study,
    *,
    p: int = 23,
    width: int = 128,
    alpha: float = 0.8,
    seed: Count = 0,
    max_steps: int = 2000,
    trained: Path | None = None,
) -> grokjax.SweepResult:
    """Preactivations of an initial, a trained and an analytic network, and their Fourier images.

    Args:
      seed: of the initial weights, the split, and the phases.
      max_steps: steps of gradient descent.
      trained: folder of a result of `dynamics.py` of this p, width and seed, taken instead.

    Returns:
      Three lanes, named by the column `network`, with shares of power in each series of peaks.
    """
    recipe, columns = gradient_descent(p, width)
    phases = analytic.analytic_weights(p, width, key=jax.random.key(seed))
    found = None if trained is None else _params_of(trained, seed)
    # A step of size 0 leaves a network as it is, and measures it.
    still = {"learning_rate": 0.0}
    networks = {
        "initial": (1, still, None),
        "gradient descent": (max_steps, columns, None) if found is None else (1, still, found),
        "random phases": (1, still, jax.tree.map(lambda leaf: leaf[None], phases)),
    }
    with study.sweeps(draw, table) as sweeps:
        for name, (steps, rate, params) in networks.items():
            sweeps.run(
                recipe, tasks.modular_addition(p), grokjax.grid(alpha=[alpha], seed=[seed], **rate),
                columns={"network": name}, checkpoints=name.replace(" ", "_"),
                then=with_series, max_steps=steps, eval_every=steps, stop=None, initial=params,
            )  # fmt: skip
    return sweeps.result


def tables(result: grokjax.SweepResult, lane: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits float[p, p, q] and hidden preactivations float[p, p, K] of a network, by (n, m)."""
    assert result.params is not None
    params = {name: jnp.asarray(value[lane]) for name, value in result.params.items()}
    _, p, width = params["w1"].shape
    model, tokens = models.QuadraticMLP(p, width), tasks.modular_addition(p).tokens
    hidden = np.asarray(model.preactivations(params, tokens))
    logits = np.asarray(model.apply(params, tokens))
    return logits.reshape(p, p, p), hidden.reshape(p, p, width)


def with_series(result: grokjax.SweepResult) -> grokjax.SweepResult:
    """A result of one network with the shares of the Fourier power of all logits, by series.

    "other" is outside all of them; "constant" is a share of the total, the others of the rest.
    """
    logits, _ = tables(result, 0)
    power = spectral.power_2d(np.moveaxis(logits, -1, 0)).sum(axis=0)
    varying = np.array(power.at[0, 0].set(0.0))
    varying /= varying.sum()
    masks = spectral.series_masks(len(logits))
    shares = {name: float(varying[mask].sum()) for name, mask in masks.items()}
    shares |= {"other": 1 - sum(shares.values()), "constant": float(power[0, 0] / power.sum())}
    added = {f"power_{name}": ("lane", [x], {"units": "1"}) for name, x in shares.items()}
    return result.assign(**added)


def draw(result: grokjax.SweepResult) -> "plotting.Figure":
    """A logit, its Fourier image and a hidden neuron of every network."""
    figure, axes = plotting.new_figure(3, 3, size=(7.2, 6.3))
    for lane, network in enumerate(result.dataset.network.values):
        logits, hidden = tables(result, lane)
        p, width = len(logits), hidden.shape[-1]
        answer, neuron = ANSWER % p, NEURON % width
        logit, unit = logits[..., answer], hidden[..., neuron]
        amplitude = np.sqrt(np.array(spectral.power_2d(logit))) / p**2
        amplitude[0, 0] = 0.0  # the constant, which would outshine all others
        frequencies = dict.fromkeys((r"$\mu$", r"$\nu$"), np.arange(p) - p // 2)
        images = {
            f"$h^{{(2)}}_{{{answer}}}(n, m)$": xarray.DataArray(logit, dims=("$n$", "$m$")),
            "Fourier image": xarray.DataArray(np.fft.fftshift(amplitude), frequencies),
            f"$h^{{(1)}}_{{{neuron}}}(n, m)$": xarray.DataArray(unit, dims=("$n$", "$m$")),
        }
        for ax, (name, image) in zip(axes[:, lane], images.items(), strict=True):
            plotting.heatmap(image, ax, title=f"{network}\n{name}", square=True)
    for ax in axes[:, len(result.dataset.network) :].flat:
        ax.set_axis_off()
    return figure


def table(result: grokjax.SweepResult) -> None:
    """The share of each series of peaks in the Fourier power of the logits, the constant apart."""
    dataset, accuracy = result.dataset, result.final("test_accuracy")
    numbers = [*(dataset[f"power_{name}"] for name in SERIES), accuracy]
    title = f"{dataset.attrs['task']}: share of the logits' Fourier power"
    rows = [
        (network, *(f"{x.values[lane]:.4f}" for x in numbers))
        for lane, network in enumerate(dataset.network.values)
    ]
    print_table(title, ("network", *SERIES.values(), "accuracy"), rows)


def _params_of(directory: Path, seed: int) -> dict[str, np.ndarray]:
    """Parameters of one seed of a saved result, with an axis of one lane."""
    saved = grokjax.load_result(directory)
    lanes = np.flatnonzero(saved.dataset.seed.values == seed)
    if saved.params is None or not len(lanes):
        raise ValueError(f"{directory} holds no parameters of seed {seed}; run dynamics.py first.")
    return {name: value[lanes[:1]] for name, value in saved.params.items()}


if __name__ == "__main__":
    run_as_command(preactivations)
