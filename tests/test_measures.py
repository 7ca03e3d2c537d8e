"""Measures of single networks, against counts done by hand, and the network that they see."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import grokjax
from grokjax import losses, measures, models, optimizers, tasks


def seen(logits, task, split, params=None):
    """A network of which only these are known."""
    return measures.Network(params, logits, split, task, *[None] * 3)


def measured(answers, labels, train):
    """`corruption` of a network that gives these answers to the rows of a table."""
    task = tasks.Task(np.zeros((6, 1), np.int32), np.arange(6, dtype=np.int32), 6, "six")
    train = jnp.asarray(train, bool)
    split = tasks.Split(train, ~train, jnp.asarray(labels))
    network = seen(jax.nn.one_hot(jnp.asarray(answers), 6), task, split)
    return {k: float(v) for k, v in measures.corruption(network).items()}


def test_corruption_counts_each_kind_of_row():
    # The true answers are 0 ... 5. Rows 1, 2 and 3 are corrupted, row 5 is tested.
    numbers = measured([0, 4, 2, 0, 5, 1], labels=[0, 4, 4, 4, 4, 5], train=[1, 1, 1, 1, 1, 0])
    assert numbers["memorized"] == pytest.approx(1 / 3)  # row 1
    assert numbers["inverted"] == pytest.approx(1 / 3)  # row 2
    assert numbers["uncorrupted_accuracy"] == pytest.approx(1 / 2)  # row 0, and not row 4


def test_corruption_of_clean_labels_is_nan():
    numbers = measured(range(6), labels=range(6), train=[1, 1, 1, 0, 0, 0])
    assert np.isnan([numbers["memorized"], numbers["inverted"]]).all()
    assert numbers["uncorrupted_accuracy"] == 1


def test_corruption_does_not_count_random_labels_that_are_true():
    task = tasks.modular_addition(5)
    order = tasks.split_order(task, jax.random.key(0))
    labels = tasks.corrupt_labels(task, order, 20, 1.0, jax.random.key(1))
    split = tasks.split(task, order, 20)._replace(labels=labels)
    lucky = int((split.train & (labels == task.labels)).sum())
    assert 0 < lucky < 20  # all labels are random, and some are right
    truth = jax.nn.one_hot(task.labels, 5)
    numbers = measures.corruption(seen(truth, task, split))
    assert [float(x) for x in numbers.values()] == [0, 1, 1]


@pytest.mark.parametrize("p", [2, 5, 6])
@pytest.mark.parametrize("alpha", [0.3, 0.7])
def test_a_symmetric_network_that_memorizes_has_the_mirrors_right(p, alpha):
    task = tasks.modular_addition(p)
    order = tasks.split_order(task, jax.random.key(1))
    split = tasks.split(task, order, tasks.num_train_rows(task, alpha))
    trained = {tuple(row) for row in task.tokens[np.asarray(split.train)].tolist()}
    mirrored = np.array([(m, n) in trained for n, m in task.tokens.tolist()])
    known = mirrored | np.asarray(split.train)
    # Right on what it has seen in either order; a wrong answer elsewhere, but for one row.
    others = np.flatnonzero(~known)
    answers = np.where(known, task.labels, (task.labels + 1) % p)
    answers[others[:1]] = task.labels[others[:1]]
    logits = jax.nn.one_hot(answers, p)
    found = jax.jit(lambda logits: measures.mirrored(seen(logits, task, split)))(logits)
    some = (mirrored & np.asarray(split.test)).any()
    np.testing.assert_equal(float(found["mirrored_accuracy"]), 1.0 if some else np.nan)
    expected = 1 / len(others) if len(others) else np.nan
    np.testing.assert_allclose(float(found["unmirrored_accuracy"]), expected, rtol=1e-6)


def test_rows_without_a_mirror_are_of_the_other_kind():
    """Quotients by zero are no rows, and padded equations are their own kind."""
    quotients = tasks.modular_division(5)
    single = tasks.Task(np.arange(5, dtype=np.int32)[:, None], np.arange(5, dtype=np.int32), 5, "n")
    for task in (quotients, tasks.with_extra_training(tasks.modular_addition(5), single)):
        order = tasks.split_order(task, jax.random.key(0))
        split = tasks.split(task, order, 12)
        trained = {tuple(row) for row in task.tokens[np.asarray(split.train)].tolist()}
        has_mirror = np.array([(m, n) in trained for n, m in task.tokens.tolist()])
        has_mirror &= (task.tokens >= 0).all(axis=1)
        answers = np.where(has_mirror, task.labels, (task.labels + 1) % 5)
        found = measures.mirrored(seen(jax.nn.one_hot(answers, 5), task, split))
        assert [float(x) for x in found.values()] == [1, 0]


def test_mirrors_need_two_operands():
    task = tasks.modular_addition(5, 3)
    split = tasks.split(task, tasks.split_order(task, jax.random.key(0)), 12)
    with pytest.raises(ValueError, match=r"two operands, and .* has 3"):
        measures.mirrored(seen(jnp.zeros((125, 5)), task, split))


# Test accuracy, memorized, uncorrupted accuracy.
PHASES = [
    ((1.0, 1.0, 1.0), "coexistence"),
    ((0.9, 0.9, 0.5), "coexistence"),
    ((1.0, np.nan, 1.0), "coexistence"),
    ((1.0, 0.5, 1.0), "partial inversion"),
    ((1.0, 0.89, 1.0), "partial inversion"),
    ((1.0, 0.05, 1.0), "full inversion"),
    ((1.0, 0.0, 1.0), "full inversion"),
    ((0.0, 1.0, 1.0), "memorization"),
    ((0.89, 0.9, 0.9), "memorization"),
    ((0.0, np.nan, 1.0), "memorization"),
    ((0.0, 1.0, 0.8), "forgetting"),
    ((0.0, 0.1, 1.0), "confusion"),
    ((0.89, 0.89, 0.9), "confusion"),
    ((0.01, 0.01, 0.01), "forgetting"),
    ((0.0, 1.0, np.nan), "memorization"),  # all training rows are corrupted
    ((0.0, 0.2, np.nan), "forgetting"),
    ((np.nan, np.nan, np.nan), ""),  # it never ran
    ((np.nan, 0.2, 1.0), ""),
    ((0.5, np.nan, np.nan), ""),
]


def test_phases_of_final_accuracies():
    accuracies = np.array([numbers for numbers, _ in PHASES]).T
    assert measures.corruption_phase(*accuracies).tolist() == [phase for _, phase in PHASES]
    assert measures.corruption_phase(0.8, 0.8, 0.8, threshold=0.75) == "coexistence"


@pytest.mark.parametrize("threshold", [0.5, 1.1, float("nan"), "0.9"])
def test_thresholds_must_tell_high_from_low(threshold):
    with pytest.raises(ValueError, match="threshold must be a finite number"):
        measures.corruption_phase(1.0, 1.0, 1.0, threshold)


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        ((90.0, 1.0, 1.0), "test_accuracy must be fractions between 0 and 1, or NaN, got 90"),
        ((1.0, -0.1, 1.0), "memorized must be fractions"),
        ((1.0, 1.0, "high"), "uncorrupted_accuracy must be an array of"),
        ((None, 1.0, 1.0), "test_accuracy must be an array of"),
        (([1.0] * 2, [1.0] * 3, 1.0), "shapes that broadcast"),
    ],
)
def test_accuracies_of_a_phase_are_fractions(accuracies, message):
    with pytest.raises(ValueError, match=message):
        measures.corruption_phase(*accuracies)


# --------------------------------------------------------------------------------------------
# Norms
# --------------------------------------------------------------------------------------------


def test_weight_norms_of_nested_parameters():
    params = {"a": (jnp.array([3.0]), {"b.c d": jnp.array([[4.0, 12.0]])})}
    norms = measures.weight_norms(seen(None, None, None, params))
    expected = {"norm": 13.0, "norm_a_0": 3.0, "norm_a_1_b_c_d": 160**0.5}
    assert {name: float(value) for name, value in norms.items()} == pytest.approx(expected)


def test_two_arrays_of_one_name_are_refused():
    params = {"a_b": jnp.ones(1), "a": {"b": jnp.ones(1)}}
    with pytest.raises(ValueError, match="both called 'a_b'"):
        measures.weight_norms(seen(None, None, None, params))


@dataclasses.dataclass(frozen=True)
class Linear:
    """One weight for each residue and class, times a gain that is a lane column."""

    def init(self, key, tokens):
        return {"w": 0.3 * jax.random.normal(key, (5, 5))}

    def apply(self, params, tokens, *, key=None, gain=1.0):
        return gain * params["w"][tokens[..., 0]] ** 2


ONE = tasks.Task(np.arange(5, dtype=np.int32)[:, None], np.arange(5, dtype=np.int32), 5, "n")


def test_gradient_norms_are_those_of_the_objective():
    """With a logit scale, a penalty, a keyword of the model and changed labels, by hand."""
    w = np.asarray(Linear().init(jax.random.key(0), None)["w"], float)
    train = np.array([True, True, False, True, False])
    labels = np.array([0, 4, 2, 3, 4], np.int32)
    split = tasks.Split(jnp.asarray(train), jnp.asarray(~train), jnp.asarray(labels))
    network = measures.network_of(
        Linear(), {"w": jnp.asarray(w, jnp.float32)}, ONE, split, loss=losses.mse,
        penalty=functools.partial(losses.l2, l2=0.7), logit_scale=3.0, gain=0.5,
    )  # fmt: skip
    found = measures.gradient_norms(network)
    # d/dw of mean_rows mean_q (1.5 w^2 - onehot)^2 + 0.35 w^2
    gradient = 0.7 * w + train[:, None] / 3 * 2 / 5 * (1.5 * w**2 - np.eye(5)[labels]) * 3 * w
    np.testing.assert_allclose(found["gradient_norm_w"], np.linalg.norm(gradient), rtol=1e-5)
    np.testing.assert_allclose(found["gradient_norm"], found["gradient_norm_w"], rtol=1e-6)
    # And by finite differences of the objective itself.
    moved = lambda h: network.objective({"w": network.params["w"] + h * gradient.astype("f4")})
    slope = (float(moved(1e-2)) - float(moved(-1e-2))) / 2e-2
    np.testing.assert_allclose(slope, np.linalg.norm(gradient) ** 2, rtol=1e-3)


def test_recorded_gradient_norms_are_what_training_descends():
    """One step of gradient descent moves the weights by the gradient, times the rate."""
    recipe = grokjax.Recipe(
        Linear(),
        losses.mse,
        optimizers.gradient_descent,
        penalty=losses.l2,
        measures=(measures.gradient_norms,),
    )
    lanes = grokjax.grid(
        alpha=0.6, learning_rate=0.01, l2=[0.0, 0.3], logit_scale=[1.0, 0.05], gain=[1.0, 4.0],
        label_noise=1.0,
    )  # fmt: skip
    initial = {"w": np.tile(np.linspace(-1, 1, 25, dtype=np.float32).reshape(5, 5), (8, 1, 1))}
    result = grokjax.run_sweep(
        recipe, ONE, lanes, max_steps=1, eval_every=1, stop=None, initial=initial, progress=False
    )
    moved = np.linalg.norm(result.params["w"] - initial["w"], axis=(1, 2)) / 0.01
    recorded = result.dataset.gradient_norm.values[:, 0]
    assert len(np.unique(recorded.round(4))) == 8
    np.testing.assert_allclose(recorded, moved, rtol=1e-3)


# --------------------------------------------------------------------------------------------
# The network that measures see
# --------------------------------------------------------------------------------------------

MODEL, TASK = models.QuadraticMLP(5, 4), tasks.modular_addition(5)
PARAMS = MODEL.init(jax.random.key(0))
SPLIT = tasks.split(TASK, tasks.split_order(TASK, jax.random.key(0)), 12)
NETWORK = measures.network_of(MODEL, PARAMS, TASK, SPLIT, loss=losses.mse)


def test_a_network_made_by_hand_has_the_scale_and_the_penalty_it_is_given():
    scaled = measures.network_of(
        MODEL, PARAMS, TASK, SPLIT, loss=losses.mse, logit_scale=2.0, penalty=lambda params: 10.0
    )
    np.testing.assert_array_equal(scaled.logits, 2 * NETWORK.logits)
    np.testing.assert_allclose(scaled.apply(TASK.tokens[:3]), scaled.logits[:3], rtol=1e-5)
    rows = losses.mse(scaled.logits, SPLIT.labels)
    np.testing.assert_allclose(scaled.objective(), rows[SPLIT.train].mean() + 10, rtol=1e-6)
    whole = measures.network_of(MODEL, PARAMS, TASK, loss=losses.mse)
    assert whole.split.train.all()
    assert not whole.split.test.any()


ONE_WEIGHT = Linear()  # which says nothing of the tasks that it can learn


def network_of(model=MODEL, params=PARAMS, task=TASK, split=SPLIT, loss=losses.mse, **options):
    return lambda: measures.network_of(model, params, task, split, loss=loss, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (network_of(model=None), "model"),
        (network_of(model=models.QuadraticMLP), "model"),
        (network_of(params=None), "params do not fit the model"),
        (network_of(params={"w1": 1}), "params do not fit the model"),
        (network_of(task=7), "task must be a Task"),
        (network_of(split=[True] * 25), "split must be a Split of the 25 rows"),
        (network_of(split=SPLIT._replace(train=SPLIT.train[:3])), "split must be a Split"),
        (network_of(split=SPLIT._replace(train=SPLIT.labels)), "split must be a Split"),
        (network_of(loss="mse"), "loss must be a per-example loss"),
        (network_of(loss=lambda logits, labels: 0.0), "one number for each of the 25 rows"),
        (network_of(loss=lambda logits: logits), "one number for each of the 25 rows"),
        (network_of(penalty=3), "penalty must be None, or a function"),
        (network_of(logit_scale="x"), "logit_scale must be a finite number"),
        (network_of(gain=2.0), "unexpected keyword argument 'gain'"),
        (network_of(task=tasks.modular_addition(7), split=None), "the model has p=5, but the task"),
        (
            network_of(ONE_WEIGHT, {"w": jnp.ones((5, 5))}, tasks.modular_addition(7), None),
            r"gives the logits float32\[49, 5\] for 49 equations, and the task 'n1\+n2 mod 7' "
            r"needs real numbers \[49, 7\], or more classes; build the model with 7 classes",
        ),
        (
            network_of(ONE_WEIGHT, {"w": jnp.ones((5, 5), complex)}),
            r"the logits complex64\[25, 5\] for 25 equations, and .* needs real numbers \[25, 5\]",
        ),
    ],
)
def test_a_network_made_by_hand_is_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "measure",
    [
        measures.accuracies,
        measures.mirrored,
        measures.corruption,
        measures.weight_norms,
        measures.gradient_norms,
        measures.ipr,
        measures.fourier_losses(),
        measures.fourier_gini(),
        measures.gradient_symmetry(),
        measures.distance_irrelevance,
    ],
)
def test_a_measure_of_anything_but_a_network_is_refused(measure):
    for wrong in (None, PARAMS):
        with pytest.raises(ValueError, match=r"must be a measures\.Network"):
            measure(wrong)


@pytest.mark.parametrize(
    "params", [{"embed": jnp.ones((5, 4))}, {"w1": PARAMS["w1"]}, {**PARAMS, "w2": PARAMS["w1"]}]
)
def test_ipr_names_the_parameters_that_it_needs(params):
    with pytest.raises(ValueError, match=r"ipr needs the array w[12] of the parameters"):
        measures.ipr(NETWORK._replace(params=params))


def test_ipr_refuses_weights_that_do_not_fit_each_other():
    params = {**PARAMS, "w2": PARAMS["w2"].T}
    with pytest.raises(ValueError, match="ipr needs the parameters w1: float"):
        measures.ipr(NETWORK._replace(params=params))


# --------------------------------------------------------------------------------------------
# All measures of a network
# --------------------------------------------------------------------------------------------


def test_measures_are_joined_in_order():
    two = lambda network: {"two": 2, "true": True}
    found = measures.evaluate([measures.accuracies, two], NETWORK)
    assert list(found) == ["train_accuracy", "test_accuracy", "two", "true"]
    assert all(isinstance(value, jax.Array) for value in found.values())


def broken(network):
    return network.params["v"]


def old(params, logits, task, split):
    return {}


def signed(network):
    return {"signed": 1.0 if network.logits[0, 0] > 0 else 0.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([3], "each of the measures must be a function of a measures.Network, got 3"),
        (3, "measures must be functions"),
        (measures.ipr, "measures must be functions"),
        ([measures.fourier_gini], "fourier_gini is a class; give one of its kind"),
        ([broken], r"broken raised KeyError: 'v'; .* the entries \['w1', 'w2'\]\."),
        ([functools.partial(broken)], "the measure broken raised KeyError"),
        ([old], "the measure old raised TypeError"),
        ([lambda network: network.weights], "AttributeError: .* no attribute 'weights'"),
        ([lambda network: network.logits[0, 0]], "must return a dict of scalars"),
        ([lambda network: {1: 0.0}], "must name its scalars, got 1"),
        ([lambda network: {"": 0.0}], "must name its scalars"),
        ([lambda network: {"x": network.logits}], r"'x' of .* real scalar, got float32 \[25, 5\]"),
        ([lambda network: {"x": 1j}], "'x' of .* real scalar, got complex64"),
        ([lambda network: {"x": "1"}], "'x' of .* real scalar, got '1'"),
        ([lambda network: {"x": None}], "'x' of .* real scalar, got None"),
        ([lambda network: {"x": jax.random.key(0)}], "'x' of .* real scalar, got key"),
        (
            [signed],
            "measure signed raised TracerBoolConversionError: it needs the value of an array in "
            "Python, .* use jnp.where, jax.lax.cond",
        ),
        ([measures.ipr, measures.ipr], "^the measure ipr is given twice; give it once"),
        ([measures.ipr, lambda network: {"ipr": 0.0}], "measures ipr and <lambda> both return"),
        (
            [measures.gradient_symmetry(("v",))],
            "in the measure gradient_symmetry: gradient_symmetry needs the array v",
        ),
    ],
)
def test_a_measure_that_cannot_be_recorded_is_named_while_it_is_traced(given, message):
    def trace(logits):
        return measures.evaluate(given, NETWORK._replace(logits=logits))

    with pytest.raises(ValueError, match=message):
        jax.eval_shape(trace, NETWORK.logits)


def test_a_measure_cannot_return_what_is_measured_always():
    loss = lambda network: {"train_loss": 0.0}
    message = "and the sweep itself both return 'train_loss', which is measured always; leave it"
    with pytest.raises(ValueError, match=message):
        measures.evaluate([loss], NETWORK, ["train_loss"])


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (signed, "it needs the value of 'w1' and 'w2' in Python"),
        (lambda network: {"train_loss": 0.0}, "the measure <lambda> and the sweep itself both"),
        (lambda network: {"a rank": 0.0}, "cannot be called 'a rank', because it is no name in Py"),
    ],
)
def test_what_a_sweep_says_of_a_measure_is_of_the_measure_alone(measure, message):
    recipe = grokjax.Recipe(MODEL, losses.mse, optimizers.adamw, measures=(measure,))
    with pytest.raises(ValueError, match=message) as caught:
        grokjax.run_sweep(recipe, TASK, grokjax.grid(learning_rate=0.1), max_steps=2, eval_every=1)
    assert not getattr(caught.value, "__notes__", [])  # of JAX, on frames that it removed


def test_the_cause_of_a_failed_measure_is_kept():
    with pytest.raises(ValueError, match="broken") as caught:
        measures.evaluate([broken], NETWORK)
    assert isinstance(caught.value.__cause__, KeyError)


# --------------------------------------------------------------------------------------------
# Means
# --------------------------------------------------------------------------------------------


def test_masked_mean_ignores_what_is_outside_and_is_nan_of_nothing():
    assert measures.masked_mean([1.0, np.nan, 3.0], [True, False, True]) == 2
    assert np.isnan(measures.masked_mean([1.0], [False]))


@pytest.mark.parametrize(
    ("values", "mask"),
    [([1.0, 2.0], [True] * 3), ([1.0, 2.0], [0, 1]), ("ab", [True]), ([1.0], None), (1.0, [True])],
)
def test_masked_mean_needs_booleans_of_the_same_shape(values, mask):
    with pytest.raises(ValueError, match="mask must be"):
        measures.masked_mean(values, mask)
