"""Checks of arguments: what they let through, and the exact words for what they do not."""

import fractions
import os
import pathlib

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import xarray

from grokjax import checks


def message(call, *args, **options):
    """What a check says of a bad value."""
    with pytest.raises(ValueError) as error:  # noqa: PT011, compared whole by the caller
        call(*args, **options)
    return str(error.value)


class Mute:
    """An object that cannot say what it is."""

    def __repr__(self):
        raise RuntimeError


# -- integers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [3, np.int32(3), np.uint8(3), np.array(3), jnp.int32(3), xarray.DataArray(3)]
)
def test_integers_of_every_kind_become_pythons(value):
    number = checks.check_integer("width", value, at_least=3, below=4)
    assert type(number) is int
    assert number == 3


BAD_INTEGERS = [
    (3.0, {}, "width must be an integer, got 3.0."),
    ("3", {}, "width must be an integer, got '3'."),
    (None, {}, "width must be an integer, got None."),
    (True, {}, "width must be an integer, got True."),
    (np.bool_(True), {}, "width must be an integer, got np.True_."),
    (jnp.array(True), {}, "width must be an integer, got Array(True, dtype=bool)."),
    (np.array([3, 4]), {}, "width must be an integer, got array([3, 4])."),
    (0, {"at_least": 1}, "width must be a positive integer, got 0."),
    (2.5, {"at_least": 1}, "width must be a positive integer, got 2.5."),
    (1, {"at_least": 2}, "width must be an integer of at least 2, got 1."),
    (9, {"below": 9}, "width must be an integer below 9, got 9."),
    (9, {"at_least": 1, "below": 9}, "width must be a positive integer below 9, got 9."),
    (9, {"at_least": 2, "below": 9}, "width must be an integer of at least 2 and below 9, got 9."),
    (0, {"at_least": 1, "otherwise": "None"}, "width must be a positive integer, or None, got 0."),
    (-1, {"at_least": 0}, "width must be an integer of at least 0, got -1."),
]


@pytest.mark.parametrize(("value", "bounds", "expected"), BAD_INTEGERS)
def test_anything_else_is_refused_in_one_wording(value, bounds, expected):
    assert message(checks.check_integer, "width", value, **bounds) == expected


@pytest.mark.parametrize(
    "values",
    [[1, 2], (1, 2), range(1, 3), np.array([1, 2]), jnp.array([1, 2]), xarray.DataArray([1, 2])],
)
def test_integers_become_a_tuple_of_pythons(values):
    found = checks.check_integers("widths", values, length=2, at_least=1, below=3)
    assert found == (1, 2)
    assert all(type(number) is int for number in found)
    assert checks.check_integers("widths", (x for x in values)) == (1, 2)
    assert checks.check_integers("widths", ()) == ()


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (5, {}, "widths must be integers, such as (1, 2), got 5."),
        ("12", {}, "widths must be integers, such as (1, 2), got '12'."),
        (b"12", {}, "widths must be integers, such as (1, 2), got b'12'."),
        (None, {"such_as": "[7]"}, "widths must be integers, such as [7], got None."),
        ({1: 2}, {}, "widths must be integers, such as (1, 2), got {1: 2}."),
        ((1,), {"length": 2}, "widths must be 2 integers, such as (1, 2), got 1: (1,)."),
        ((1, 0.5), {}, "widths[1] must be an integer, got 0.5."),
        ((1, 0), {"at_least": 1}, "widths[1] must be a positive integer, got 0."),
        ((7, 1), {"below": 7}, "widths[0] must be an integer below 7, got 7."),
    ],
)
def test_what_is_no_sequence_of_integers_is_refused(values, options, expected):
    assert message(checks.check_integers, "widths", values, **options) == expected


# -- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        np.float32(0.5),
        np.array(0.5),
        jnp.float32(0.5),
        jnp.bfloat16(0.5),
        xarray.DataArray(0.5),
        fractions.Fraction(1, 2),
    ],
)
def test_numbers_of_every_kind_become_pythons(value):
    number = checks.check_number("rate", value, at_least=0.5, at_most=0.5)
    assert type(number) is float
    assert number == 0.5
    assert checks.check_number("rate", 3) == 3.0


BAD_NUMBERS = [
    ("1", {}, "rate must be a finite number, got '1'."),
    (b"1", {}, "rate must be a finite number, got b'1'."),
    (None, {}, "rate must be a finite number, got None."),
    (True, {}, "rate must be a finite number, got True."),
    (np.array(True), {}, "rate must be a finite number, got array(True)."),
    (float("nan"), {}, "rate must be a finite number, got nan."),
    (float("-inf"), {}, "rate must be a finite number, got -inf."),
    (1j, {}, "rate must be a finite number, got 1j."),
    (np.complex64(1), {}, "rate must be a finite number, got np.complex64(1+0j)."),
    ([0.5], {}, "rate must be a finite number, got [0.5]."),
    (np.ones(1), {}, "rate must be a finite number, got array([1.])."),
    (10**400, {}, "rate must be a finite number, got 1" + 199 * "0" + "...."),
    (-1, {"at_least": 0}, "rate must be a finite number of at least 0, got -1."),
    (0, {"above": 0}, "rate must be a finite number above 0, got 0."),
    (2, {"at_most": 1}, "rate must be a finite number of at most 1, got 2."),
    (
        1.0,
        {"at_least": 0, "below": 1},
        "rate must be a finite number of at least 0 and below 1, got 1.0.",
    ),
    ("x", {"otherwise": "None"}, "rate must be a finite number, or None, got 'x'."),
]


@pytest.mark.parametrize(("value", "bounds", "expected"), BAD_NUMBERS)
def test_what_is_no_number_is_refused(value, bounds, expected):
    assert message(checks.check_number, "rate", value, **bounds) == expected


def test_a_confidence_is_between_0_and_1():
    assert checks.check_confidence(np.float64(0.9)) == 0.9


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (95, "got 95; use 0.95 for 95 %."),
        (99.5, "got 99.5; use 0.995 for 99.5 %."),
        (0, "got 0; use 0.95 for 95 %."),
        (1, "got 1; use 0.95 for 95 %."),
        ("95 %", "got '95 %'; use 0.95 for 95 %."),
        (None, "got None; use 0.95 for 95 %."),
    ],
)
def test_another_confidence_is_refused_with_the_likely_one(value, expected):
    start = "level must be a finite number above 0 and below 1, "
    assert message(checks.check_confidence, value, "level") == start + expected


# -- words and functions -------------------------------------------------------------------------


def test_text_is_text():
    assert checks.check_text("name", np.str_("n+m"), "sum") == "n+m"
    expected = 'name must be text, such as "sum", got 3.'
    assert message(checks.check_text, "name", 3, "sum") == expected
    assert message(checks.check_text, "name", b"n", "sum").endswith("got b'n'.")


def test_a_flag_is_true_or_false():
    assert checks.check_flag("progress", np.bool_(False)) is False
    assert checks.check_flag("progress", True) is True
    assert message(checks.check_flag, "progress", "no") == (
        "progress must be True or False, got 'no'."
    )
    assert message(checks.check_flag, "progress", 1, otherwise="None") == (
        "progress must be True or False, or None, got 1."
    )


def test_a_choice_is_one_of_a_few_words():
    assert checks.check_choice("kind", "b", ("a", "b", "c")) == "b"
    assert checks.check_choice("kind", None, ("a", None)) is None
    allowed = 'kind must be "a", "b" or "c", got '
    for value in ("d", None, 3, ["a"], True):
        assert message(checks.check_choice, "kind", value, ("a", "b", "c")) == (
            f"{allowed}{value!r}."
        )
    assert (
        message(checks.check_choice, "kind", 3, ["a", None]) == 'kind must be "a" or None, got 3.'
    )
    assert message(checks.check_choice, "kind", 3, ["a"]) == 'kind must be "a", got 3.'


def test_a_callable_can_be_called():
    assert checks.check_callable("loss", len, "a function") is len
    assert message(checks.check_callable, "loss", "mse", "a loss such as losses.mse") == (
        "loss must be a loss such as losses.mse, got 'mse'."
    )


def test_a_mapping_has_names_for_keys():
    columns = xarray.Dataset({"alpha": ("lane", [0.5])})
    assert checks.check_mapping("lanes", columns, "grid(...)") is columns
    assert message(checks.check_mapping, "lanes", [1], "grid(...)") == (
        "lanes must be a mapping, such as grid(...), got [1]."
    )
    assert message(checks.check_mapping, "lanes", {"a": 1, 3: 2}, "grid(...)") == (
        "lanes must have names for keys, got 3; such as grid(...)."
    )


# -- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_keys_of_both_kinds_are_keys_also_where_they_are_traced(make):
    key = make(0)
    assert checks.check_key("key", key) is key
    draw = jax.jit(jax.vmap(lambda key: jax.random.uniform(checks.check_key("key", key))))
    assert draw(jnp.stack([key, key])).shape == (2,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "key must be a JAX random key, got 0; use jax.random.key(0)."),
        (7, "key must be a JAX random key, got 7; use jax.random.key(7)."),
        (True, "key must be a JAX random key, got True; use jax.random.key(0)."),
        (None, "key must be a JAX random key, got None; use jax.random.key(0)."),
        ("a", "key must be a JAX random key, got 'a'; use jax.random.key(0)."),
        (np.zeros(2), "key must be a JAX random key, got array([0., 0.]); use jax.random.key(0)."),
    ],
)
def test_a_seed_is_no_key(value, expected):
    assert message(checks.check_key, "key", value) == expected


def test_several_keys_are_no_key():
    keys = jax.random.split(jax.random.key(0), 3)
    assert "key must be a JAX random key, or None, got " in message(
        checks.check_key, "key", keys, otherwise="None"
    )


# -- arrays --------------------------------------------------------------------------------------

SQUARE = [[1, 2], [3, 4]]


@pytest.mark.parametrize("value", [SQUARE, np.array(SQUARE), jnp.array(SQUARE)])
def test_arrays_and_lists_become_numpys(value):
    array = checks.check_array("table", value, shape=("p", "p"), kinds="iu")
    assert type(array) is np.ndarray
    assert array.tolist() == SQUARE
    assert checks.check_array("table", xarray.DataArray(SQUARE)).tolist() == SQUARE


@pytest.mark.parametrize(
    ("shape", "form"),
    [
        (None, (2, 3)),
        ((2, 3), (2, 3)),
        (("P", 3), (2, 3)),
        ((), ()),
        ((..., "p", "p"), (3, 3)),
        ((..., "p", "p"), (7, 2, 3, 3)),
        ((..., "C"), (0,)),
    ],
)
def test_shapes_that_fit(shape, form):
    for check in (checks.check_array, checks.check_jax_array):
        assert check("x", np.zeros(form), shape=shape).shape == form


BAD_ARRAYS = [
    (None, {}, "x must be an array of real numbers, got None."),
    ("a", {}, "x must be an array of real numbers, got 'a'."),
    ({}, {}, "x must be an array of real numbers, got {}."),
    ([1, "a"], {}, "x must be an array of real numbers, got [1, 'a']."),
    ([[1, 2], [3]], {}, "x must be an array of real numbers, got [[1, 2], [3]]."),
    (3, {"shape": ("P",)}, "x must be an array of real numbers of shape [P], got 3."),
    (1j * np.ones(2), {}, "x must be an array of real numbers, got complex128 [2]."),
    (["a"], {"kinds": "c"}, "x must be an array of numbers, got ['a']."),
    ([0.5], {"kinds": "iu"}, "x must be an array of integers, got float64 [1]."),
    ([True], {"kinds": "iu"}, "x must be an array of integers, got bool [1]."),
    ([1], {"kinds": "b"}, "x must be an array of booleans, got int64 [1]."),
    ([0.5], {"kinds": "bi"}, "x must be an array of booleans or integers, got float64 [1]."),
    (
        [1],
        {"shape": ("P", 2)},
        "x must be an array of real numbers of shape [P, 2], got int64 [1].",
    ),
    (
        np.zeros((2, 3)),
        {"shape": (..., "p", "p")},
        "x must be an array of real numbers of shape [..., p, p], got float64 [2, 3].",
    ),
    (
        np.zeros(3),
        {"shape": (..., "p", "p")},
        "x must be an array of real numbers of shape [..., p, p], got float64 [3].",
    ),
    (
        np.zeros(2, [("a", int)]),
        {},
        "x must be an array of real numbers, got [('a', '<i8')] [2].",
    ),
]


@pytest.mark.parametrize(("value", "options", "expected"), BAD_ARRAYS)
def test_arrays_of_another_kind_or_shape_are_refused(value, options, expected):
    assert message(checks.check_array, "x", value, **options) == expected
    assert message(checks.check_jax_array, "x", value, **options) == expected


def test_arrays_can_have_to_be_finite():
    values = np.array([0.0, 1.0, np.inf])
    assert checks.check_array("x", values) is values
    assert message(checks.check_array, "x", values, finite=True) == (
        "x must be an array of real numbers, all finite; got inf."
    )
    narrow = np.array([np.nan], ml_dtypes.bfloat16)
    assert message(checks.check_array, "x", narrow, finite=True).endswith("got nan.")
    assert checks.check_array("x", [1, 2], finite=True).tolist() == [1, 2]


def test_arrays_of_jax_stay_as_they_are_and_may_be_traced():
    array = jnp.arange(3)
    assert checks.check_jax_array("x", array, shape=("P",), kinds="iu") is array
    assert type(checks.check_jax_array("x", [1, 2])) is np.ndarray

    @jax.jit
    def doubled(x):
        with pytest.raises(ValueError, match=r"x must be an array of integers, got float32 \[2\]"):
            checks.check_jax_array("x", x, kinds="iu")
        assert checks.check_jax_array("x", x) is x
        pair = checks.check_jax_array("x", [x, x], shape=("P", 2))  # a list of traced arrays
        return pair.sum(axis=0)

    assert doubled(jnp.ones(2)).tolist() == [2, 2]
    key = jax.random.key(0)
    assert message(checks.check_jax_array, "x", key).startswith(
        "x must be an array of real numbers"
    )


def test_traced_arrays_are_not_concrete():
    seen = []
    jax.jit(lambda x: seen.append(checks.is_concrete({"a": np.ones(2), "b": [x]})))(1.0)
    jax.vmap(lambda x: seen.append(checks.is_concrete(x)))(jnp.ones(2))
    assert seen == [False, False]
    assert checks.is_concrete(np.ones(2), jnp.ones(2), [1.0, None], "text")


@pytest.mark.parametrize(
    ("function", "of"),
    [
        (lambda params, gain: 1.0 if gain > 0 else 0.0, "'gain'"),
        (lambda params, gain: float(params["layer"]["w"] + params["b"]), "'b' and 'layer/w'"),
        (lambda params, gain: np.asarray(params["b"]), "'b'"),
        (lambda params, gain: range(params["n"]), "'n'"),
    ],
)
def test_a_function_that_needs_the_value_of_a_traced_array_is_told_what_to_use(function, of):
    params = {"layer": {"w": 1.0}, "b": 1.0, "n": 1}
    numbers = {"gain": 1.0}
    with pytest.raises(TypeError) as caught:
        jax.eval_shape(lambda params, numbers: function(params, numbers["gain"]), params, numbers)
    text = checks.needs_value(caught.value)
    assert text.startswith(f"needs the value of {of} in Python, as `if`, ")
    assert text.endswith("use jnp.where, jax.lax.cond and functions of jax.numpy")
    assert checks.needs_value(TypeError("'gain'")) == ""


def test_what_would_fill_the_memory_is_refused():
    checks.check_size("table", 2**27, "use less")
    assert message(checks.check_size, "table", 2**27 + 1, "use less") == (
        "table would hold 134,217,729 numbers, more than the 134,217,728 that are allowed in "
        "memory; use less."
    )
    assert message(checks.check_size, "table", 7**9000, "use less", at_most=10) == (
        "table would hold about 10^7606 numbers, more than the 10 that are allowed in memory; "
        "use less."
    )


# -- paths, and what messages show ---------------------------------------------------------------


@pytest.mark.parametrize("value", ["a/b", b"a/b", pathlib.Path("a/b")])
def test_paths_of_every_kind_become_paths(value):
    assert checks.check_path("directory", value) == pathlib.Path("a") / "b"


@pytest.mark.parametrize("value", ["", b"", None, 5, "a\0b", ["a"], True])
def test_what_names_no_file_is_no_path(value):
    assert message(checks.check_path, "directory", value) == (
        f"directory must be a path, such as 'results/sweep', got {value!r}."
    )


def test_a_path_that_cannot_say_itself_is_none():
    class Broken(os.PathLike):
        def __fspath__(self):
            raise TypeError

    assert message(checks.check_path, "directory", Broken()).startswith("directory must be a path")


def test_messages_show_values_cut_to_200_characters():
    assert checks.shown("a") == "'a'"
    assert checks.shown("a" * 300) == "'" + "a" * 199 + "..."
    assert checks.shown(Mute()) == "an object of type Mute"
    assert checks.shown(10**5000) == "an object of type int"  # Python does not write it
