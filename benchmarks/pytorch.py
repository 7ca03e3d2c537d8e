"""A Transformer against the same in PyTorch: the time of a step of one network.

    pip install -e ".[bench]"
    python benchmarks/pytorch.py                    # 1 lane, and 1 on each core: minutes on two
    python benchmarks/pytorch.py --lanes 64         # on a GPU, 64 side by side

What a whole alpha curve saves besides, since networks that have grokked leave: `refill.py`.

Both train the network of the report "Grokking Phenomenon Reproduction", figure 1 (batch 512,
dropout 0.1, AdamW with warmup) on p = 97, and
look at the whole table once a round. PyTorch trains one network after another, as the sources do;
torch.compile is not used. Each has a process of its own that sleeps while another is timed, and all
of them may use the same cores. They take turns, and what counts are ratios within one turn. On a
machine with other work use `--threads 1` and the ratio of CPU time: PyTorch's threads wait for each
other in every operation, and lose far more than their share.
"""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from grokjax.command import cores, run_as_command

P, ALPHA, BATCH, RATE, DECAY, WARMUP = 97, 0.5, 512, 1e-3, 0.1, 10
MOST_TURNS = 1000  # of `steps` steps each


def pytorch(
    lanes: tuple[int, ...] = (1, 2),
    steps: int = 40,
    repeats: int = 10,
    threads: int | None = None,
    output: Path | None = None,
    serve: str | None = None,
) -> None:
    """Lane-steps against PyTorch's.

    Args:
      lanes: numbers of lanes to compare.
      steps: training steps of every lane in a turn.
      repeats: turns; the median ratio is shown, with the lowest and highest.
      threads: CPU cores for either; all by default.
      output: folder for `pytorch.json`; nothing is written without it.
      serve: what a process is to be timed on (used internally).
    """
    if serve is not None:
        return answer(serve, steps, threads or cores())
    figures = {"steps": lane_steps(lanes, steps, repeats, threads or cores())}
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "pytorch.json").write_text(json.dumps(figures, indent=2) + "\n")


def lane_steps(lanes: tuple[int, ...], steps: int, repeats: int, threads: int) -> dict:
    """Milliseconds of a lane-step, for PyTorch and for so many lanes, in turn."""
    names = ["torch", *map(str, lanes)]
    servers = {name: start(name, steps, threads) for name in names}
    try:
        for server in servers.values():
            server.stdout.readline()  # imported, compiled and warm
        turns = [[ask(servers[name]) for name in names] for _ in range(repeats)]
    finally:
        for server in servers.values():
            server.kill()
    seconds = np.array([[measured[:2] for measured in turn] for turn in turns])
    milliseconds = seconds * 1e3 / steps / np.array([1, *lanes])[:, None]
    ratios = milliseconds[:, :1] / milliseconds
    title = f"a lane-step, p={P}, batch {BATCH}, {threads} cores, {turns[0][1][2]}"
    table = Table(title=f"{title}, {repeats} turns of {steps} steps")
    for heading in ("", "milliseconds", "as fast as PyTorch", "in CPU time"):
        table.add_column(heading, justify="right" if heading else "left")
    found = {"title": table.title}
    for i, name in enumerate(names):
        label = "PyTorch, one network" if name == "torch" else f"grokjax, lanes: {name}"
        middle, low, high = (f(ratios[:, i], axis=0) for f in (np.median, np.min, np.max))
        cells = [f"{m:.2f} ({a:.2f} to {b:.2f})" for m, a, b in zip(middle, low, high, strict=True)]
        table.add_row(label, f"{np.median(milliseconds[:, i, 0]):.2f}", *cells)
        found[label] = {"milliseconds": milliseconds[:, i].tolist(), "ratio": middle.tolist()}
    Console(width=110).print(table)
    return found


def start(name: str, steps: int, threads: int) -> subprocess.Popen:
    """A process that waits for its turns."""
    environment = dict(os.environ)
    if name != "torch":
        # One lane has all the cores; more are spread over a simulated device for each.
        environment["JAX_NUM_CPU_DEVICES"] = str(min(int(name), threads))
    command = [sys.executable, __file__, "--serve", name, "--steps", str(steps)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, "--threads", str(threads)], stdin=pipe, stdout=pipe, text=True, env=environment
    )


def ask(server: subprocess.Popen) -> list:
    """Seconds of a turn, its CPU seconds, and the device."""
    server.stdin.write("\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def answer(name: str, steps: int, threads: int) -> None:
    """The other end: runs a turn for every line, and prints how long it took."""
    if threads < cores():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    turn, device = torch_turns(steps) if name == "torch" else jax_turns(int(name), steps)
    turn()  # compiles, and fills caches
    turn()
    print("ready", flush=True)
    for _ in sys.stdin:
        begin, cpu = time.perf_counter(), time.process_time()
        turn()
        taken = [time.perf_counter() - begin, time.process_time() - cpu]
        print(json.dumps([*taken, device]), flush=True)


def jax_turns(lanes: int, steps: int):
    """A function that trains `lanes` lanes for `steps` more steps, by the engine's programs."""
    import jax

    import grokjax
    from grokjax import losses, models, optimizers, tasks
    from grokjax.sweep.devices import Devices, empty_slots
    from grokjax.sweep.plan import make_plan
    from grokjax.sweep.schedule import Schedule

    recipe = grokjax.Recipe(
        models.Transformer(P), losses.cross_entropy, optimizers.adamw, batch_size=BATCH
    )
    task, mesh = tasks.modular_addition(P), grokjax.lane_mesh()
    columns = grokjax.grid(
        alpha=ALPHA, seed=range(lanes), learning_rate=RATE, weight_decay=DECAY, warmup=WARMUP
    )
    slots = -(-lanes // mesh.size)
    if slots * mesh.size != lanes:
        raise ValueError(f"lanes must be a multiple of the {mesh.size} devices, got {lanes}.")
    plan = make_plan(
        recipe, task, columns, max_steps=steps * MOST_TURNS, eval_every=steps, stop=None,
        initial=None, keep_params="none",
    )  # fmt: skip
    schedule = Schedule.of(plan.rows, plan.table.lanes.num_train, plan.measure_at, mesh.size, slots)
    devices = Devices(plan, mesh, slots, vectorize=jax.default_backend() != "cpu")
    devices.set_state(empty_slots(plan, mesh, slots))
    fresh, _ = schedule.admit()
    assert fresh is not None
    devices.admit(fresh)

    def turn():
        (call,) = schedule.calls(devices.vectorize)
        jax.block_until_ready((devices.train(call), devices.state))

    return turn, jax.devices()[0].device_kind


def torch_turns(steps: int):
    """A function that trains that network for `steps` more steps in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self, width: int, heads: int):
            super().__init__()
            self.heads = heads
            self.query_key_value = nn.Linear(width, 3 * width, bias=False)
            self.out = nn.Linear(width, width, bias=False)
            self.norm_attention, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
            self.feed_forward = nn.Sequential(
                nn.Linear(width, 4 * width, bias=False),
                nn.ReLU(),
                nn.Linear(4 * width, width, bias=False),
                nn.Dropout(0.1),
            )

        def forward(self, x):
            rows, places, width = x.shape
            split = self.query_key_value(x).view(rows, places, 3, self.heads, -1)
            a = functional.scaled_dot_product_attention(
                *split.permute(2, 0, 3, 1, 4), is_causal=True
            )
            x = self.norm_attention(x + self.out(a.transpose(1, 2).reshape(rows, places, width)))
            return self.norm_feed_forward(x + self.feed_forward(x))

    class Transformer(nn.Module):
        def __init__(self, vocabulary: int = 239, width: int = 128):
            super().__init__()
            self.embed = nn.Embedding(vocabulary, width)
            self.blocks = nn.Sequential(Block(width, 4), Block(width, 4))
            self.readout = nn.Linear(width, vocabulary, bias=False)
            angle = torch.arange(2)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
            positions = torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(2, width)
            self.register_buffer("positions", positions)

        def forward(self, tokens):
            return self.readout(self.blocks(self.embed(tokens) + self.positions).mean(dim=1))

    torch.set_num_threads(cores())
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokens = torch.cartesian_prod(torch.arange(P), torch.arange(P)).to(device)
    labels = tokens.sum(dim=1) % P
    train = torch.randperm(P * P, device=device)[: math.ceil(ALPHA * P * P)]
    model = Transformer().to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), RATE, (0.9, 0.98), weight_decay=DECAY, fused=True
    )
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / WARMUP, 1))
    batches = iter(())

    def turn():
        nonlocal batches
        for _ in range(steps):
            batch = next(batches, None)
            if batch is None:  # the next epoch
                shuffled = train[torch.randperm(len(train), device=device)]
                batches = iter(shuffled.split(BATCH))
                batch = next(batches)
            loss = functional.cross_entropy(model(tokens[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            warmup.step()
        with torch.no_grad():
            model.eval()
            logits = model(tokens)
            losses = functional.cross_entropy(logits, labels, reduction="none")
            losses.mean().item(), (logits.argmax(dim=1) == labels).float().mean().item()
            model.train()

    return turn, device


if __name__ == "__main__":
    run_as_command(pytorch)
