"""A network against the same in PyTorch: the time of a step of one network.

    pip install -e ".[bench]"
    python benchmarks/pytorch.py                    # 1 lane, and 1 on each core: minutes on two
    python benchmarks/pytorch.py --lanes 64         # on a GPU, 64 side by side

What a whole alpha curve saves besides, since networks that have grokked leave: `refill.py`.

Both train one of these networks, and look at the whole table once a round:

- quadratic_23, quadratic_97: Gromov's, with 128 and 500 hidden units, AdamW, squared error, on all
  training rows at once. In PyTorch its first layer multiplies by one-hot operands, as the published
  codes do; and once more, the rows of its weights are looked up and added.
- transformer_97: that of the report "Grokking Phenomenon Reproduction", figure 1, with batches of
  512, dropout 0.1, AdamW with warmup.

PyTorch trains one network after another, as the sources do; torch.compile is not used. The last
column is the bound that the machine sets: the rate of a step's operations over that at which all
cores, a device each, multiply matrices of 2048 rows and columns. Of the quadratic network these are
the products of its second layer, of the Transformer what XLA counts for a CPU. Each has a
process of its own that sleeps while another is timed, and all of them may use the same cores. They
take turns, and what counts are ratios within one turn. On a machine with other work use
`--threads 1` and the ratio of CPU time: PyTorch's threads wait for each other in every operation,
and lose far more than their share.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import grokjax
from benchmarks.common import needs, plan_of, record
from benchmarks.compile_ahead import Case, operations
from experiments.common import adamw
from grokjax import losses, models, optimizers, tasks
from grokjax.command import choose, cores, number, print_table, run_as_command, spread
from grokjax.sweep.devices import Devices, empty_slots
from grokjax.sweep.schedule import Schedule

ALPHA, BATCH = 0.5, 512
WIDTHS = {"quadratic_23": 128, "quadratic_97": 500, "transformer_97": 128}
TORCH = {"torch": "PyTorch", "torch_lookup": "PyTorch, with look-ups"}
RATES = {"quadratic": (1e-2, 5.0, 0), "transformer": (1e-3, 0.1, 10)}  # rate, decay, warmup
MOST_TURNS = 1000  # of `steps` steps each
PRODUCTS, SIDE = "products", 2048  # matrix products, what they are compared with
REMEDY = 'pip install -e ".[bench]"'


def pytorch(
    networks: tuple[str, ...] = tuple(WIDTHS),
    lanes: tuple[int, ...] = (1, 2),
    steps: int = 20,
    repeats: int = 10,
    threads: int | None = None,
    output: Path | None = None,
    serve: str | None = None,
) -> None:
    """Lane-steps against PyTorch's.

    Args:
      networks: any of quadratic_23, quadratic_97, transformer_97.
      lanes: numbers of lanes to compare.
      steps: training steps of every lane in a turn.
      repeats: turns; the median ratio is shown, with the lowest and highest.
      threads: CPU cores for either; all by default.
      output: a JSON file for the figures.
      serve: what a process is to be timed on (used internally).
    """
    needs("torch", f"to compare with it, {REMEDY}")
    if serve is not None:
        return answer(networks[0], serve, steps, threads or cores())
    found, ratios = {}, {}
    for network in choose("network", networks, WIDTHS):
        found[network] = figures = compared(network, lanes, steps, repeats, threads or cores())
        for label, several in figures["ratios"].items():
            ratios[f"{network}, {label}: times as fast as PyTorch"] = np.median(several)
    record(output, ratios, networks=found)


def compared(
    network: str, lanes: tuple[int, ...], steps: int, repeats: int, threads: int
) -> dict[str, Any]:
    """Milliseconds of a lane-step, for PyTorch and for so many lanes, in turn, and their ratios."""
    loops = list(TORCH)[: 2 if network.startswith("quadratic") else 1]
    names = [*loops, *map(str, lanes), PRODUCTS]
    servers = {name: start(network, name, steps, threads) for name in names}
    try:
        for name, server in servers.items():
            if not server.stdout.readline():  # imported, compiled and warm
                raise ValueError(f"{network} could not be timed: {name} ended, see above.")
        turns = [[ask(servers[name]) for name in names] for _ in range(repeats)]
    finally:
        for server in servers.values():
            server.kill()
            server.communicate()
    seconds = np.array([[measured[:2] for measured in turn] for turn in turns])
    networks = np.array([*(1 for _ in loops), *lanes])  # in a process
    milliseconds = seconds[:, :-1] * 1e3 / steps / networks[:, None]
    ratios = milliseconds[:, :1] / milliseconds
    device, worth = turns[0][-1][2:]
    shares = seconds[:, -1:, 0] * 1e3 / worth / milliseconds[..., 0]
    labels = [f"lanes: {count}" for count in lanes]
    print_table(
        f"a lane-step of {network}, {threads} cores, {device}, {repeats} turns of {steps} steps",
        ("", "ms", "as fast as PyTorch", "in CPU time", "of products"),
        [
            (
                label,
                number(np.median(milliseconds[:, i, 0])),
                *(spread(ratios[:, i, kind], ".2f") for kind in range(2)),
                f"{np.median(shares[:, i]):.2f}",
            )
            for i, label in enumerate([*(TORCH[name] for name in loops), *labels])
        ],
    )
    return {
        "device": device,
        "milliseconds": dict(zip(names[:-1], milliseconds[:, :, 0].T, strict=True)),
        "cpu_milliseconds": dict(zip(names[:-1], milliseconds[:, :, 1].T, strict=True)),
        "ratios": dict(zip(labels, ratios[:, len(loops) :, 0].T, strict=True)),
        "shares_of_products": dict(zip(labels, shares[:, len(loops) :].T, strict=True)),
    }


def start(network: str, name: str, steps: int, threads: int) -> subprocess.Popen:
    """A process that waits for its turns."""
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # they share a GPU
    if name not in TORCH:
        # One lane has all the cores; more are spread over a simulated device for each.
        used = threads if name == PRODUCTS else min(int(name), threads)
        environment["JAX_NUM_CPU_DEVICES"] = str(used)
    command = [sys.executable, __file__, "--networks", network, "--serve", name]
    command += ["--steps", str(steps), "--threads", str(threads)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def ask(server: subprocess.Popen) -> list:
    """Seconds of a turn, its CPU seconds, the device, and the products' worth in lane-steps."""
    server.stdin.write("\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def answer(network: str, name: str, steps: int, threads: int) -> None:
    """The other end: runs a turn for every line, and prints how long it took."""
    if threads < cores():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    worth = 0.0
    if name in TORCH:
        turn, device = torch_turns(network, name == "torch_lookup", steps)
    elif name == PRODUCTS:
        turn, device, worth = product_turns(network)
    else:
        turn, device = jax_turns(network, int(name), steps)
    turn()  # compiles, and fills caches
    turn()
    print("ready", flush=True)
    for _ in sys.stdin:
        begin, cpu = time.perf_counter(), time.process_time()
        turn()
        taken = [time.perf_counter() - begin, time.process_time() - cpu]
        print(json.dumps([*taken, device, worth]), flush=True)


def sizes(network: str) -> tuple[str, int, int]:
    """The kind of a network, its modulus, and its width."""
    kind, p = network.split("_")
    return kind, int(p), WIDTHS[network]


def recipe_of(network: str) -> Any:
    """The recipe of a network."""
    kind, p, width = sizes(network)
    if kind == "quadratic":
        return adamw(p, width)[0]
    model = models.Transformer(p, width=width)
    return grokjax.Recipe(model, losses.cross_entropy, optimizers.adamw, batch_size=BATCH)


def product_turns(network: str) -> tuple[Callable[[], Any], str, float]:
    """A function that multiplies matrices on all devices, and their worth in lane-steps."""
    square = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    matrices = [jax.device_put(square, device) for device in jax.devices()]
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    turn = lambda: jax.block_until_ready([multiply(a) for a in matrices])
    kind, p, width = sizes(network)
    if kind == "quadratic":  # the three products of the second layer; the first one looks rows up
        each = 6.0 * math.ceil(ALPHA * p * p) * width * p
    else:
        each = operations(Case(recipe_of(network), tasks.modular_addition(p)), "cpu")
    return turn, jax.devices()[0].device_kind, 2 * SIDE**3 * len(matrices) / each


def jax_turns(network: str, lanes: int, steps: int) -> tuple[Callable[[], Any], str]:
    """A function that trains `lanes` lanes for `steps` more steps, by the engine's programs."""
    kind, p, _ = sizes(network)
    rate, decay, warmup = RATES[kind]
    recipe, task, mesh = recipe_of(network), tasks.modular_addition(p), grokjax.lane_mesh()
    columns = grokjax.grid(
        alpha=ALPHA, seed=range(lanes), learning_rate=rate, weight_decay=decay, warmup=warmup
    )
    slots = -(-lanes // mesh.size)
    if slots * mesh.size != lanes:
        raise ValueError(f"lanes must be a multiple of the {mesh.size} devices, got {lanes}.")
    plan = plan_of(recipe, task, columns, steps * MOST_TURNS, steps)
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


def torch_turns(network: str, lookup: bool, steps: int) -> tuple[Callable[[], Any], str]:
    """A function that trains that network for `steps` more steps in PyTorch."""
    import torch
    from torch.nn import functional

    kind, p, width = sizes(network)
    rate, decay, warmup = RATES[kind]
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokens = torch.cartesian_prod(torch.arange(p), torch.arange(p)).to(device)
    labels = tokens.sum(dim=1) % p
    train = torch.randperm(p * p, device=device)[: math.ceil(ALPHA * p * p)]
    if kind == "transformer":
        model, betas = transformer(width).to(device), (0.9, 0.98)
        loss_of = functional.cross_entropy
    else:
        model, betas = two_layers(p, width, lookup).to(device), (0.9, 0.999)
        one_hot = functional.one_hot(tokens, p).flatten(start_dim=1).float()
        tokens = tokens + torch.tensor([0, p], device=device) if lookup else one_hot
        targets = torch.eye(p, device=device)
        loss_of = lambda logits, labels, reduction="mean": functional.mse_loss(
            logits, targets[labels], reduction=reduction
        )
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas, weight_decay=decay, fused=True)
    scale = lambda step: min(step / warmup, 1) if warmup else 1
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, scale)
    whole = tokens[train], labels[train]
    batches = iter(())

    def rows():
        nonlocal batches
        if kind == "quadratic":
            return whole
        batch = next(batches, None)
        if batch is None:  # the next epoch
            shuffled = train[torch.randperm(len(train), device=device)]
            batches = iter(shuffled.split(BATCH))
            batch = next(batches)
        return tokens[batch], labels[batch]

    def turn():
        for _ in range(steps):
            chosen, right = rows()
            loss = loss_of(model(chosen), right)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            model.eval()
            logits = model(tokens)
            losses = loss_of(logits, labels, reduction="none")
            losses.mean().item(), (logits.argmax(dim=1) == labels).float().mean().item()
            model.train()

    return turn, device


def two_layers(p: int, width: int, lookup: bool) -> Any:
    """Gromov's network as a module of PyTorch, in the standard parameterization.

    Its operands are one-hot, float[B, 2p]; with `lookup`, rows of the first layer, int[B, 2].
    """
    import torch
    from torch import nn

    class TwoLayers(nn.Module):
        def __init__(self):
            super().__init__()
            std = 0.5 / (2 * width) ** (1 / 3)
            self.first = nn.Parameter(torch.normal(0, std, (2 * p, width)))
            self.second = nn.Parameter(torch.normal(0, std, (width, p)))

        def forward(self, operands):
            if lookup:
                hidden = nn.functional.embedding(operands, self.first).sum(dim=1)
            else:
                hidden = operands @ self.first
            return (hidden * hidden) @ self.second

    return TwoLayers()


def transformer(width: int, vocabulary: int = 239) -> Any:
    """The report's Transformer as a module of PyTorch."""
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
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(vocabulary, width)
            self.blocks = nn.Sequential(Block(width, 4), Block(width, 4))
            self.readout = nn.Linear(width, vocabulary, bias=False)
            angle = torch.arange(2)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
            positions = torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(2, width)
            self.register_buffer("positions", positions)

        def forward(self, tokens):
            return self.readout(self.blocks(self.embed(tokens) + self.positions).mean(dim=1))

    return Transformer()


if __name__ == "__main__":
    run_as_command(pytorch)
