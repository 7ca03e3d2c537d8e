"""What a part of a sweep is: equal in every process, and different for parts that differ."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from grokjax import losses, models, optimizers
from grokjax.sweep.identity import digest, fingerprint
from grokjax.train import describe, grokked

SCALE = 2.0


def times(factor):
    def scaled(x):
        return factor * x

    return scaled


def mse(logits, labels):
    return losses.mse(logits, labels) * 1.0


def make_mse():
    def mse(logits, labels):
        return losses.mse(logits, labels) * 2.0

    return mse


def with_default(x, factor=1.0):
    return factor * x


def reads_a_global(x):
    return SCALE * x


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x

    def method(self, x):
        return self.factor + x


@dataclasses.dataclass(frozen=True)
class Frozen:
    factor: float

    def __call__(self, x):
        return self.factor * x


class Module(nn.Module):
    width: int

    @nn.compact
    def __call__(self, tokens):
        return nn.Dense(self.width)(nn.one_hot(tokens, 7).sum(axis=-2))


def custom(slope):
    @jax.custom_vjp
    def f(x):
        return x

    f.defvjp(lambda x: (x, None), lambda _, c: (slope * c,))
    return f


@jax.jit
def jitted(x):
    return 2 * x


PARTS = {
    "jax function": lambda: jax.nn.relu,
    "numpy function": lambda: jnp.square,
    "method": lambda: Scaled(2.0).method,
    "instance": lambda: Scaled(2.0),
    "dataclass": lambda: Frozen(2.0),
    "partial": lambda: functools.partial(with_default, factor=3.0),
    "jitted": lambda: jitted,
    "custom gradient": lambda: custom(2.0),
    "linen": lambda: models.LinenModel(Module(7)),
    "closure": lambda: times(3.0),
    "array": lambda: times(np.arange(3)),
    "set": lambda: {"a", "b", "c", 1},
    "chain": lambda: optimizers.chain(optimizers.grokfast_ema_filter, optimizers.nesterov),
    "optax": lambda: optax.adam,
    "stop": grokked,
    "wrapped model": lambda: models.with_weight_noise(models.QuadraticMLP(7, 8), 0.1),
}

DIFFERENT = {
    "functions of one name": (mse, make_mse()),
    "a library's and a user's": (losses.mse, mse),
    "lambdas": (lambda x: x + 1, lambda x: x + 2),
    "lambdas on one line that call others": (lambda x: x.sum(), lambda x: x.mean()),
    "closed-over numbers": (times(1.0), times(2.0)),
    "closed-over arrays": (times(np.zeros(3)), times(np.zeros(4))),
    "closed-over functions": (times(times(1.0)), times(times(2.0))),
    "partials": (functools.partial(with_default, factor=1), functools.partial(with_default)),
    "instances": (Scaled(1.0), Scaled(2.0)),
    "methods of other instances": (Scaled(1.0).method, Scaled(2.0).method),
    "dataclasses": (Frozen(1.0), Frozen(2.0)),
    "custom gradients": (custom(1.0), custom(2.0)),
    "linen modules": (Module(3), Module(4)),
    "types of numbers": (1, 1.0),
    "tuples and lists": ((1, 2), [1, 2]),
    "nesting": (((1,), 2), ((1, 2),)),
    "activations": (jax.nn.relu, jax.nn.gelu),
    "patience": (grokked(patience=2), grokked(patience=3)),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_made_again_is_the_same(name):
    assert fingerprint(PARTS[name]()) == fingerprint(PARTS[name]())


def test_a_part_is_the_same_in_another_process():
    """With other addresses in memory and another order of sets."""
    code = f"""
import json, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
import test_identity as t
from grokjax.train import describe
print(json.dumps([[t.fingerprint(part()), describe(part())] for part in t.PARTS.values()]))
"""
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    theirs = json.loads(done.stdout)
    ours = [[fingerprint(part()), describe(part())] for part in PARTS.values()]
    # The set's repr has no fixed order, and is only what people see.
    assert [f for f, _ in theirs] == [f for f, _ in ours]
    named = [name != "set" for name in PARTS]
    assert np.array(theirs)[named].tolist() == np.array(ours)[named].tolist()


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_parts_differ(name):
    first, second = DIFFERENT[name]
    assert fingerprint(first) != fingerprint(second)


def test_defaults_and_globals_count(monkeypatch):
    before = fingerprint(with_default), fingerprint(reads_a_global)
    monkeypatch.setattr(with_default, "__defaults__", (2.0,))
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert fingerprint(with_default) != before[0]
    assert fingerprint(reads_a_global) != before[1]


def test_docstrings_and_places_in_a_file_do_not_count():
    sources = ["def f(x):\n    return 2 * x", "\n\ndef f(x):\n    'A doc.'\n    return 2 * x"]
    made = []
    for source in sources:
        space = {"__name__": "somewhere"}
        exec(compile(source, "a file", "exec"), space)
        made.append(space["f"])
    assert fingerprint(made[0]) == fingerprint(made[1])


def test_recursion_ends():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert fingerprint(even) == fingerprint(even) != fingerprint(odd)


def test_functions_that_call_each_other_in_many_ways_are_followed_once():
    """Two functions on each of forty floors, both of which call both of the floor below."""
    space = {"__name__": "floors"}
    source = ["def a0(x): return x", "def b0(x): return -x"]
    for n in range(1, 40):
        source += [f"def {name}{n}(x): return a{n - 1}(x) + b{n - 1}(x)" for name in "ab"]
    exec("\n".join(source), space)
    before = fingerprint(space["a39"])
    exec("def b0(x): return -2 * x", space)
    assert fingerprint(space["a39"]) != before


def test_an_object_within_a_closure_that_cannot_be_identified_is_refused():
    class Empty:  # the word in a message must not be taken for a cell without contents
        def __reduce_ex__(self, protocol):
            raise TypeError

    with pytest.raises(ValueError, match=r"Empty cannot be identified"):
        fingerprint(times(Empty()))


def test_what_cannot_be_identified_is_refused():
    with open(__file__) as file:
        for part in (file, (i for i in range(3)), times(i for i in ()), Scaled(file)):
            with pytest.raises(ValueError, match=r"cannot be identified.* leave directory= out"):
                fingerprint(part)


def test_a_digest_sees_structure_types_and_shapes():
    zeros = np.zeros(4, np.float32)
    trees = [{"a": zeros}, {"b": zeros}, [zeros], {"a": zeros.reshape(2, 2)}, {"a": zeros + 1}]
    trees.append({"a": zeros.view(np.int32)})
    assert len({digest(tree) for tree in trees}) == len(trees)
    assert digest({"a": zeros.copy()}) == digest({"a": jnp.zeros(4)})
