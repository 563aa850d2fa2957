"""Datasets of specs with plugins, templates and interventions: what is kept, what is run, what is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from m3di.data import info, merge, read_manifest, read_parquet
from m3di.errors import M3diError
from m3di.latents import load_spec, sample
from tests.conftest import write_fake_dataset

PLUGIN = """
import pathlib
from m3di.latents import register

pathlib.Path(MARKER).touch()

@register("flipped", n_parents=1, types=["continuous"])
def flipped(u, parents, factor):
    return factor.from_unit(1.0 - parents[0].unit + 0.0 * u)
"""
SPEC = """
extends: m3di
name: flip
plugins: [flip.py]
factors:
  background_color: {mechanism: {name: flipped, parents: [object_color]}}
views:
  image: {factors: {spotlight_color: {role: private, mechanism: {name: flipped, parents: [object_color]}}}}
  text: {template: short.yaml}
"""
TEMPLATE = "{name: short, reads: {object_shape: label}, phrasings: {a: '{{ object_shape.a }}'}}"


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset whose plugin and template are nowhere here any more, and where the plugin leaves a mark when run."""
    folder = tmp_path_factory.mktemp("flip")
    marker = folder / "was-run"
    (folder / "flip.py").write_text(PLUGIN.replace("MARKER", repr(str(marker))))
    (folder / "flip.yaml").write_text(SPEC)
    (folder / "short.yaml").write_text(TEMPLATE)
    root = write_fake_dataset(folder / "data", spec=str(folder / "flip.yaml"), n_train=8)
    for name in ("flip.py", "flip.yaml", "short.yaml", "was-run"):
        (folder / name).unlink()
    return root, marker


def elsewhere(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command in a process that has never run the plugin."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.slow
def test_opening_loading_and_verifying_run_nothing_that_came_with_it(flipped: tuple[Path, Path]) -> None:
    root, marker = flipped
    code = (
        "import m3di, sys; d = m3di.Multimodal3DIdent(sys.argv[1]); print(d[0]['caption'], len(d), d.spec.name);"
        "from m3di.data import info; print(info(sys.argv[1]))"
    )
    done = elsewhere("-c", code, root)
    assert done.returncode == 0, done.stderr
    assert " 8 flip" in done.stdout
    assert "plugins   flip.py: kept as text" in done.stdout
    done = elsewhere("-c", "from m3di.cli.main import main; main()", "verify", root)
    assert done.returncode == 0, done.stderr
    assert "are as they were made" in done.stdout
    assert "left out, not derived again" in done.stdout
    assert "image.background_color: the mechanism 'flipped' is not installed" in done.stdout
    assert "image.spotlight_color: the mechanism 'flipped'" in done.stdout
    assert f"m3di --plugin {root} verify {root}" in done.stdout
    assert "text" not in done.stdout  # its template came along: captions are derived
    assert not marker.exists()


@pytest.mark.slow
def test_with_the_users_word_its_mechanisms_are_run(flipped: tuple[Path, Path]) -> None:
    root, marker = flipped
    done = elsewhere("-c", "from m3di.cli.main import main; main()", "--plugin", root, "verify", root)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stdout
    assert marker.exists()
    marker.unlink()


@pytest.mark.slow
def test_what_needs_no_mechanism_is_still_verified(flipped: tuple[Path, Path], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root, _ = flipped
    shutil.copytree(root, tmp_path / "data")
    table = read_parquet(tmp_path / "data" / "train.parquet")
    place = table.column_names.index("image.object_alpharot")
    wrong = table.set_column(place, "image.object_alpharot", pa.array(np.zeros(table.num_rows)))
    pq.write_table(wrong, tmp_path / "data" / "train.parquet")
    done = elsewhere("-c", "from m3di.cli.main import main; main()", "verify", tmp_path / "data")
    assert done.returncode == 1
    assert "train.parquet" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_repair_without_the_mechanism_is_refused_and_loses_nothing(
    flipped: tuple[Path, Path], tmp_path: Path
) -> None:
    root, marker = flipped
    shutil.copytree(root, tmp_path / "data")
    with (tmp_path / "data" / "train-00000.tar").open("r+b") as shard:
        shard.seek(700)
        shard.write(b"damage")
    before = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    done = elsewhere("-c", "from m3di.cli.main import main; main()", "verify", tmp_path / "data", "--repair")
    assert done.returncode == 1
    assert "cannot be made again without its mechanism: flipped" in done.stderr
    assert f"m3di --plugin {tmp_path / 'data'} verify" in done.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.name in before} == before
    assert not marker.exists()


def test_the_dataset_keeps_the_texts(flipped: tuple[Path, Path]) -> None:
    root, _ = flipped
    spec = json.loads((root / "dataset.json").read_text())["spec"]
    assert "flipped" in spec["plugins"]["flip.py"]
    assert spec["templates"]["short.yaml"]["reads"] == {"object_shape": "label"}
    assert spec["views"]["text"]["template"] == "short.yaml"


@pytest.mark.slow
def test_interventions_are_part_of_the_dataset(tmp_path: Path) -> None:
    plain = write_fake_dataset(tmp_path / "plain", n_train=4)
    root = write_fake_dataset(
        tmp_path / "done", n_train=4, interventions=("object_xpos=right", "object_color={strength: 0.5}")
    )
    manifest = read_manifest(root)
    assert manifest.spec["interventions"] == {"object_xpos": "right", "object_color": {"strength": 0.5}}
    card = (root / "README.md").read_text()
    assert "**Under interventions**: `object_xpos = right`, `object_color: strength 0.5`." in card
    assert "do        object_xpos = right; object_color: strength 0.5" in info(root)
    assert "object_xpos = right" in json.loads((root / "croissant.json").read_text())["description"]
    assert manifest.fingerprint != read_manifest(plain).fingerprint
    for text in ((plain / "README.md").read_text(), info(plain)):
        assert "nterventions" not in text and "\ndo  " not in text
    # An intervention that changes no value is told all the same: here the mechanism was uniform before.
    same = write_fake_dataset(tmp_path / "same", n_train=4, interventions=("object_shape=uniform",))
    assert read_manifest(same).fingerprint != read_manifest(plain).fingerprint
    with pytest.raises(M3diError, match=r"differ in more than their samples(?s:.)*interventions"):
        merge([plain, root], tmp_path / "both")


@pytest.mark.slow
def test_a_merge_says_all_its_seeds(fake_dataset: Path, tmp_path: Path) -> None:
    seven = write_fake_dataset(tmp_path / "seven", seed=7, n_train=4)
    eight = write_fake_dataset(tmp_path / "eight", seed=8, n_train=4)
    merge([fake_dataset, seven], tmp_path / "two")
    merge([tmp_path / "two", eight], tmp_path / "three")
    assert read_manifest(tmp_path / "three").all_seeds == (0, 7, 8)
    assert "Seeds 0, 7, 8." in (tmp_path / "three" / "README.md").read_text()
    assert "seeds 0, 7, 8" in info(tmp_path / "three")
    assert json.loads((tmp_path / "three" / "dataset.json").read_text())["seeds"] == [0, 7, 8]
    # A dataset of one seed is written as ever.
    assert "seeds" not in json.loads((fake_dataset / "dataset.json").read_text())
    assert "Seed 0." in (fake_dataset / "README.md").read_text()


def test_the_card_of_a_changed_graph_tells_what_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: m3di\nname: mine\nfactors: {object_color: {mechanism: {name: uniform}}}\n")
    card = (write_fake_dataset(tmp_path / "data", spec=str(path), n_train=4) / "README.md").read_text()
    assert "Extends m3di; changed: factors.object_color.mechanism." in card
    assert "depends causally on its x-position" not in card


def test_a_recorded_factor_is_in_the_table_and_in_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: m3di\nname: mine\n"
        "factors: {hit: {type: categorical, kind: label, values: [kept, set]}}\n"
        "views: {image: {factors: {hit: {role: content, recorded: true}}}}\n"
    )
    root = write_fake_dataset(tmp_path / "data", spec=str(path), n_train=6)
    own, plain = read_parquet(root / "train.parquet"), sample(load_spec("m3di"), "train", 6).columns()["image"]
    assert set(own["image.hit_name"].to_pylist()) <= {"kept", "set"}
    assert own["image.object_color"].to_pylist() == plain["object_color"].tolist()
    assert "recorded only, not drawn" in (root / "README.md").read_text()
