"""Networks to be watched while they learn: their answers, spectra and circles, step by step."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray

from grokjax import spectral
from grokjax.analytic import discrete_log
from grokjax.checks import check_integer, check_integers
from grokjax.models import Model, QuadraticMLP
from grokjax.models.noise import WeightNoise
from grokjax.page.packing import packed, packed_floats, thinned
from grokjax.results import SweepResult
from grokjax.results.dataset import last_measured
from grokjax.tasks import Task

FRAMES = 80  # steps at which a network is shown
FRAME_BYTES = 900_000  # of all frames of a network, before they become text
FRAME_WORK = 2e11  # products of a parameter and a row, which take about half a minute on two cores
NEURONS = 64  # rows of the spectra
CIRCLES = 4  # frequencies that are drawn
LANES = 3  # networks that are shown by default
LARGEST = 256  # modulus up to which a table is drawn


def chosen_lanes(result: SweepResult, watch: Any, model: Any, task: Any) -> tuple[list[int], str]:
    """The lanes to watch, and a sentence that says why there is none.

    By default some that grokked, and one that did not.

    Raises:
      ValueError: if lanes are asked for that cannot be watched.
    """
    why = _why_not(result, model, task)
    total = result.dataset.sizes["lane"]
    if watch is not None:
        if why:
            raise ValueError(f"watch={watch!r} cannot be shown: {why}.")
        if hasattr(watch, "__iter__") and not isinstance(watch, str):
            wanted = check_integers("watch", watch, at_least=-total, below=total)
        else:
            what = "lane numbers, or None"
            wanted = [check_integer("watch", watch, at_least=-total, below=total, otherwise=what)]
        return list(dict.fromkeys(lane % total for lane in wanted)), ""
    if why:
        return [], why
    outcome = result.dataset.outcome.values
    grokked = np.flatnonzero(outcome == "grokked")
    # Those that took longest from memorizing to grokking, of which there is most to see.
    delay = result.dataset.grokking_step - result.dataset.memorization_step
    grokked = grokked[np.argsort(-delay.values[grokked], kind="stable")]
    others = np.flatnonzero(np.isin(outcome, ["memorized", "underfit"]))
    picked = [*grokked[: LANES - bool(len(others))], *others[:1]]
    return [int(lane) for lane in picked], "" if picked else "no network was trained to its end"


def _why_not(result: SweepResult, model: Any, task: Any) -> str:
    if result.params is None or result.dataset.attrs.get("keep_params") != "all":
        return 'parameters of every measurement are needed; run the sweep with keep_params="all"'
    for name, own, given in (("model", result.model, model), ("task", result.task, task)):
        if own is None and given is None:
            return (
                f"this result does not know its {name}, because it was loaded or joined; give "
                f"{name}= to report"
            )
    if missing := {"seed", "alpha"} - set(result.dataset.coords):
        return f"the result has no column {min(missing)!r}, by which training rows are drawn"
    known = result.task if task is None else task
    if isinstance(known, Task) and known.operands != 2:
        return f"the table of {known.name} has {known.operands} operands, and a square shows two"
    if isinstance(known, Task) and known.vocabulary > LARGEST:
        return f"the table of {known.name} is larger than {LARGEST} x {LARGEST}"
    return ""


def network_frames(
    result: SweepResult, lane: int, model: Model | None, task: Task | None
) -> dict[str, Any]:
    """A lane's network at the steps that a page can show.

    Returns:
      For every frame the step, accuracies, and which equations are right; spectra of the neurons
      and places on circles where the model is one whose weights on single operands are known.
    """
    known_task = result.task if task is None else task
    known_model = result.model if model is None else model
    assert known_task is not None
    split = result.split(lane, task)
    tokens = np.asarray(known_task.tokens)
    size = known_task.vocabulary
    measured = _measured(result.dataset, lane)
    per_frame = size * size // 8 + NEURONS * (size // 2 + 1) + 4 * CIRCLES * size
    first = result.network(lane, model, step=int(measured[0]))
    work = known_task.num_rows * max(1, sum(map(np.size, jax.tree.leaves(first.params))))
    most = min(FRAME_BYTES // per_frame, FRAME_WORK // work)
    steps = measured[thinned(len(measured), int(np.clip(most, 10, FRAMES)))]
    right, weights = [], []
    for step in steps.tolist():
        network = result.network(lane, model, step=step)
        answers = np.asarray(network(tokens)).argmax(axis=-1)
        right.append(answers == split.labels)
        weights.append(weights_on_operands(known_model, network.params, size))
    table = np.full(size * size, 255, np.uint8)  # rows that a sampled task does not have
    real = (tokens >= 0).all(axis=1)
    cells = tokens[real, 0] * size + tokens[real, 1]
    table[cells] = split.train[real]
    bits = np.zeros((len(steps), size * size), bool)
    bits[:, cells] = np.stack(right)[:, real]
    frames = {
        "lane": lane,
        "size": size,
        "measured": len(measured),
        "steps": steps.tolist(),
        "train": packed(table),
        "right": packed(np.packbits(bits, axis=1)),
        "accuracy": [[_mean(r[split.train]), _mean(r[split.test])] for r in np.stack(right)],
    }
    if all(array is not None for array in weights):
        frames |= _spectra(np.stack(weights), _logarithms(known_task))
    return frames


def _measured(dataset: xarray.Dataset, lane: int) -> np.ndarray:
    """The steps at which a lane was measured, its last one among them: int[N]."""
    values = [v.values[lane] for v in dataset.data_vars.values() if v.dims == ("lane", "time")]
    there = np.logical_or.reduce([~np.isnan(v) for v in values])
    there[last_measured(dataset)[lane]] = True  # also of a lane that diverged
    return dataset.step.values[there]


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None


def weights_on_operands(model: Any, params: Mapping[str, Any], size: int) -> np.ndarray | None:
    """What each neuron of the first layer sees of each operand: float[S, size, K].

    Of a Transformer the embedding, whose coordinates stand for neurons. None for a model whose
    weights are not known here.
    """
    while isinstance(model, WeightNoise):
        model = model.model
    if isinstance(model, QuadraticMLP):
        return np.asarray(params["w1"], float)
    from grokjax.models import LSTM, MLP, Transformer  # they import flax.linen

    if not isinstance(model, LSTM | MLP | Transformer):
        return None
    table = np.asarray(params["embed"]["embedding"], float) if "embed" in params else None
    if isinstance(model, Transformer):
        assert table is not None
        return table[None, :size]
    kernel = params["kernel_0"] if isinstance(model, MLP) else params["cell_0"]["weight_x"][None]
    weights = np.asarray(kernel, float)
    return weights[:, :size] if table is None else table[:size] @ weights


def _logarithms(task: Task) -> np.ndarray | None:
    """Discrete logarithms of the operands where the task multiplies or divides them, else None.

    On their axis a network that multiplies has the peaks that one which adds has over the residues.
    """
    n, m = np.asarray(task.tokens).T
    p, labels = task.num_classes, np.asarray(task.labels)
    if task.vocabulary != p or p < 3 or any(p % d == 0 for d in range(2, int(p**0.5) + 1)):
        return None
    if (n * m % p == labels).all() or (labels * m % p == n).all():
        return np.asarray(discrete_log(p))
    return None


def _spectra(weights: np.ndarray, logarithms: np.ndarray | None) -> dict[str, Any]:
    """Shares of the power of the largest neurons, and the residues on the planes of frequencies.

    Args:
      weights: float[frames, S, p, K]; what is not finite in them counts as 0.
      logarithms: int[p], of the residues, or None where they are their own axis.
    """
    weights = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
    if logarithms is not None:
        weights = np.asarray(
            spectral.relabel(weights, logarithms, int(logarithms.max()) + 1, axis=2), float
        )
    _, _, size, width = weights.shape
    transforms = np.fft.rfft(weights - weights.mean(axis=2, keepdims=True), axis=2)
    power = (np.abs(transforms) ** 2).sum(axis=1)[:, 1:]  # [frames, frequencies, K]
    total = power.sum(axis=1, keepdims=True)
    shares = power / np.where(total > 0, total, 1)
    # Rows are the neurons that end largest, by the frequency that they end with.
    largest = np.sort(np.argsort(-total[-1, 0], kind="stable")[:NEURONS])
    final = shares[-1][:, largest]
    rows = largest[np.lexsort((-final.max(axis=0), final.argmax(axis=0)))]
    heat = np.rint(255 * np.sqrt(shares[:, :, rows])).astype(np.uint8).swapaxes(1, 2)
    network = power.sum(axis=2) / np.maximum(power.sum(axis=(1, 2)), 1e-30)[:, None]
    # p/2 has no plane.
    candidates = network[-1][: (size - 1) // 2]
    frequencies = np.argsort(-candidates, kind="stable")[:CIRCLES] + 1
    frequencies = frequencies[candidates[frequencies - 1] > 0.001]
    planes = [_plane(weights, int(f)) for f in frequencies]
    return {
        "axis": "discrete logarithm" if logarithms is not None else "",
        "neurons": len(rows),
        "width": width,
        "bins": heat.shape[2],
        "heat": packed(heat),
        "power": np.round(network[:, frequencies - 1], 4).tolist(),
        "frequencies": frequencies.tolist(),
        "residues": size,
        "circles": [packed_floats(plane) for plane in planes],
        "order": [
            np.lexsort((np.arange(size), f * np.arange(size) % size)).tolist()
            for f in frequencies.tolist()
        ],
    }


def _plane(weights: np.ndarray, frequency: int) -> np.ndarray:
    """Where the residues lie on the plane of a frequency of the last network: [frames, p, 2].

    The plane is spanned by the directions of the neurons in which the last network has the cosine
    and the sine of the first operand; both are made orthonormal. There, a network that uses the
    frequency has its residues on a circle, and one that does not has them in a heap.
    """
    first = weights[:, 0]
    size = first.shape[1]
    angle = 2 * np.pi * frequency * np.arange(size) / size
    directions = np.stack([np.cos(angle), np.sin(angle)]) @ first[-1]  # [2, K]
    left, _, right = np.linalg.svd(directions, full_matrices=False)
    basis = left @ right
    centred = first - first.mean(axis=1, keepdims=True)
    return centred @ basis.T
