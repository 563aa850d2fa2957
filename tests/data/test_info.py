"""What `m3di info` tells, as text and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from m3di.data import facts, info
from tests.conftest import write_fake_dataset

SPEC = """
extends: m3di
name: rich
given: not (object_shape == "cow" and object_xpos == "right")
regimes:
  intervened: {chosen: {probability: 0.3}, cases: {moved: {object_ypos: 1}}}
splits:
  moved: {n: 2, interventions: {object_xpos: left}}
"""


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    (tmp_path / "rich.yaml").write_text(SPEC)
    options: dict[str, Any] = {"n_train": 2, "n_val": 1, "n_test": 1, "n_of": ("moved=2",)}
    return write_fake_dataset(
        tmp_path / "it", spec=str(tmp_path / "rich.yaml"), interventions=("object_zpos=0.5",), **options
    )


def test_the_json_tells_all_that_the_text_tells(rich: Path) -> None:
    found, lines = facts(rich), info(rich).splitlines()
    told: dict[str, list[str]] = {}
    for label, each in (
        line.split(maxsplit=1) for line in lines[1 : lines.index("identity  " + found["identity"])] if line
    ):
        told.setdefault(label, []).append(each)
    assert told.pop("samples") == [", ".join(f"{split} {n}" for split, n in found["samples"].items())]
    render = ", ".join(f"{name} {value}" for name, value in found["render"].items())
    assert told.pop("made") == [f"{found['source']}, seed {found['seeds'][0]}; {render}"]
    files = f"{found['n_files']}, {found['n_bytes'] / 1e6:,.1f} MB; {', '.join(found['extensions'].values())}"
    assert told.pop("files") == [files]
    assert told.pop("regime") == found["regimes"] == ["intervened: moved (object_ypos); each with probability 0.3"]
    assert told.pop("given") == [f"{found['given']} ({100 * found['given_share']:.3g} % of draws fulfil it)"]
    assert told.pop("do") == ["; ".join(found["interventions"])]
    assert told.pop("split") == [f"{split}: {each}" for split, each in found["splits"].items()]
    assert found["splits"].keys() == {"moved"}
    assert not told
    views = [f"{each['name']} ({each['modality']})" for each in found["views"]]
    assert views == [line for line in lines if line.endswith(")") and not line.startswith((" ", "given"))]


def test_without_them_there_is_nothing(fake_dataset: Path) -> None:
    found = facts(fake_dataset)
    assert (found["regimes"], found["given"], found["given_share"], found["splits"]) == ([], None, None, {})
