"""Closed-form addition: every construction right on its whole table, and as theory says."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grokjax import analytic, models, tasks


def numpy_logits(params, tokens, operands=2):
    """Logits in the standard parameterization, in float32, without a compilation for every p."""
    w1, w2 = np.asarray(params["w1"]), np.asarray(params["w2"])
    hidden = sum(w1[s][tokens[:, s]] for s in range(operands)) ** operands
    return hidden @ w2


def table_logits(p, width, **options):
    """Logits of `analytic_weights` on the whole table of n + m: float32[p * p, p]."""
    params = analytic.analytic_weights(p, width, parameterization="standard", **options)
    return numpy_logits(params, tasks.modular_addition(p).tokens)


def accuracy(p, width, **options):
    answers = tasks.modular_addition(p).labels
    return (table_logits(p, width, **options).argmax(axis=1) == answers).mean()


# Frequencies

# SCIENCE.md B6: best margin over sets of 1, 2, ... frequencies.
BEST_MARGINS = {
    5: (0.691, 1.25),
    7: (0.377, 0.800, 1.167),
    12: (0.134, 0.750, 1.0, 1.0, 1.0),
    23: (0.0371, 0.417, 0.644, 0.748, 0.795),
    97: (0.0021, 0.102, 0.319, 0.479),
    113: (0.0015, 0.094, 0.282, 0.471),
}


@pytest.mark.parametrize("p", BEST_MARGINS)
def test_best_frequencies_have_the_tabulated_margins(p):
    for count, expected in enumerate(BEST_MARGINS[p], 1):
        found = analytic.margin(p, analytic.best_frequencies(p, count))
        assert found == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("p", [7, 9, 12, 15, 16, 17])
def test_best_frequencies_are_best_of_all_sets(p):
    for count in range(1, (p - 1) // 2 + 1):
        best = 0.0
        for frequencies in itertools.combinations(range(1, (p + 1) // 2), count):
            if np.gcd.reduce((p, *frequencies)) == 1:
                best = max(best, analytic.margin(p, frequencies))
        assert analytic.margin(p, analytic.best_frequencies(p, count)) == pytest.approx(best)


@pytest.mark.parametrize("p", [5, 12, 23, 97])
def test_margin_closed_forms(p):
    assert analytic.margin(p, (1,)) == pytest.approx(1 - np.cos(2 * np.pi / p))
    assert analytic.margin(p, range(1, p // 2 + 1)) == pytest.approx(p / (p - 1))


def test_margin_never_falls_with_the_beam_search():
    margins = [analytic.margin(97, analytic.best_frequencies(97, n)) for n in (5, 6, 8, 12, 24, 48)]
    assert margins == sorted(margins)


# analytic_weights


@pytest.mark.parametrize("p", range(3, 131))
def test_every_modulus_is_exact_from_width_three(p):
    for width in (3, 6, 13):
        assert accuracy(p, width) == 1, width


@pytest.mark.parametrize("p", range(3, 40))
def test_every_width_up_to_the_one_hot_is_exact(p):
    one_hot = 3 * p - 2 if p % 2 else 3 * p - 3
    for width in {4, 5, one_hot // 2, one_hot - 1, one_hot, one_hot + 1}:
        assert accuracy(p, width) == 1, width


@pytest.mark.parametrize("p", [199, 256, 359])
def test_larger_moduli_are_exact(p):
    for width in (3, 6):
        assert accuracy(p, width) == 1, width


@pytest.mark.parametrize("p", [3, 4, 5, 12, 23, 30])
def test_one_hot_has_no_error(p):
    width = 3 * p - 2 if p % 2 else 3 * p - 3
    expected = np.eye(p)[tasks.modular_addition(p).labels]
    for spare in (0, 5):
        np.testing.assert_allclose(table_logits(p, width + spare), expected, atol=3e-6)
    assert np.abs(table_logits(p, width - 1) - expected).max() > 0.01


@pytest.mark.parametrize("parameterization", ["mean_field", "standard"])
def test_both_parameterizations_give_the_models_logits(parameterization):
    for width in (3, 12, 20, 33):
        model = models.QuadraticMLP(12, width, parameterization=parameterization)
        params = analytic.analytic_weights(12, width, parameterization=parameterization)
        logits = model.apply(params, tasks.modular_addition(12).tokens)
        np.testing.assert_allclose(logits, table_logits(12, width), atol=3e-6)


@pytest.mark.parametrize(("p", "frequencies"), [(7, (3,)), (12, (5,)), (12, (2, 3)), (97, (1, 10))])
def test_clock_logits_are_cosines_and_spare_neurons_zero(p, frequencies):
    width = 6 * len(frequencies) + 2
    logits = table_logits(p, width, frequencies=frequencies)
    sums = tasks.modular_addition(p).tokens.sum(axis=1)[:, None] - np.arange(p)[None, :]
    expected = np.mean([np.cos(2 * np.pi * f * sums / p) for f in frequencies], axis=0)
    np.testing.assert_allclose(logits, expected, atol=3e-6)
    params = analytic.analytic_weights(p, width, frequencies=frequencies)
    assert not np.asarray(params["w1"])[:, :, -2:].any()
    assert not np.asarray(params["w2"])[-2:].any()


@pytest.mark.parametrize("p", [5, 6, 7, 12, 23, 30])
def test_pizza_logits_and_margin(p):
    tokens = tasks.modular_addition(p).tokens
    n, m = tokens.T
    w, psi = 2 * np.pi / p, 0 if p % 2 else np.pi / p
    sums = (n + m)[:, None] - np.arange(p)[None, :]
    expected = np.cos((w * (n - m) + psi) / 2)[:, None] ** 2 * np.cos(w * sums)
    logits = table_logits(p, 3)
    np.testing.assert_allclose(logits, expected, atol=2e-6)
    margin = np.sin(np.pi / (2 * p)) ** 2 * (1 - np.cos(w))
    assert smallest_gap(p, logits) == pytest.approx(margin, rel=0.02)


@pytest.mark.parametrize("p", [5, 12, 23])
def test_measured_margin_is_the_predicted_one(p):
    for count in range(1, (p - 1) // 2 + 1):
        frequencies = analytic.best_frequencies(p, count)
        logits = table_logits(p, 6 * count, frequencies=frequencies)
        expected = analytic.margin(p, frequencies)
        assert smallest_gap(p, logits) == pytest.approx(expected, abs=5e-6)


def smallest_gap(p, logits):
    right = np.eye(p, dtype=bool)[tasks.modular_addition(p).labels]
    return (logits[right] - np.where(right, -np.inf, logits).max(axis=1)).min()


def test_weights_are_balanced_as_gradient_flow_conserves():
    for params in (
        analytic.analytic_weights(12, 33),
        analytic.analytic_weights(23, 3),
        analytic.analytic_weights(12, 50, key=jax.random.key(0)),
    ):
        inputs = (params["w1"] ** 2).sum(axis=(0, 1))
        np.testing.assert_allclose(inputs, 2 * (params["w2"] ** 2).sum(axis=1), rtol=1e-4)


def test_amplitude_of_random_phases_is_gromovs():
    """(2 D)^(1/3) in the mean-field parameterization, (2 / width)^(1/3) in the standard one."""
    for parameterization, amplitude in (("mean_field", (4 * 97) ** (1 / 3)), ("standard", 0.15874)):
        params = analytic.analytic_weights(
            97, 500, key=jax.random.key(0), parameterization=parameterization
        )
        np.testing.assert_allclose(
            jnp.sqrt(2 * (params["w1"] ** 2).mean(axis=1)), amplitude, rtol=1e-4
        )


# Random phases


@pytest.mark.parametrize(("p", "width"), [(23, 220), (22, 210), (12, 220), (97, 480)])
def test_random_phase_noise_is_the_predicted_one(p, width):
    """Widths that are whole cycles of frequencies, so that the signal is exactly 1."""
    answers = tasks.modular_addition(p).labels
    rows = np.arange(p * p)
    right, off, mse = [], [], []
    for seed in range(4):
        logits = table_logits(p, width, key=jax.random.key(seed))
        right.append(logits[rows, answers].mean())
        errors = logits - np.eye(p)[answers]
        mse.append((errors**2).mean())
        errors[rows, answers] = np.nan
        off.append(np.nanstd(errors))
    theory = analytic.random_phase_theory(p, width)
    assert theory.noise == pytest.approx(2 / np.sqrt(width))
    assert theory.signal_to_noise == pytest.approx(np.sqrt(width) / 2)
    assert np.mean(off) == pytest.approx(theory.noise, rel=0.06)
    assert np.mean(mse) == pytest.approx(theory.mse, rel=0.12)
    # At p/2 the signal itself is random, cos^2 phi_1 cos^2 phi_2.
    assert np.mean(right) == pytest.approx(1, abs=1e-4 if p % 2 else 0.05)


def test_random_phase_accuracy_is_above_the_union_bound():
    for width, least in ((50, 0.85), (100, 0.99), (200, 1.0)):
        measured = np.mean([accuracy(97, width, key=jax.random.key(seed)) for seed in range(4)])
        assert measured >= least
        assert 1 - measured <= analytic.random_phase_theory(97, width).error_bound


def test_random_phase_noise_for_more_operands():
    theory = analytic.random_phase_theory(11, 3000, 3)
    model, params = analytic.analytic_addition(
        11, 3, construction="random_phase", width=3000, key=jax.random.key(0)
    )
    result = analytic.evaluate(model, params, tasks.modular_addition(11, 3))
    assert result.mse == pytest.approx(theory.mse, rel=0.15)
    assert result.accuracy == 1


def test_random_phases_follow_the_key_and_the_frequencies():
    first, again, other = (
        analytic.analytic_weights(23, 8, key=jax.random.key(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first["w1"], again["w1"])
    assert (first["w1"] != other["w1"]).any()
    chosen = analytic.analytic_weights(23, 8, key=jax.random.key(0), frequencies=(4, 9))
    spectrum = np.abs(np.fft.rfft(chosen["w2"], axis=1))
    assert set(spectrum.argmax(axis=1)) == {4, 9}


# More operands, coefficients, activations, precision


@pytest.mark.parametrize(("p", "operands"), [(7, 1), (7, 2), (5, 3), (6, 3), (5, 4), (4, 5)])
def test_sums_of_many_operands_are_exact(p, operands):
    task = tasks.modular_addition(p, operands)
    sums = task.labels[:, None] - np.arange(p)[None, :]
    answers = {"clock": np.cos(2 * np.pi * sums / p), "one_hot": np.eye(p)[task.labels]}
    for construction, expected in answers.items():
        model, params = analytic.analytic_addition(
            p, operands, construction=construction, parameterization="standard"
        )
        logits = numpy_logits(params, task.tokens, operands)
        np.testing.assert_allclose(logits, expected, atol=1e-5)
        if construction == "clock":
            assert model.width == 2 ** (operands - 1) * (operands + 1)


def test_more_operands_go_through_the_model():
    network = analytic.analytic_addition(5, 3, coefficients=(1, 2, -1), construction="one_hot")
    result = analytic.evaluate(*network, tasks.modular_addition(5, 3, coefficients=(1, 2, -1)))
    assert result.accuracy == 1
    assert result.mse < 1e-10


@pytest.mark.parametrize("p", [2, 7, 12])
def test_coefficients_may_be_any_integers(p):
    for coefficients in ((3, -1), (2, 0), (p, 5)):
        model, params = analytic.analytic_addition(
            p, coefficients=coefficients, construction="one_hot"
        )
        task = tasks.modular_addition(p, coefficients=coefficients)
        result = analytic.evaluate(model, params, task)
        assert result.accuracy == 1
        assert result.mse < 1e-10


def test_even_activations_keep_random_phases_right_and_odd_ones_do_not():
    params = analytic.analytic_weights(23, 200, key=jax.random.key(0))
    model = models.QuadraticMLP(23, 200)
    task = tasks.modular_addition(23)
    for activation, least, most in (
        (jnp.abs, 0.99, 1),
        (models.power(4), 0.99, 1),
        (jax.nn.relu, 0.9, 1),
        (models.power(3), 0, 0.2),
    ):
        variant = dataclasses.replace(model, activation=activation)
        assert least <= analytic.evaluate(variant, params, task).accuracy <= most, activation


def test_reduced_precision_loses_what_true_float32_keeps():
    """SCIENCE.md B6: unit weights lose a quarter of the table to TF32 at p = 251."""
    task = tasks.modular_addition(251)
    model = models.QuadraticMLP(251, 6)
    params = analytic.analytic_weights(251, 6)
    assert analytic.evaluate(model, params, task).accuracy == 1
    rounded = analytic.evaluate(analytic.ReducedPrecision(model, 10), params, task).accuracy
    assert 0.7 < rounded < 0.8
    standard = models.QuadraticMLP(251, 6, parameterization="standard")
    turns = 2 * np.pi * np.arange(251)[:, None] / 251
    theta, sign = np.tile(np.pi * np.arange(3) / 3, 2)[None, :], np.repeat([1.0, -1.0], 3)[None, :]
    first = np.cos(turns + theta)
    unit = {
        "w1": jnp.asarray(np.stack([first, sign * first]), jnp.float32),
        "w2": jnp.asarray((sign / 3 * np.cos(turns + 2 * theta)).T, jnp.float32),
    }
    assert analytic.evaluate(standard, unit, task).accuracy == 1
    rounded = analytic.evaluate(analytic.ReducedPrecision(standard, 10), unit, task).accuracy
    assert rounded == pytest.approx(0.74, abs=0.01)


def test_evaluate_counts_and_averages():
    logits = jnp.array([1.0, 0.0, 0.5])
    result = analytic.evaluate(Constant(), logits, tasks.modular_addition(3))
    assert result.accuracy == pytest.approx(1 / 3)
    assert result.mse == pytest.approx((0.25 + 2.25 + 1.25) / 9)
    assert result.margin == pytest.approx(-1)
    assert result.right_logit == pytest.approx(0.5)


@dataclasses.dataclass(frozen=True)
class Constant:
    """The parameters as logits of every equation."""

    classes: int = 3

    def init(self, key, tokens):
        return jnp.zeros(self.classes)

    def apply(self, params, tokens, *, key=None):
        return jnp.broadcast_to(params[None, :], (len(tokens), self.classes))


def test_classes_that_no_row_has_are_wrong_ones_and_no_numbers_are_no_answers():
    task = tasks.modular_addition(3)
    result = analytic.evaluate(Constant(4), jnp.array([0.0, 0.0, 0.0, 1.0]), task)
    assert result.accuracy == 0
    assert result.mse == pytest.approx(2 / 4)
    nothing = analytic.evaluate(Constant(), jnp.array([np.nan, 0.0, 0.0]), task)
    assert nothing.accuracy == 0
    assert np.isnan([nothing.mse, nothing.margin, nothing.right_logit]).all()


@pytest.mark.parametrize("width", [3, 6, 19])
def test_the_right_logit_shows_weights_of_the_other_parameterization(width):
    """Their shapes are the same; the scale is `(S p)^(S/2) width` for one in the other."""
    task, wanted = tasks.modular_addition(7), 0.5 if width == 3 else 1.0
    for own, other, factor in (
        ("mean_field", "standard", 14 * width),
        ("standard", "mean_field", 1 / (14 * width)),
    ):
        params = analytic.analytic_weights(7, width, parameterization=own)
        for parameterization, expected in ((own, wanted), (other, wanted * factor)):
            model = models.QuadraticMLP(7, width, parameterization=parameterization)
            found = analytic.evaluate(model, params, task)
            assert found.accuracy == 1
            assert found.right_logit == pytest.approx(expected, rel=1e-4)


def test_saved_parameters_can_be_evaluated():
    params = jax.tree.map(np.asarray, analytic.analytic_weights(7, 6))
    model = models.QuadraticMLP(7, 6)
    assert analytic.evaluate(model, params, tasks.modular_addition(7)).accuracy == 1
    rounded = analytic.ReducedPrecision(model, np.int64(23))
    assert analytic.evaluate(rounded, params, tasks.modular_addition(7)).accuracy == 1


def test_reduced_precision_has_the_dropout_of_its_network():
    model = models.QuadraticMLP(7, 6, dropout=0.5)
    rounded = analytic.ReducedPrecision(model, 23)  # all bits
    params, tokens = analytic.analytic_weights(7, 6), tasks.modular_addition(7).tokens
    assert rounded.keywords().keys() == {"dropout"}
    for options in ({}, {"key": jax.random.key(0)}, {"key": jax.random.key(0), "dropout": 0.1}):
        found = rounded.apply(params, tokens, **options)
        np.testing.assert_allclose(found, model.apply(params, tokens, **options), atol=1e-5)


MODEL, PARAMS, TASK = (
    models.QuadraticMLP(7, 6),
    analytic.analytic_weights(7, 6),
    tasks.modular_addition(7),
)


@pytest.mark.parametrize(
    ("model", "params", "task", "message"),
    [
        (MODEL, None, TASK, "'w1' is missing"),
        (MODEL, "w", TASK, "params must be .* got 'w'"),
        (MODEL, {"w1": PARAMS["w1"]}, TASK, "'w2' is missing"),
        (MODEL, PARAMS | {"b": jnp.ones(7)}, TASK, "'b' is none of its parameters"),
        (MODEL, PARAMS | {"w1": "weights"}, TASK, "w1 must be an array of real numbers"),
        (MODEL, analytic.analytic_weights(5, 6), TASK, r"must be \[2, 7, 6\], got \[2, 5, 6\]"),
        (MODEL, analytic.analytic_weights(7, 8), TASK, r"must be \[2, 7, 6\], got \[2, 7, 8\]"),
        (MODEL, {k: w[None] for k, w in PARAMS.items()}, TASK, "these are 1 networks, take one"),
        (Constant(7), jnp.ones(5), TASK, r"must be \[7\], got \[5\]"),
        (MODEL, PARAMS, tasks.modular_addition(5), "the model has p=7, but the task .* 5 classes"),
        (MODEL, PARAMS, tasks.modular_addition(7, 3), "operands=2, but the task .* has 3"),
        (MODEL, PARAMS, None, "task must be a Task"),
        (MODEL, PARAMS, jax.tree.map(lambda x: x + 1, TASK), "tokens must be integers from 0 to 6"),
        (Constant(5), jnp.ones(5), TASK, r"at least the 7 classes of .* got \[49, 5\]"),
        (None, PARAMS, TASK, "model must be a model with init and apply"),
        (models.QuadraticMLP, PARAMS, TASK, "got the class QuadraticMLP; make one"),
        (
            analytic.ReducedPrecision(MODEL),
            analytic.analytic_weights(7, 8),
            TASK,
            r"'w1' must be \[2, 7, 6\], got \[2, 7, 8\]",
        ),
        (analytic.ReducedPrecision(MODEL), PARAMS, tasks.modular_addition(5), "has p=7, but"),
    ],
)
def test_what_does_not_belong_together_is_not_evaluated(model, params, task, message):
    with pytest.raises(ValueError, match=message):
        analytic.evaluate(model, params, task)


def test_traced_parameters_are_not_evaluated():
    with pytest.raises(ValueError, match=r"call model\.apply there"):
        jax.jit(lambda params: analytic.evaluate(MODEL, params, TASK).accuracy)(PARAMS)


@pytest.mark.parametrize(("operands", "neurons"), [(26, "905,969,664"), (40, "22,539,988,369,408")])
def test_networks_that_would_fill_the_memory_are_refused_with_their_size(operands, neurons):
    with pytest.raises(ValueError, match=f"a network of {neurons} neurons for {operands} operands"):
        analytic.analytic_addition(7, operands)


@pytest.mark.parametrize("p", [5, 6, 8])
@pytest.mark.parametrize("operands", [1, 2, 3])
@pytest.mark.parametrize("construction", ["clock", "one_hot"])
def test_the_neurons_needed_are_those_of_the_network(p, operands, construction):
    model, params = analytic.analytic_addition(p, operands, construction=construction)
    assert params["w1"].shape == (operands, p, model.width)
    live = (np.abs(params["w2"]) > 0).any(axis=1)
    assert live.all()
    with pytest.raises(ValueError, match=f"needs {model.width} neurons"):
        analytic.analytic_addition(p, operands, construction=construction, width=model.width - 1)


def test_one_frequency_needs_no_search():
    assert analytic.best_frequencies(10**9 + 7, 1) == (1,)
    assert analytic.analytic_weights(50_021, 6)["w1"].shape == (2, 50_021, 6)


def test_most_operands_allowed_are_still_numbers():
    options = {"construction": "random_phase", "width": 4, "key": jax.random.key(0)}
    _, params = analytic.analytic_addition(97, 64, **options)
    assert all(np.isfinite(w).all() and np.abs(w).max() > 0 for w in params.values())
    assert np.isfinite(analytic.random_phase_theory(97, 4, 64).noise)


# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analytic.analytic_weights(7, 2), "width of at least 3, got width=2"),
        (lambda: analytic.analytic_weights(7, 0, key=jax.random.key(0)), "a positive integer"),
        (lambda: analytic.analytic_weights(7, 6.5), "width must be a positive integer"),
        (lambda: analytic.analytic_weights(2, 6), "at least 3"),
        (lambda: analytic.analytic_weights(12, 6, frequencies=(2,)), "share the factor 2"),
        (lambda: analytic.analytic_weights(12, 12, frequencies=(3, 3)), "differ"),
        (lambda: analytic.analytic_weights(12, 12, frequencies=(5, 7)), "differ"),
        (lambda: analytic.analytic_weights(12, 12, frequencies=(12,)), "no multiples"),
        (
            lambda: analytic.analytic_weights(12, 12, frequencies=(1.0,)),
            r"s\[0\] must be an integer",
        ),
        (lambda: analytic.analytic_weights(12, 12, frequencies=5), "frequencies must be integers"),
        (
            lambda: analytic.analytic_weights(12, 12, frequencies="15"),
            "frequencies must be integers",
        ),
        (lambda: analytic.analytic_weights(7, 6, key=0), r"use jax.random.key\(0\)"),
        (lambda: analytic.analytic_weights(7, 6, key="a"), "key must be a JAX random key, or None"),
        (
            lambda: analytic.analytic_weights(7, 6, parameterization="ntk"),
            "parameterization must be",
        ),
        (lambda: analytic.analytic_weights(97, 10**7), "2,910,000,000 numbers, more than the 134"),
        (lambda: analytic.analytic_weights("7", 6), "p must be an integer of at least 3"),
        (lambda: analytic.analytic_weights(12, 12, frequencies=()), "at least one"),
        (lambda: analytic.analytic_weights(12, 7, frequencies=(1, 5)), "needs 12 neurons"),
        (lambda: analytic.analytic_addition(7, construction="exact"), "construction must be"),
        (lambda: analytic.analytic_addition(7, construction="random_phase"), "needs a key"),
        (lambda: analytic.analytic_addition(7, key=jax.random.key(0)), "take none"),
        (
            lambda: analytic.analytic_addition(
                7, construction="random_phase", key=jax.random.key(0)
            ),
            "give width",
        ),
        (
            lambda: analytic.analytic_addition(7, construction="one_hot", frequencies=(1,)),
            "every frequency",
        ),
        (lambda: analytic.analytic_addition(7, 3, construction="pizza"), "two operands"),
        (lambda: analytic.analytic_addition(7, 3, coefficients=(1, 1)), "must be 3 integers, .* 2"),
        (lambda: analytic.analytic_addition(7, coefficients=5), "coefficients must be integers"),
        (lambda: analytic.analytic_addition(7, 65), "operands must be a positive integer below 65"),
        (lambda: analytic.analytic_addition(7, 10**9), "a positive integer below 65"),
        (lambda: analytic.analytic_addition(7, width=6.0), "width must be a positive integer"),
        (lambda: analytic.analytic_addition(7, key=3), r"use jax.random.key\(3\)"),
        (lambda: analytic.analytic_addition(7, coefficients=(1, 0.5)), "must be an integer"),
        (lambda: analytic.analytic_addition(7, 0), "operands must be a positive integer"),
        (lambda: analytic.best_frequencies(7, 4), "between 1 and 3"),
        (lambda: analytic.best_frequencies(7, 0), "num_frequencies must be a positive integer"),
        (lambda: analytic.best_frequencies(7, "a"), "num_frequencies must be a positive integer"),
        (lambda: analytic.best_frequencies(7, [1]), "num_frequencies must be a positive integer"),
        (
            lambda: analytic.best_frequencies(50_021, 3),
            "use a smaller p, or frequencies of your own",
        ),
        (lambda: analytic.margin(7, 1), "frequencies must be integers"),
        (lambda: analytic.margin(7, (True,)), r"frequencies\[0\] must be an integer, got True"),
        (lambda: analytic.margin(10**9, (1,)), "1,000,000,000 numbers"),
        (lambda: analytic.check_frequencies(0, (1,)), "p must be an integer of at least 2"),
        (lambda: analytic.random_phase_theory(1, 8), "p must be an integer of at least 2"),
        (lambda: analytic.random_phase_theory(7, 0), "width must be a positive integer"),
        (lambda: analytic.random_phase_theory(7, 8, 2.5), "operands must be a positive integer"),
        (lambda: analytic.random_phase_theory(7, 8, 0), "operands must be a positive integer"),
        (lambda: analytic.ReducedPrecision(MODEL, 24), "mantissa_bits must be .* below 24, got 24"),
        (lambda: analytic.ReducedPrecision(MODEL, -1), "mantissa_bits must be .* at least 0"),
        (lambda: analytic.ReducedPrecision(MODEL, 10.0), "mantissa_bits must be an integer"),
        (lambda: analytic.ReducedPrecision(Constant()), "model must be a QuadraticMLP"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
