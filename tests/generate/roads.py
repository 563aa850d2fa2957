"""A spec on the roads of a run: one machine, parts of it, and a run that was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from m3di import data, generate
from m3di.generate import Machines
from tests.conftest import FakePool, fake_options
from tests.generate.test_run import bytes_of


def same_by_every_road(folder: Path, spec: str, monkeypatch: pytest.MonkeyPatch, *, stop_after: int) -> Path:
    """Check that every road gives the same bytes; return the dataset.

    Args:
        folder: Where they go.
        spec: Name or file of the spec.
        monkeypatch: Stops a run.
        stop_after: Images after which it is stopped.
    """
    whole, parts, resumed = (folder / name for name in ("whole", "parts", "resumed"))
    generate.render(fake_options(whole, spec=spec))
    for part in ("2/2", "1/2"):
        generate.render(fake_options(parts, spec=spec), machines=Machines(shards=part))
    generate.finalize(data.open_folder(parts))
    logs = {path.name for path in parts.glob("*.log.jsonl")}  # one of each part
    assert {name: each for name, each in bytes_of(parts).items() if name not in logs} == bytes_of(whole)
    outcomes: Any = FakePool.outcomes

    def cut_short(self: FakePool, jobs: object) -> Iterator[object]:
        for number, outcome in enumerate(outcomes(self, jobs)):
            if number == stop_after:
                raise KeyboardInterrupt
            yield outcome

    with monkeypatch.context() as patch:
        patch.setattr(FakePool, "outcomes", cut_short)
        with pytest.raises(KeyboardInterrupt):
            generate.render(fake_options(resumed, spec=spec))
    generate.render(fake_options(resumed, spec=spec))
    assert bytes_of(resumed) == bytes_of(whole)
    return whole
