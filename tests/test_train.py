"""One run: its steps against NumPy, its rows, its randomness, its columns, and when it stops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from grokjax import keys, losses, models, optimizers, tasks, train
from grokjax.train.recipe import BUILT_IN

P, WIDTH = 7, 16
TASK = tasks.modular_addition(P)
COUNT = 30
RATES = {"learning_rate": np.float32(0.1)}


def lane(num_train=COUNT, seed=0, **hyperparameters):
    seed = np.uint32(seed)
    numbers = {k: np.float32(v) for k, v in (RATES | hyperparameters).items()}
    return train.Lane(seed, seed, seed, np.int32(num_train), numbers)


def recipe(optimizer=optimizers.gradient_descent, **fields):
    model = models.QuadraticMLP(P, WIDTH, parameterization="standard")
    return train.Recipe(model, losses.mse, optimizer, **fields)


def trained(recipe, lane, steps, rows=TASK.num_rows):
    state = train.init_lane(recipe, TASK, lane)
    return state, train.train_steps(recipe, TASK, state, jnp.int32(steps), rows)


# -- the optimizers against independent NumPy --------------------------------------------------


def numpy_gradient(params, tokens, labels):
    """Gradient of the mean squared error of the standard quadratic network, by hand."""
    w1, w2 = params["w1"], params["w2"]
    h = w1[0][tokens[:, 0]] + w1[1][tokens[:, 1]]
    error = (h * h) @ w2 - np.eye(P)[labels]
    error *= 2 / error.size
    back = 2 * h * (error @ w2.T)
    grad1 = np.zeros_like(w1)
    for s in range(2):
        np.add.at(grad1[s], tokens[:, s], back)
    return {"w1": grad1, "w2": (h * h).T @ error}


def numpy_descent(w, g, memory, t, learning_rate, weight_decay=0.0):
    return w - learning_rate * (g + weight_decay * w), memory


def numpy_momentum(w, g, memory, t, learning_rate, momentum=0.9, weight_decay=0.0):
    trace = momentum * memory[0] + g + weight_decay * w
    return w - learning_rate * trace, (trace,)


def numpy_nesterov(w, g, memory, t, learning_rate, momentum=0.9, weight_decay=0.0):
    g = g + weight_decay * w
    trace = momentum * memory[0] + g
    return w - learning_rate * (g + momentum * trace), (trace,)


def numpy_adamw(w, g, memory, t, learning_rate, weight_decay=1.0, b1=0.9, b2=0.98, eps=1e-8):
    m, v = b1 * memory[0] + (1 - b1) * g, b2 * memory[1] + (1 - b2) * g * g
    step = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
    return w - learning_rate * (step + weight_decay * w), (m, v)


def numpy_adam(w, g, memory, t, learning_rate, b1=0.9, b2=0.98, eps=1e-8):
    return numpy_adamw(w, g, memory, t, learning_rate, 0.0, b1, b2, eps)


def numpy_rmsprop(w, g, memory, t, learning_rate, decay=0.9, eps=1e-8, weight_decay=0.0):
    v = decay * memory[0] + (1 - decay) * g * g
    return w - learning_rate * (g / (np.sqrt(v) + eps) + weight_decay * w), (v,)


CASES = [
    (optimizers.gradient_descent, numpy_descent, {"learning_rate": 2.0, "weight_decay": 0.01}),
    (optimizers.momentum, numpy_momentum, {"learning_rate": 1.0, "momentum": 0.8}),
    (optimizers.momentum, numpy_momentum, {"learning_rate": 1.0, "weight_decay": 0.02}),
    (optimizers.nesterov, numpy_nesterov, {"learning_rate": 1.0, "weight_decay": 0.02}),
    (optimizers.adam, numpy_adam, {"learning_rate": 0.01, "b2": 0.9}),
    (optimizers.adamw, numpy_adamw, {"learning_rate": 0.01, "weight_decay": 3.0}),
    (optimizers.rmsprop, numpy_rmsprop, {"learning_rate": 0.01, "weight_decay": 0.5}),
]


@pytest.mark.parametrize(("optimizer", "update", "numbers"), CASES)
def test_a_trajectory_equals_independent_numpy(optimizer, update, numbers):
    start, end = trained(recipe(optimizer), lane(**numbers), 12)
    rows = np.asarray(start.order)[:COUNT]
    tokens, labels = TASK.tokens[rows], TASK.labels[rows]
    params = {name: np.asarray(w, np.float64) for name, w in start.params.items()}
    memory = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in params.items()}
    for t in range(1, 13):
        gradient = numpy_gradient(params, tokens, labels)
        for name in params:
            params[name], memory[name] = update(
                params[name], gradient[name], memory[name], t, **numbers
            )
    for name in params:
        np.testing.assert_allclose(end.params[name], params[name], rtol=2e-4, atol=2e-6)


# -- rows ---------------------------------------------------------------------------------------


def test_padding_does_not_change_the_run():
    _, exact = trained(recipe(), lane(), 5, rows=COUNT)
    _, padded = trained(recipe(), lane(), 5, rows=TASK.num_rows)
    for a, b in zip(jax.tree.leaves(exact.params), jax.tree.leaves(padded.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def infinite_off_diagonal(logits, labels):
    """A loss that is infinite for one label: padding must not let it in."""
    return losses.mse(logits, labels) + jnp.where(labels == 0, jnp.inf, 0.0)


def test_the_loss_of_padding_may_be_infinite():
    state = train.init_lane(recipe(), TASK, lane())
    labels = np.asarray(TASK.labels)
    order = np.concatenate([np.flatnonzero(labels != 0), np.flatnonzero(labels == 0)])
    state = state._replace(order=jnp.asarray(order))
    broken = dataclasses.replace(recipe(), loss=infinite_off_diagonal)
    end = train.train_steps(broken, TASK, state, jnp.int32(3), TASK.num_rows)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(end.params))


def test_test_rows_are_never_trained_on():
    state = train.init_lane(recipe(), TASK, lane())
    other = dataclasses.replace(TASK, labels=TASK.labels.copy())
    other.labels[np.asarray(state.order)[COUNT:]] = 0
    a = train.train_steps(recipe(), TASK, state, jnp.int32(4), 40)
    b = train.train_steps(recipe(), other, state, jnp.int32(4), 40)
    assert all(map(np.array_equal, jax.tree.leaves(a.params), jax.tree.leaves(b.params)))


@pytest.mark.parametrize("batch_size", [None, 4, 16, 512])
@pytest.mark.parametrize("num_train", [1, 9, 20, 33, 42])
def test_no_test_row_is_ever_in_a_step(batch_size, num_train):
    """Not even with the weight 0: a NaN would leave it, and a loss that mixes rows see it."""
    chosen = recipe(batch_size=batch_size)
    state = train.init_lane(chosen, TASK, lane(num_train))
    labels = np.asarray(TASK.labels)
    order = jnp.asarray(np.argsort(labels == 0, kind="stable"))  # all rows of answer 0 are tested
    state = state._replace(order=order, epoch_order=None if batch_size is None else order)
    poisoned = lambda logits, labels: (
        losses.mse(logits, labels) * jnp.where(labels == 0, jnp.nan, 1.0)
    )
    chosen = dataclasses.replace(chosen, loss=poisoned)
    end = train.train_steps(chosen, TASK, state, jnp.int32(15), TASK.num_rows)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(end.params))
    assert not np.array_equal(end.params["w1"], state.params["w1"])


def shape(*sizes):
    return lambda logits, labels: jnp.zeros(sizes)


REDUCING = [
    (lambda logits, labels: losses.cross_entropy(logits, labels).mean(), r"shape \(\) for 49 rows"),
    (lambda logits, labels: losses.mse(logits, labels).sum(keepdims=True), r"shape \(1,\) for 49"),
    (lambda logits, labels: losses.mse(logits, labels)[:, None], r"shape \(49, 1\) for 49 rows"),
    (lambda logits, labels: optax.l2_loss(logits), r"shape \(49, 7\) for 49 rows"),
]


@pytest.mark.parametrize(("loss", "message"), REDUCING)
def test_a_loss_that_reduces_rows_or_keeps_classes_is_refused(loss, message):
    wrong = dataclasses.replace(recipe(), loss=loss)
    state = train.init_lane(recipe(), TASK, lane())
    with pytest.raises(ValueError, match=f"{message}.*one number for each row; leave the mean"):
        train.measure(wrong, TASK, state)
    with pytest.raises(ValueError, match="leave the mean or sum over rows to the sweep"):
        jax.eval_shape(lambda: train.train_steps(wrong, TASK, state, jnp.int32(1), 49))


# -- randomness ---------------------------------------------------------------------------------


def test_the_three_seeds_steer_one_thing_each():
    base = train.init_lane(recipe(), TASK, lane())
    other = train.init_lane(recipe(), TASK, lane()._replace(init_seed=np.uint32(1)))
    assert np.array_equal(base.order, other.order)
    assert not np.array_equal(base.params["w1"], other.params["w1"])
    other = train.init_lane(recipe(), TASK, lane()._replace(split_seed=np.uint32(1)))
    assert not np.array_equal(base.order, other.order)
    assert np.array_equal(base.params["w1"], other.params["w1"])


def test_initial_weights_and_splits_are_those_of_the_documented_keys():
    state = train.init_lane(recipe(), TASK, lane(seed=5))
    params = recipe().model.init(keys.init_key(5), TASK.tokens)
    assert np.array_equal(state.params["w1"], params["w1"])
    assert np.array_equal(state.order, tasks.split_order(TASK, keys.split_key(5)))


def test_dropout_is_reproducible_and_off_in_evaluation():
    noisy = dataclasses.replace(recipe(), model=dataclasses.replace(recipe().model, dropout=0.5))
    _, a = trained(noisy, lane(), 5)
    _, again = trained(noisy, lane(), 5)
    _, other = trained(noisy, lane()._replace(order_seed=np.uint32(9)), 5)
    _, without = trained(recipe(), lane(), 5)
    assert np.array_equal(a.params["w1"], again.params["w1"])
    assert not np.array_equal(a.params["w1"], other.params["w1"])
    assert not np.array_equal(a.params["w1"], without.params["w1"])
    logits = noisy.model.apply(a.params, TASK.tokens)
    np.testing.assert_array_equal(logits, recipe().model.apply(a.params, TASK.tokens))


@dataclasses.dataclass(frozen=True)
class Loud:
    """Logits of one weight, with a loudness that lanes may set, and noise in training."""

    loudness: float = 2.0

    def init(self, key, tokens):
        return {"weight": jnp.ones(P)}

    def apply(self, params, tokens, *, key=None, loudness=None):
        loudness = self.loudness if loudness is None else loudness
        noise = 0.0 if key is None else jax.random.normal(key)
        return jnp.broadcast_to(loudness * (params["weight"] + noise), (*tokens.shape[:-1], P))


@dataclasses.dataclass(frozen=True)
class Shifted(models.Wrapper):
    model: Loud

    def init(self, key, tokens):
        return self.model.init(key, tokens)

    def apply(self, params, tokens, *, key=None, shift=0.0, **numbers):
        return self.model.apply(params, tokens, key=key, **numbers) + shift


def test_lanes_set_the_numbers_of_a_model():
    assert set(models.keywords(Shifted(Loud()))) == {"loudness", "shift"}
    loud = train.Recipe(Shifted(Loud()), losses.mse, optimizers.gradient_descent)
    expected = {"learning_rate", "weight_decay", "warmup", "loudness", "shift"}
    assert set(loud.hyperparameters()) == expected
    state = lambda **numbers: train.init_lane(loud, TASK, lane(**numbers))
    loss = lambda **numbers: float(train.measure(loud, TASK, state(**numbers))["test_loss"])
    target = np.eye(P)[0]
    assert loss() == pytest.approx(np.mean((2 - target) ** 2))
    assert loss(loudness=0.5) == pytest.approx(np.mean((0.5 - target) ** 2))
    assert loss(loudness=0.5, shift=1) == pytest.approx(np.mean((1.5 - target) ** 2))


def test_model_and_optimizer_get_keys_of_their_own():
    seen = []

    def spying(learning_rate):
        def update(updates, state, params=None, *, key, **_):
            seen.append(jax.random.key_data(key))
            return jax.tree.map(lambda g: -learning_rate * g, updates), state

        return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)

    noisy = train.Recipe(Loud(), losses.mse, spying)
    rows = (TASK.tokens[:4], TASK.labels[:4], jnp.full(4, 0.25))
    start = train.init_lane(noisy, TASK, lane())
    first = train.train_step(noisy, start, *rows)
    second = train.train_step(noisy, first, *rows)
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(first.params["weight"], second.params["weight"])
    again = train.train_step(noisy, start, *rows)
    assert np.array_equal(seen[0], seen[2])
    assert np.array_equal(first.params["weight"], again.params["weight"])


@pytest.mark.parametrize("rows", [7, 10, 24, 48])
def test_a_large_table_is_measured_in_batches(monkeypatch, rows):
    state = train.init_lane(recipe(), TASK, lane())
    whole = train.measure(recipe(), TASK, state)
    monkeypatch.setattr(train.measurement, "EVALUATION_ROWS", rows)
    batched = train.measure(recipe(), TASK, state)
    assert whole.keys() == batched.keys()
    for name, value in whole.items():
        np.testing.assert_allclose(batched[name], value, rtol=1e-6)


# -- what the columns do ------------------------------------------------------------------------


def test_scales_multiply_weights_and_logits():
    base = train.init_lane(recipe(), TASK, lane())
    scaled = train.init_lane(recipe(), TASK, lane()._replace(init_scale=np.float32(3.0)))
    np.testing.assert_allclose(scaled.params["w1"], 3 * base.params["w1"], rtol=1e-6)
    louder = train.init_lane(recipe(), TASK, lane()._replace(logit_scale=np.float32(2.0)))
    one, two = (train.measure(recipe(), TASK, s)["train_loss"] for s in (base, louder))
    rows = np.asarray(base.order)[:COUNT]
    logits = 2 * recipe().model.apply(base.params, TASK.tokens[rows])
    np.testing.assert_allclose(two, losses.mse(logits, TASK.labels[rows]).mean(), rtol=1e-5)
    assert one != two


def test_a_penalty_is_part_of_the_gradient():
    with_penalty = recipe(penalty=losses.l2)
    _, penalized = trained(with_penalty, lane(l2=0.03), 7)
    _, decayed = trained(recipe(), lane(weight_decay=0.03), 7)
    np.testing.assert_allclose(penalized.params["w1"], decayed.params["w1"], rtol=1e-5, atol=1e-7)


def test_a_lane_that_is_done_stays_as_it_is():
    start = train.init_lane(recipe(), TASK, lane())
    yes, steps = jnp.bool_(True), jnp.int32(5)
    for change, budget in (({"stopped": yes}, 100), ({"diverged": yes}, 100), ({}, 0)):
        state = start._replace(**change)
        assert bool(train.is_done(state, budget))
        end, trained = train.train_to(recipe(), TASK, state, steps, jnp.int32(budget), 49, 2)
        assert int(end.step) == 0
        assert not trained
        assert np.array_equal(end.params["w1"], state.params["w1"])
    assert not bool(train.is_done(start, 100))


def test_side_by_side_only_lanes_that_have_as_many_steps_to_go_take_them():
    start = train.init_lane(recipe(), TASK, lane())
    chunk = lambda state, target: train.train_chunk(
        recipe(), TASK, None, state, jnp.int32(target), jnp.int32(100), 49, 2, num_steps=5
    )[0]
    alone, _ = train.train_to(recipe(), TASK, start, jnp.int32(5), jnp.int32(100), 49, 2)
    beside = chunk(start, 5)
    assert all(map(np.array_equal, jax.tree.leaves(alone), jax.tree.leaves(beside)))
    stopped = start._replace(stopped=jnp.bool_(True))
    for state, target in ((start, 4), (start, 0), (stopped, 5)):
        end = chunk(state, target)
        assert all(map(np.array_equal, jax.tree.leaves(state), jax.tree.leaves(end)))


def test_two_chunks_of_n_equal_one_of_2n():
    state = train.init_lane(recipe(optimizers.adamw), TASK, lane(learning_rate=0.01))
    chunk = lambda s, n: train.train_to(
        recipe(optimizers.adamw), TASK, s, jnp.int32(n), jnp.int32(100), 49, 2
    )[0]
    twice, once = chunk(chunk(state, 6), 12), chunk(state, 12)
    assert int(twice.step) == int(once.step) == 12
    assert np.array_equal(twice.params["w1"], once.params["w1"])


def rule(holds, **attributes):
    """A stop rule of one's own, with or without patience and threshold."""
    stop = lambda scalars: jnp.bool_(holds)
    for name, value in attributes.items():
        setattr(stop, name, value)
    return stop


def test_the_stop_rule_has_to_hold_for_its_patience():
    assert bool(train.grokked(0.9)({"test_accuracy": jnp.float32(0.95)}))
    assert not bool(train.grokked(0.99)({"test_accuracy": jnp.float32(0.95)}))
    state = train.init_lane(recipe(), TASK, lane())
    measured = lambda stop, state: train.record(recipe(), TASK, stop, state)[0]
    assert bool(measured(rule(True), state).stopped)  # a plain function has a patience of 1
    once = measured(rule(True, patience=2), state)
    assert not bool(once.stopped)
    assert bool(measured(rule(True, patience=2), once).stopped)
    assert not bool(measured(rule(True, patience=2), measured(rule(False), once)).stopped)
    assert not bool(measured(None, state).stopped)


def test_a_run_that_is_not_finite_has_diverged():
    state = train.init_lane(recipe(), TASK, lane())
    assert not bool(train.record(recipe(), TASK, None, state)[0].diverged)
    broken = state._replace(params=state.params | {"w2": state.params["w2"].at[0, 0].set(np.nan)})
    assert bool(train.record(recipe(), TASK, None, broken)[0].diverged)


def test_success_is_what_the_stop_rule_says_or_else_the_usual():
    assert train.success(None) == train.grokked()
    assert train.success(train.grokked(0.5, 7)) == train.grokked(0.5, 7)
    assert train.success(rule(True)).threshold == 0.99
    assert train.success(rule(True, threshold=0.6)).threshold == 0.6
    for wrong in (0, 60, "0.6", np.nan, True):
        with pytest.raises(ValueError, match=r"stop.threshold must be a finite number above 0"):
            train.success(rule(True, threshold=wrong))
    for wrong in (0, 1.5, "2", True):
        with pytest.raises(ValueError, match=r"stop.patience must be a positive integer"):
            train.patience(rule(True, patience=wrong))


# -- physics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameterization", ["mean_field", "standard"])
def test_gradient_flow_conserves_the_balance_of_the_layers(parameterization):
    """||w1[:, :, k]||^2 - 2 ||w2[k]||^2 is conserved for every k (homogeneity 2 against 1)."""
    model = models.QuadraticMLP(P, WIDTH, parameterization=parameterization)
    flow = train.Recipe(model, losses.mse, optimizers.gradient_descent)
    balance = lambda w: jnp.sum(w["w1"] ** 2, axis=(0, 1)) - 2 * jnp.sum(w["w2"] ** 2, axis=1)
    rate = {"mean_field": 10.0, "standard": 0.5}[parameterization]
    drift = []
    for halvings in (0, 1):
        start, end = trained(flow, lane(learning_rate=rate / 2**halvings), 200 * 2**halvings)
        moved = np.abs(end.params["w2"] - start.params["w2"]).max()
        drift.append(np.abs(balance(end.params) - balance(start.params)).max())
    assert moved > 50 * drift[1]
    # What is left is the step size: halving the steps halves the drift.
    assert 0.4 < drift[1] / drift[0] < 0.6


def test_parameterizations_are_the_same_network_in_other_units():
    field = models.QuadraticMLP(P, WIDTH)
    standard = dataclasses.replace(field, parameterization="standard")
    params = field.init(jax.random.key(0))
    scale = (2 * P * WIDTH) ** (-1 / 3)
    converted = jax.tree.map(lambda w: scale * w, params)
    np.testing.assert_allclose(
        field.apply(params, TASK.tokens),
        standard.apply(converted, TASK.tokens),
        rtol=1e-4,
        atol=1e-6,
    )


# -- recipes ------------------------------------------------------------------------------------


def taking(name, value=0.0):
    """An optimizer, a penalty and a model that take an argument of some name."""
    space = {"optax": optax, "jnp": jnp}
    exec(
        f"def optimizer(learning_rate, {name}={value}): return optax.sgd(learning_rate)\n"
        f"def penalty(params, {name}={value}): return 0.0\n"
        f"def apply(self, params, tokens, *, key=None, {name}={value}): return tokens\n",
        space,
    )
    model = dataclasses.dataclass(frozen=True)(
        type("Own", (), {"init": Loud.init, "apply": space["apply"]})
    )
    return {"optimizer": space["optimizer"], "penalty": space["penalty"], "model": model()}


@pytest.mark.parametrize("part", ["optimizer", "penalty", "model"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_arguments_named_like_a_column_of_the_library_are_refused(name, part):
    """An optimizer with an argument `alpha` would silently get the fraction of training rows."""
    with pytest.raises(
        ValueError, match=rf"the {part} .* has an argument '{name}', .*Give the argument another"
    ):
        dataclasses.replace(recipe(), **{part: taking(name)[part]})


@pytest.mark.parametrize(
    "parts", [("optimizer", "penalty"), ("optimizer", "model"), ("penalty", "model")]
)
def test_arguments_of_two_parts_with_one_name_are_refused(parts):
    own = taking("scale")
    first, second = parts
    for part in parts:
        assert "scale" in dataclasses.replace(recipe(), **{part: own[part]}).hyperparameters()
    with pytest.raises(
        ValueError, match=f"the {second} .*'scale', which is an argument of the {first} too"
    ):
        dataclasses.replace(recipe(), **{part: own[part] for part in parts})


def by_position(learning_rate, /):
    return optax.sgd(learning_rate)


def penalty_of_nothing(*, l2):
    return l2


BAD = [
    (lambda: recipe(batch_size=0), r"batch_size must be a positive integer.*got 0"),
    (lambda: recipe(batch_size=-3), "batch_size"),
    (lambda: recipe(batch_size=True), "batch_size"),
    (lambda: recipe(batch_size="all"), "batch_size .*None for the full batch, got 'all'"),
    (lambda: recipe(batch_size=2**31), "batch_size .*below 2147483647, or None for the full batch"),
    (lambda: recipe(batch_size=2.5), "batch_size"),
    (lambda: recipe(precision="tf32"), 'precision must be "default", "high" or "highest"'),
    (lambda: recipe(precision=None), "precision must be"),
    (lambda: recipe(optax.adam(1e-3)), "numbers are fixed already. Write a function of them"),
    (lambda: recipe("adam"), "optimizer must be a function of hyperparameters.*got 'adam'"),
    (lambda: recipe(None), "optimizer must be a function of hyperparameters.*got None"),
    (lambda: recipe({"update": 1}), "optimizer must be a function .*got {'update': 1}\\."),
    (lambda: recipe(by_position), "takes 'learning_rate' by its position only"),
    (lambda: recipe(min), "optimizer min does not say what arguments it takes"),
    (lambda: dataclasses.replace(recipe(), loss="mse"), "loss must be a per-example loss.*'mse'"),
    (lambda: dataclasses.replace(recipe(), loss=None), "loss must be a per-example loss"),
    (lambda: dataclasses.replace(recipe(), model=models.QuadraticMLP), "got the class"),
    (lambda: dataclasses.replace(recipe(), model=None), "model must be a model"),
    (lambda: recipe(penalty=0.1), "penalty must be None, or a function such as losses.l2"),
    (lambda: recipe(penalty=lambda: 0.0), "must be a function of the parameters"),
    (lambda: recipe(penalty=penalty_of_nothing), "must be a function of the parameters"),
    (lambda: recipe(measures=len), "measures must be functions, such as"),
    (lambda: recipe(measures=None), "measures must be functions, such as"),
    (lambda: recipe(measures="ipr"), "measures must be functions, such as"),
    (lambda: recipe(measures=([],)), "each of the measures must be a function.*got \\[\\]"),
    (lambda: recipe(measures=(3,)), "each of the measures must be a function.*got 3"),
    (lambda: recipe(measures=(Unhashable(),)), "measures is not hashable"),
    (lambda: train.grokked(threshold=1.5), "threshold"),
    (lambda: train.grokked(threshold=99), "threshold must be .* of at most 1, got 99"),
    (lambda: train.grokked(threshold="a"), "threshold"),
    (lambda: train.grokked(threshold=True), "threshold"),
    (lambda: train.grokked(threshold=float("nan")), "threshold"),
    (lambda: train.grokked(patience=0), "patience"),
    (lambda: train.grokked(patience=1.5), "patience"),
    (lambda: models.QuadraticMLP(1, 4), "p must be an integer of at least 2"),
    (lambda: models.QuadraticMLP(5, 0), "width must be"),
    (lambda: models.QuadraticMLP(5, 4.5), "width must be"),
    (lambda: models.QuadraticMLP(5, 4, operands=0), "operands must be"),
    (lambda: models.QuadraticMLP(5, 4, parameterization="ntk"), "mean_field"),
    (lambda: models.QuadraticMLP(5, 4, dropout=1.0), "dropout"),
]


class Unhashable:
    __hash__ = None

    def __call__(self, network):
        return {}


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_measures_may_be_a_list():
    assert recipe(measures=[len]) == recipe(measures=(len,))


@pytest.mark.parametrize("make", [train.grid, train.zip_lanes])
@pytest.mark.parametrize("alpha", [0, 1.0, 50, -0.5, [0.5, 50]])
def test_an_alpha_that_is_no_fraction_is_refused_where_lanes_are_made(make, alpha):
    with pytest.raises(ValueError, match=r"alpha=.* is not a fraction of the table"):
        make(alpha=alpha, seed=1)


def frozen(learning_rate):
    return optax.GradientTransformation(lambda params: (), lambda updates, state: (updates, state))


def warmed_up(learning_rate):
    return optax.sgd(learning_rate if learning_rate < 1 else 1.0)


def doubled(params):
    return 2.0 if params["w2"].sum() > 0 else 1.0


STEPS = [
    ({"penalty": lambda w: w["w1"]}, "penalty .* must return a real scalar.*shape=.2, 7, 16."),
    ({"penalty": lambda w: 1j}, "penalty .* must return a real scalar.*complex"),
    ({"penalty": lambda w: None}, "penalty .* must return a real scalar.*None"),
    ({"penalty": lambda w: {}}, "penalty .* must return a real scalar"),
    ({"penalty": lambda w: "a"}, "the penalty .* fails in a training step: TypeError"),
    ({"penalty": lambda w: w["w3"].sum()}, "the penalty .* fails in a training step: KeyError"),
    ({"optimizer": frozen}, "the optimizer frozen fails in a training step: TypeError"),
    ({"optimizer": warmed_up}, "the optimizer warmed_up needs the value of 'learning_rate' in Py"),
    ({"penalty": doubled}, "the penalty doubled needs the value of 'w2' in Python.*jnp.where"),
    ({"optimizer": lambda: 3}, "must return an optax.GradientTransformation, got 3"),
    (
        {"optimizer": lambda: optax.stateless(lambda updates, params: 0.0)},
        "must return updates of the form of the parameters",
    ),
]


@pytest.mark.parametrize(("part", "message"), STEPS)
def test_parts_that_no_step_can_be_taken_with_are_refused(part, message):
    wrong = dataclasses.replace(recipe(), **part)
    params = jax.eval_shape(wrong.model.init, jax.random.key(0))
    with pytest.raises(ValueError, match=message):
        wrong.check_step(params, (), {"learning_rate": 0.1})


def test_parts_that_steps_can_be_taken_with_are_not_refused():
    noisy = optimizers.with_update_noise(optimizers.adamw)
    for right in (recipe(), recipe(noisy), recipe(penalty=losses.l2), recipe(penalty=lambda w: 0)):
        state = train.init_lane(right, TASK, lane())
        right.check_step(state.params, state.opt_state, state.lane.hyperparameters)
