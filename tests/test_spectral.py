"""Spectra: closed forms against the code, for odd, even, prime and composite moduli."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from grokjax import analytic, spectral

# One compilation for each shape instead of one for each operation.
ipr = jax.jit(spectral.ipr, static_argnums=(1, 2))
phases = jax.jit(spectral.phases, static_argnums=1)
power = jax.jit(spectral.power, static_argnums=1)

MODULI = (3, 4, 12, 97)


@pytest.fixture(autouse=True)
def no_rank_promotion():
    with jax.numpy_rank_promotion("raise"):
        yield


def cosine(p, frequency, phase=0.0):
    return np.cos(2 * np.pi * frequency * np.arange(p) / p + phase)


# Power


@pytest.mark.parametrize("p", MODULI)
def test_power_satisfies_parseval(p):
    weights = np.random.default_rng(p).normal(size=(p, 5))
    counted = np.full((p // 2 + 1, 1), 2.0)
    counted[0] = 1
    if p % 2 == 0:
        counted[-1] = 1
    total = (counted * power(weights, 0)).sum(axis=0)
    np.testing.assert_allclose(total, p * (weights**2).sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("p", MODULI)
def test_power_2d_satisfies_parseval_and_finds_a_plane_wave(p):
    table = np.random.default_rng(p).normal(size=(2, p, p))
    total = spectral.power_2d(table).sum(axis=(1, 2))
    np.testing.assert_allclose(total, p**2 * (table**2).sum(axis=(1, 2)), rtol=1e-5)
    n, m = np.meshgrid(np.arange(p), np.arange(p), indexing="ij")
    wave = np.cos(2 * np.pi * (n + 2 * m) / p)
    mode = np.unravel_index(np.argmax(spectral.power_2d(wave)), (p, p))
    assert mode in {(1, 2), (p - 1, p - 2)}


def test_relabel_undoes_a_permutation_on_any_axis():
    rng = np.random.default_rng(0)
    labels = rng.permutation(11)
    cosines = cosine(11, 3)
    scrambled = np.tile(cosines[labels][None, :, None], (2, 1, 4))
    restored = spectral.relabel(scrambled, labels, 11, axis=1)
    np.testing.assert_allclose(restored, np.tile(cosines[None, :, None], (2, 1, 4)), atol=1e-6)


def test_relabel_averages_equal_labels_and_drops_negative_ones():
    labels = [1, 1, -1, 3]
    np.testing.assert_allclose(spectral.relabel([1.0, 3.0, 9.0, 5.0], labels, 4), [0, 2, 0, 5])


# Inverse participation ratio


@pytest.mark.parametrize("p", MODULI)
def test_ipr_of_a_cosine(p):
    frequencies = np.arange(1, (p + 1) // 2)
    waves = np.stack([cosine(p, f, phase=0.3 + f) for f in frequencies])
    for convention in ("rfft", "fft"):
        expected = spectral.cosine_ipr(convention)
        np.testing.assert_allclose(ipr(waves, 1, convention), expected, rtol=1e-5)
    for operands in (2, 3):
        both = np.stack([waves] * operands)
        expected = spectral.cosine_ipr("joint", operands)
        np.testing.assert_allclose(ipr(both, (0, 2), "joint"), expected, rtol=1e-5)


@pytest.mark.parametrize("p", [5, 6, 97])
def test_ipr_of_white_noise(p):
    noise = np.random.default_rng(p).normal(size=(2, 20_000, p))
    for convention, axis in (("rfft", 2), ("fft", 2), ("joint", (0, 2))):
        measured = np.asarray(ipr(noise, axis, convention))
        error = 5 * measured.std() / np.sqrt(measured.size)
        assert abs(measured.mean() - spectral.noise_ipr(p, convention)) < error


def test_noise_ipr_approaches_the_ratio_of_expectations():
    half = 48
    assert spectral.noise_ipr(97) == pytest.approx((2 * half + 3) / (half + 1) ** 2, rel=0.03)
    assert spectral.noise_ipr(97, "fft") == pytest.approx(195 / (97 * 99))


def test_ipr_ignores_scale_and_gives_zero_for_zero():
    waves = np.stack([cosine(11, 2) * 1e-30, np.zeros(11)])
    np.testing.assert_allclose(spectral.ipr(waves), [1, 0], rtol=1e-5)


def test_network_ipr_is_the_mean_over_inputs_and_output():
    rng = np.random.default_rng(0)
    params = {"w1": rng.normal(size=(2, 11, 3)), "w2": rng.normal(size=(3, 11))}
    parts = [spectral.ipr(params["w1"][0].T), spectral.ipr(params["w1"][1].T)]
    expected = (sum(parts) + spectral.ipr(params["w2"])) / 3
    np.testing.assert_allclose(spectral.network_ipr(params), expected, rtol=1e-5)


def test_spectra_of_closed_form_networks_are_pure_on_their_own_axis():
    p = 23
    _, params = analytic.analytic_multiplication(p, construction="one_hot")
    log = analytic.discrete_log(p)
    relabelled = {k: spectral.relabel(w, log, p - 1, axis=1) for k, w in params.items()}
    # The last neuron sees nothing but zeros, which have no logarithm.
    np.testing.assert_allclose(spectral.network_ipr(relabelled)[:-1], 1, rtol=1e-4)
    assert spectral.network_ipr(params)[:-1].mean() < 0.3


# Phases


@pytest.mark.parametrize("p", [7, 12])
@pytest.mark.parametrize("coefficients", [(1, 1), (1, -1), (1, 5, 1)])
def test_phases_come_back(p, coefficients):
    rng = np.random.default_rng(p)
    frequencies = np.arange(1, (p + 1) // 2)
    operands = len(coefficients)
    phi = rng.uniform(-np.pi, np.pi, size=(operands + 1, len(frequencies)))
    amplitude = rng.uniform(0.5, 2, size=phi.shape)
    vectors = np.stack(
        [
            np.stack([a * cosine(p, c * f, x) for f, a, x in zip(frequencies, *row, strict=True)])
            for c, *row in zip((*coefficients, 1), amplitude, phi, strict=True)
        ]
    )
    params = {"w1": vectors[:-1].swapaxes(1, 2), "w2": vectors[-1]}
    found = phases(params, coefficients)
    np.testing.assert_array_equal(found.frequency, frequencies)
    np.testing.assert_allclose(found.amplitude, amplitude, rtol=1e-4)
    np.testing.assert_allclose(spectral.wrap(found.phi - phi), 0, atol=1e-4)
    misfit = spectral.wrap(found.delta - (phi[:-1].sum(axis=0) - phi[-1]))
    np.testing.assert_allclose(misfit, 0, atol=1e-4)


@pytest.mark.parametrize("p", [12, 23])
def test_phases_of_closed_form_weights_align(p):
    params = analytic.analytic_weights(p, 60, key=jax.random.key(p))
    found = phases(params)
    loud = found.frequency * 0 + 1.0
    if p % 2 == 0:  # neurons at the Nyquist frequency have no phase
        loud = (found.amplitude[0] > 0.1 * found.amplitude[0].max()) * 1.0
    summary = spectral.circular_summary(found.delta, loud)
    np.testing.assert_allclose(summary, (0, 1, 1), atol=1e-4)


def test_phases_ignore_the_sign_ambiguity_and_exclude_constant_and_nyquist():
    p = 12
    wave = cosine(p, 2, 0.7)
    vectors = wave + 10 + 5 * cosine(p, 6)
    for sign in (1, -1):
        params = {"w1": sign * np.stack([vectors, vectors])[..., None], "w2": wave[None]}
        found = phases(params)
        assert found.frequency[0] == 2
        assert found.delta[0] == pytest.approx(0.7, abs=1e-4)


def test_measures_of_weights_work_under_jit_and_vmap():
    params = analytic.analytic_weights(7, 12)
    stacked = jax.tree.map(lambda w: jnp.stack([w, 2 * w]), params)
    ratios, found = jax.jit(jax.vmap(lambda p: (spectral.network_ipr(p), spectral.phases(p))))(
        stacked
    )
    np.testing.assert_allclose(ratios[0], ratios[1], rtol=1e-5)
    np.testing.assert_allclose(2 * found.amplitude[0], found.amplitude[1], rtol=1e-5)


def test_wrap_stays_in_the_half_open_interval():
    angles = np.array([np.pi, 0.5, -3.5, 7.0, 0.0])
    np.testing.assert_allclose(
        spectral.wrap(angles), [np.pi, 0.5, 2 * np.pi - 3.5, 7 - 2 * np.pi, 0], atol=1e-6
    )


def test_circular_summary():
    uniform = np.linspace(-np.pi, np.pi, 1200, endpoint=False)
    summary = spectral.circular_summary(np.stack([uniform, np.full(1200, 3.0)]))
    np.testing.assert_allclose(summary.resultant_length, [0, 1], atol=1e-5)
    np.testing.assert_allclose(summary.fraction_aligned, [1 / 6, 0], atol=2e-3)
    assert summary.mean[1] == pytest.approx(3.0)
    weighted = spectral.circular_summary(np.array([0.0, 1.5]), weights=np.array([1.0, 0.0]))
    np.testing.assert_allclose(weighted, (0, 1, 1), atol=1e-6)


# Series


@pytest.mark.parametrize("p", [5, 6, 9, 12])
@pytest.mark.parametrize("coefficients", [(1, 1), (1, 2), (2, -1)])
def test_series_masks_are_disjoint_and_leave_out_the_constant(p, coefficients):
    masks = spectral.series_masks(p, coefficients)
    total = sum(mask.astype(int) for mask in masks.values())
    assert total.max() == 1
    assert total[0, 0] == 0
    assert masks["wanted"].sum() == p - 1


@pytest.mark.parametrize(("p", "width"), [(12, 6), (7, 19)])
def test_series_of_exact_networks_are_all_wanted(p, width):
    tables = class_tables(p, analytic.analytic_weights(p, width))
    found = spectral.series_power(tables)
    np.testing.assert_allclose(found.wanted, 1, atol=1e-5)
    # The one-hot has the constant 1/p, the share 1/p of its power.
    constant = 1 / p if width > 6 else 0
    np.testing.assert_allclose(found.constant, constant, atol=1e-5)


def test_series_of_random_phases_have_the_predicted_shares():
    """A wanted term of power 1/8 grows coherently; the others, 1/4 1/16s and 1/8 each, do not."""
    p, width = 23, 110
    shares = [
        spectral.series_power(
            class_tables(p, analytic.analytic_weights(p, width, key=jax.random.key(seed)))
        )
        for seed in range(4)
    ]
    found = spectral.SeriesPower(*np.mean([np.mean(s, axis=1) for s in shares], axis=0))
    # Per neuron: wanted 1/8 noise; 2n and 2m 1/16 each; n-m 1/4 (T5 and T6), wanted again 1/8 (T4).
    neuron = 4 / width
    signal = 1 / (p - 1)
    total = signal + neuron * (1 / 8 + 2 / 16 + 1 / 4)
    assert found.wanted == pytest.approx((signal + neuron / 8) / total, rel=0.1)
    assert found.twice_n == pytest.approx(neuron / 16 / total, rel=0.25)
    assert found.twice_m == pytest.approx(neuron / 16 / total, rel=0.25)
    assert found.difference == pytest.approx(neuron / 4 / total, rel=0.25)
    assert sum(found[:4]) == pytest.approx(1, abs=1e-4)


def class_tables(p, params):
    """Unscaled logits as functions of the operands: float[q, n, m]."""
    w1, w2 = np.asarray(params["w1"]), np.asarray(params["w2"])
    return np.einsum("nmk,kq->qnm", (w1[0][:, None] + w1[1][None]) ** 2, w2)


# Kinds of arrays


def test_lists_and_data_arrays_and_narrow_floats_are_arrays():
    rng = np.random.default_rng(0)
    w1, w2 = rng.normal(size=(2, 7, 3)), rng.normal(size=(3, 7))
    expected = spectral.network_ipr({"w1": w1, "w2": w2})
    for kind in (list, xarray.DataArray, jnp.asarray):
        params = {name: kind(w.tolist()) for name, w in (("w1", w1), ("w2", w2))}
        np.testing.assert_allclose(spectral.network_ipr(params), expected, rtol=1e-6)
        assert spectral.power(kind(w2.tolist())).shape == (3, 4)
    assert spectral.ipr(jnp.ones((2, 7), jnp.bfloat16)).dtype == np.float32
    assert spectral.power([True, False, False]).tolist() == [1, 1]


def test_complex_weights_have_a_spectrum_of_all_frequencies():
    wave = np.exp(2j * np.pi * 3 * np.arange(11) / 11)
    assert spectral.ipr(wave, convention="fft") == pytest.approx(1)
    assert spectral.power_2d(np.outer(wave, wave)).max() == pytest.approx(11**4, rel=1e-5)


@pytest.mark.parametrize("p", [100_003, 1_000_003])
def test_noise_ipr_of_large_moduli_is_the_ratio_of_expectations(p):
    half = (p - 1) // 2
    assert spectral.noise_ipr(p) == pytest.approx((2 * half + 3) / (half + 1) ** 2, rel=1e-4)


def test_phases_leave_out_frequencies_at_which_an_operand_has_none():
    rng = np.random.default_rng(0)
    params = {"w1": rng.normal(size=(2, 12, 200)), "w2": rng.normal(size=(200, 12))}
    # 2 * 3 = 6 is the Nyquist frequency.
    assert set(phases(params, (2, 1)).frequency.tolist()) == {1, 2, 4, 5}
    assert set(phases(params, (1, 1)).frequency.tolist()) == {1, 2, 3, 4, 5}


def test_weights_of_angles_may_be_nan_or_traced():
    angles = np.array([0.0, 1.0])
    assert np.isnan(spectral.circular_summary(angles, [1.0, np.nan]).mean)
    traced = jax.jit(lambda w: spectral.circular_summary(angles, w).fraction_aligned)
    assert traced(jnp.array([1.0, 3.0])) == pytest.approx(0.25)


# Bad input

W = np.ones((2, 5, 3))
PARAMS = {"w1": W, "w2": np.ones((3, 5))}
BAD = [
    (lambda: spectral.power("a"), "weights must be an array of real numbers, got 'a'"),
    (lambda: spectral.power(None), "weights must be an array of real numbers, got None"),
    (lambda: spectral.power(1j * W), "weights must be an array of real numbers, got complex128"),
    (lambda: spectral.power(3.0), "got a single number"),
    (lambda: spectral.power([]), r"axis=0 has no entries in an array of shape \[0\]"),
    (lambda: spectral.power(W, 3), "axis must be an integer of at least -3 and below 3, got 3"),
    (lambda: spectral.power(W, 1.0), "axis must be an integer"),
    (lambda: spectral.power(W, (0, 1)), "axis must be an integer"),
    (lambda: spectral.power_2d(np.ones(5)), r"table must be .* of shape \[..., p, p\], got"),
    (lambda: spectral.power_2d(W), r"table must be .* of shape \[..., p, p\], got"),
    (lambda: spectral.power_2d(np.ones((0, 0))), "no entries"),
    (lambda: spectral.relabel(np.ones(5), [0.5, 1, 2, 3, 4], 5), "labels must be an array of int"),
    (lambda: spectral.relabel(np.ones(5), [0, 1, 2, 3], 5), r"labels .* of shape \[5\]"),
    (lambda: spectral.relabel(np.ones(5), [0, 1, 2, 3, 5], 5), "below size=5, got 5; use size=6"),
    (lambda: spectral.relabel(np.ones(5), range(5), 0), "size must be a positive integer"),
    (lambda: spectral.relabel(np.ones(5), range(5), 10**9), "5,000,000,000 numbers"),
    (lambda: spectral.relabel(np.ones(5), range(5), 5, axis=1), "axis must be an integer"),
    (lambda: spectral.relabel("a", range(5), 5), "weights must be an array"),
    (lambda: spectral.ipr(np.ones(5), convention="dft"), 'convention must be "rfft", "fft" or "jo'),
    (lambda: spectral.ipr(np.ones(5), convention=None), "convention must be"),
    (lambda: spectral.ipr(np.ones((2, 5)), axis=1, convention="joint"), "pair"),
    (lambda: spectral.ipr(np.ones((2, 5)), axis=(1, 1), convention="joint"), "pair"),
    (lambda: spectral.ipr(np.ones((2, 5)), axis=(0, 1)), "one axis"),
    (lambda: spectral.ipr(np.ones((2, 5)), axis=()), "one axis"),
    (lambda: spectral.ipr(W, 5), "axis must be an integer of at least -3 and below 3, got 5"),
    (lambda: spectral.ipr(W, (0, "a"), "joint"), r"axis\[1\] must be an integer"),
    (lambda: spectral.ipr(1j * W), "weights must be an array of real numbers, got complex128"),
    (lambda: spectral.ipr([]), "no entries"),
    (lambda: spectral.network_ipr(None), "params must be a mapping, such as"),
    (lambda: spectral.network_ipr({"kernel_0": W}), r"no 'w1' among \['kernel_0'\]"),
    (lambda: spectral.network_ipr({"w1": W}), r"no 'w2' among \['w1'\]"),
    (lambda: spectral.network_ipr(PARAMS | {"w2": np.ones((5, 3))}), r'"w2".* of shape \[3, 5\]'),
    (lambda: spectral.network_ipr(PARAMS | {"w1": W[0]}), r'"w1".* of shape \[S, p, K\]'),
    (lambda: spectral.network_ipr({"w1": W[:0], "w2": PARAMS["w2"]}), "must not be empty"),
    (lambda: spectral.cosine_ipr("dft"), "convention must be"),
    (lambda: spectral.cosine_ipr("joint", 2.5), "operands must be a positive integer, got 2.5"),
    (lambda: spectral.cosine_ipr("rfft", 0), "operands must be a positive integer, got 0"),
    (lambda: spectral.noise_ipr(5, "dft"), "convention must be"),
    (lambda: spectral.noise_ipr(-3), "p must be a positive integer"),
    (lambda: spectral.noise_ipr("7"), "p must be a positive integer"),
    (lambda: spectral.noise_ipr(7, "joint", -1), "operands must be a positive integer"),
    (lambda: spectral.phases(PARAMS, (1, 1, 1)), "coefficients must be 2 integers"),
    (lambda: spectral.phases(PARAMS, (1, 0.5)), r"coefficients\[1\] must be an integer"),
    (lambda: spectral.phases(PARAMS, 1), "coefficients must be integers"),
    (lambda: spectral.phases(PARAMS, (1, 0)), "has no phase; leave out operands"),
    (lambda: spectral.phases(PARAMS, (1, 10)), "has no phase; leave out operands"),
    (lambda: spectral.phases([W, W]), "params must be a mapping"),
    (lambda: spectral.phases({"w1": np.ones((2, 2, 3)), "w2": np.ones((3, 2))}), "p=2"),
    (lambda: spectral.wrap("a"), "angles must be an array of real numbers"),
    (lambda: spectral.wrap(1j), "angles must be an array of real numbers"),
    (lambda: spectral.circular_summary([]), "no entries"),
    (lambda: spectral.circular_summary("a"), "angles must be an array of real numbers"),
    (lambda: spectral.circular_summary([0.0, 1.0], [1.0]), r"weights .* of shape \[2\]"),
    (lambda: spectral.circular_summary([0.0, 1.0], [1.0, -1.0]), "must not be negative, got -1.0"),
    (lambda: spectral.circular_summary([0.0, 1.0], axis=1), "axis must be an integer"),
    (lambda: spectral.series_masks(0), "p must be an integer of at least 2"),
    (lambda: spectral.series_masks(2.5), "p must be an integer of at least 2"),
    (lambda: spectral.series_masks(7, (1.5, 1)), r"coefficients\[0\] must be an integer"),
    (lambda: spectral.series_masks(7, (1, 1, 1)), "coefficients must be 2 integers"),
    (
        lambda: spectral.series_masks(7, (0, 7)),
        "are multiples of p=7, so that the answer is always",
    ),
    (lambda: spectral.series_masks(10**5), "40,000,000,000 numbers"),
    (lambda: spectral.series_power(np.ones(5)), r"of shape \[..., p, p\]"),
    (lambda: spectral.series_power(np.ones((5, 5)), (0, 0)), "multiples of p=5"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
