"""The mixture of two frozen networks, the table of logits, and sweeps that branch off another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import grokjax
from grokjax import analytic, keys, losses, models, optimizers, tasks

P = 7
TABLE = models.LogitTable(P)
MIXTURE = models.Mixture(TABLE, TABLE)
RECIPE = grokjax.Recipe(MIXTURE, losses.cross_entropy, optimizers.gradient_descent)
NETWORKS = ("memorizing", "generalizing")
DECAY = 0.01


@pytest.fixture(scope="module")
def addition():
    return tasks.modular_addition(P)


@pytest.fixture(scope="module")
def start(addition):
    """Tables of a network that is right everywhere, and of one that is right on seed 0's half."""
    split = tasks.split(addition, tasks.split_order(addition, keys.split_key(0)), 25)
    right = 2 * np.asarray(jax.nn.one_hot(addition.labels, P))
    wrong = np.asarray(jax.nn.one_hot((addition.labels + 1) % P, P))
    mem = np.where(np.asarray(split.train)[:, None], right / 2, wrong).astype(np.float32)
    shape = (P, P, P)
    return {"logits": mem.reshape(shape)}, {"logits": right.reshape(shape)}


def over_lanes(tree, lanes):
    return jax.tree.map(lambda leaf: np.broadcast_to(leaf, (lanes, *leaf.shape)), tree)


@pytest.fixture(scope="module")
def trained(addition, start):
    """Unequal and equal speeds, without and with decay of the scalars."""
    w_m2 = [10.0, 1.0, 10.0, 1.0]
    lanes = grokjax.zip_lanes(
        alpha=25 / 49,
        learning_rate=0.1,
        weight_decay=[0.0, 0.0, DECAY, DECAY],
        replica=[0, 1, 0, 1],
    )
    initial = MIXTURE.start(*(over_lanes(tree, 4) for tree in start), w_m2)
    return grokjax.run_sweep(
        RECIPE, addition, lanes, max_steps=4000, eval_every=20, stop=None, initial=initial,
        progress=False,
    )  # fmt: skip


def test_logits_are_the_weighted_sum(addition, start):
    params = MIXTURE.start(*start, w_m2=3.0) | {"w_m1": 2.0, "w_g1": -1.0}
    logits = MIXTURE.apply(params, addition.tokens)
    expected = 6 * start[0]["logits"] - start[1]["logits"]
    np.testing.assert_allclose(logits, expected.reshape(-1, P), atol=1e-6)


def test_only_the_four_scalars_have_gradients_and_train(addition, start, trained):
    params = MIXTURE.start(*start) | {"w_m1": 0.5, "w_g1": 0.5}
    loss = lambda params: losses.cross_entropy(
        MIXTURE.apply(params, addition.tokens), addition.labels
    ).mean()
    gradient = jax.grad(loss)(jax.tree.map(jnp.asarray, params))
    assert all(np.abs(gradient[name]) > 0 for name in ("w_m1", "w_m2", "w_g1", "w_g2"))
    for name, table in zip(NETWORKS, start, strict=True):
        assert not np.any(gradient[name]["logits"])
        for lane in range(4):  # decay has not touched them either
            np.testing.assert_array_equal(trained.params[name]["logits"][lane], table["logits"])
    assert (trained.params["w_m1"] > 0.1).all()


@pytest.mark.parametrize(
    "optimizer", [optimizers.adamw, optimizers.with_update_noise(optimizers.adamw)]
)
def test_adamw_and_noise_leave_the_networks_alone(addition, start, optimizer):
    recipe = grokjax.Recipe(MIXTURE, losses.cross_entropy, optimizer)
    numbers = {"learning_rate": 0.1, "weight_decay": 1.0}
    if optimizer is not optimizers.adamw:
        numbers["update_noise"] = 0.1
    initial = over_lanes(MIXTURE.start(*start), 1)
    result = grokjax.run_sweep(
        recipe, addition, numbers, max_steps=5, eval_every=5, stop=None, initial=initial,
        progress=False,
    )  # fmt: skip
    for name in NETWORKS:
        np.testing.assert_array_equal(result.params[name]["logits"], initial[name]["logits"])
    assert result.params["w_g2"][0] != 1


def test_speeds_are_conserved_without_decay(trained):
    w = {name: trained.params[name].astype(float) for name in ("w_m1", "w_m2", "w_g1", "w_g2")}
    np.testing.assert_allclose(w["w_m2"][:2] ** 2 - w["w_m1"][:2] ** 2, [100, 1], rtol=0.15)
    np.testing.assert_allclose(w["w_g2"][:2] ** 2 - w["w_g1"][:2] ** 2, [1, 1], rtol=0.15)
    assert (w["w_m2"][2:] ** 2 - w["w_m1"][2:] ** 2 < [50, 0.5]).all()  # decay forgets the start


def test_it_groks_with_unequal_speeds_and_decay_only(trained):
    data = trained.dataset
    test, train = data.test_loss.values, data.train_loss.values
    chance = np.log(P)
    np.testing.assert_allclose(test[:, 0], chance, rtol=1e-6)
    assert (train[:, -1] < 0.05).all()
    rises = test.max(axis=1) > 1.5 * chance
    assert rises.tolist() == [True, False, True, False]
    assert test[2, -1] < 0.1  # decay takes the memorizing network away again
    assert test[0, -1] > chance  # and nothing does without it
    accuracy = data.test_accuracy.values
    assert (accuracy[:, -1] == [0, 1, 1, 1]).all()


def test_the_default_start_mixes_two_networks(addition):
    mixture = models.Mixture(models.QuadraticMLP(P, 4), models.QuadraticMLP(P, 9))
    params = mixture.init(jax.random.key(0), addition.tokens[:1])
    assert params["memorizing"]["w2"].shape == (4, P)
    assert not np.any(mixture.apply(params, addition.tokens))


def test_a_table_of_logits_answers_as_the_network(addition):
    model = models.QuadraticMLP(P, 6)
    params = analytic.analytic_weights(P, 6)
    table = TABLE.tabulate(model, params)
    np.testing.assert_array_equal(
        TABLE.apply(table, addition.tokens), model.apply(params, addition.tokens)
    )
    three = models.LogitTable(5, operands=3)
    tokens = tasks.modular_addition(5, 3).tokens
    table = three.tabulate(
        models.QuadraticMLP(5, 4, operands=3), models.QuadraticMLP(5, 4, 3).init(jax.random.key(1))
    )
    assert three.apply(table, tokens).shape == (125, 5)


def test_a_table_of_logits_memorizes_and_nothing_else(addition):
    recipe = grokjax.Recipe(TABLE, losses.cross_entropy, optimizers.gradient_descent)
    result = grokjax.run_sweep(
        recipe, addition, {"learning_rate": 100.0}, max_steps=100, eval_every=50, stop=None,
        progress=False,
    )  # fmt: skip
    assert result.dataset.train_accuracy.values[0, -1] == 1
    np.testing.assert_allclose(result.dataset.test_loss, np.log(P), rtol=1e-6)


@pytest.mark.parametrize(
    "bad", [{"p": 1}, {"p": 5, "operands": 0}, {"p": 2.5}, {"p": "7"}, {"p": 5, "operands": None}]
)
def test_a_table_refuses_bad_sizes(bad):
    with pytest.raises(ValueError, match="must be"):
        models.LogitTable(**bad)


@pytest.mark.parametrize("bad", [{"p": 97, "operands": 5}, {"p": 2, "operands": 10**5}])
def test_a_table_that_does_not_fit_into_memory_is_refused(bad):
    with pytest.raises(ValueError, match=r"numbers, more than the .* take a smaller p"):
        models.LogitTable(**bad)


def test_equations_that_are_not_in_a_table_have_no_logits(start):
    """PAD is not the residue p - 1, and no row is taken for another; the others are as before."""
    tokens = np.array([[3, 6], [3, -1], [-1, -1], [3, 7], [100, 0], [0, 0]], np.int32)
    params, known = start[1], [0, 5]
    for apply in (TABLE.apply, jax.jit(TABLE.apply)):
        logits = np.asarray(apply(params, tokens))
        assert np.isnan(logits).all(axis=1).tolist() == [False, True, True, True, True, False]
        np.testing.assert_array_equal(logits[known], params["logits"][(3, 0), (6, 0)])
    gradient = jax.grad(lambda params: jnp.sum(TABLE.apply(params, tokens)[0]))(params)["logits"]
    assert gradient.sum() == gradient[3, 6].sum() == P


def test_networks_that_do_not_fit_a_table_are_refused():
    inner = models.QuadraticMLP(5, 4)
    params = inner.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"the network has 5 classes, and the table p=7"):
        models.LogitTable(7).tabulate(Constant(), {"logits": np.ones(5)})
    with pytest.raises(ValueError, match="tokens must be from 0 to 4"):
        models.LogitTable(7).tabulate(inner, params)
    with pytest.raises(ValueError, match="3 operands"):
        models.LogitTable(5, operands=3).tabulate(inner, params)


class Constant:
    def init(self, key, tokens):
        return {"logits": jnp.zeros(5)}

    def apply(self, params, tokens, *, key=None):
        return jnp.broadcast_to(params["logits"], (*tokens.shape[:-1], 5))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"memorizing": None}, "memorizing must be the parameters of a network, got None"),
        ({"generalizing": {}}, r"generalizing must be the parameters of a network, got \{\}"),
        ({"memorizing": "table"}, "the parameters memorizing must be an array"),
        ({"w_m2": [1.0, 2.0], "w_g2": [1.0, 2.0, 3.0]}, r"w_m2 of shape \[2\] and w_g2 of shape"),
        ({"w_m2": np.ones((3, 1))}, "numbers, or one for each lane"),
        ({"w_m2": np.ones(4), "w_g2": 1.0}, r"memorizing must have 4 lanes first.*\[3, 7, 7, 7\]"),
        ({"w_g2": "fast"}, "w_g2 must be an array of real numbers, got 'fast'"),
        ({"w_g2": None}, "w_g2 must be an array of real numbers, got None"),
        ({"w_g2": np.nan}, "w_g2 must be .* finite; got nan"),
    ],
)
def test_a_start_of_wrong_shapes_is_refused(start, changed, message):
    networks = [over_lanes(tree, 3) for tree in start]
    right = {
        "memorizing": networks[0],
        "generalizing": networks[1],
        "w_m2": 1.0,
        "w_g2": np.ones(3),
    }
    assert MIXTURE.start(**right)["w_m2"].shape == (3,)
    with pytest.raises(ValueError, match=message):
        MIXTURE.start(**right | changed)


def test_networks_of_different_classes_do_not_mix(addition):
    mixture = models.Mixture(TABLE, Constant())
    with pytest.raises(ValueError, match=r"as many classes.*\[1, 7\] and \[1, 5\]"):
        mixture.apply(mixture.init(jax.random.key(0), addition.tokens[:1]), addition.tokens[:1])


# --------------------------------------------------------------------------------------------
# Branching
# --------------------------------------------------------------------------------------------


def test_branches_begin_bit_for_bit_where_their_parent_ended(recipe, task):
    numbers = {"alpha": 0.6, "learning_rate": 1e-2, "weight_decay": 3.0}
    run = lambda lanes, **options: grokjax.run_sweep(
        recipe, task, lanes, max_steps=40, eval_every=20, stop=None, progress=False,
        vectorize=False, **options,
    )  # fmt: skip
    parent = run(numbers)
    many = grokjax.grid(**{**numbers, "weight_decay": [0.0, 1.0, 2.0, 3.0, 4.0]})
    branches = run(many, initial=parent.branch(many))
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "norm", "ipr"):
        ends = parent.dataset[name].values[0, -1]
        assert (branches.dataset[name].values[:, 0] == ends).all(), name
    after = branches.dataset.norm_w1.values[:, -1]
    assert (np.diff(after) < 0).all()  # more decay, smaller weights


def test_branch_finds_the_lane_with_the_same_columns(sweep):
    lanes = grokjax.zip_lanes(alpha=[0.85, 0.3, 0.85], seed=[1, 0, 0], weight_decay=[0.0, 1.0, 2.0])
    parents = sweep.select(range(6))
    params = parents.branch(lanes, ["alpha", "seed"])
    np.testing.assert_array_equal(params["w1"], sweep.params["w1"][[5, 0, 4]])
    everywhere = sweep.select([2]).branch(lanes)
    np.testing.assert_array_equal(everywhere["w2"], sweep.params["w2"][[2, 2, 2]])


def test_branch_refuses_what_has_no_single_parent(sweep):
    lanes = grokjax.grid(alpha=[0.3, 0.6], seed=0)
    with pytest.raises(ValueError, match="new lane 0 has 7 lanes to go on from"):
        sweep.branch(lanes)
    with pytest.raises(ValueError, match="new lane 1 has 2 lanes"):
        sweep.branch(lanes, ["alpha", "seed"])  # one of them is the diverged one
    with pytest.raises(ValueError, match=r"has 0 lanes to go on from, with \{'seed': 8\}"):
        sweep.branch({"seed": [8]}, ["seed"])
    with pytest.raises(ValueError, match="'dropout' is no column of both"):
        sweep.branch(lanes, ["dropout"])
    with pytest.raises(ValueError, match="this result has no parameters"):
        grokjax.SweepResult(sweep.dataset).select([2]).branch(lanes)
