"""Progress measures, against networks whose circuit is known in closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import grokjax
from grokjax import analytic, losses, measures, models, optimizers, tasks

ODD_AND_EVEN = [9, 12]  # neither is prime


@functools.cache
def circuit(p, construction, frequencies=(1,), parameterization="mean_field", loss=losses.mse):
    """A closed-form network that trains on half of the table."""
    model, params = analytic.analytic_addition(
        p,
        construction=construction,
        frequencies=None if construction == "one_hot" else frequencies,
        parameterization=parameterization,
    )
    return on_table(model, params, p, loss)


def on_table(model, params, p, loss=losses.mse):
    task = tasks.modular_addition(p)
    split = tasks.split(task, tasks.split_order(task, jax.random.key(0)), p * p // 2)
    return measures.network_of(model, params, task, split, loss=loss)


@functools.cache
def random_network(p, width=200, loss=losses.mse):
    model = models.QuadraticMLP(p, width)
    return on_table(model, model.init(jax.random.key(1)), p, loss)


def fourier_losses(network, *settings, **options):
    """The measure, compiled: one program takes less time than forty operations."""
    measure = measures.fourier_losses(*settings, **options)
    return jax.jit(lambda logits: measure(network._replace(logits=logits)))(network.logits)


# --------------------------------------------------------------------------------------------
# Restricted and excluded loss
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "loss"), [(9, losses.cross_entropy), (12, losses.mse), (11, losses.softmax_mse)]
)
def test_a_clock_is_its_key_frequency_and_nothing_else(p, loss):
    network = circuit(p, "clock", (1,), loss=loss)
    numbers = fourier_losses(network, (1,))
    whole = loss(network.logits, network.split.labels).mean()
    nothing = loss(jnp.zeros((1, p)), jnp.zeros(1, int))[0]  # chance
    np.testing.assert_allclose(numbers["restricted_loss"], whole, rtol=1e-5)
    np.testing.assert_allclose(numbers["excluded_loss"], nothing, rtol=1e-5)
    np.testing.assert_allclose(numbers["key_share"], 1, rtol=1e-5)


def test_chance_of_cross_entropy_is_log_p():
    network = circuit(11, "clock", (2,), loss=losses.cross_entropy)
    numbers = fourier_losses(network, (2,))
    np.testing.assert_allclose(numbers["excluded_loss"], np.log(11), rtol=1e-5)


def test_another_frequency_holds_nothing_of_a_clock():
    network = circuit(11, "clock", (2,), loss=losses.cross_entropy)
    numbers = fourier_losses(network, (3,))
    np.testing.assert_allclose(numbers["restricted_loss"], np.log(11), rtol=1e-5)
    whole = losses.cross_entropy(network.logits, network.split.labels)
    whole = whole[np.asarray(network.split.train)].mean()
    np.testing.assert_allclose(numbers["excluded_loss"], whole, rtol=1e-5)
    np.testing.assert_allclose(numbers["key_share"], 0, atol=1e-6)


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_projection_is_that_of_nanda(p):
    """Against the definition: normalised waves of n + m, and the mean over the table."""
    network = random_network(p, loss=losses.cross_entropy)
    frequencies = (1, p // 2)  # the last one is the Nyquist frequency of even p
    numbers = fourier_losses(network, frequencies)
    logits, train = np.asarray(network.logits, float), np.asarray(network.split.train)
    total = np.asarray(network.task.tokens).sum(axis=1)
    waves = [f(2 * np.pi * k * total / p) for k in frequencies for f in (np.cos, np.sin)]
    waves = [wave / np.linalg.norm(wave) for wave in waves if np.linalg.norm(wave) > 1e-6]
    kept = sum(np.outer(wave, wave @ logits) for wave in waves)
    expected = {
        "restricted_loss": kept + logits.mean(axis=0),
        "excluded_loss": (logits - kept)[train],
    }
    for name, values in expected.items():
        labels = np.asarray(network.split.labels)
        labels = labels[train] if name == "excluded_loss" else labels
        value = losses.cross_entropy(jnp.asarray(values, jnp.float32), jnp.asarray(labels)).mean()
        np.testing.assert_allclose(numbers[name], value, rtol=1e-5)


@pytest.mark.parametrize(("p", "key"), [(11, (1, 4)), (12, (1, 3))])
def test_the_strongest_frequencies_are_found(p, key):
    network = circuit(p, "clock", key, loss=losses.cross_entropy)
    find = fourier_losses(network, count=2)
    told = fourier_losses(network, key)
    assert {k: float(v) for k, v in find.items()} == {k: float(v) for k, v in told.items()}
    half = fourier_losses(network, key[:1])
    np.testing.assert_allclose(half["key_share"], 0.5, rtol=1e-4)


@pytest.mark.parametrize("p", [11, 12])
def test_power_of_an_exact_one_hot_is_even_over_all_p_frequencies(p):
    """Also where the Nyquist frequency is one frequency and the others two."""
    network = circuit(p, "one_hot")
    for f in range(1, p // 2 + 1):
        share = fourier_losses(network, (f,))["key_share"]
        np.testing.assert_allclose(share, (1 if 2 * f == p else 2) / (p - 1), rtol=1e-4)


def test_more_classes_than_answers_are_allowed():
    network = circuit(11, "clock", loss=losses.cross_entropy)
    wide = jnp.pad(network.logits, ((0, 0), (0, 3)), constant_values=-1e9)
    narrow, again = (fourier_losses(n, (1,)) for n in (network, network._replace(logits=wide)))
    np.testing.assert_allclose(again["excluded_loss"], narrow["excluded_loss"], rtol=1e-5)


def test_frequencies_above_half_of_p_are_refused():
    with pytest.raises(ValueError, match="between 1 and 5 for p=11"):
        measures.fourier_losses((6,))(circuit(11, "clock"))


# --------------------------------------------------------------------------------------------
# Clock or pizza
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_distance_is_all_of_a_pizza_and_nothing_of_a_clock(p):
    pizza = circuit(p, "pizza")
    assert float(measures.distance_irrelevance(pizza)["distance_irrelevance"]) < 1e-5
    for construction in ("clock", "one_hot"):  # constant logits of the answer: 0/0 is 1
        clock = circuit(p, construction)
        assert float(measures.distance_irrelevance(clock)["distance_irrelevance"]) == 1


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_distance_irrelevance_is_that_of_zhong(p):
    network = random_network(p)
    labels = np.asarray(network.task.labels)[:, None]
    right = np.take_along_axis(np.asarray(network.logits), labels, 1)[:, 0]
    n, m = np.asarray(network.task.tokens).T
    by_distance = [right[(n - m) % p == d].std() for d in range(p)]
    value = measures.distance_irrelevance(network)["distance_irrelevance"]
    np.testing.assert_allclose(value, np.mean(by_distance) / right.std(), rtol=1e-4)
    assert 0.7 < value < 1.1


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_a_pizza_treats_both_operands_alike(p):
    """Its preactivations are shifted by psi for even p: a cosine of psi = pi / p."""
    value = measures.gradient_symmetry()(circuit(p, "pizza"))["gradient_symmetry"]
    np.testing.assert_allclose(value, 1 if p % 2 else np.cos(np.pi / p), rtol=1e-5)


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_a_clock_turns_one_operand_by_the_other(p):
    """Of one frequency the cosine is that of w (n - m), which is 0 on average."""
    network = circuit(p, "clock")
    one = tasks.Task(np.array([[3, 1]], np.int32), np.array([4], np.int32), p, "3 + 1")
    value = measures.gradient_symmetry(samples=1)(network._replace(task=one))
    np.testing.assert_allclose(value["gradient_symmetry"], np.cos(4 * np.pi / p), atol=1e-5)
    many = measures.gradient_symmetry(samples=400)(network)
    assert abs(float(many["gradient_symmetry"])) < 0.15  # 4 standard errors of a mean of 400


@pytest.mark.parametrize("p", [11, 12])
def test_random_networks_are_neither(p):
    value = measures.gradient_symmetry()(random_network(p))["gradient_symmetry"]
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
    network = on_table(model, model.init(jax.random.key(0), None), 7)
    measure = measures.gradient_symmetry(("embed", "embedding"), embedding, samples=30)
    value = measure(network)["gradient_symmetry"]
    np.testing.assert_allclose(value, expected, rtol=1e-5)


class Two(Shared):
    """A pizza beside a scale of its logits, as a tuple of parameters."""

    def apply(self, params, tokens, *, key=None):
        pizza, scale = params
        return scale * models.QuadraticMLP(9, len(pizza["w2"])).apply(pizza, tokens)


def test_arrays_inside_tuples_are_found():
    pizza = circuit(9, "pizza")
    network = on_table(Two(), (pizza.params, jnp.float32(2.0)), 9)
    value = measures.gradient_symmetry((0, "w1"))(network)["gradient_symmetry"]
    np.testing.assert_allclose(value, 1, rtol=1e-5)
    gini = measures.fourier_gini((((0, "w1"), 1),))(network)["gini_0_w1"]
    np.testing.assert_allclose(gini, measures.fourier_gini()(pizza)["gini_w1"], rtol=1e-6)


@pytest.mark.parametrize("measure", [measures.distance_irrelevance, measures.gradient_symmetry()])
def test_measures_of_two_operands_refuse_three(measure):
    model = models.QuadraticMLP(5, 4, operands=3)
    params = model.init(jax.random.key(0))
    network = measures.network_of(model, params, tasks.modular_addition(5, 3), loss=losses.mse)
    with pytest.raises(ValueError, match="needs equations of two operands"):
        measure(network)


# --------------------------------------------------------------------------------------------
# Gini
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", ODD_AND_EVEN)
def test_gini_of_one_frequency_and_of_noise(p):
    number = p // 2 + 1
    for value in measures.fourier_gini()(circuit(p, "clock")).values():
        np.testing.assert_allclose(value, 1 - 1 / number, rtol=1e-5)
    for value in measures.fourier_gini()(random_network(p, width=2000)).values():
        assert 0 < float(value) < 0.15


# --------------------------------------------------------------------------------------------
# Bad settings
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: measures.fourier_losses(()), "frequencies is empty"),
        (lambda: measures.fourier_losses((0,)), "must be a positive integer, got 0"),
        (lambda: measures.fourier_losses(3), "frequencies must be integers"),
        (lambda: measures.fourier_losses(losses.mse), "frequencies must be integers"),
        (lambda: measures.fourier_losses(count=0), "count must be a positive integer"),
        (lambda: measures.gradient_symmetry(()), "weights must be a path"),
        (lambda: measures.gradient_symmetry("w1"), "weights must be a path"),
        (lambda: measures.gradient_symmetry(models.QuadraticMLP(7, 6)), "weights must be a path"),
        (lambda: measures.gradient_symmetry(embedding="no"), "embedding must be True or False"),
        (lambda: measures.gradient_symmetry(samples=1.5), "samples must be a positive integer"),
        (lambda: measures.fourier_gini(()), "one or more of different names"),
        (lambda: measures.fourier_gini(((("a",), 0), (("a",), 1))), "different names"),
        (lambda: measures.fourier_gini(5), "pairs of a path and an axis"),
        (lambda: measures.fourier_gini(("w1", 1)), "pairs of a path and an axis"),
        (lambda: measures.fourier_gini((("w1", 1),)), "must be a path"),
        (lambda: measures.fourier_gini(((("w1",), 0.5),)), "must be an integer"),
    ],
)
def test_settings_are_checked_when_they_are_given(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (measures.gradient_symmetry(("v",)), "needs the array v of the parameters; there is no"),
        (measures.gradient_symmetry(("w1", "v")), "array w1/v of the parameters; there is no 'v'"),
        (measures.gradient_symmetry(("w1",), True), "with 2 axes; got the shape"),
        (measures.fourier_gini(((("w2",), 2),)), "needs axis 2 of the array w2"),
    ],
)
def test_arrays_that_a_network_lacks_are_named(measure, message):
    with pytest.raises(ValueError, match=message):
        measure(circuit(9, "pizza"))


def test_settings_given_as_lists_can_be_hashed():
    assert hash(measures.fourier_losses([1, 2])) == hash(measures.fourier_losses((1, 2)))
    assert hash(measures.fourier_gini([[["w1"], 1]])) is not None
    assert hash(measures.gradient_symmetry(["w1"])) is not None


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
            measures.fourier_losses(),
            measures.fourier_gini(),
            measures.gradient_symmetry(samples=20),
            measures.distance_irrelevance,
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
    network = measures.network_of(model, params, task, result.split(lane), loss=losses.mse)
    for measure in recipe.measures:
        for name, value in measure(network).items():
            np.testing.assert_allclose(last[name].values[lane], value, rtol=2e-3, atol=1e-4)
