"""Which modular functions can a quadratic network learn?

The question of Gromov 2023, appendix C (figures 7 to 10 and the fifth function): n^2 + m^2,
(n + m)^2 and nm are of the form F(f(n) + g(m)), or its multiplicative twin, and have analytic
solutions; n^2 + m^2 + nm and n^3 + n m^2 + m are not.

    python experiments/gromov/functions.py                  # quick: p = 23, 1 minute on 2 cores
    python experiments/gromov/functions.py --scale paper    # p = 97: 15 minutes on 2 cores

Expected: the first three reach 100 % from half of the table. Of the others nearly the whole table
has to be given: n^2 + m^2 + nm then gets to 94 to 97 % at more than 95 % of the table, with a gap
in loss that stays; n^3 + n m^2 + m not beyond chance even at more than 90 %.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import grokjax
from experiments.common import adamw
from grokjax import analytic, plotting, tasks
from grokjax.command import Study, choose, experiment, number, print_table, run_as_command, spread


class Function(NamedTuple):
    """A function of two residues, and what is known of it."""

    fn: Callable[[Any, Any], Any]
    form: str  # what makes it learnable
    hard_alpha: float | None = None  # the source's larger training fraction


FUNCTIONS = {
    "n^2+m^2": Function(lambda n, m: n**2 + m**2, "sum"),
    "(n+m)^2": Function(lambda n, m: (n + m) ** 2, "of sum"),
    "nm": Function(lambda n, m: n * m, "product"),
    "n^2+m^2+nm": Function(lambda n, m: n**2 + m**2 + n * m, "none", 0.96),
    "n^3+nm^2+m": Function(lambda n, m: n**3 + n * m**2 + m, "none", 0.91),
}


@experiment(
    "gromov_functions",
    paper={"p": 97, "width": 500, "alpha": 0.5, "seeds": 5, "max_steps": 1000, "eval_every": 10},
)
def functions(
    study: Study,
    *,
    names: tuple[str, ...] = tuple(FUNCTIONS),
    p: int = 23,
    width: int = 256,
    alpha: float = 0.6,
    seeds: int = 3,
    max_steps: int = 600,
    eval_every: int = 5,
) -> grokjax.SweepResult:
    """Accuracy and loss of networks that learn five functions of two residues, under AdamW.

    Args:
      names: the functions, any of n^2+m^2, (n+m)^2, nm, n^2+m^2+nm, n^3+nm^2+m.
      p: the modulus, an odd prime.
      alpha: the fraction of the table trained on. The last two functions are trained on 0.96 and
        0.91 of it as well.

    Returns:
      One lane for each network, with the column `function`; the columns `chance` and `analytic`
      are the share of the majority answer and the accuracy of the analytic network of that
      function, NaN where none of this architecture is known.
    """
    recipe, columns = adamw(p, width)
    planned = []
    for name in choose("function", names, FUNCTIONS):
        function = FUNCTIONS[name]
        task = tasks.modular_function(p, function.fn, f"{name} mod {p}")
        alphas = sorted({alpha, function.hard_alpha or alpha})
        for share in alphas:
            tasks.num_train_rows(task, share)  # refused now rather than after other functions
        planned.append((name, task, grokjax.grid(alpha=alphas, seed=range(seeds), **columns)))
    with study.sweeps(draw, table) as sweeps:
        for name, task, lanes in planned:
            exact = analytic_accuracies(name, task).get("exact", np.nan)
            sweeps.run(
                recipe, task, lanes,
                title=task.name,
                columns={"function": name, "chance": task.chance, "analytic": exact},
                checkpoints=name,
                max_steps=max_steps, eval_every=eval_every, stop=None,
            )  # fmt: skip
    return sweeps.result


def analytic_accuracies(name: str, task: tasks.Task) -> dict[str, float]:
    """Accuracy on the whole table of the closed-form networks of a function, by construction.

    "exact" is this library's; "paper" the one of the source where that is another: random phases
    of 500 neurons, and for (n+m)^2 the readout by one branch of the inverse.
    """
    p = task.num_classes
    same, square = (lambda n: n), (lambda n: n * n)
    closed: dict[str, Callable[..., tuple[Any, Any]]] = {
        "n^2+m^2": functools.partial(analytic.analytic_function, p, [square, square]),
        "(n+m)^2": functools.partial(analytic.analytic_function, p, [same, same], square),
        "nm": functools.partial(analytic.analytic_multiplication, p),
    }
    if name not in closed:
        return {}
    paper: dict[str, Any] = {"construction": "random_phase", "width": 500}
    if name == "(n+m)^2":
        paper["readout"] = "inverse"
    networks = {"exact": closed[name](), "paper": closed[name](key=jax.random.key(0), **paper)}
    return {kind: analytic.evaluate(*each, task).accuracy for kind, each in networks.items()}


def draw(result: grokjax.SweepResult, *, answer: int = 6) -> "plotting.Figure":
    """Accuracy, loss and a logit of every function, at the largest alpha."""
    last = {name: (alpha, lanes) for (name, alpha), lanes in result.groups("function", "alpha")}
    figure, axes = plotting.new_figure(
        len(last), 3, size=(7.6, 2.15 * len(last)), squeeze=False, width_ratios=(1, 1, 0.85)
    )
    for (left, middle, right), (name, (alpha, lanes)) in zip(axes, last.items(), strict=True):
        label = f"${name}$\n$\\alpha$ = {alpha:g}\naccuracy"
        accuracies, losses = (("train_" + x, "test_" + x) for x in ("accuracy", "loss"))
        plotting.curves(lanes, accuracies, left, ylabel=label, legend=False)
        plotting.curves(lanes, losses, middle, ylabel="loss", yscale="log", legend=False)
        assert lanes.params is not None
        p, width = lanes.params["w1"].shape[-2:]
        network = lanes.network(0, adamw(p, width)[0].model)
        logit = network(tasks.modular_addition(p).tokens)[:, answer % p].reshape(p, p)
        title = f"$h^{{(2)}}_{{{answer % p}}}(n, m)$"
        plotting.heatmap(logit, right, title=title, xlabel="$m$", ylabel="$n$", square=True)
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    plotting.legend_outside(figure)
    return figure


def table(result: grokjax.SweepResult) -> None:
    """Final accuracies of every function and alpha, and the test loss over the training loss."""
    p = result.dataset.attrs["task"].split()[-1]
    rows = []
    for (name, alpha), lanes in result.groups("function", "alpha"):
        train, test = (100 * lanes.final(x) for x in ("train_accuracy", "test_accuracy"))
        gap = lanes.final("test_loss") / lanes.final("train_loss")
        exact, chance = (100 * lanes.dataset[x].values[0] for x in ("analytic", "chance"))
        known = "none" if np.isnan(exact) else f"{exact:.1f}"
        reached = number(train.median().item()), spread(test, lines=True), f"{chance:.1f}", known
        rows.append((name, FUNCTIONS[name].form, alpha, *reached, spread(gap, lines=True)))
    print_table(
        f"mod {p}, AdamW, {len(np.unique(result.dataset.seed))} seeds: median and lowest-highest",
        ("function", "form", "alpha", "train %", "test %", "chance %", "exact %", "loss gap"),
        rows,
        notes=["loss gap: test loss over training loss"],
        left=2,
    )


if __name__ == "__main__":
    run_as_command(functions)
