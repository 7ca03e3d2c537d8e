import numpy as np
import pytest

from grokjax.checks import check_integer


@pytest.mark.parametrize("value", [3, np.int32(3), np.uint8(3), np.array(3)])
def test_integers_of_every_kind_become_pythons(value):
    number = check_integer("width", value, at_least=3, below=4)
    assert type(number) is int
    assert number == 3


BAD = [
    (3.0, {}, "width must be an integer, got 3.0."),
    ("3", {}, "width must be an integer, got '3'."),
    (None, {}, "width must be an integer, got None."),
    (True, {}, "width must be an integer, got True."),
    (np.array([3, 4]), {}, "width must be an integer, got array([3, 4])."),
    (0, {"at_least": 1}, "width must be a positive integer, got 0."),
    (2.5, {"at_least": 1}, "width must be a positive integer, got 2.5."),
    (1, {"at_least": 2}, "width must be an integer of at least 2, got 1."),
    (9, {"below": 9}, "width must be an integer below 9, got 9."),
    (9, {"at_least": 2, "below": 9}, "width must be an integer of at least 2 and below 9, got 9."),
    (0, {"at_least": 1, "otherwise": "None"}, "width must be a positive integer, or None, got 0."),
    (-1, {"at_least": 0}, "width must be an integer of at least 0, got -1."),
]


@pytest.mark.parametrize(("value", "bounds", "message"), BAD)
def test_anything_else_is_refused_in_one_wording(value, bounds, message):
    with pytest.raises(ValueError, match="width") as error:
        check_integer("width", value, **bounds)
    assert str(error.value) == message
