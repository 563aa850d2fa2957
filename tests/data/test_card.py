from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from m3di import data
from m3di.data.format.card import _header, dataset_card
from m3di.data.format.croissant import croissant
from m3di.data.layouts.published_latents import published_spec
from m3di.latents import caption_languages, load_spec, parse_spec, plain_spec
from tests.conftest import write_fake_dataset


def test_card(fake_dataset: Path) -> None:
    text = (fake_dataset / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    parsed = yaml.safe_load(header)
    assert parsed["license"] == "cc0-1.0"
    assert parsed["size_categories"] == ["n<1K"]
    assert parsed["configs"][0]["data_files"][1] == {"split": "validation", "path": "val-*.tar"}
    assert "| image | object_color | style | hue | [0, 1] | 0, 1 hue | binned(object_xpos) |" in body
    assert "| image | object_zpos | constant | position | [-1, 1] | -1, 1 m | always 0 |" in body
    assert "`KEY.png` (image), `KEY.txt` (text), `KEY.json` (latents)" in body
    assert "train 20, val 4, test 4 samples; images of 32 x 32 pixels. Seed 0." in body
    assert "![The first samples](samples.png)" in body
    with Image.open(fake_dataset / "samples.png") as picture:
        assert picture.size == (8 * 32, 32)
    assert "```yaml\nname: m3di\n" in body
    assert "**Data** (images, captions, latents): CC0" in body
    assert "**Meshes and scene**: modelled by" in body


def test_the_viewer_of_the_hub_gets_the_tables_and_readers_a_citation(fake_dataset: Path) -> None:
    _, header, body = (fake_dataset / "README.md").read_text().split("---\n", 2)
    parsed = yaml.safe_load(header)
    default, latents = parsed["configs"]
    assert (default["config_name"], default["default"], latents["config_name"]) == ("default", True, "latents")
    assert [each["path"] for each in latents["data_files"]] == ["train.parquet", "val.parquet", "test.parquet"]
    assert all((fake_dataset / each["path"]).exists() for each in latents["data_files"])
    assert parsed["language"] == ["en"]
    assert "@inproceedings{daunhawer2023identifiability," in body


@pytest.mark.parametrize(
    ("n", "size"),
    [(999, "n<1K"), (1_000, "1K<n<10K"), (2_000_000, "1M<n<10M"), (10_000_000, "10M<n<100M"), (10**9, "n>1B")],
)
def test_size_categories_are_those_of_the_hub(n: int, size: str, fake_dataset: Path) -> None:
    manifest = data.read_manifest(fake_dataset)
    assert _header(manifest, {"train": n})["size_categories"] == [size]


@pytest.mark.parametrize(
    ("views", "listed", "said"),
    [
        ({"text": {"template": "german"}}, ["de"], "de"),
        ({"other": {"modality": "text", "template": "german"}}, ["de", "en"], ["de", "en"]),
        ({"text": None}, None, None),
    ],
)
def test_the_language_is_that_of_the_captions(
    views: dict[str, Any], listed: object, said: object, fake_dataset: Path
) -> None:
    if "other" in views:
        views["other"]["factors"] = load_spec("m3di").plain["views"]["text"]["factors"]
    spec = parse_spec(yaml.safe_dump({"extends": "m3di", "name": "t", "views": views}), where="t.yaml")
    assert caption_languages(spec) == (listed or [])
    manifest = data.read_manifest(fake_dataset)
    manifest = manifest.model_copy(update={"spec": spec.plain})
    assert _header(manifest, {"train": 1}).get("language") == listed
    described = json.loads(croissant(manifest, {name: pa.schema([]) for name in manifest.splits}))
    assert described.get("inLanguage") == said


def test_published_captions_are_english_without_a_template_of_ours() -> None:
    assert caption_languages(published_spec()) == ["en"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "split", "keys"),
    [
        ("m3di", None, ["image", "caption", "z_image"]),
        ("m3di", "val", ["image", "caption", "z_image"]),
        ("image-pairs", None, ["view1", "z_view1"]),
        ("causal3dident", None, ["image", "z_image"]),
        ("m3di-sequence", "test", ["image_t0", "caption", "z_image_t0"]),
    ],
)
def test_what_the_card_says_loads(spec: str, split: str | None, keys: list[str], tmp_path: Path) -> None:
    root = write_fake_dataset(tmp_path / "whole", spec=spec)
    if split is not None:
        data.subset(root, tmp_path / "cut", splits=[split])
        root = tmp_path / "cut"
    card = (root / "README.md").read_text()
    assert ("language" in yaml.safe_load(card.split("---\n", 2)[1])) is ("caption" in keys)  # of captions
    code = card.partition("```python\n")[2].partition("```")[0]
    assert re.findall(r'\[0\]\["(\w+)"\]', code) == keys
    exec(code.replace("path/of/this/folder", str(root)))


def test_foreign_meshes_keep_their_licences_in_card_and_croissant(fake_dataset: Path) -> None:
    manifest = data.read_manifest(fake_dataset).model_copy(update={"shapes": {"lamp": "0" * 64}})
    card = dataset_card(manifest)
    assert yaml.safe_load(card.split("---\n", 2)[1])["license"] == "other"
    assert "none is a third party's" not in card
    assert "whose licences hold for the images of them: `lamp`" in card
    schemas = {split: pq.read_schema(fake_dataset / f"{split}.parquet") for split in manifest.splits}
    licence = json.loads(croissant(manifest, schemas))["license"]
    assert licence.startswith("https://creativecommons.org/publicdomain/zero/1.0/; images of lamp: the licences of")
    assert json.loads((fake_dataset / "croissant.json").read_text())["license"] == licence.partition(";")[0]


CSV = "seed,split,index,text\n0,train,0,A cow that somebody saw.\n"
OWN = "{name: mine, language: sw, reads: {text_color: label}, phrasings: {a: 'rangi {{ text_color }}'}}"


def documents_of(fake_dataset: Path, tmp_path: Path, changes: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Card, its header and Croissant description of a dataset, if its spec were another one."""
    (tmp_path / "mine.csv").write_text(CSV)
    (tmp_path / "mine.yaml").write_text(OWN)
    (tmp_path / "spec.yaml").write_text(f"extends: m3di\nname: other\n{changes}\n")
    spec = load_spec(tmp_path / "spec.yaml")
    manifest = data.read_manifest(fake_dataset).model_copy(update={"spec": plain_spec(spec)})
    card = dataset_card(manifest)
    schemas = {name: pa.schema([]) for name in manifest.splits}
    return card, yaml.safe_load(card.split("---\n", 2)[1]), json.loads(croissant(manifest, schemas))


def test_texts_of_somebody_else_keep_their_licence_and_origin(fake_dataset: Path, tmp_path: Path) -> None:
    card, header, described = documents_of(fake_dataset, tmp_path, "views: {text: {texts: mine.csv}}")
    assert header["license"] == "other" and "language" not in header and "inLanguage" not in described
    assert "CC0 1.0, public domain, but for what is named below." in card
    assert "in the place of captions, with licences of their own: `mine.csv` (view `text`)." in card
    assert described["license"].endswith("zero/1.0/; text: the licences of mine.csv, see README.md")
    assert "captions of text are texts of mine.csv" in described["prov:wasGeneratedBy"]
    assert "Nothing was collected of the world" not in described["rai:dataCollection"]
    assert "of the texts of mine.csv, their writers can tell" in described["rai:personalSensitiveInformation"]
    assert "Captions follow templates" not in described["rai:dataBiases"]


def test_a_template_of_somebody_else_keeps_its_licence(fake_dataset: Path, tmp_path: Path) -> None:
    card, header, described = documents_of(fake_dataset, tmp_path, "views: {text: {template: mine.yaml}}")
    assert header["license"] == "other" and header["language"] == ["sw"]
    assert "whose words captions have, with licences of their own: `mine.yaml` (view `text`)." in card
    assert described["license"].endswith("; text: the licences of mine.yaml, see README.md")
    assert "made all views of them" in described["prov:wasGeneratedBy"]
    assert "their writers" not in described["rai:personalSensitiveInformation"]


def test_croissant_tells_the_process_as_the_card_does(fake_dataset: Path, tmp_path: Path) -> None:
    changes = """
regimes: {swapped: {cases: {other: {object_color: uniform}}, chosen: {probability: 0.25}}}
splits: {train: 4, held_out: {n: 2, interventions: {object_xpos: right}}}
"""
    card, header, described = documents_of(fake_dataset, tmp_path, changes)
    said = described["description"]
    assert header["license"] == "cc0-1.0"
    for told in ("swapped: other (object_color); each with probability 0.25", "held_out`: do object_xpos = right"):
        assert told in card
        assert told.replace("`", "") in said
    assert "Splits with a process of their own: held_out: do object_xpos = right." in said
    assert "process" not in json.loads((fake_dataset / "croissant.json").read_text())["description"]
