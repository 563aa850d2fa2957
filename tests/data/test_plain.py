"""What `dataset.json` may say: names that are paths, counts that no file can hold, settings that are none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from m3di import Multimodal3DIdent, data
from m3di.data.format.manifest import Manifest, to_json
from m3di.errors import M3diError
from m3di.generate import RenderOptions
from m3di.generate.repair import repair

Document = dict[str, Any]


def shard(document: Document) -> Document:
    return document["splits"]["train"]["shards"][0]


def rename(holder: Document, key: str, other: str) -> None:
    holder[other] = holder.pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: shard(m).update(file="../../precious.txt"), r"shards\.0\.file(?s:.)*is no plain file name"),
        (lambda m: shard(m).update(file="/etc/passwd"), "'/etc/passwd' is no plain file name"),
        (lambda m: shard(m).update(file=".hidden"), "is no plain file name"),
        (lambda m: shard(m).update(file="a\0b"), "is no plain file name"),
        (lambda m: shard(m).update(file="train-00007.tar"), "shard 0 of train is train-00007.tar"),
        (lambda m: m["documents"].append({**shard(m), "file": "../x"}), "'../x' is no plain file name"),
        (lambda m: m["documents"][0].update(file="dataset.json"), "two files are called dataset.json"),
        (lambda m: m["splits"]["val"]["table"].update(file="train.parquet"), "two files are called train.parquet"),
        (lambda m: [rename(m[key], "train", "../up") for key in ("splits", "n_samples")], "'../up' is no split"),
        (lambda m: m["splits"].pop("val"), "splits train, test, and n_samples of train, val, test"),
        (lambda m: m["extensions"].update(image="../../x.png"), "is no plain file extension"),
        (lambda m: m["extensions"].update(image="txt"), "two files of a sample have one extension"),
        (lambda m: m["extensions"].pop("latents"), "the extension of 'latents' is missing"),
        (lambda m: m["extensions"].pop("image"), r"extensions(?s:.)*nothing of the view 'image'"),
        (lambda m: m["text"].clear(), r"text(?s:.)*nothing of the view 'text'"),
        (lambda m: m["text"].update(image=m["text"]["text"]), "'image', which is no text view"),
        (lambda m: m["text"]["text"].update(length=10**11), r"text\.text\.length(?s:.)*less than or equal to 4096"),
        (
            lambda m: m["text"]["text"].update(length=4096, vocabulary=[str(number) for number in range(5000)]),
            "4096 tokens out of 5000 are too many",
        ),
        (lambda m: m["text"]["text"].update(length=-3), "greater than or equal to 0"),
        (lambda m: m["text"]["text"].update(vocabulary=[]), r"vocabulary(?s:.)*at least 2"),
        (lambda m: shard(m).update(n_samples=10**12), "less than or equal to 1000000000"),
        (lambda m: shard(m).update(n_bytes=1000), "8 samples of 3 files do not fit in 1000 bytes"),
        (lambda m: m["splits"]["val"]["table"].update(n_bytes=3), "4 rows do not fit in 3 bytes of val.parquet"),
        (lambda m: m.update(shard_size=0), "shard_size"),
        (lambda m: m.update(shard_size=1), "train has 3 shards, expected 20 of 1 samples each"),
        (lambda m: m.update(seed=-1), "seed"),
        (lambda m: m["render"].pop("size_px"), "size_px is None, expected pixels: 1 to 8192"),
        (lambda m: m["render"].update(size_px="64"), "size_px is '64'"),
        (lambda m: m["render"].update(size_px=float("nan")), "size_px is nan"),
        (lambda m: m["render"].update(quality=None), r"render\.'quality' is no plain setting"),
        (lambda m: m["render"].pop("bpy"), "render.bpy is None, expected a text"),
        (lambda m: m["render"].update(device="tpu"), "render.device is 'tpu', expected cpu or gpu"),
        (lambda m: m["render"].update(bpy="\x1b[31m5"), r"no text of one line"),
        (lambda m: m.update(devices=["\x1b[2J"]), r"devices\.0"),
        (lambda m: m["shapes"].update({"../x": "0" * 64}), "'../x' is no plain name of a shape"),
        (lambda m: m["shapes"].update(bunny="0"), "'0' is no SHA-256"),
    ],
)
def test_every_reader_refuses_with_one_message(
    fake_dataset: Path, tmp_path: Path, change: Callable[[Document], object], message: str
) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "in" / "it"))
    precious = tmp_path / "precious.txt"
    precious.write_text("years of work")
    document = json.loads((root / "dataset.json").read_text())
    change(document)
    (root / "dataset.json").write_text(json.dumps(document))
    out = tmp_path / "out"
    for use in (
        lambda: Multimodal3DIdent(root),
        lambda: data.verify(root),
        lambda: repair(root),
        lambda: data.info(root),
        lambda: data.subset(root, out, n=1),
        lambda: data.merge([root, fake_dataset], out),
        lambda: data.export(root, "imagefolder", out),
    ):
        with pytest.raises(M3diError, match=message) as error:
            use()
        assert error.value.what == "the file is no valid m3di manifest"
    assert precious.read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "precious.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec.clear(), "factors"),
        (lambda spec: rename(spec["factors"], "object_color", "a/b"), "a name is letters, digits"),
        (lambda spec: spec["factors"]["object_shape"].pop("values"), "needs `values` or `palettes`"),
        (lambda spec: spec["factors"]["object_zpos"].update(range=[1, -1]), r"`range` must be \[least, greatest\]"),
        (lambda spec: spec["factors"]["object_zpos"].update(range=[-1e308, 1e308]), "`range` must be"),
        (lambda spec: spec["factors"]["object_zpos"].update(values=["a"]), "are for `type: categorical`"),
        (lambda spec: spec["factors"]["object_zpos"].update(physical=[1]), "`physical` needs 2 numbers, got 1"),
        (lambda spec: spec["factors"]["render_seed"].update(range=[0, 1e300]), r"ends at 2\*\*53"),
        (lambda spec: spec["factors"]["render_seed"].pop("range"), "it needs `range`"),
        (lambda spec: spec["factors"].pop("object_color"), "no factor is called so"),
        (
            lambda spec: spec["views"]["image"]["factors"].update(object_zpos={"role": "constant", "value": 7}),
            "the role `constant` needs a `value` in the range",
        ),
        (lambda spec: spec.update(pairs={"counterfactual": ["nobody"]}), "no factor is called 'nobody'"),
        (
            lambda spec: spec["factors"]["object_xpos"].update(
                mechanism={"name": "uniform", "parents": ["object_color"]}
            ),
            "depend on each other in a circle",
        ),
        (
            lambda spec: spec.update(sequence={"length": 1000}, pairs={"counterfactual": ["object_shape"] * 9}),
            "too many: 22000, expected at most 10000",
        ),
    ],
)
def test_the_spec_of_a_dataset_is_what_reading_needs(
    fake_dataset: Path, tmp_path: Path, change: Callable[[Document], object], message: str
) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    document = json.loads((root / "dataset.json").read_text())
    change(document["spec"])
    (root / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(M3diError, match=message):
        Multimodal3DIdent(root)


@pytest.mark.parametrize(
    ("mechanism", "message"),
    [
        ({"name": "categorical", "weights": [-1, 2]}, r"has a parameter without a value(?s:.)*`weights` = -1"),
        ({"name": "uniform", "parents": ["nobody"]}, "the parent 'nobody' of factor 'object_shape' is not there"),
        ({"name": "uniform", "nonsense": 3}, r"the mechanism 'uniform' failed(?s:.)*TypeError"),
    ],
)
def test_parameters_of_a_stored_mechanism_may_be_nonsense(
    fake_dataset: Path, tmp_path: Path, mechanism: Document, message: str
) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    document = json.loads((root / "dataset.json").read_text())
    document["spec"]["factors"]["object_shape"]["mechanism"] = mechanism
    (root / "dataset.json").write_text(json.dumps(document))
    Multimodal3DIdent(root)[0]  # reading asks for no mechanism
    with pytest.raises(M3diError, match=message):
        data.verify(root)


def test_phrasings_of_a_stored_spec_may_be_nonsense(fake_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    document = json.loads((root / "dataset.json").read_text())
    document["spec"]["factors"]["text_phrasing"]["values"][0] = "nobody"
    (root / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(M3diError, match=r"split 'train' should be cannot be derived(?s:.)*KeyError: 'nobody'"):
        data.verify(root)


@pytest.mark.parametrize(
    ("option", "value"), [("size_px", 8193), ("n_train", 10**9 + 1), ("n_val", 10**12), ("seed", 2**63)]
)
def test_nothing_is_rendered_that_could_not_be_opened(tmp_path: Path, option: str, value: int) -> None:
    with pytest.raises(M3diError, match="is too large"):
        RenderOptions(out=tmp_path, **{option: value}).check()  # type: ignore[arg-type]


def change(root: Path, place: Callable[[Document], object]) -> None:
    """Change a manifest, and give it a checksum that holds."""
    document = json.loads((root / "dataset.json").read_text())
    place(document)
    (root / "dataset.json").write_bytes(to_json(Manifest.model_validate(document).sealed()))


def test_a_template_beside_the_dataset_is_not_looked_for(fake_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: of nobody's business\n")
    change(root, lambda m: m["spec"]["views"]["text"].update(template=str(secret)))
    assert data.left_out(data.verify(root)) == {"text": f"the template {str(secret)!r} is not here"}
    (root / "val.parquet").unlink()
    with pytest.raises(M3diError, match="the spec does not hold its caption template") as error:
        repair(root)
    assert "password" not in str(error.value)


def test_a_repair_asks_for_what_it_cannot_render(fake_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    change(root, lambda m: m["render"].update(quality="; rm -rf"))
    data.verify(root)
    (root / "val-00000.tar").unlink()
    with pytest.raises(M3diError, match="unknown quality"):
        repair(root)
    change(root, lambda m: m["render"].update(quality="draft"))
    change(root, lambda m: m["spec"]["views"]["image"]["factors"].pop("object_shape"))
    with pytest.raises(M3diError, match="needs `shape` or the factor"):
        repair(root)
    assert not list(root.glob("*.partial"))
