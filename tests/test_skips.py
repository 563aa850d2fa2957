"""No skip hides: where everything is installed, as in CI, a test that was left out is a failure."""

from __future__ import annotations

from types import SimpleNamespace

from tests.conftest import hidden_skips


def test_a_missing_package_of_the_tests_is_named_and_a_known_one_is_not() -> None:
    reports = [
        SimpleNamespace(nodeid=f"tests/test_{name}.py::test_it", longrepr=("there.py", 1, f"Skipped: {why}"))
        for name, why in (
            ("one", "could not import 'pandas': No module named 'pandas'"),
            ("two", "could not import 'transformers': No module named 'transformers'"),
            ("three", "frames and pairs exclude each other"),
        )
    ]
    reports.append(SimpleNamespace(nodeid="tests/test_four.py", longrepr="needs luck"))
    assert hidden_skips(reports) == [
        "tests/test_one.py::test_it: Skipped: could not import 'pandas': No module named 'pandas'",
        "tests/test_four.py: needs luck",
    ]
    assert hidden_skips([]) == []
