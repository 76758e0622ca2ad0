"""Secrets in what a call gives back."""

from __future__ import annotations

from tools.sandbox.masking import Mask


def test_a_secret_that_holds_another_is_covered_whole():
    mask = Mask({"SHORT": "abcd", "LONG": "abcdefgh"})
    assert mask.text("x abcdefgh abcd y") == "x [secret LONG] [secret SHORT] y"


def test_a_cut_secret_is_not_left_at_the_end():
    mask = Mask({"KEY": "sk-12345"})
    assert mask.text("the key is sk-123", is_cut=True) == "the key is "
    assert mask.text("the key is sk-123") == "the key is sk-123"


def test_what_is_no_text_stays():
    assert Mask({"KEY": "12345"}).value({"a": [12345, None, True, 1.5, "12345"]}) == {
        "a": [12345, None, True, 1.5, "[secret KEY]"]
    }


def test_short_and_empty_values_are_left_alone():
    assert Mask({"A": "", "B": "  ", "C": "yes"}).text("yes, an empty one") == "yes, an empty one"
