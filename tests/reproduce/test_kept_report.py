"""The report that is kept in docs/reproduction: of the settings and rules that there are today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from m3di.evaluate.runs import VERSION
from m3di.reproduce.ledger import Reproduction
from m3di.reproduce.paper_results import RESULTS
from m3di.reproduce.report_page import about
from m3di.reproduce.scales import SCALES

KEPT = Path(__file__).parents[2] / "docs" / "reproduction"


@pytest.fixture(scope="module")
def text() -> str:
    return (KEPT / "report.md").read_text(encoding="utf-8")


def test_it_has_the_settings_of_today(text: str, tmp_path: Path) -> None:
    told = about(Reproduction(tmp_path, SCALES["cpu"]))
    for name in ("scale", "simulations", "images", "seeds", "probes"):
        assert f"| {name} | {told[name]} |" in text, "make it once more: m3di reproduce --scale cpu"
    assert f"| scores | version {VERSION} of the metrics |" in text, "evaluate its runs once more, see the row `scores`"


def test_it_has_all_results_judged_by_the_rules_of_today(text: str) -> None:
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    for result in RESULTS.values():
        section = sections[result.title]
        assert re.search(r"\*\*(holds|does not hold)\*\*", section)
        for pattern in result.patterns:
            assert f"{pattern.rule} | " in section


def test_its_pictures_are_there_and_no_others(text: str) -> None:
    assert sorted(re.findall(r"\]\((\S+\.png)\)", text)) == sorted(path.name for path in KEPT.glob("*.png"))


def test_every_rule_that_does_not_hold_is_explained(text: str) -> None:
    page = (KEPT / "index.md").read_text(encoding="utf-8")
    verdicts = re.findall(r"^\| (.+?) \| (holds|does not hold) \| \d", text, re.MULTILINE)
    assert len(verdicts) == len(RESULTS)
    for title in (title for title, word in verdicts if word != "holds"):
        assert f"**{title.partition(':')[0]}" in page, title
