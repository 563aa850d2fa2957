"""Datasets that lie elsewhere: their tables and pictures, and how much of a shard is read for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from m3di.browse import open_look
from tests.data.test_places import Server, served


@pytest.fixture(params=["file", "memory", "http", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, many: Path) -> Iterator[str]:
    """URL of the same dataset."""
    with ExitStack() as stack:
        if request.param == "file":
            yield many.as_uri()
        elif request.param == "http":
            pytest.importorskip("aiohttp")
            yield f"{stack.enter_context(served(many.parent))}/{many.name}"
        else:
            url = f"{request.getfixturevalue('bucket')}/d" if request.param == "s3" else "memory://browse-places"
            files, path = fsspec.core.url_to_fs(url)
            files.put(str(many), path, recursive=True)
            yield url


def test_a_dataset_behind_a_url_is_that_on_the_disk(place: str, many: Path) -> None:
    here, there = open_look([many]), open_look([place])
    own = ("datasets",)
    assert {k: v for k, v in there.about.items() if k not in own} == {
        k: v for k, v in here.about.items() if k not in own
    }
    for row in (0, 150, 240, 319):
        assert there.answer(["image", str(row), "image"], {}) == here.answer(["image", str(row), "image"], {})
        assert there.gathered.rows([row]) == here.gathered.rows([row])
    for column in ("image.object_color", "split"):
        np.testing.assert_array_equal(there.gathered.numbers(column), here.gathered.numbers(column))


def test_a_picture_is_read_by_its_byte_range(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    asked: list[tuple[str, str | None]] = []
    answer = Server.do_GET

    def told(self: Server) -> None:
        asked.append((self.path, self.headers.get("Range")))
        answer(self)

    monkeypatch.setattr(Server, "do_GET", told)
    with served(many.parent) as address:
        look = open_look([f"{address}/{many.name}"])
        assert not [path for path, _ in asked if path.endswith(".tar")]  # opening reads tables alone
        asked.clear()
        look.answer(["image", "3", "image"], {})
    row = pd.read_parquet(many / "train.parquet").iloc[3]
    first = row["png_offset"]
    assert asked == [(f"/{many.name}/{row['shard']}", f"bytes={first}-{first + row['png_size'] - 1}")]
