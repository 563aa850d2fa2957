"""What a Croissant file says of who made a dataset, when, and what it is good for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from m3di.data.format.citation import today
from m3di.errors import UsageError

ASKED_FOR = {
    *("hasSyntheticData", "dataCollection", "dataCollectionType", "dataAnnotationProtocol", "dataBiases"),
    *("personalSensitiveInformation", "dataLimitations", "dataUseCases", "dataSocialImpact"),
    "dataReleaseMaintenancePlan",
}


def test_a_croissant_file_says_who_when_and_what_for(fake_dataset: Path) -> None:
    said = json.loads((fake_dataset / "croissant.json").read_text(encoding="utf-8"))
    assert said["conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
    assert said["creator"]["name"] == "The m3di authors"
    assert said["datePublished"] == "2026-01-01"
    assert "Daunhawer" in said["citeAs"]
    assert {f"rai:{name}" for name in ASKED_FOR} == {name for name in said if name.startswith("rai:")}
    assert said["rai:hasSyntheticData"] is True
    assert "object_color" in said["rai:dataAnnotationProtocol"]
    assert "seeds 0" in said["prov:wasGeneratedBy"]


def test_a_date_can_be_given_so_that_bytes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert today() == "1970-01-01"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", today())


@pytest.mark.parametrize("given", ["yesterday", "1e400", "9" * 30])
def test_a_date_that_is_none_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    with pytest.raises(UsageError, match="this is no moment"):
        today()
