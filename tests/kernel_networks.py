"""Networks without a closed form, their kernels by definition, and splits."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from grokjax import tasks


@dataclasses.dataclass(frozen=True)
class Linear:
    """A network that is linear in its parameters: `logits = sum_s w[s, n_s]`."""

    p: int
    operands: int = 2

    def init(self, key, tokens):
        return {"w": jax.random.normal(key, (self.operands, self.p, self.p))}

    def apply(self, params, tokens, *, key=None):
        return sum(params["w"][s][tokens[..., s]] for s in range(self.operands))


@dataclasses.dataclass(frozen=True)
class Deep:
    """Three layers with biases, an embedding and a nested dict: nothing has a closed form."""

    p: int
    width: int = 8

    def init(self, key, tokens):
        keys = jax.random.split(key, 3)
        shapes = {"embed": (self.p, 4), "inner": (8, self.width), "outer": (self.width, self.p)}
        weights = {
            name: jax.random.normal(k, shape)
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        }
        return {"weights": weights, "bias": jnp.linspace(-1, 1, self.width)}

    def apply(self, params, tokens, *, key=None):
        weights = params["weights"]
        x = weights["embed"][tokens].reshape(*tokens.shape[:-1], -1)
        bias = params["bias"].reshape((1,) * (x.ndim - 1) + (-1,))
        return jnp.tanh(x @ weights["inner"] + bias) @ weights["outer"]


def probe(p, rows, seed=0, operands=2):
    table = tasks.modular_addition(p, operands)
    chosen = np.random.default_rng(seed).choice(table.num_rows, rows, replace=False)
    return table.tokens[chosen], table.labels[chosen]


def trained(model, seed=0, shift=0.5):
    """Parameters that are not those of an initial network."""
    key1, key2 = jax.random.split(jax.random.key(seed))
    params = model.init(key1, np.zeros((1, 2), np.int32))
    return jax.tree.map(lambda x, y: x + shift * model.init_std * y, params, model.init(key2))


@functools.cache
def compiled(fn, model, **options):
    return jax.jit(functools.partial(fn, model, **options))


def jacobian_of(model, params, tokens):
    return jax.jacrev(lambda params: model.apply(params, tokens))(params)


def jacobian(model, params, tokens):
    """All gradients, [P, C, parameters], in float64."""
    leaves = jax.tree.leaves(compiled(jacobian_of, model)(params, tokens))
    flat = [np.asarray(leaf, np.float64).reshape(*leaf.shape[:2], -1) for leaf in leaves]
    return np.concatenate(flat, axis=-1)


def by_jacobian(model, params, tokens, other=None):
    """The definition: the whole Jacobian, contracted over the parameters."""
    first = jacobian(model, params, tokens)
    second = first if other is None else jacobian(model, params, other)
    return np.einsum("iqt,jrt->ijqr", first, second)


def assert_close(found, expected, tolerance=1e-5):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


# The theorem: a kernel of <x, x'> is wrong on every test row


def split(p, alpha, seed=0):
    task = tasks.modular_addition(p)
    order = np.random.default_rng(seed).permutation(task.num_rows)
    train = np.zeros(task.num_rows, bool)
    train[order[: tasks.num_train_rows(task, alpha)]] = True
    return task, train
