"""The critical number of rows over p: the fit on made-up numbers, and the experiment, tiny."""

import numpy as np
import pytest
import xarray

from experiments.critical_rows import (
    LAWS,
    budget_of,
    constant,
    critical_ratios,
    critical_rows,
    drift,
    fit,
)

MODULI = np.array([11, 17, 23, 31, 43, 59])


def table(ratio, error=0.02, budget=1000):
    """Made-up estimates of one budget: rows over p log p."""
    ratio = np.broadcast_to(ratio, MODULI.shape).astype(float)
    names = {"ratio": ("p", ratio), "error": ("p", np.full(len(MODULI), error))}
    return xarray.Dataset(names, {"p": MODULI, "budget": budget})


def test_without_scatter_a_fit_is_the_weighted_mean_with_its_error():
    # By hand: weights 1 and 1/4 give (1 * 0 + 0.25 * 1) / 1.25 = 0.2, variance 1 / 1.25; and 12.706
    # is Student's quantile of one degree of freedom.
    found = fit([0.0, 1.0], [1.0, 2.0], np.ones((2, 1)))
    assert found.scatter == 0
    np.testing.assert_allclose(found.value, [0.2])
    np.testing.assert_allclose(found.high, [0.2 + 12.7062 * 1.25**-0.5], rtol=1e-4)


def test_the_scatter_makes_the_weighted_squares_as_large_as_expected():
    # Equal errors: the scatter's variance is the sample's, less that of an error.
    values = np.array([1.0, 2.0, 4.0, 5.0])
    found = fit(values, np.full(4, 0.5), np.ones((4, 1)))
    np.testing.assert_allclose(found.scatter, np.sqrt(values.var(ddof=1) - 0.25), rtol=1e-6)
    assert found.value == pytest.approx(3.0)
    assert fit([1.0, np.nan], [0.1, 0.1], np.ones((2, 1))) is None


@pytest.mark.parametrize(("law", "left"), [("p", True), ("p log p", False), ("p log^2 p", True)])
def test_a_drift_is_left_unless_the_law_is_the_one_that_made_the_numbers(law, left):
    found = drift(table(2.7 * np.exp(np.resize([0.01, -0.01], len(MODULI)))), law)
    assert (found.low[0] > 0 or found.high[0] < 0) == left
    assert np.sign(found.value[0]) == {"p": 1, "p log^2 p": -1}.get(law, np.sign(found.value[0]))


def test_the_constant_of_exact_numbers_is_theirs_whatever_the_law():
    for law, of_p in LAWS.items():
        p = MODULI.astype(float)
        ratio = 3.1 * of_p(p) / LAWS["p log p"](p)
        assert constant(table(ratio), law).value[0] == pytest.approx(3.1)


def test_the_budget_of_a_constant_is_between_those_measured():
    both = xarray.concat([table(3.2, budget=100), table(2.4, budget=1600)], "budget")
    assert budget_of(both, np.sqrt(3.2 * 2.4)) == pytest.approx(400)
    assert np.isnan(budget_of(both, 2.0))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    output = tmp_path_factory.mktemp("critical_rows")
    result = critical_rows(
        moduli=(7, 11), width=48, ratios=(1.2, 2.0, 2.8, 3.6), seeds=2, budgets=(60, 300),
        eval_every=20, output=output, progress=False,
    )  # fmt: skip
    return result, output


def test_a_network_of_the_small_budget_is_one_of_the_large_budget_too(measured):
    result, output = measured
    found = critical_ratios(result)
    assert found.ratio.dims == ("p", "budget")
    assert found.budget.values.tolist() == [60, 300]
    # p = 7 has no 3.6 * 7 log 7 = 49 rows to train on.
    assert found.n.values.tolist() == [6, 8]
    assert (found.high.sel(budget=300) <= found.high.sel(budget=60)).all()
    assert {"critical_rows.png", "record.json", "results.nc"} <= {x.name for x in output.iterdir()}


def test_every_network_is_watched_to_the_largest_budget(measured):
    dataset = measured[0].dataset
    never = dataset.grokking_step.isnull()
    assert never.any()
    assert (dataset.watched_step.where(never, 300) >= 300).all()
    rows = dataset.alpha * dataset.p**2
    np.testing.assert_allclose(rows, rows.round(), atol=1e-6)


def test_a_modulus_too_small_for_the_ratios_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the table of p=5 has only 25 rows"):
        critical_rows(moduli=(5,), ratios=(4.0,), output=tmp_path, progress=False)
