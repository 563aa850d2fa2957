"""What a Croissant file says of who made a dataset, when, and what it is good for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from m3di import data, generate
from m3di.data.format.citation import today
from m3di.errors import M3diError, UsageError
from m3di.generate.repair import repair
from m3di.latents import Spec
from tests.conftest import FakePool, fake_options, write_fake_dataset

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


@pytest.mark.parametrize("given", ["yesterday", "1e400", "9" * 30, "-5"])
def test_a_date_that_is_none_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    with pytest.raises(UsageError, match="this is no moment"):
        today()


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Sets the day, counted from 1970."""
    yield lambda day: monkeypatch.setenv("SOURCE_DATE_EPOCH", str(day * 86400))


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def begin(out: Path) -> tuple[Spec, data.Plan]:
    """A folder that a run has claimed, with all its shards, and without an end."""
    wanted = fake_options(out)
    spec = wanted.load_spec()
    plan = generate.make_plan(spec, wanted.resolved(spec))
    data.prepare_folder(out, plan)
    generate.render_shards(spec, plan, generate.shards_of(plan), out, FakePool(wanted.size_px))
    return spec, plan


def test_the_day_is_that_of_the_first_run(days: Callable[[int], None], tmp_path: Path) -> None:
    out = tmp_path / "it"
    days(10)
    begin(out)
    days(12)  # a run that goes on two days later
    spec, plan = begin(out)
    generate.finish(data.LocalFolder(out), spec, plan)
    assert data.read_manifest(out).created == "1970-01-11"
    said = json.loads((out / "croissant.json").read_text(encoding="utf-8"))
    assert said["dateCreated"] == said["datePublished"] == "1970-01-11"
    assert not list(out.glob("begun*"))


def test_of_parts_that_began_on_several_days_the_first_counts(days: Callable[[int], None], tmp_path: Path) -> None:
    folder = data.LocalFolder(tmp_path)
    for day in (20, 21):
        days(day)
        (tmp_path / f"begun-{today()}.partial").touch()  # two machines at midnight: neither sees the other's note
    days(30)
    spec, plan = begin(tmp_path)
    assert generate.finish(folder, spec, plan).created == "1970-01-21"


@pytest.mark.slow
def test_what_is_made_again_on_another_day_has_the_same_bytes(
    days: Callable[[int], None], tmp_path: Path, pools: object
) -> None:
    days(10)
    out = write_fake_dataset(tmp_path / "it", again=True)
    before = contents(out)
    days(99)
    (out / "croissant.json").unlink()
    (out / "train-00001.tar").unlink()
    assert repair(out) == ["croissant.json", "train-00001.tar"]
    assert contents(out) | {"render.log.jsonl": b""} == before | {"render.log.jsonl": b""}
    (out / "croissant.json").unlink()
    generate.finalize(data.LocalFolder(out))
    data.export(out, "croissant", tmp_path / "croissant.json")
    assert contents(out)["croissant.json"] == before["croissant.json"]
    assert (tmp_path / "croissant.json").read_bytes() == before["croissant.json"]


@pytest.mark.slow
def test_what_is_cut_or_joined_has_the_day_of_the_latest_of_its_samples(
    days: Callable[[int], None], tmp_path: Path
) -> None:
    roots = []
    for day in (10, 15):
        days(day)
        roots.append(write_fake_dataset(tmp_path / str(day), again=True, seed=day))
    made = []
    for day in (40, 50):
        days(day)
        assert data.merge(roots, tmp_path / f"all{day}").created == "1970-01-16"
        assert data.subset(roots[0], tmp_path / f"some{day}", n=3).created == "1970-01-11"
        made.append((contents(tmp_path / f"all{day}"), contents(tmp_path / f"some{day}")))
    assert made[0] == made[1]


@pytest.mark.slow
def test_the_day_is_no_part_of_what_a_dataset_is(days: Callable[[int], None], tmp_path: Path) -> None:
    made = []
    for day in (10, 11):
        days(day)
        made.append(write_fake_dataset(tmp_path / str(day), again=True))
    one, other = map(data.read_manifest, made)
    assert (one.created, other.created) == ("1970-01-11", "1970-01-12")
    assert one.fingerprint == other.fingerprint
    assert data.plan_of(one) == data.plan_of(other)
    differing = [name for name, content in contents(made[0]).items() if contents(made[1])[name] != content]
    assert sorted(differing) == ["croissant.json", "dataset.json"]


def test_of_an_old_dataset_no_day_is_told(tmp_path: Path) -> None:
    root = write_fake_dataset(tmp_path / "it")
    old = data.read_manifest(root).model_copy(update={"created": ""})
    data.write_manifest(root, data.write_documents(root, old))
    assert data.verify(root).created == ""
    assert '"created"' not in (root / "dataset.json").read_text(encoding="utf-8")
    assert "date" not in (root / "croissant.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("day", ["2026-1-1", "yesterday", 20260101, "2026-01-01\n"])
def test_a_day_in_a_manifest_is_one(day: object, fake_dataset: Path, tmp_path: Path) -> None:
    said = json.loads((fake_dataset / "dataset.json").read_text(encoding="utf-8"))
    (tmp_path / "dataset.json").write_text(json.dumps({**said, "created": day, "checksum": ""}), encoding="utf-8")
    with pytest.raises(M3diError, match=r"no valid m3di manifest(?s:.)*created"):
        data.read_manifest(tmp_path)
