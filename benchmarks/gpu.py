"""What an accelerator does with sweeps: everything in one command, most important first.

    python benchmarks/gpu.py --minutes 10      # on a machine with a GPU or TPU
    python benchmarks/gpu.py --minutes 1       # without one: the same parts at small sizes

Each part writes a JSON file as soon as it is done, and the same command goes on with the parts that
are missing. A part that the time that is left does not carry is skipped, with a line that says so;
one of several sizes takes the largest that leaves room for the parts after it. In order:

- correctness: splits and initial weights against those of the CPU, bit for bit; the trajectory of
  the loss; grokking steps in float32 (precision "highest"), in TF32 ("high" and "default" on a GPU)
  and in bfloat16, against the CPU's.
- layout: the slots, and the measurements a call, that `slots="auto"` chooses.
- slots: lane-steps a second against slots.
- estimates: measured lane-steps beside those that `compile_ahead.py` worked out of the compiled
  programs, before any device had run them.
- pytorch: the loop of `pytorch.py` beside it, if torch is installed.
- gromov: the sweep of Gromov 2023, figure 4a: 17 alphas, 10 seeds, 3 optimizers.
- doshi: the phase diagram of Doshi et al. 2023 (arXiv 2310.13061): 17 alphas, 17 corrupted
  fractions, 4 weight decays, 2000 steps each. Either is meant to take less than a minute.
- curve: grokking step against alpha of the Transformer of "Grokking Phenomenon Reproduction",
  figure 2a.
- again: the three sweeps once more, with their programs compiled.

"Seconds" of a sweep are those of the whole call, with everything it compiled; that share is shown
beside. Every file says on what it was measured, when, and by what command.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np

from benchmarks import gpu_parts
from benchmarks.common import RESULTS, NotInstalledError, machine, origin, read_json, write_json
from benchmarks.gpu_parts import BFLOAT16, FLOAT32, Found
from experiments.alpha_sweep import ALPHAS
from experiments.label_corruption import TENTHS
from grokjax.command import Bounds, choose, print_table, run_as_command

Scale = Literal["auto", "full", "small", "tiny"]


class Size(NamedTuple):
    """How large a part is, and how long that takes.

    Attributes:
      seconds: expected, most of it for compiling; without the steps below.
      given: arguments of the part.
      lane_steps: that it trains, about.
      network: whose lane-steps they are.
    """

    seconds: float
    given: dict[str, Any]
    lane_steps: float = 0.0
    network: str = "quadratic_97"


class Part(NamedTuple):
    """A part: a function of what earlier parts found, the seconds left and its size's arguments."""

    run: Callable[..., Found]
    sizes: dict[str, tuple[Size, ...]]  # by scale, the largest one first


# --------------------------------------------------------------------------------------------
# The sizes of parts. Seconds are guesses: of two CPU cores for the small ones, else of one H100.
# --------------------------------------------------------------------------------------------

PRECISIONS = (FLOAT32, "high", "default", BFLOAT16)
PAPER = {"p": 97, "width": 500}
FIGURE_4A = {**PAPER, "alphas": TENTHS, "seeds": 10, "max_steps": 3000, "eval_every": 25}
DIAGRAM = {**PAPER, "tenths": TENTHS, "decays": (0, 5, 15, 20), "max_steps": 2000}
FIGURE_2A = {
    "model": "transformer", "p": 97, "width": 128, "alphas": ALPHAS, "seeds": 3,
    "max_steps": 100_000, "eval_every": 100,
}  # fmt: skip
SMALL_4A = {
    "p": 23, "width": 128, "alphas": (0.4, 0.6, 0.8), "seeds": 2, "max_steps": 1000,
    "eval_every": 20,
}  # fmt: skip
SMALL_DIAGRAM = {"p": 23, "width": 128, "tenths": (0.3, 0.6), "decays": (0, 5), "max_steps": 200}
SMALL_2A = {
    "model": "transformer", "p": 13, "width": 32, "alphas": (0.6, 0.8), "seeds": 1,
    "max_steps": 200, "eval_every": 50,
}  # fmt: skip
TINY_4A = {
    "p": 5, "width": 8, "alphas": (0.6, 0.8), "seeds": 1, "max_steps": 40, "eval_every": 20,
}  # fmt: skip
TINY_CORRECTNESS = {
    "p": 11, "width": 48, "alphas": (0.7, 0.85), "seeds": 1, "max_steps": 400, "eval_every": 20,
    "precisions": (FLOAT32, BFLOAT16),
}  # fmt: skip
TINY_DIAGRAM = {"p": 5, "width": 8, "tenths": (0.3, 0.6), "decays": (0,), "max_steps": 20}
TINY_2A = {
    "model": "mlp", "p": 5, "width": 8, "alphas": (0.6,), "seeds": 1, "max_steps": 10,
    "eval_every": 5,
}  # fmt: skip
AS_LONG = {"alphas": (0.4, 0.6), "max_steps": 1000, "eval_every": 5, "precisions": PRECISIONS}

PARTS: dict[str, Part] = {
    "correctness": Part(
        gpu_parts.correctness,
        {
            "full": (Size(100, {**PAPER, "seeds": 4, **AS_LONG}),),
            "small": (Size(15, {"p": 23, "width": 128, "seeds": 2, **AS_LONG, "eval_every": 20}),),
            "tiny": (Size(10, TINY_CORRECTNESS),),
        },
    ),
    "layout": Part(
        gpu_parts.layout,
        {
            "full": (Size(120, {"gromov": FIGURE_4A, "doshi": DIAGRAM}),),
            "small": (Size(5, {"gromov": SMALL_4A, "doshi": SMALL_DIAGRAM}),),
            "tiny": (Size(3, {"gromov": TINY_4A}),),
        },
    ),
    "slots": Part(
        gpu_parts.slots,
        {
            "full": (
                Size(
                    90,
                    {
                        "networks": ("quadratic_23", "quadratic_97"), "most": 512, "steps": 20,
                        "seconds": 80,
                    },
                ),
            ),
            "small": (
                Size(5, {"networks": ("quadratic_23",), "most": 8, "steps": 20, "seconds": 5}),
            ),
            "tiny": (
                Size(3, {"networks": ("quadratic_23",), "most": 2, "steps": 1, "seconds": 3}),
            ),
        },
    ),
    "estimates": Part(
        gpu_parts.estimates,
        {
            "full": (
                Size(
                    240,
                    {
                        "networks": (
                            "quadratic_23", "quadratic_97", "transformer_97", "lstm_97", "mlp_97"
                        )
                    },
                ),
                Size(30, {"networks": ("quadratic_23", "quadratic_97")}),
            ),
            "small": (Size(5, {"networks": ("quadratic_23",)}),),
            "tiny": (Size(3, {"networks": ("quadratic_23",)}),),
        },
    ),
    "pytorch": Part(
        gpu_parts.beside_pytorch,
        {
            "full": (
                Size(
                    90,
                    {
                        "networks": ("quadratic_97", "transformer_97"), "lanes": (1, 64),
                        "steps": 100, "repeats": 5,
                    },
                ),
            ),
            "small": (
                Size(
                    30, {"networks": ("quadratic_23",), "lanes": (1,), "steps": 100, "repeats": 5}
                ),
            ),
            "tiny": (
                Size(20, {"networks": ("quadratic_23",), "lanes": (1,), "steps": 5, "repeats": 2}),
            ),
        },
    ),
    "gromov": Part(
        gpu_parts.sweep,
        {
            "full": (
                Size(60, {"study": "gromov", **FIGURE_4A}, 5.4e5),
                Size(60, {"study": "gromov", **FIGURE_4A, "seeds": 3}, 1.6e5),
            ),
            "small": (Size(12, {"study": "gromov", **SMALL_4A}),),
            "tiny": (Size(8, {"study": "gromov", **TINY_4A}),),
        },
    ),
    "doshi": Part(
        gpu_parts.sweep,
        {
            "full": (
                Size(40, {"study": "doshi", **DIAGRAM}, 2.3e6),
                Size(40, {"study": "doshi", **DIAGRAM, "tenths": TENTHS[::2]}, 6.5e5),
                Size(40, {"study": "doshi", **DIAGRAM, "tenths": TENTHS[::4]}, 2e5),
            ),
            "small": (Size(6, {"study": "doshi", **SMALL_DIAGRAM}),),
            "tiny": (Size(4, {"study": "doshi", **TINY_DIAGRAM}),),
        },
    ),
    "curve": Part(
        gpu_parts.sweep,
        {
            "full": (
                Size(150, {"study": "curve", **FIGURE_2A}, 1.6e6, "transformer_97"),
                Size(
                    120,
                    {"study": "curve", **FIGURE_2A, "seeds": 1, "alphas": ALPHAS[6:]},
                    1e5,
                    "transformer_97",
                ),
            ),
            "small": (Size(12, {"study": "curve", **SMALL_2A}),),
            "tiny": (Size(8, {"study": "curve", **TINY_2A}),),
        },
    ),
    "again": Part(
        gpu_parts.again, {"full": (Size(60, {}),), "small": (Size(5, {}),), "tiny": (Size(3, {}),)}
    ),
}  # fmt: skip
# Lane-steps a second where none were measured: two thirds of the estimates for an H100.
GUESSED = {"quadratic_97": 2e4, "transformer_97": 1.2e4}


# --------------------------------------------------------------------------------------------
# The command
# --------------------------------------------------------------------------------------------


def gpu(
    minutes: Annotated[float, Bounds(above=0)] = 10,
    scale: Scale = "auto",
    parts: tuple[str, ...] = (),
    output: Path | None = None,
    reference: tuple[Path, str] | None = None,
) -> dict[str, Found]:
    """All parts that there is time for, each in a file of its own.

    Args:
      minutes: for all of them; a part is begun only if it is expected to end in time.
      scale: sizes: full on an accelerator, small on a CPU, tiny to see that it works; auto goes by
        the platform.
      parts: any of correctness, layout, slots, estimates, pytorch, gromov, doshi, curve, again; all
        of them by default.
      output: a folder for a JSON file of each part; by default one named after the device, in
        `benchmarks/results`. A part that has its file there is not run again.
      reference: where to write what the CPU gives, and of what (used internally).

    Returns:
      What was found, by part; earlier calls included.

    Raises:
      ValueError: if a part failed, after all of the others.
    """
    if reference is not None:
        path, given = reference[0], json.loads(reference[1])
        np.savez(path, **gpu_parts.starts(**given), **gpu_parts.trained(FLOAT32, **given))
        return {}
    names = choose("part", parts or tuple(PARTS), PARTS)
    if scale == "auto":
        scale = "small" if jax.default_backend() == "cpu" else "full"
    folder = RESULTS / f"gpu_{machine()}" if output is None else output
    print(f"{jax.devices()[0].device_kind}: {scale} sizes, at most {minutes:g} min, in {folder}")
    known = {name: found for name in PARTS if (found := earlier(folder / f"{name}.json", scale))}
    until, failed = time.perf_counter() + 60 * minutes, []
    for place, name in enumerate(names):
        if name in known:
            print(f"{name}: done before")
            continue
        left = until - time.perf_counter()
        later = [PARTS[other].sizes[scale] for other in names[place + 1 :] if other not in known]
        size = fitting(PARTS[name].sizes[scale], later, left, known)
        if size is None:
            least = min(expected(size, known) for size in PARTS[name].sizes[scale])
            print(
                f"{name}: skipped, it takes about {least:.0f} s and {max(left, 0):.0f} s are left"
            )
            continue
        start = time.perf_counter()
        try:
            found = PARTS[name].run(known, left, **size.given)
        except KeyboardInterrupt as interruption:
            show(known, scale)
            raise KeyboardInterrupt(
                f"interrupted in part {name}; the same command goes on with it."
            ) from interruption
        except NotInstalledError as error:
            print(f"{name}: skipped, {error}")
            continue
        except Exception as error:
            failed.append(name)
            print(f"{name}: failed with {type(error).__name__}: {error}")
            continue
        seconds = round(time.perf_counter() - start, 1)
        known[name] = found | {
            "part": name, "scale": scale, "seconds": seconds, "expected": expected(size, known),
            "size": size.given, "origin": origin(),
        }  # fmt: skip
        write_json(folder / f"{name}.json", known[name])
        print(f"{name}: {seconds} s")
    show(known, scale)
    if failed:
        raise ValueError(f"parts that failed: {', '.join(failed)}; the same command tries again.")
    return known


def earlier(path: Path, scale: str) -> Found:
    """What a part found before, at this scale and on this kind of device; nothing otherwise."""
    found = read_json(path)
    same = found.get("scale") == scale
    return found if same and found["origin"]["device"] == jax.devices()[0].device_kind else {}


def expected(size: Size, known: Mapping[str, Found]) -> float:
    """Seconds that a part of this size takes, by the fastest lane-steps that were measured."""
    rates = [found.get("rates", {}).get(size.network, 0) for found in known.values()]
    return size.seconds + size.lane_steps / (max(rates, default=0) or GUESSED[size.network])


def fitting(
    sizes: Iterable[Size], later: Iterable[Iterable[Size]], left: float, known: Mapping[str, Found]
) -> Size | None:
    """The largest size that leaves room for the smallest ones of later parts; else the smallest.

    None if not even that fits the time that is left.
    """
    fits = [size for size in sizes if expected(size, known) <= left]
    room = left - sum(min(expected(size, known) for size in sizes) for sizes in later)
    return next((size for size in fits if expected(size, known) <= room), (fits or [None])[-1])


def show(known: Mapping[str, Found], scale: str) -> None:
    """One table of all parts."""
    if not known:
        return
    where = next(iter(known.values()))["origin"]
    print_table(
        f"{where['device_count']} x {where['device']}, {scale} sizes, jax {where['jax']}, "
        f"{where['date'][:10]}",
        ("part", "", ""),
        [(name, *row) for name, found in known.items() for row in found["rows"]],
        left=3,
        sections=True,
    )


if __name__ == "__main__":
    run_as_command(gpu)
