"""The engine: a lane's result is its own, whoever shares the device, and nothing runs in vain."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import grokjax
from grokjax import keys, losses, measures, models, optimizers, tasks
from grokjax.results.dataset import RESERVED
from grokjax.sweep import devices as on_devices
from grokjax.sweep import programs
from grokjax.train import check_lanes, grid, zip_lanes

pytestmark = pytest.mark.usefixtures("several_sizes")
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


def test_lanes_were_watched_up_to_their_third_last_measurement(sweep):
    """One that comes to the threshold after it cannot show that it stays."""
    grokked = sweep.dataset.outcome == "grokked"
    final, watched = sweep.dataset.final_step, sweep.dataset.watched_step
    assert watched.dtype.kind == "i"
    np.testing.assert_array_equal(watched[grokked], final[grokked])
    expected = np.maximum(final - 2 * 20, 0)
    np.testing.assert_array_equal(watched[~grokked], expected[~grokked])


def test_final_measurements_are_those_at_which_lanes_retired(sweep):
    final = sweep.final("test_accuracy")
    assert np.isnan(sweep.dataset.test_accuracy[4:6, -1]).all()
    assert (final[4:6] >= 0.99).all()
    assert (final[:4] < 0.99).all()
    assert sweep.at(10**6).step.values.tolist() == sweep.dataset.final_step.values.tolist()


def test_trained_networks_and_their_splits_give_the_final_accuracies(sweep, task):
    for lane in range(6):
        split = sweep.split(lane)
        right = np.asarray(sweep.network(lane)(task.tokens).argmax(-1)) == task.labels
        for part, rows in (("train", split.train), ("test", split.test)):
            expected = sweep.final(f"{part}_accuracy")[lane]
            np.testing.assert_allclose(right[rows].mean(), expected, rtol=1e-6)


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


@pytest.mark.parametrize("number", [1, 2])
def test_devices_do_not_matter(recipe, task, lanes, sweep, number):
    chosen = jax.devices()[:number]
    if number == 2:  # any axis will do
        chosen = jax.sharding.Mesh(chosen, ("batch",))
    result = grokjax.run_sweep(recipe, task, lanes, devices=chosen, **SETTINGS)
    for lane in range(len(lanes["seed"])):
        assert_same_lane(result, lane, sweep, lane)


def test_devices_are_a_list_or_a_mesh_of_one_axis():
    four = jax.devices()
    assert grokjax.lane_mesh() == grokjax.lane_mesh(four)
    for axis_type in (jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit):
        mesh = jax.make_mesh((4,), ("model",), axis_types=(axis_type,))
        assert grokjax.lane_mesh(mesh) == grokjax.lane_mesh(mesh.devices)
        assert grokjax.lane_mesh(mesh).axis_names == ("lanes",)
    assert grokjax.lane_mesh(tuple(four[1:3])).devices.tolist() == four[1:3]
    assert grokjax.lane_mesh(four[2]).devices.tolist() == [four[2]]


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (
            lambda: jax.sharding.Mesh(np.reshape(jax.devices(), (2, 2)), ("data", "model")),
            r"a mesh of one axis, got the axes {'data': 2, 'model': 2}.*"
            r"give devices=list\(mesh.devices.flat\)",
        ),
        (lambda: jax.devices() + jax.devices()[:1], "devices has a device twice"),
        (lambda: [], "devices must be a list of devices"),
        (lambda: "cpu", "devices must be a list of devices.*got 'cpu'"),
        (lambda: 2, "devices must be a list of devices.*got 2"),
        (lambda: [0, 1], "devices must be a list of devices"),
        (lambda: [jax.devices()], "devices must be a list of devices"),
    ],
)
def test_other_devices_are_refused(devices, message):
    with pytest.raises(ValueError, match=message):
        grokjax.lane_mesh(devices())


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
    lanes = columns(lanes, range(6))
    table = check_lanes(recipe, task, lanes)
    for vectorize in (False, True):
        frozen = {**lanes, "learning_rate": np.zeros(6)}
        result = grokjax.run_sweep(
            recipe,
            task,
            frozen,
            max_steps=1,
            eval_every=1,
            vectorize=vectorize,
            stop=None,
            progress=False,
        )
        for lane, seed in enumerate(lanes["seed"].tolist()):
            alone = recipe.model.init(keys.init_key(seed), task.tokens)
            np.testing.assert_array_equal(result.params["w1"][lane], alone["w1"])
            order = tasks.split_order(task, keys.split_key(seed))
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


def test_replica_tells_equal_lanes_apart_and_changes_nothing(recipe, task, lanes, sweep):
    twins = {name: np.repeat(values[4], 2) for name, values in lanes.items()}
    with pytest.raises(
        ValueError, match=r"lanes 0 and 1 have the same coordinates, {.*'seed': 0.*replica=range"
    ):
        grokjax.run_sweep(recipe, task, twins, **SETTINGS)
    result = grokjax.run_sweep(recipe, task, {**twins, "replica": range(2)}, **SETTINGS)
    assert result.dataset.replica.values.tolist() == [0, 1]
    for lane in range(2):
        assert_same_lane(result, lane, sweep, 4)


# -- when lanes stop ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Reached:
    """A stop rule of one's own, without patience."""

    accuracy: str
    threshold: float

    def __call__(self, scalars):
        return scalars[self.accuracy] >= self.threshold


def test_a_stop_rule_of_ones_own_does_not_hide_what_grokked(task, lanes):
    recipe = grokjax.Recipe(
        models.QuadraticMLP(11, 48, parameterization="standard"), losses.mse, optimizers.adamw
    )
    run = lambda stop, chosen: grokjax.run_sweep(
        recipe, task, columns(lanes, chosen), stop=stop, vectorize=False, slots=2, **SETTINGS
    ).dataset  # fmt: skip
    solved = run(Reached("test_accuracy", 0.99), [0, 4])
    assert solved.outcome.values.tolist() == ["memorized", "grokked"]
    assert solved.grokking_step[1] == solved.final_step[1] < 400
    memorized = run(Reached("train_accuracy", 0.99), [0, 4])
    assert memorized.outcome.values.tolist() == ["memorized", "memorized"]
    assert (memorized.final_step < 400).all()
    np.testing.assert_array_equal(memorized.memorization_step, memorized.final_step)
    np.testing.assert_array_equal(memorized.watched_step, memorized.final_step)
    half = run(Reached("test_accuracy", 0.5), [4])  # what the rule asks for is what counts
    assert half.outcome.item() == "grokked"
    assert 0.5 <= half.test_accuracy.max() < 0.99
    assert half.grokking_step.attrs["threshold"] == 0.5


# -- continuing, measuring ----------------------------------------------------------------------


def test_a_sweep_branches_from_another_with_no_difference(recipe, task, sweep):
    lanes = {"seed": sweep.dataset.seed.values[:6], "alpha": sweep.dataset.alpha.values[:6]}
    lanes |= {"learning_rate": np.full(6, 1e-2)}
    initial = jax.tree.map(lambda leaf: leaf[:6], sweep.params)
    run = lambda initial: grokjax.run_sweep(
        recipe, task, lanes, max_steps=20, eval_every=20, initial=initial, stop=None, progress=False
    )
    branch = run(initial)
    for name in ("train_loss", "test_loss", "norm"):
        np.testing.assert_array_equal(branch.dataset[name][:, 0], sweep.final(name)[:6])
    # It trains in the type of the model's own parameters, whatever the type of the given ones.
    double, half = (
        run(jax.tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype), initial))
        for dtype in (np.float64, np.float16)
    )
    for result in (branch, double, half):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(result.params)} == {"float32"}
    for lane in range(6):
        assert_same_lane(double, lane, branch, lane)
    np.testing.assert_allclose(half.dataset.norm, branch.dataset.norm, rtol=1e-2)


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
        recipe, task, columns(lanes, [0]), max_steps=20, eval_every=10, keep_params="none",
        progress=False,
    )  # fmt: skip
    assert result.params is None


def test_float64_is_used_and_recorded_when_asked_for(recipe, task, lanes):
    run = lambda: grokjax.run_sweep(
        recipe, task, columns(lanes, [0, 2]), max_steps=4, eval_every=2, keep_params="all",
        slots=1, vectorize=False, progress=False,
    )  # fmt: skip
    single = run()
    with jax.enable_x64(True):
        double = run()
    assert (single.dataset.attrs["float64"], double.dataset.attrs["float64"]) == (0, 1)
    assert single.params["w1"].dtype == np.float32
    assert double.params["w1"].dtype == np.float64
    assert double.params["w1"].shape == (2, 3, 2, 11, 48)
    # Numbers that float32 could not hold, at every measurement.
    lost = double.params["w1"] != double.params["w1"].astype(np.float32)
    assert (lost.mean(axis=(2, 3, 4)) > 0.9).all()
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
    assert first <= 10  # six padded sizes, admission, measurement, parameters
    assert run(lanes) == 0
    assert run({**lanes, "seed": lanes["seed"] + 7}) == 0
    assert run({**lanes, "learning_rate": lanes["learning_rate"] * 2}) == 0
    assert run({**lanes, "alpha": lanes["alpha"] + 0.004}) == 0  # the same padded sizes
    assert run(lanes, max_steps=30, eval_every=4) == 0
    measured = dataclasses.replace(recipe, measures=(measures.weight_norms,))
    again = grokjax.run_sweep(
        measured, task, lanes, max_steps=20, eval_every=10, progress=False, slots=4
    )
    assert again.dataset.attrs["compilations"] == 1  # the measurement alone
    assert run({**lanes, "weight_decay": np.full(15, 0.1)}) > 0  # a new column is new structure


def three_sizes(p):
    """A sweep of lanes of three padded sizes: recipe, task and lanes."""
    recipe = grokjax.Recipe(models.QuadraticMLP(p, 8), losses.mse, optimizers.gradient_descent)
    return recipe, tasks.modular_addition(p), grid(alpha=[0.3, 0.5, 0.9], learning_rate=1.0)


ONE_BY_ONE = {
    "max_steps": 6, "eval_every": 3, "slots": 3, "vectorize": False, "stop": None,
    "keep_params": "none", "progress": False,
}  # fmt: skip


def test_each_padded_size_is_compiled_ahead_and_once(monkeypatch):
    begun, threads = [], on_devices._threads()
    pool = type("Pool", (), {"submit": lambda _, work: begun.append(work) or threads.submit(work)})
    monkeypatch.setattr(on_devices, "_threads", pool)
    result = grokjax.run_sweep(*three_sizes(14), devices=jax.devices()[:1], **ONE_BY_ONE)
    assert len(begun) == 3 + 2  # to admit, and to measure
    assert result.dataset.attrs["compilations"] == 5


def test_what_cannot_be_compiled_is_told_by_the_call_that_needs_it(monkeypatch):
    def refuse(lowered):
        raise MemoryError("the program is too large")

    monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)
    with pytest.raises(MemoryError, match="too large"):
        grokjax.run_sweep(*three_sizes(11), **ONE_BY_ONE)


@pytest.mark.parametrize(
    ("vectorize", "admits", "expected"),
    [(False, True, 3), (False, False, 2), (True, True, 2), (True, False, 0)],
)
def test_a_sweep_compiles_only_what_its_lanes_still_need(
    vectorize, admits, expected, planned, monkeypatch
):
    plan, mesh = planned(*three_sizes(11)), grokjax.lane_mesh(jax.devices()[:1])
    begun = []
    pool = type("Pool", (), {"submit": lambda _, work: begun.append(work)})
    monkeypatch.setattr(on_devices, "_threads", pool)
    on = on_devices.Devices(plan, mesh, 3, vectorize)
    on.set_state(on_devices.empty_slots(plan, mesh, 3))
    on.compile([] if vectorize else plan.rows[:1].tolist(), admits=admits)
    assert len(begun) == expected


def test_a_sweep_that_is_over_compiles_nothing_more(planned, monkeypatch):
    plan = planned(*three_sizes(11))
    held, compiled = threading.Event(), []
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(on_devices, "_threads", lambda: pool)
        monkeypatch.setattr(jax.stages.Lowered, "compile", compiled.append)
        pool.submit(held.wait)
        mesh = grokjax.lane_mesh(jax.devices()[:1])
        on = on_devices.Devices(plan, mesh, 3, vectorize=False)
        on.set_state(on_devices.empty_slots(plan, mesh, 3))
        on.compile(plan.rows.tolist(), 3)
        on.close()
        held.set()
    assert not compiled


@pytest.fixture(scope="module")
def lowered(planned, recipe, task, lanes):
    """The programs of the shared sweep on four devices, not compiled yet."""
    plan, mesh = planned(recipe, task, lanes), grokjax.lane_mesh()
    assert mesh.size == 4
    put = lambda tree, **kw: on_devices.put(mesh, tree, **kw)
    state = put(on_devices.empty_slots(plan, mesh, 2))
    places, count = put(np.zeros(8, np.int32)), put(np.ones(4, np.int32))
    whole, number = put((task, np.int32(9)), whole=True)
    fixed, sizes = (recipe, whole), {"rows": 121, "window": 2}
    seats, many = (mesh, state, places, count), put(np.zeros((8, 2), np.int32))
    return {
        "train": programs.train.lower(*fixed, *seats, many[:, 0], number, **sizes),
        "measure": programs.measure.lower(*fixed, plan.stop, *seats, put(np.ones(8, bool))),
        "train_side_by_side": programs.train_side_by_side.lower(
            *fixed, plan.stop, *seats, many, number, number, **sizes, steps=3
        ),
    }


def test_compiled_programs_contain_no_collectives(lowered):
    texts = {name: program.compile().as_text() for name, program in lowered.items()}
    # The ipr measure is in there.
    assert [name for name, text in texts.items() if "fft" not in text] == ["train"]
    for word in ("all-gather", "all-reduce", "all-to-all", "collective-", "reduce-scatter"):
        assert not any(word in text for text in texts.values())


def test_one_after_another_only_what_changes_is_written(planned, recipe, task, lanes, lowered):
    """Every array that is written is one more kernel to compile, of every program."""
    state = planned(recipe, task, lanes).state
    written = lambda name: lowered[name].as_text().count("call @dynamic_update_index_in_dim")
    trained = jax.tree.leaves((state.params, state.opt_state, state.step))
    assert written("train") == len(trained) + 1  # and whether it has trained
    assert written("measure") == 3 + 2  # held, stopped and diverged; the report has two arrays


# -- lane tables --------------------------------------------------------------------------------


def test_grid_is_the_product_and_zip_goes_side_by_side():
    lanes = grid(alpha=[0.3, 0.5], seed=range(3), learning_rate=1.0)
    assert lanes["alpha"].tolist() == [0.3] * 3 + [0.5] * 3
    assert lanes["seed"].tolist() == [0, 1, 2] * 2
    assert lanes["learning_rate"].tolist() == [1.0] * 6
    lanes = zip_lanes(alpha=[0.3, 0.5], seed=[4, 5], learning_rate=1.0)
    assert lanes["seed"].tolist() == [4, 5]
    assert lanes["learning_rate"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("make", [grid, zip_lanes])
@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([], "column 'a' must be one value or a non-empty sequence"),
        (range(0), "non-empty sequence"),
        (np.zeros((2, 2)), "non-empty sequence"),
        ([[1], [2, 3]], "non-empty sequence"),
        ("word", "column 'a' must hold numbers, got 'word'"),
        (None, "must hold numbers, got None"),
        ([0.1, "b"], "must hold numbers, got 'b'"),
        ([0.1, None], "must hold numbers, got None"),
        ([True, 2], "must hold numbers, got True"),
        (False, "must hold numbers, got False"),
        ([1j], "must hold numbers, got 1j"),
        ({0: 1}, "must hold numbers, got {0: 1}"),
        ({1, 2}, "must hold numbers"),
        (iter([1]), "must hold numbers"),
        (np.datetime64("2026-11-24"), "must hold numbers"),
        (jax.random.key(0), "must be one value or a non-empty sequence"),
        (range(10**12), "would hold 1,000,000,000,000 numbers.*give fewer values"),
    ],
)
def test_columns_are_numbers(make, column, message):
    with pytest.raises(ValueError, match=message):
        make(a=column)


def test_a_grid_that_does_not_fit_into_memory_is_refused():
    with pytest.raises(ValueError, match=r"a grid of 1,000,000,000,000 lanes.*give fewer values"):
        grid(seed=range(10**6), split_seed=range(10**6))


@pytest.mark.parametrize(
    "column", [(1, 2), np.array([1, 2], object), jnp.arange(1, 3), [np.int8(1), jnp.int32(2)]]
)
def test_arrays_of_every_library_are_columns(column):
    assert grid(a=column)["a"].tolist() == zip_lanes(a=column)["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "max_steps must be a positive integer"),
        ((-3,), "max_steps"),
        ((2.5,), "max_steps"),
        (("a",), "max_steps"),
        ((True,), "max_steps"),
        ((10**400,), "max_steps must be a positive integer below 2147483648"),
        ((10, 0), "per_decade must be a positive integer"),
        ((10, 1.5), "per_decade"),
        ((10, 10**12), "per_decade must be a positive integer below"),
    ],
)
def test_log_spaced_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        grokjax.log_spaced(*arguments)


RUN = {"max_steps": 10, "eval_every": 5}
BAD = [
    ({"alpha": [0.0]}, {}, "alpha=0.0"),
    ({"alpha": [1.0]}, {}, "alpha=1.0"),
    ({"alpha": [-0.5]}, {}, "alpha=-0.5"),
    ({"alpha": [float("nan")]}, {}, "'alpha' holds nan"),
    ({"alpha": [0.001]}, {}, "no training row"),
    ({"alpha": [0.999]}, {}, "no test row"),
    ({"alpha": ["half"]}, {}, "'alpha' must hold numbers"),
    ({"seed": [3, 3]}, {}, "lanes 0 and 1 have the same coordinates"),
    ({"seed": [2**70]}, {}, "seed=1.18.* must be an integer from 0 to 4294967295"),
    ({"replica": [0.5]}, {}, "replica=0.5 must be an integer"),
    ({"logit_scale": [np.inf]}, {}, "'logit_scale' holds inf"),
    ({"dropout": [1.0]}, {}, "'dropout'"),
    ({"dropout": [-1.0]}, {}, "'dropout'"),
    ({"learning_rate": [-1.0]}, {}, "'learning_rate'"),
    ({3: [0.5]}, {}, "lanes must have names for keys, got 3"),
    ({"seed": [0.5]}, {}, "seed=0.5"),
    ({"seed": [-1]}, {}, "seed=-1"),
    ({"seed": [2**32]}, {}, "seed=4294967296"),
    ({"init_seed": [True]}, {}, "'init_seed' must hold numbers, got True"),
    ({"seed": []}, {}, "non-empty"),
    ({"learning_rat": [1.0]}, {}, "Did you mean 'learning_rate'.*Accepted: seed"),
    ({"width": [3]}, {}, "unknown lane column 'width'. It is the model's, .* a sweep for each"),
    ({"lr": [3]}, {}, "unknown lane column 'lr'. Did you mean 'learning_rate'"),
    ({"learning_rate": [float("inf")]}, {}, "'learning_rate' holds inf"),
    ({"seed": [1, 2], "alpha": [0.3, 0.4, 0.5]}, {}, "'seed' has 2 values where others have 3"),
    ({"batch_size": [0]}, {}, "batch_size=0 is not a number of rows; use positive"),
    ({"batch_size": [16, 2.5]}, {}, "batch_size=2.5"),
    ({"batch_size": [-np.inf]}, {}, "batch_size=-inf"),
    ({"batch_size": [float("nan")]}, {}, "batch_size=nan"),
    ({"batch_size": [2**31]}, {}, "batch_size=2147483648"),
    (
        {"batch_size": ["all"]},
        {},
        "'batch_size' must hold numbers, got 'all'; inf stands for all training rows",
    ),
    ({"batch_size": [None, 16]}, {}, "got None; inf stands for all training rows"),
    ({"label_noise": [1.5]}, {}, "label_noise must lie between 0 and 1"),
    ({"init_scale": [-1.0]}, {}, "init_scale"),
    ({}, {"max_steps": 0}, r"max_steps must be a positive integer.*got 0"),
    ({}, {"max_steps": -5}, "max_steps"),
    ({}, {"max_steps": 2.5}, "max_steps"),
    ({}, {"max_steps": 2**31}, "max_steps must be a positive integer below 2147483648"),
    ({}, {"max_steps": [5]}, "max_steps"),
    ({}, {"max_steps": 2**31 - 1, "eval_every": 1}, "measure less often"),
    ({}, {"eval_every": 0}, "eval_every"),
    ({}, {"eval_every": 2.5}, r"eval_every must be a positive integer .*, or increasing steps"),
    ({}, {"eval_every": None}, "eval_every"),
    ({}, {"eval_every": "12"}, "eval_every must be an array of integers"),
    ({}, {"eval_every": []}, "eval_every"),
    ({}, {"eval_every": [5, 3]}, "increase"),
    ({}, {"eval_every": [-1, 2]}, "steps of at least 0 that increase"),
    ({}, {"eval_every": [1.5]}, "eval_every must be an array of integers"),
    ({}, {"eval_every": [[1, 2], [3, 4]]}, r"eval_every must be .* of shape \[T\]"),
    ({}, {"eval_every": [[1, 2], [3]]}, "eval_every must be an array of integers"),
    ({}, {"eval_every": range(10**12)}, "measure less often"),
    ({}, {"slots": 0}, "slots"),
    ({}, {"slots": -2}, "slots"),
    ({}, {"slots": 1.5}, 'slots must be a positive integer, or "auto", got 1.5'),
    ({}, {"slots": "many"}, "slots"),
    ({}, {"slots": None}, "slots"),
    ({}, {"vectorize": "no"}, "vectorize must be True or False, or \"auto\", got 'no'"),
    ({}, {"vectorize": 1}, "vectorize must be True or False"),
    ({}, {"vectorize": None}, "vectorize must be True or False"),
    ({}, {"devices": "cpu"}, "devices must be a list of devices"),
    ({}, {"directory": ""}, "directory must be a path, such as .*got ''"),
    ({}, {"directory": 5}, "directory must be a path"),
    ({}, {"directory": "a\0b"}, "directory must be a path"),
    ({}, {"checkpoint_every": -1}, "checkpoint_every must be a number of seconds, or inf, got -1"),
    ({}, {"checkpoint_every": np.nan}, "checkpoint_every"),
    ({}, {"checkpoint_every": None}, "checkpoint_every"),
    ({}, {"checkpoint_every": True}, "checkpoint_every"),
    ({}, {"progress": "no"}, "progress must be True or False, got 'no'"),
    ({}, {"observe": 3}, "observe must be a function of a grokjax.sweep.Measured"),
    ({}, {"observe": [print, None]}, "observe must be a function"),
    ({}, {"keep_params": "last"}, 'keep_params must be "final", "all" or "none", got'),
    ({}, {"keep_params": None}, "keep_params"),
    ({}, {"keep_params": True}, "keep_params"),
    ({}, {"stop": "grokked"}, r"stop must be None, grokjax.grokked\(\), or a function"),
    ({}, {"stop": grokjax.grokked}, "the stop rule grokked"),
    ({}, {"stop": lambda m: m["accuracy"] > 1}, r"fails on the measurements \['ipr'.*KeyError"),
    ({}, {"eval_every": 20}, r"eval_every=20 measures 2 times in max_steps=10.*3 measurements in"),
    ({}, {"stop": lambda: True}, "fails on the measurements .*TypeError"),
    ({}, {"stop": lambda m: None}, "must return one boolean of JAX"),
    ({}, {"stop": lambda m: m["ipr"]}, "must return one boolean of JAX"),
    ({}, {"stop": lambda m: jnp.zeros(3) > 0}, "must return one boolean of JAX"),
    ({}, {"stop": lambda m: bool(m["ipr"] > 0)}, "fails on the measurements .*Tracer"),
    ({}, {"initial": {"w1": np.zeros((1, 2, 11, 48))}}, "initial must hold"),
    ({}, {"initial": 5}, "initial must hold the model's parameters with 1 lanes first"),
    ({}, {"initial": {"w1": np.zeros((2, 11, 48)), "w2": np.zeros((48, 11))}}, "1 lanes first"),
    (
        {},
        {"initial": {"w1": np.zeros((1, 2, 11, 48)), "w2": np.zeros((1, 48, 11), complex)}},
        "initial must be an array of .*numbers, got complex128",
    ),
    ({}, {"recipe": None}, r"recipe must be a grokjax.Recipe\(model, loss, optimizer\), got None"),
    ({}, {"task": None}, "task must be a Task"),
    ({}, {"task": "modular addition"}, "task must be a Task"),
    *[(wrong, {}, "lanes must be a mapping") for wrong in (None, [], "alpha", 5, [{"seed": 1}])],
]


def refused_before_anything_compiles(message, *arguments, **settings):
    compiled = []
    listen = lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        with pytest.raises(ValueError, match=message):
            grokjax.run_sweep(*arguments, **(RUN | settings))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not compiled


@pytest.mark.parametrize(("lanes", "settings", "message"), BAD)
def test_bad_input_is_named_before_anything_compiles(recipe, task, lanes, settings, message):
    lanes = {"learning_rate": [0.01], **lanes} if isinstance(lanes, dict) else lanes
    arguments = {"recipe": recipe, "task": task, "lanes": lanes} | settings
    refused_before_anything_compiles(message, **arguments)


def optimizer_with(name):
    space = {"optax": optax}
    exec(f"def mine(learning_rate, {name}=0.0): return optax.sgd(learning_rate)", space)
    return space["mine"]


def measuring(name, value=0.0):
    return (lambda network: {name: value},)


BAD_RECIPES = [
    *[
        ({"optimizer": optimizer_with(name)}, {name: 1.0}, f"column cannot be called '{name}'")
        for name in ("step", "lane", "outcome", "stopped")
    ],
    ({"optimizer": optimizer_with("ipr")}, {"ipr": 1.0}, "cannot be called 'ipr', because it is a"),
    *[
        (
            {"measures": measuring(name)},
            {},
            f"a measurement cannot be called '{name}', because resu",
        )
        for name in RESERVED
    ],
    ({"measures": measuring("seed")}, {}, "cannot be called 'seed', because it is a lane column"),
    ({"measures": measuring("learning_rate")}, {}, "'learning_rate', because it is a lane column"),
    ({"measures": measuring("a/b")}, {}, "'a/b', because no file can have that name"),
    ({"measures": measuring("train_loss")}, {}, "both return 'train_loss'"),
    ({"measures": measuring("size", np.zeros(3))}, {}, "'size' .* must be a real scalar"),
    ({"measures": (lambda network: 3,)}, {}, "must return a dict of scalars"),
    ({"measures": (lambda network: {"w": network.params["w9"]},)}, {}, "KeyError: 'w9'"),
    (
        {"loss": lambda x, y: optax.softmax_cross_entropy_with_integer_labels(x, y).mean()},
        {},
        r"returns an array of shape \(\) for 12 rows, and must return one number for each row; "
        "leave the mean or sum over rows to the sweep",
    ),
    ({"loss": lambda x, y: x}, {}, r"shape \(12, 11\) for 12 rows, and must return one number"),
    ({"loss": lambda x, y: x.nothing}, {}, "the loss .* cannot be computed from logits"),
    ({"loss": lambda x: x}, {}, "the loss .* cannot be computed from logits"),
    ({"loss": lambda x, y: y}, {}, "the loss .* must be real, got int32"),
    ({"penalty": lambda w: w["w1"]}, {}, "the penalty .* must return a real scalar"),
    ({"optimizer": lambda learning_rate: 3}, {}, "must return an optax.GradientTransformation"),
    (
        {"optimizer": lambda learning_rate: optax.stateless(lambda updates, params: 0.0)},
        {},
        "must return updates of the form of the parameters",
    ),
]


@pytest.mark.parametrize(("parts", "lanes", "message"), BAD_RECIPES)
def test_a_bad_recipe_is_refused_before_anything_compiles(recipe, task, parts, lanes, message):
    wrong = dataclasses.replace(recipe, **parts)
    refused_before_anything_compiles(message, wrong, task, {"learning_rate": [0.01], **lanes})


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
