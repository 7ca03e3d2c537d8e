"""Any flax.linen module as a model."""

import subprocess
import sys

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from networks import KEY, SumNetwork

from grokjax import tasks
from grokjax.models import LinenModel


class NoFlag(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        return nn.Embed(5, 5)(tokens).sum(axis=-2)


class Batchy(nn.Module):
    @nn.compact
    def __call__(self, tokens, train):
        x = nn.Embed(5, 5)(tokens).sum(axis=-2)
        return nn.BatchNorm(use_running_average=not train)(x)


def test_any_linen_module_is_a_model():
    model = LinenModel(SumNetwork(5))
    assert model == LinenModel(SumNetwork(5))
    assert hash(model) == hash(LinenModel(SumNetwork(5)))
    tokens = jnp.asarray(tasks.modular_addition(5).tokens)
    params = model.init(KEY, tokens)
    expected = model.module.apply({"params": params}, tokens, train=False)
    np.testing.assert_array_equal(model.apply(params, tokens), expected)
    trained = model.apply(params, tokens, key=KEY)
    assert not np.allclose(trained, expected)
    np.testing.assert_array_equal(trained, model.apply(params, tokens, key=KEY))
    plain = LinenModel(NoFlag())
    params = plain.init(KEY, tokens)
    np.testing.assert_array_equal(plain.apply(params, tokens, key=KEY), plain.apply(params, tokens))


def test_linen_modules_that_cannot_be_models_are_refused():
    with pytest.raises(ValueError, match=r"keeps \['batch_stats'\] besides its parameters"):
        LinenModel(Batchy()).init(KEY, jnp.zeros((1, 2), jnp.int32))
    with pytest.raises(ValueError, match="not hashable"):
        LinenModel(SumNetwork([5]))
    for wrong in ("SumNetwork", None, SumNetwork, nn.relu, LinenModel(NoFlag())):
        with pytest.raises(ValueError, match=r"module must be a flax.linen module, such as"):
            LinenModel(wrong)


class Positions(nn.Module):
    """As many learned positions as there are operands in `init`; `apply` may have fewer."""

    @nn.compact
    def __call__(self, tokens):
        length = tokens.shape[-1]
        if self.has_variable("params", "positions"):
            positions = self.get_variable("params", "positions")[:length]
        else:
            positions = self.param("positions", nn.initializers.ones, (length, 5))
        return jnp.sum(nn.Embed(5, 5)(tokens) * positions[None], axis=-2)


def test_modules_may_take_other_parameters_than_they_make():
    model = LinenModel(Positions())
    params = model.init(KEY, jnp.zeros((1, 4), jnp.int32))
    assert model.apply(params, jnp.zeros((3, 2), jnp.int32)).shape == (3, 5)


def test_errors_of_a_module_stay_what_they_are():
    class Broken(nn.Module):
        def __call__(self, tokens):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        LinenModel(Broken()).apply({}, jnp.zeros((3, 2), jnp.int32))


def test_linen_is_imported_on_demand():
    code = """
import sys
from grokjax import models
assert "flax.linen" not in sys.modules
assert models.MLP(5).p == 5
assert "flax.linen" in sys.modules
try:
    models.CNN
except AttributeError as error:
    assert "CNN" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)
