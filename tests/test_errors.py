from __future__ import annotations

import pickle

from m3di.errors import M3diError, UsageError, near_match


def test_a_message_has_what_where_got_expected_and_next() -> None:
    error = M3diError("it broke", where="here", got=3, expected="4", next_step="mend it")
    assert str(error).splitlines() == [
        "it broke",
        "  where:    here",
        "  got:      3",
        "  expected: 4",
        "  next:     mend it",
    ]


def test_parts_that_are_not_given_are_left_out() -> None:
    assert str(UsageError("it broke")) == "it broke"


def test_errors_cross_process_boundaries() -> None:
    error = pickle.loads(pickle.dumps(UsageError("it broke", got=3)))
    assert isinstance(error, UsageError)
    assert str(error) == "it broke\n  got:      3"
    assert error.exit_code == 2


def test_near_match() -> None:
    assert near_match("m3dii", ["m3di", "other"]) == "m3di"
    assert near_match("zzz", ["m3di"]) is None
