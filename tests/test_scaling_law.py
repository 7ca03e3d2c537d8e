"""The power law of grokking steps: exponents of known data, with and without the censored ones."""

import sys

import numpy as np
import pytest
import scipy

import grokjax
from experiments import scaling_law as experiment
from experiments.scaling_law import PUBLISHED, draw, draw_diagnostics, halves, print_law
from grokjax import survival
from grokjax.results import SweepResult, build_dataset

pytest.importorskip("lifelines")

TRUTH = {"rows": -3.0, "weight_decay": -0.6, "learning_rate": -0.5, "width": 0.3}
NOISE = {
    "log-normal": lambda rng, n: rng.normal(size=n),
    "log-logistic": lambda rng, n: rng.logistic(size=n),
    "Weibull": lambda rng, n: np.log(rng.exponential(size=n) / np.log(2)),
}
BUDGET = 1000.0


def lanes_of(distribution="log-normal", scale=0.3, seeds=2, budget=BUDGET):
    """Columns, grokking steps and watched steps of a known law, a third of them censored."""
    columns = grokjax.grid(
        rows=[250.0, 300.0, 370.0, 450.0], weight_decay=[0.3, 1.0, 3.0],
        learning_rate=[1e-3, 3e-3, 1e-2], width=[64.0, 128.0, 256.0], seed=range(seeds),
    )  # fmt: skip
    del columns["seed"]
    rng = np.random.default_rng(0)
    noise = NOISE[distribution](rng, len(columns["rows"]))
    step = 700 * np.exp(scale * noise)
    for name, power in TRUTH.items():
        centre = np.exp(np.log(columns[name]).mean())
        step *= (columns[name] / centre) ** power
    watched = np.full(len(step), budget)
    return columns, np.where(step <= watched, step, np.nan), watched


# --------------------------------------------------------------------------------------------
# The fit
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", NOISE)
def test_the_censored_fit_recovers_the_law(distribution):
    columns, step, watched = lanes_of(distribution)
    assert 0.2 < np.isnan(step).mean() < 0.45
    law = survival.power_law(step, watched, 0.999, distribution=distribution, **columns)
    for name, power in TRUTH.items():
        assert law.exponents[name].low < power < law.exponents[name].high
        assert law.exponents[name].value == pytest.approx(power, abs=0.35)
    assert law.constant == pytest.approx(700, rel=0.15)
    assert law.scale == pytest.approx(0.3, rel=0.2)
    assert law.median(**law.centres) == pytest.approx(law.constant)
    # Half of the lanes with these columns have grokked at their median.
    hazard = law.cumulative_hazard(law.constant, **law.centres)
    assert hazard == pytest.approx(np.log(2))
    # The residuals of a right law are exponential with mean 1, and censored.
    observed = np.where(np.isnan(step), watched, step)
    residual = law.cumulative_hazard(observed, **columns)
    assert residual.sum() / (~np.isnan(step)).sum() == pytest.approx(1, abs=0.06)


def test_without_the_censored_lanes_the_law_is_another():
    columns, step, watched = lanes_of(scale=0.6)
    grokked = ~np.isnan(step)
    part = {name: column[grokked] for name, column in columns.items()}
    law = survival.power_law(step[grokked], watched[grokked], **part)
    for name in ("rows", "weight_decay"):
        assert TRUTH[name] < law.exponents[name].low  # too close to 0, and certain of it
    share = lambda law: (1 - np.exp(-law.cumulative_hazard(BUDGET, **columns))).mean()
    assert share(law) > grokked.mean() + 0.1  # of the lanes, to grok within the budget
    whole = survival.power_law(step, watched, **columns)
    assert share(whole) == pytest.approx(grokked.mean(), abs=0.03)


def test_the_fit_is_at_the_maximum_of_the_likelihood():
    columns, step, watched = lanes_of(seeds=1)
    part = {name: columns[name] for name in ("rows", "width")}
    law = survival.power_law(step, watched, **part)

    def likelihood(rows, width, constant, scale):
        median = constant * np.prod(
            [
                (part[name] / law.centres[name]) ** x
                for name, x in (("rows", rows), ("width", width))
            ],
            axis=0,
        )
        z = np.log(np.where(np.isnan(step), watched, step) / median) / scale
        density = scipy.stats.norm.logpdf(z) - np.log(scale)
        return np.where(np.isnan(step), scipy.stats.norm.logsf(z), density).sum()

    best = (*(x.value for x in law.exponents.values()), law.constant, law.scale)
    top = likelihood(*best)
    for i in range(4):
        for factor in (0.97, 1.03):
            other = [x * factor if i == j else x for j, x in enumerate(best)]
            assert likelihood(*other) < top
    # Akaike's criterion has the density of the step itself, that of its logarithm over it.
    grokked = step[~np.isnan(step)]
    assert law.aic == pytest.approx(2 * 4 - 2 * (top - np.log(grokked).sum()), rel=1e-6)


def test_a_lane_that_was_never_watched_tells_nothing():
    columns, step, watched = lanes_of(seeds=1)
    law = survival.power_law(step, watched, rows=columns["rows"])
    more = [
        np.append(x, last) for x, last in ((step, np.nan), (watched, 0), (columns["rows"], 300))
    ]
    again = survival.power_law(*more[:2], rows=more[2])
    assert again.exponents["rows"].value == pytest.approx(law.exponents["rows"].value, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"distribution": "gamma"},
            'distribution must be "log-normal", "log-logistic" or "Weibull"',
        ),
        ({"confidence": 95}, "confidence"),
        ({"rows": [1.0, 2, 3]}, "rows must be an array"),
        ({"rows": np.arange(6.0)}, "rows must be positive in a power law, got 0"),
        ({"rows": [2.0] * 6}, "rows has no variation, so its exponent cannot be told"),
        ({"alpha": 2 * np.arange(1, 7.0)}, "alpha has no variation that rows do not determine"),
        ({"grokking_step": [0.0, 2, 3, 4, 5, 6]}, "a lane grokked at step 0"),
        ({"grokking_step": [np.nan] * 4 + [5, 6]}, "at least 3 lanes that grokked, got 2 of 6"),
        ({"rows": None}, "needs at least one column"),
    ],
)
def test_what_is_no_power_law_is_refused(change, message):
    given = {"grokking_step": np.arange(1, 7.0), "watched_step": [9] * 6, "rows": np.arange(1, 7.0)}
    given = {name: value for name, value in (given | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        survival.power_law(**given)


def test_a_law_is_asked_for_its_own_columns_and_real_steps():
    law = survival.PowerLaw(
        {"rows": survival.Estimate(-2.0, -3.0, -1.0)}, {"rows": 10.0}, 50.0, 0.5, "Weibull", 1.0
    )
    np.testing.assert_allclose(law.median(rows=[5, 10, 20]), [200, 50, 12.5])
    assert law.cumulative_hazard(0, rows=10) == 0
    # Weibull: the hazard is a power of the step, here the second.
    assert law.cumulative_hazard(100, rows=10) == pytest.approx(4 * np.log(2))
    with pytest.raises(ValueError, match="needs the columns rows, got width"):
        law.median(width=3)
    with pytest.raises(ValueError, match="step must not be negative, got -1"):
        law.cumulative_hazard([-1.0], rows=10)
    with pytest.raises(ValueError, match="rows must be positive"):
        law.median(rows=0)


def test_without_lifelines_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "lifelines", None)
    with pytest.raises(ImportError, match=r'pip install "grokjax\[survival\]"'):
        survival.power_law([1, 2, 3, 5], [9] * 4, rows=[1, 2, 3, 4])


# --------------------------------------------------------------------------------------------
# The experiment
# --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    """The lanes of a known law, as a sweep would have them: measured every 5 steps."""
    columns, step, _ = lanes_of(scale=0.6, seeds=1)
    steps = np.arange(0, 1011, 5)
    measured = np.ceil(step / 5) * 5
    test = (steps >= measured[:, None]).astype(float)  # NaN never is
    columns |= {"alpha": columns["rows"] / 500, "seed": np.arange(len(step))}
    history = {"train_accuracy": np.ones_like(test), "test_accuracy": test}
    final = np.where(np.isnan(measured), 1010, np.minimum(measured + 10, 1010)).astype(int)
    none = np.zeros(len(step), bool)
    attributes = {"task": "n1+n2 mod 23"}
    return SweepResult(build_dataset(columns, steps, history, final, none, attributes))


def test_the_table_has_both_fits_and_what_they_predict(made, capsys):
    print_law(made)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    lines = [line.split() for line in out.splitlines()]
    (rows,) = [line for line in lines if line[:2] == ["training", "rows"] and line[-1] == "-2.04"]
    assert float(rows[2]) == pytest.approx(TRUTH["rows"], abs=0.6)
    assert float(rows[6]) > float(rows[2])  # grokked only
    (predicted,) = [line[-3:] for line in lines if line[:3] == ["networks", "that", "grok"]]
    observed, censored_fit, grokked_only = map(int, predicted)
    assert observed == made.dataset.grokking_step.notnull().sum()
    assert abs(censored_fit - observed) <= 4
    assert grokked_only > observed + 4


def test_the_exponents_of_halves_are_those_of_the_whole_where_it_is_a_law(made):
    for law in halves(made, "weight_decay", "log-normal"):
        exponent = law.exponents["weight_decay"]
        assert exponent.low < TRUTH["weight_decay"] < exponent.high
    two = made.select(np.isin(made.dataset.rows, (250, 450)))
    assert halves(two, "rows", "log-normal") == (None, None)


def test_the_figure_has_a_panel_for_every_column(made):
    figure = draw(made)
    panels = figure.axes
    assert [ax.get_xlabel() for ax in panels] == list(experiment.LABELS.values())
    for ax, (name, power) in zip(panels, TRUTH.items(), strict=True):
        lines = {line.get_label(): np.log(line.get_xydata()) for line in ax.lines}
        slope = lambda label, lines=lines: np.polyfit(*lines[label].T, 1)[0]
        assert slope("fit of all networks, censored") == pytest.approx(power, abs=0.6)
        assert slope("published exponent") == pytest.approx(PUBLISHED[name])
    assert len(figure.legends) == 1


def test_the_diagnostics_show_every_network_and_which_are_censored(made):
    figure = draw_diagnostics(made)
    grokked = made.dataset.grokking_step.notnull()
    for ax in figure.axes[:2]:
        points = {line.get_label(): line.get_xydata() for line in ax.lines}
        assert len(points["grokked"]) == grokked.sum()
        assert len(points["not grokked by then"]) == (~grokked).sum()
        assert (points["not grokked by then"][:, 1] == BUDGET).all()


def tiny(output, **options):
    given = {
        "p": 5, "widths": (8, 16), "alphas": (0.6, 0.8), "weight_decays": (1,),
        "learning_rates": (1e-2, 3e-2), "max_steps": 200, "eval_every": 10, "output": output,
        "progress": False,
    }  # fmt: skip
    return experiment.scaling_law(**given | options)


def test_every_network_has_a_seed_of_its_own_and_its_rows(tmp_path, monkeypatch):
    for name in ("draw", "draw_diagnostics", "print_law"):  # too few networks for a fit
        monkeypatch.setattr(experiment, name, lambda result: None)
    monkeypatch.setattr("grokjax.plotting.save", lambda *args: [])
    dataset = tiny(tmp_path, seeds=2, max_steps=20).dataset
    assert len(np.unique(dataset.seed)) == dataset.sizes["lane"] == 16
    np.testing.assert_array_equal(dataset.rows, np.rint(25 * dataset.alpha))
    names = ("rows", "weight_decay", "learning_rate", "width")
    cells = dataset[list(names)].to_dataframe().groupby(list(names)).size()
    assert (cells == 2).all()
    assert len(cells) == 8


def test_what_cannot_be_fitted_is_refused_before_training(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="of two values or more"):
        tiny(tmp_path, widths=(8,), alphas=(0.6,), learning_rates=(1e-2,))
    with pytest.raises(ValueError, match=r"weight_decays\[0\] must be a finite number above 0"):
        tiny(tmp_path, weight_decays=(0,))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="the fit needs lifelines"):
        tiny(tmp_path)


def test_an_interruption_keeps_what_is_finished(interrupt, tmp_path, capsys):
    interrupt(1)
    with pytest.raises(grokjax.SweepInterrupted, match="in sweep 1, with 3 of its 4"):
        tiny(tmp_path)
    assert grokjax.load_result(tmp_path).dataset.sizes["lane"] == 3
    assert "of so few networks" in capsys.readouterr().out
