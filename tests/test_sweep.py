"""The engine: a lane's result is its own, whoever shares the device, and nothing runs in vain."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest

import grokjax
from grokjax import losses, models, optimizers, tasks, train
from grokjax.sweep import programs, run, tuning
from grokjax.sweep.lanes import check_lanes, grid, zip_lanes
from grokjax.sweep.store import Store

SETTINGS = {"max_steps": 400, "eval_every": 20, "progress": False}


def columns(lanes, chosen):
    return {name: values[chosen] for name, values in lanes.items()}


def assert_same_lane(found, i, expected, j, rtol=None):
    """Lane i of a result equals lane j of another: bit for bit, or to a tolerance."""
    for name in expected.dataset.data_vars:
        a, b = (r.dataset[name].values[k] for r, k in ((found, i), (expected, j)))
        if a.ndim:
            a, b = a[~np.isnan(a)], b[~np.isnan(b)]
        if rtol is None or a.dtype.kind == "U":
            np.testing.assert_array_equal(a, b, err_msg=name)
        else:
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-5, err_msg=name)
    for a, b in zip(jax.tree.leaves(found.params), jax.tree.leaves(expected.params), strict=True):
        if rtol is None:
            np.testing.assert_array_equal(a[i], b[j])
        else:
            np.testing.assert_allclose(a[i], b[j], rtol=rtol, atol=1e-4)


# -- results ------------------------------------------------------------------------------------


def test_the_shared_sweep_has_lanes_of_every_kind(sweep):
    kinds = ["memorized"] * 4 + ["grokked"] * 2 + ["diverged"]
    assert sweep.dataset.outcome.values.tolist() == kinds
    assert sweep.dataset.step.values.tolist() == list(range(0, 401, 20))


def test_schema(sweep, lanes):
    dataset = sweep.dataset
    assert set(dataset.dims) == {"lane", "time"}
    for name, values in lanes.items():
        np.testing.assert_array_equal(dataset[name], values)
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "norm_w1", "ipr"):
        assert dataset[name].dims == ("lane", "time")
        alive = dataset.step <= dataset.final_step
        finite = alive & (dataset.outcome != "diverged")
        assert bool(dataset[name].where(finite, 0).notnull().all())
        assert bool(dataset[name].where(~alive).isnull().all())
    wanted = {"recipe", "task", "device", "precision", "wall_seconds", "lane_steps", "slot_steps"}
    assert wanted | {"compilations", "git_commit", "jax"} <= set(dataset.attrs)
    assert "0x" not in dataset.attrs["recipe"]


def test_grokked_lanes_leave_after_their_patience(sweep):
    grokked = sweep.dataset.where(sweep.dataset.outcome == "grokked", drop=True)
    np.testing.assert_array_equal(grokked.final_step, grokked.grokking_step + 2 * 20)


def test_a_result_survives_the_disk(sweep, tmp_path):
    sweep.save(tmp_path)
    loaded = grokjax.load_result(tmp_path)
    assert loaded.dataset.identical(sweep.dataset)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, sweep.params)  # NaN equals NaN


def test_final_parameters_belong_to_the_final_measurement(sweep, recipe, task):
    for lane in range(6):
        params = jax.tree.map(lambda leaf, lane=lane: leaf[lane], sweep.params)
        norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(params)))
        last = sweep.dataset.norm.sel(lane=lane).dropna("time")[-1]
        np.testing.assert_allclose(norm, last, rtol=1e-5)


# -- a lane's result depends on its coordinates only --------------------------------------------


@pytest.mark.parametrize("chosen", [0, 4, 5])
def test_a_lane_alone_equals_the_same_lane_in_a_crowd(recipe, task, lanes, sweep, chosen):
    alone = grokjax.run_sweep(recipe, task, columns(lanes, [chosen]), **SETTINGS)
    assert_same_lane(alone, 0, sweep, chosen)


def test_slots_and_order_do_not_matter(recipe, task, lanes, sweep):
    shuffled = [5, 2, 6, 0, 4, 1, 3]
    for slots in (1, 3):
        result = grokjax.run_sweep(recipe, task, columns(lanes, shuffled), slots=slots, **SETTINGS)
        for i, lane in enumerate(shuffled):
            assert_same_lane(result, i, sweep, lane)


@pytest.mark.parametrize("devices", [1, 2])
def test_devices_do_not_matter(recipe, task, lanes, sweep, devices):
    mesh = grokjax.lane_mesh(jax.devices()[:devices])
    result = grokjax.run_sweep(recipe, task, lanes, mesh=mesh, **SETTINGS)
    assert mesh.size == devices
    for lane in range(len(lanes["seed"])):
        assert_same_lane(result, lane, sweep, lane)


def test_side_by_side_equals_one_after_another_to_rounding(recipe, task, lanes, sweep):
    result = grokjax.run_sweep(recipe, task, lanes, vectorize=True, **SETTINGS)
    assert result.dataset.outcome.equals(sweep.dataset.outcome)
    for lane in (0, 2, 4, 5):
        # The first measurements; later ones amplify the last bits.
        for name in ("train_loss", "test_loss", "norm"):
            np.testing.assert_allclose(
                result.dataset[name][lane, :4], sweep.dataset[name][lane, :4], rtol=1e-3
            )


def test_splits_and_initial_weights_are_those_of_a_lane_by_itself(recipe, task, lanes):
    table = check_lanes(recipe, task, lanes)
    for vectorize in (False, True):
        frozen = {**lanes, "learning_rate": np.zeros(7)}
        result = grokjax.run_sweep(
            recipe, task, frozen, max_steps=1, eval_every=1, vectorize=vectorize, progress=False
        )
        for lane, seed in enumerate(lanes["seed"].tolist()):
            alone = recipe.model.init(train.init_key(seed), task.tokens)
            np.testing.assert_array_equal(result.params["w1"][lane], alone["w1"])
            order = tasks.split_order(task, train.split_key(seed))
            split = tasks.split(task, order, int(table.lanes.num_train[lane]))
            logits = recipe.model.apply(alone, task.tokens)
            right = np.asarray(logits.argmax(-1) == task.labels)
            expected = right[np.asarray(split.test)].mean()
            np.testing.assert_allclose(result.dataset.test_accuracy[lane, 0], expected, rtol=1e-6)


def test_a_diverging_neighbour_changes_nothing(recipe, task, lanes, sweep):
    calm = grokjax.run_sweep(recipe, task, columns(lanes, range(6)), **SETTINGS)
    for lane in range(6):
        assert_same_lane(calm, lane, sweep, lane)


def test_new_seeds_leave_old_lanes_alone(recipe, task, sweep):
    lanes = grid(alpha=[0.3, 0.6, 0.85], seed=range(4), learning_rate=1e-2, weight_decay=3.0)
    result = grokjax.run_sweep(recipe, task, lanes, **SETTINGS)
    for i, alpha in enumerate((0.3, 0.6, 0.85)):
        for seed in range(2):
            assert lanes["alpha"][4 * i + seed] == alpha
            assert_same_lane(result, 4 * i + seed, sweep, 2 * i + seed)


# -- continuing, measuring ----------------------------------------------------------------------


def test_a_sweep_branches_from_another_with_no_difference(recipe, task, sweep):
    lanes = {"seed": sweep.dataset.seed.values[:6], "alpha": sweep.dataset.alpha.values[:6]}
    lanes |= {"learning_rate": np.full(6, 1e-2)}
    initial = jax.tree.map(lambda leaf: leaf[:6], sweep.params)
    branch = grokjax.run_sweep(
        recipe, task, lanes, max_steps=20, eval_every=20, initial=initial, progress=False
    )
    for name in ("train_loss", "test_loss", "norm"):
        last = [sweep.dataset[name][lane].dropna("time")[-1].item() for lane in range(6)]
        np.testing.assert_array_equal(branch.dataset[name][:, 0], np.array(last, np.float32))


def test_measuring_more_often_does_not_change_the_run(recipe, task, sweep, lanes):
    chosen = columns(lanes, [0])
    for every in (7, [1, 2, 5, 10, 20, 50, 100, 200]):
        result = grokjax.run_sweep(
            recipe, task, chosen, max_steps=400, eval_every=every, progress=False
        )
        np.testing.assert_array_equal(result.params["w1"][0], sweep.params["w1"][0])
    assert result.dataset.step.values.tolist() == [0, 1, 2, 5, 10, 20, 50, 100, 200, 400]


def test_without_a_stop_rule_every_lane_spends_its_budget(recipe, task, lanes):
    result = grokjax.run_sweep(
        recipe, task, columns(lanes, range(6)), max_steps=150, eval_every=50, stop=None,
        progress=False,
    )  # fmt: skip
    assert result.dataset.final_step.values.tolist() == [150] * 6


def test_parameters_can_be_left_behind(recipe, task, lanes):
    result = grokjax.run_sweep(
        recipe, task, columns(lanes, [0]), max_steps=20, eval_every=20, keep_params="none",
        progress=False,
    )  # fmt: skip
    assert result.params is None


def test_float64_is_used_and_recorded_when_asked_for(recipe, task, lanes):
    settings = {"max_steps": 40, "eval_every": 20, "progress": False}
    single = grokjax.run_sweep(recipe, task, columns(lanes, [0, 2]), **settings)
    with jax.enable_x64(True):
        double = grokjax.run_sweep(recipe, task, columns(lanes, [0, 2]), **settings)
    assert (single.dataset.attrs["float64"], double.dataset.attrs["float64"]) == (0, 1)
    assert single.params["w1"].dtype == np.float32
    assert double.params["w1"].dtype == np.float64
    assert double.dataset.attrs["precision"] == "highest"


# -- cost ---------------------------------------------------------------------------------------


def fifteen_alphas(seeds=1):
    """Lanes of very different lengths: they leave when they have memorized."""
    recipe = grokjax.Recipe(
        models.QuadraticMLP(11, 32, parameterization="standard"), losses.mse, optimizers.adamw
    )
    lanes = grid(alpha=np.linspace(0.2, 0.9, 15), seed=range(seeds), learning_rate=1e-2)
    return recipe, tasks.modular_addition(11), lanes


@pytest.mark.parametrize("slots", [1, 4, 15])
def test_one_after_another_no_step_is_executed_in_vain(slots):
    recipe, task, lanes = fifteen_alphas()
    result = grokjax.run_sweep(
        recipe, task, lanes, max_steps=200, eval_every=10, slots=slots, progress=False
    )
    cost = result.dataset.attrs
    assert np.ptp(result.dataset.final_step.values) >= 100
    assert cost["lane_steps"] == result.dataset.final_step.sum()
    assert cost["slot_steps"] == cost["lane_steps"]


def test_new_numbers_compile_nothing():
    recipe, task, lanes = fifteen_alphas()
    run = lambda lanes, **kw: grokjax.run_sweep(
        dataclasses.replace(recipe), task, lanes, **{"max_steps": 20, "eval_every": 10, **kw},
        progress=False, slots=4,
    ).dataset.attrs["compilations"]  # fmt: skip
    first = run(lanes)
    assert first <= 9  # six padded sizes, admission, parameters
    assert run(lanes) == 0
    assert run({**lanes, "seed": lanes["seed"] + 7}) == 0
    assert run({**lanes, "learning_rate": lanes["learning_rate"] * 2}) == 0
    assert run({**lanes, "alpha": lanes["alpha"] + 0.004}) == 0  # the same padded sizes
    assert run(lanes, max_steps=30, eval_every=4) == 0
    assert run({**lanes, "weight_decay": np.full(15, 0.1)}) > 0  # a new column is new structure


def test_compiled_programs_contain_no_collectives(recipe, task, lanes):
    mesh = grokjax.lane_mesh()
    assert mesh.size == 4
    table = check_lanes(recipe, task, lanes)
    one = jax.tree.map(lambda leaf: leaf[0], table.lanes)
    state = programs.put(mesh, programs.empty_slots(recipe, task, mesh, 2, one, None))
    places = programs.put(mesh, np.zeros(8, np.int32))
    count = programs.put(mesh, np.ones(4, np.int32))
    whole = programs.put(mesh, (task, np.int32(9)), whole=True)
    for vectorize in (False, True):
        compiled = programs.train.lower(
            recipe, whole[0], grokjax.grokked(), mesh, state, places, count, places, whole[1],
            rows=121, vectorize=vectorize,
        ).compile()  # fmt: skip
        text = compiled.as_text()
        assert "fft" in text  # the ipr measure is in there
        for word in ("all-gather", "all-reduce", "all-to-all", "collective", "reduce-scatter"):
            assert word not in text


@pytest.fixture
def trial(recipe, task, lanes):
    mesh = grokjax.lane_mesh(jax.devices()[:1])
    return tuning.Trial(recipe, task, check_lanes(recipe, task, lanes), None, mesh, task.num_rows)


def test_automatic_layout_comes_from_a_trial(trial):
    choose = lambda slots, vectorize: tuning.choose_layout(trial, slots, vectorize, 1000, 20)
    assert choose("auto", False) == (7, False)  # never more than there are lanes
    slots, vectorize = choose("auto", True)
    assert vectorize
    assert slots in (1, 2, 4, 7)
    assert choose("auto", "auto")[1] is False  # the CPU's way; too short a sweep to try the other
    assert choose(3, True) == (3, True)
    assert choose(3, "auto") == (3, False)
    assert trial.compiling > 0


def pretend(monkeypatch, seconds, compiling=0.0, memory=2**40):
    """A device on which a call takes `seconds(slots, vectorize, count, steps)`."""

    def timed(self, slots, vectorize, counts, steps):
        self.compiling = compiling
        return [seconds(slots, vectorize, count, steps) for count in counts]

    monkeypatch.setattr(tuning.Trial, "seconds", timed)
    monkeypatch.setattr(tuning, "_memory", lambda mesh: memory)


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        (0.0, 8),  # calls cost what their lanes cost: no reason for more
        (0.0099, 50),  # as much as a lane: 50 of them make it 2 %
        (1.0, 64),  # enough is enough
    ],
)
def test_slots_one_after_another_make_calls_long(trial, monkeypatch, fixed, expected):
    pretend(monkeypatch, lambda slots, vectorize, count, steps: fixed + count * steps * 5e-4)
    monkeypatch.setattr(tuning.Trial, "most", 1000)
    assert tuning.choose_layout(trial, "auto", False, 10**9, 20) == (expected, False)
    assert tuning.choose_layout(trial, "auto", False, 10**9, 4000).slots == 8


def test_slots_side_by_side_double_while_it_pays_and_fits(trial, monkeypatch):
    choose = lambda: tuning.choose_layout(trial, "auto", True, 10**9, 20).slots
    pretend(monkeypatch, lambda slots, *_: 1.0)  # as long for any number
    assert choose() == 7
    pretend(monkeypatch, lambda slots, *_: max(slots, 4))  # four lanes fill the device
    assert choose() == 4
    pretend(monkeypatch, lambda slots, *_: 1.0, memory=5 * trial.lane_bytes)
    assert choose() == 2
    params = jax.eval_shape(trial.recipe.model.init, jax.random.key(0))
    assert trial.lane_bytes > sum(4 * leaf.size for leaf in jax.tree.leaves(params))


def test_the_other_way_of_training_is_tried_in_long_sweeps(trial, monkeypatch):
    choose = lambda steps: tuning.choose_layout(trial, "auto", "auto", steps, 20).vectorize
    # One after another a step takes 1 ms, side by side all together take 1 ms.
    faster = lambda slots, vectorize, count, steps: steps * (1e-3 if vectorize else 1e-3 * count)
    pretend(monkeypatch, faster, compiling=1.0)
    assert choose(10**9)
    assert not choose(1000)  # a second of training is not worth a second of compiling
    pretend(monkeypatch, lambda slots, vectorize, count, steps: count * steps * 1e-3)
    assert not choose(10**9)  # no faster: as the platform has it


def test_a_sweep_keeps_its_layout_when_it_goes_on(recipe, task, lanes, tmp_path, monkeypatch):
    store = Store(tmp_path, {})
    assert store.layout(4) is None
    store.keep_layout(4, tuning.Layout(3, True))
    assert store.layout(4) == (3, True)
    assert store.layout(2) is None  # other devices, another choice


def test_finished_lanes_leave_the_device(recipe, task, monkeypatch):
    live = []

    class Watching(contextlib.nullcontext):
        def __enter__(self):
            return lambda status: live.append(len(jax.live_arrays()))

    monkeypatch.setattr(run, "display", lambda progress: Watching())
    lanes = grid(alpha=0.85, seed=range(40), learning_rate=1e-2, weight_decay=3.0)
    mesh = grokjax.lane_mesh(jax.devices()[:1])
    result = grokjax.run_sweep(recipe, task, lanes, slots=2, mesh=mesh, **SETTINGS)
    assert result.params["w1"].shape[0] == 40
    assert max(live[len(live) // 2 :]) <= max(live[: len(live) // 4]) + 8


# -- lane tables --------------------------------------------------------------------------------


def test_grid_is_the_product_and_zip_goes_side_by_side():
    lanes = grid(alpha=[0.3, 0.5], seed=range(3), learning_rate=1.0)
    assert lanes["alpha"].tolist() == [0.3] * 3 + [0.5] * 3
    assert lanes["seed"].tolist() == [0, 1, 2] * 2
    assert lanes["learning_rate"].tolist() == [1.0] * 6
    lanes = zip_lanes(alpha=[0.3, 0.5], seed=[4, 5], learning_rate=1.0)
    assert lanes["seed"].tolist() == [4, 5]
    assert lanes["learning_rate"].tolist() == [1.0, 1.0]


RUN = {"max_steps": 10, "eval_every": 5}
BAD = [
    ({"alpha": [0.0]}, {}, "alpha=0.0"),
    ({"alpha": [1.0]}, {}, "alpha=1.0"),
    ({"alpha": [-0.5]}, {}, "alpha=-0.5"),
    ({"alpha": [float("nan")]}, {}, "'alpha' holds nan"),
    ({"alpha": [0.001]}, {}, "no training row"),
    ({"alpha": [0.999]}, {}, "no test row"),
    ({"alpha": ["half"]}, {}, "'alpha' must hold numbers"),
    ({"seed": [0.5]}, {}, "seed=0.5"),
    ({"seed": [-1]}, {}, "seed=-1"),
    ({"seed": [2**32]}, {}, "seed=4294967296"),
    ({"init_seed": [True]}, {}, "init_seed=True"),
    ({"seed": []}, {}, "non-empty"),
    ({"learning_rat": [1.0]}, {}, "Did you mean 'learning_rate'.*Accepted: seed"),
    ({"width": [3]}, {}, "unknown lane column 'width'"),
    ({"learning_rate": [float("inf")]}, {}, "'learning_rate' holds inf"),
    ({"seed": [1, 2], "alpha": [0.3, 0.4, 0.5]}, {}, "'seed' has 2 values where others have 3"),
    ({"batch_size": [0]}, {}, "batch_size=0 is not a number of rows; use positive"),
    ({"batch_size": [16, 2.5]}, {}, "batch_size=2.5"),
    ({"batch_size": [-np.inf]}, {}, "batch_size=-inf"),
    ({"batch_size": [float("nan")]}, {}, "batch_size=nan"),
    ({"batch_size": [2**31]}, {}, "batch_size=2147483648"),
    ({"batch_size": ["all"]}, {}, "batch_size='all'"),
    ({"batch_size": [None, 16]}, {}, "batch_size=None.*inf for all training rows"),
    ({"label_noise": [1.5]}, {}, "label_noise must lie between 0 and 1"),
    ({"init_scale": [-1.0]}, {}, "init_scale"),
    ({}, {"max_steps": 0}, "max_steps must be a positive integer.*got 0"),
    ({}, {"max_steps": -5}, "max_steps"),
    ({}, {"max_steps": 2.5}, "max_steps"),
    ({}, {"eval_every": 0}, "eval_every"),
    ({}, {"eval_every": [5, 3]}, "increasing"),
    ({}, {"slots": 0}, "slots"),
    ({}, {"slots": -2}, "slots"),
    ({}, {"slots": "many"}, "slots"),
    ({}, {"initial": {"w1": np.zeros((1, 2, 11, 48))}}, "initial must hold"),
]


@pytest.mark.parametrize(("lanes", "settings", "message"), BAD)
def test_bad_input_is_named_before_anything_compiles(recipe, task, lanes, settings, message):
    compiled = []
    listen = lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        with pytest.raises(ValueError, match=message):
            grokjax.run_sweep(recipe, task, {"learning_rate": [0.01], **lanes}, **(RUN | settings))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not compiled


def test_a_missing_hyperparameter_is_asked_for(recipe, task):
    with pytest.raises(ValueError, match=r"needs a value of 'learning_rate'.*grid\(learning_rate"):
        grokjax.run_sweep(recipe, task, grid(seed=range(2)), **RUN)


def test_empty_grids_are_refused():
    with pytest.raises(ValueError, match="'alpha' must be one value or a non-empty sequence"):
        grid(alpha=[], seed=range(3))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (tasks.modular_addition(13), "the model has p=11, but .* has 13"),
        (tasks.modular_addition(11, 3), "operands=2, but .* has 3"),
    ],
)
def test_a_model_of_another_task_is_refused(recipe, other, message):
    with pytest.raises(ValueError, match=message):
        grokjax.run_sweep(recipe, other, {"learning_rate": [0.01]}, **RUN)
