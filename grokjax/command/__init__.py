"""How an experiment is written: a typed function with scales, its sweeps, its figure, its table.

    @experiment(paper={"p": 97, "width": 500})
    def width_sweep(study: Study, *, p: int = 23, width: int = 128, seeds: int = 5):
        '''Does it grok? And what an option is, as Args, where its name does not say it.'''
        with study.sweeps(draw, table) as sweeps:
            sweeps.run(recipe, task, lanes, max_steps=500, eval_every=10)
        return sweeps.result

    if __name__ == "__main__":
        run_as_command(width_sweep)

`docs/extending.md` has a whole one. The values in the signature are those of the quick scale.
"""

from grokjax.command.options import Bounds, Count, Positive, Share, check_option, choose, experiment
from grokjax.command.run import cores, run_as_command
from grokjax.command.sweeps import Study, Sweeps
from grokjax.command.tables import number, print_line, print_table, spread

__all__ = [
    "Bounds",
    "Count",
    "Positive",
    "Share",
    "Study",
    "Sweeps",
    "check_option",
    "choose",
    "cores",
    "experiment",
    "number",
    "print_line",
    "print_table",
    "run_as_command",
    "spread",
]


def __dir__() -> list[str]:
    return __all__
