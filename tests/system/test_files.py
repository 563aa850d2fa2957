"""Names of files that are made of what users give."""

from __future__ import annotations

import pytest

from m3di.system.files import plain_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("do(object_xpos=right)", "do-object_xpos-right"),
        ("do(x=0.5)", "do-x-0.5"),
        ("do(x=-0.5)", "do-x-minus-0.5"),
        ("../m3di: ümlaut", "..-m3di-mlaut"),
    ],
)
def test_a_plain_name_keeps_what_tells_values_apart(text: str, name: str) -> None:
    assert plain_name(text) == name
