"""Progress measures, against networks whose circuit is known in closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import grokjax
from grokjax import analytic, circuits, losses, models, optimizers, tasks

ODD_AND_EVEN = [9, 12]  # neither is prime


@functools.cache
def circuit(p, construction, frequencies=(1,), parameterization="mean_field"):
    """A closed-form network: model, parameters, logits, task and a split in half."""
    model, params = analytic.analytic_addition(
        p,
        construction=construction,
        frequencies=None if construction == "one_hot" else frequencies,
        parameterization=parameterization,
    )
    return model, params, *on_table(model, params, p)


def on_table(model, params, p):
    task = tasks.modular_addition(p)
    split = tasks.split(task, tasks.split_order(task, jax.random.key(0)), p * p // 2)
    with jax.default_matmul_precision("highest"):
        return model.apply(params, task.tokens), task, split


@functools.cache
def random_network(p, width=200):
    model = models.QuadraticMLP(p, width)
    params = model.init(jax.random.key(1))
    return model, params, *on_table(model, params, p)


# --------------------------------------------------------------------------------------------
# Restricted and excluded loss
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "loss"), [(9, losses.cross_entropy), (12, losses.mse), (11, losses.softmax_mse)]
)
def test_a_clock_is_its_key_frequency_and_nothing_else(p, loss):
    _, params, logits, task, split = circuit(p, "clock", (1,))
    numbers = circuits.fourier_losses(loss, (1,))(params, logits, task, split)
    whole = loss(logits, split.labels).mean()
    nothing = loss(jnp.zeros((1, p)), jnp.zeros(1, int))[0]  # chance
    np.testing.assert_allclose(numbers["restricted_loss"], whole, rtol=1e-5)
    np.testing.assert_allclose(numbers["excluded_loss"], nothing, rtol=1e-5)
    np.testing.assert_allclose(numbers["key_share"], 1, rtol=1e-5)


def test_chance_of_cross_entropy_is_log_p():
    _, params, logits, task, split = circuit(11, "clock", (2,))
    numbers = circuits.fourier_losses(losses.cross_entropy, (2,))(params, logits, task, split)
    np.testing.assert_allclose(numbers["excluded_loss"], np.log(11), rtol=1e-5)


def test_another_frequency_holds_nothing_of_a_clock():
    _, params, logits, task, split = circuit(11, "clock", (2,))
    numbers = circuits.fourier_losses(losses.cross_entropy, (3,))(params, logits, task, split)
    np.testing.assert_allclose(numbers["restricted_loss"], np.log(11), rtol=1e-5)
    whole = losses.cross_entropy(logits, split.labels)[np.asarray(split.train)].mean()
    np.testing.assert_allclose(numbers["excluded_loss"], whole, rtol=1e-5)
    np.testing.assert_allclose(numbers["key_share"], 0, atol=1e-6)


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_projection_is_that_of_nanda(p):
    """Against the definition: normalised waves of n + m, and the mean over the table."""
    _, params, logits, task, split = random_network(p)
    frequencies = (1, p // 2)  # the last one is the Nyquist frequency of even p
    numbers = circuits.fourier_losses(losses.cross_entropy, frequencies)(
        params, logits, task, split
    )
    total = np.asarray(task.tokens).sum(axis=1)
    waves = [f(2 * np.pi * k * total / p) for k in frequencies for f in (np.cos, np.sin)]
    waves = [wave / np.linalg.norm(wave) for wave in waves if np.linalg.norm(wave) > 1e-6]
    kept = sum(np.outer(wave, wave @ np.asarray(logits, float)) for wave in waves)
    expected = {
        "restricted_loss": kept + np.asarray(logits).mean(axis=0),
        "excluded_loss": (np.asarray(logits) - kept)[np.asarray(split.train)],
    }
    for name, values in expected.items():
        labels = np.asarray(split.labels)
        labels = labels[np.asarray(split.train)] if name == "excluded_loss" else labels
        value = losses.cross_entropy(jnp.asarray(values, jnp.float32), jnp.asarray(labels)).mean()
        np.testing.assert_allclose(numbers[name], value, rtol=1e-5)


@pytest.mark.parametrize(("p", "key"), [(11, (1, 4)), (12, (1, 3))])
def test_the_strongest_frequencies_are_found(p, key):
    _, params, logits, task, split = circuit(p, "clock", key)
    find = circuits.fourier_losses(losses.cross_entropy, count=2)(params, logits, task, split)
    told = circuits.fourier_losses(losses.cross_entropy, key)(params, logits, task, split)
    assert {k: float(v) for k, v in find.items()} == {k: float(v) for k, v in told.items()}
    half = circuits.fourier_losses(losses.cross_entropy, key[:1])(params, logits, task, split)
    np.testing.assert_allclose(half["key_share"], 0.5, rtol=1e-4)


@pytest.mark.parametrize("p", [11, 12])
def test_power_of_an_exact_one_hot_is_even_over_all_p_frequencies(p):
    """Also where the Nyquist frequency is one frequency and the others two."""
    _, params, logits, task, split = circuit(p, "one_hot")
    for f in range(1, p // 2 + 1):
        share = circuits.fourier_losses(losses.mse, (f,))(params, logits, task, split)["key_share"]
        np.testing.assert_allclose(share, (1 if 2 * f == p else 2) / (p - 1), rtol=1e-4)


def test_more_classes_than_answers_are_allowed():
    _, params, logits, task, split = circuit(11, "clock")
    wide = jnp.pad(logits, ((0, 0), (0, 3)), constant_values=-1e9)
    measure = circuits.fourier_losses(losses.cross_entropy, (1,))
    narrow = measure(params, logits, task, split)
    again = measure(params, wide, task, split)
    np.testing.assert_allclose(again["excluded_loss"], narrow["excluded_loss"], rtol=1e-5)


def test_frequencies_are_checked():
    with pytest.raises(ValueError, match="frequencies is empty"):
        circuits.fourier_losses(losses.mse, ())
    with pytest.raises(ValueError, match="each frequency must be a positive integer"):
        circuits.fourier_losses(losses.mse, (0,))
    with pytest.raises(ValueError, match="count must be a positive integer"):
        circuits.fourier_losses(losses.mse, count=0)
    _, params, logits, task, split = circuit(11, "clock")
    with pytest.raises(ValueError, match="between 1 and 5 for p=11"):
        circuits.fourier_losses(losses.mse, (6,))(params, logits, task, split)
    assert hash(circuits.fourier_losses(losses.mse, [1, 2])) is not None  # lists become tuples


# --------------------------------------------------------------------------------------------
# Clock or pizza
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_distance_is_all_of_a_pizza_and_nothing_of_a_clock(p):
    _, *pizza = circuit(p, "pizza")
    assert float(circuits.distance_irrelevance(*pizza)["distance_irrelevance"]) < 1e-5
    for construction in ("clock", "one_hot"):  # constant logits of the answer: 0/0 is 1
        _, *clock = circuit(p, construction)
        assert float(circuits.distance_irrelevance(*clock)["distance_irrelevance"]) == 1


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_distance_irrelevance_is_that_of_zhong(p):
    _, params, logits, task, split = random_network(p)
    right = np.take_along_axis(np.asarray(logits), np.asarray(task.labels)[:, None], 1)[:, 0]
    n, m = np.asarray(task.tokens).T
    by_distance = [right[(n - m) % p == d].std() for d in range(p)]
    value = circuits.distance_irrelevance(params, logits, task, split)["distance_irrelevance"]
    np.testing.assert_allclose(value, np.mean(by_distance) / right.std(), rtol=1e-4)
    assert 0.7 < value < 1.1


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_a_pizza_treats_both_operands_alike(p):
    """Its preactivations are shifted by psi for even p: a cosine of psi = pi / p."""
    model, *pizza = circuit(p, "pizza")
    value = circuits.gradient_symmetry(model)(*pizza)["gradient_symmetry"]
    np.testing.assert_allclose(value, 1 if p % 2 else np.cos(np.pi / p), rtol=1e-5)


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_a_clock_turns_one_operand_by_the_other(p):
    """Of one frequency the cosine is that of w (n - m), which is 0 on average."""
    model, params, logits, task, split = circuit(p, "clock")
    one = tasks.Task(np.array([[3, 1]], np.int32), np.array([4], np.int32), p, "3 + 1")
    value = circuits.gradient_symmetry(model, samples=1)(params, logits, one, split)
    np.testing.assert_allclose(value["gradient_symmetry"], np.cos(4 * np.pi / p), atol=1e-5)
    many = circuits.gradient_symmetry(model, samples=400)(params, logits, task, split)
    assert abs(float(many["gradient_symmetry"])) < 0.15  # 4 standard errors of a mean of 400


@pytest.mark.parametrize("p", [11, 12])
def test_random_networks_are_neither(p):
    model, params, logits, task, split = random_network(p)
    value = circuits.gradient_symmetry(model)(params, logits, task, split)["gradient_symmetry"]
    assert abs(float(value)) < 0.3


class Shared:
    """Operands that share an embedding, and are added: perfectly symmetric."""

    def init(self, key, tokens):
        key1, key2 = jax.random.split(key)
        embed = {"embedding": jax.random.normal(key1, (9, 4))}
        return {"embed": embed, "readout": jax.random.normal(key2, (4, 7))}

    def apply(self, params, tokens, *, key=None):
        hidden = params["embed"]["embedding"][tokens].sum(axis=-2)
        return jnp.tanh(hidden) @ params["readout"]


class Distinguished(Shared):
    """The second operand enters with the opposite sign."""

    def apply(self, params, tokens, *, key=None):
        signs = jnp.array([1.0, -1.0])[:, None]
        hidden = (params["embed"]["embedding"][tokens] * signs[None]).sum(axis=-2)
        return jnp.tanh(hidden) @ params["readout"]


@pytest.mark.parametrize("embedding", [True, False])
@pytest.mark.parametrize(("model", "expected"), [(Shared(), 1.0), (Distinguished(), -1.0)])
def test_gradient_symmetry_of_shared_embeddings(model, expected, embedding):
    params = model.init(jax.random.key(0), None)
    logits, task, split = on_table(model, params, 7)
    measure = circuits.gradient_symmetry(model, ("embed", "embedding"), embedding, samples=30)
    value = measure(params, logits, task, split)["gradient_symmetry"]
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_measures_of_two_operands_refuse_three():
    model = models.QuadraticMLP(5, 4, operands=3)
    params = model.init(jax.random.key(0))
    task = tasks.modular_addition(5, 3)
    for measure in (circuits.distance_irrelevance, circuits.gradient_symmetry(model)):
        with pytest.raises(ValueError, match="compares two operands"):
            measure(params, jnp.zeros((125, 5)), task, None)
    with pytest.raises(ValueError, match="the parameters have no 'v'"):
        circuits.gradient_symmetry(model, ("v",))(params, None, tasks.modular_addition(5), None)


# --------------------------------------------------------------------------------------------
# Gini
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_gini_of_one_frequency_and_of_noise(p):
    _, *clock = circuit(p, "clock")
    number = p // 2 + 1
    for value in circuits.fourier_gini()(*clock).values():
        np.testing.assert_allclose(value, 1 - 1 / number, rtol=1e-5)
    _, *noise = random_network(p, width=2000)
    for value in circuits.fourier_gini()(*noise).values():
        assert 0 < float(value) < 0.15


# --------------------------------------------------------------------------------------------
# In a sweep
# --------------------------------------------------------------------------------------------


def test_a_sweep_maps_them_over_its_lanes():
    model = models.QuadraticMLP(11, 48, parameterization="standard")
    recipe = grokjax.Recipe(
        model,
        losses.mse,
        optimizers.adamw,
        measures=(
            circuits.fourier_losses(losses.mse),
            circuits.fourier_gini(),
            circuits.gradient_symmetry(model, samples=20),
            circuits.distance_irrelevance,
        ),
    )
    lanes = grokjax.grid(alpha=0.85, seed=[0, 1, 2], learning_rate=1e-2, weight_decay=3.0)
    task = tasks.modular_addition(11)
    result = grokjax.run_sweep(
        recipe, task, lanes, max_steps=200, eval_every=50, stop=None, progress=False
    )
    data = result.dataset
    assert (data.outcome == "grokked").all()
    first, last = data.isel(time=0), data.isel(time=-1)
    assert (last.restricted_loss < 0.5 * first.restricted_loss).all()
    assert (last.excluded_loss > last.train_loss).all()
    assert (last.gini_w1 > first.gini_w1).all()
    assert (last.key_share > 0.9).all()
    # The same numbers, one network at a time.
    lane = 2
    params = {name: leaf[lane] for name, leaf in result.params.items()}
    logits, task, _ = on_table(model, params, 11)
    split = tasks.split(task, tasks.split_order(task, grokjax.train.split_key(lane)), 103)
    for measure in recipe.measures:
        for name, value in measure(params, logits, task, split).items():
            np.testing.assert_allclose(last[name].values[lane], value, rtol=2e-3, atol=1e-4)
