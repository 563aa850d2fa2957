"""A modality that m3di has never heard of: this file is all there is of it, from the spec to the trained encoder."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import m3di
from m3di import data, generate
from m3di.data.unfinished.claim import claim
from m3di.errors import M3diError, UsageError
from m3di.generate import ray_tasks
from m3di.generate.plan import prepare
from m3di.latents import (
    find_modality,
    load_spec,
    mechanisms,
    modality,
    parse_spec,
    plugins_run,
    read_plugin,
    run_plugin,
    sample,
)
from m3di.learn.training.sweep import make_sweep, write_sweep
from m3di.learn.training.sweep_share import command_of, write_plugins
from tests.cli.test_main import failed
from tests.cli.test_main import m3di as command
from tests.conftest import FakePool, fake_options, write_package

PLUGIN = '''
import numpy as np
import m3di


class Sound(m3di.Modality):
    """A tone of 32 values: its pitch is how often it swings, its loudness how far."""

    name, extension = "sound", "f32"

    def encode(self, samples, view):
        pitch, loudness = (samples.views[view][name][:, None] for name in ("pitch", "loudness"))
        waves = loudness * np.sin(np.arange(32) * (pitch + 1) * np.pi / 16)
        return [wave.astype("<f4").tobytes() for wave in waves]

    def decode(self, raw):
        if len(raw) != 128:
            raise ValueError(f"{len(raw)} bytes, a tone has 128")
        return np.frombuffer(raw, "<f4")

    def build_encoder(self, shape, encoding_size, hidden_size):
        from m3di.learn import MLP

        return MLP(shape[0], encoding_size, (hidden_size,))


m3di.register_modality(Sound())
'''
SPEC = """
name: tones
description: Tones, and what is said of them.
plugins: [sound.py]
factors:
  pitch: {type: integer, kind: scalar, range: [0, 5]}
  loudness: {type: continuous, kind: scalar, range: [0.5, 1.0]}
  level: {type: categorical, kind: label, values: [low, mid, high]}
views:
  ear: {modality: sound, factors: {pitch: content, loudness: style, level: content}}
  text: {modality: text, template: tones.yaml, factors: {level: content, pitch: content}}
splits: {train: 24, val: 12, test: 12}
"""
TEMPLATE = """
name: tones
language: en
reads: {level: label}
lexicon: {level: {word: {low: low, mid: middle, high: high}}}
phrasings: {one: "a {{ level }} tone", two: "the tone is {{ level }}"}
"""


N = {"n_train": 24, "n_val": 12, "n_test": 12, "size_px": 224, "n_workers": None}


def knows_nothing() -> None:
    """As a new process, with m3di's own modalities alone."""
    for name in set(modality.MODALITIES.loaded) - {"image", "text"}:
        del modality.MODALITIES._known[name], modality.MODALITIES._origins[name]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test registers is known to no other test."""
    knows_nothing()
    yield
    knows_nothing()


def write_spec(folder: Path, spec: str = SPEC) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "sound.py").write_text(PLUGIN)
    (folder / "tones.yaml").write_text(TEMPLATE)
    (folder / "spec.yaml").write_text(spec)
    return folder / "spec.yaml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: a dataset of tones and texts, made by `render` with no renderer at all."""
    folder = tmp_path_factory.mktemp("tones")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("m3di.generate.workers.RenderPool", None)
        patch.setattr("m3di.generate.plan.check_blender", None)
        generate.render(fake_options(folder / "data", spec=str(write_spec(folder / "spec")), **N))
    return folder / "data"


@pytest.fixture
def tones(made: Path) -> Path:
    run_plugin(PLUGIN, "sound.py")
    return made


def tone(pitch: int, loudness: float) -> np.ndarray:
    return (loudness * np.sin(np.arange(32) * (pitch + 1) * np.pi / 16)).astype(np.float32)


def test_the_spec_loads_and_samples(tmp_path: Path) -> None:
    spec = load_spec(write_spec(tmp_path))
    samples = sample(spec, "train", 5)
    assert [*spec.made], [*spec.told] == (["ear"], ["text"])
    assert (samples.views["ear"]["pitch"] == samples.views["text"]["pitch"]).all()
    raw = list(find_modality("sound").encode(samples, "ear"))
    pitch, loudness = (samples.views["ear"][name][3].item() for name in ("pitch", "loudness"))
    np.testing.assert_array_equal(find_modality("sound").decode(raw[3]), tone(pitch, loudness))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("modality: sound", "modality: sounds"),
            "no modality is called 'sounds'(.|\n)*image, sound, text(.|\n)*did you mean",
        ),
        (("modality: sound,", "modality: sound, template: m3di,"), "`template` belongs to the modality `text`"),
        (("modality: sound,", "modality: sound, shape: cow,"), "`shape` belongs to the modality `image`"),
        (("splits:", "sequence: {length: 3}\nsplits:"), "there is no image view to have frames"),
    ],
)
def test_a_spec_that_is_wrong_is_one_message(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_spec(write_spec(tmp_path, SPEC.replace(*change)))


def test_a_spec_whose_modality_nobody_registers_lists_those_there_are() -> None:
    text = "name: a\nfactors: {}\nviews: {ear: {modality: smell, factors: {}}}\nsplits: {train: 1}\n"
    with pytest.raises(UsageError, match=r"no modality is called 'smell'(.|\n)*image, text(.|\n)*m3di --plugin FILE"):
        parse_spec(text, where="a.yaml")


def test_a_view_in_other_worlds(tmp_path: Path) -> None:
    spec = load_spec(write_spec(tmp_path, SPEC + "pairs: {counterfactual: [pitch], permuted_content: true}\n"))
    assert [*spec.made] == ["ear", "ear_do_pitch", "ear_permuted"]
    out = tmp_path / "pairs"
    generate.render(fake_options(out, spec=spec, **N))
    assert data.read_manifest(out).extensions["ear_do_pitch"] == "ear_do_pitch.f32"
    item = m3di.Multimodal3DIdent(out)[3]
    z = item["z_ear_do_pitch"]
    np.testing.assert_array_equal(item["ear_do_pitch"].numpy(), tone(z["pitch"], z["loudness"]))
    m3di.verify(out)


def test_beside_an_image_its_bytes_are_what_they_were(tmp_path: Path) -> None:
    run_plugin(PLUGIN, "sound.py")
    text = """
extends: m3di
name: three
factors:
  pitch: {type: integer, kind: scalar, range: [0, 5]}
  loudness: {type: continuous, kind: scalar, range: [0, 1]}
views:
  ear: {modality: sound, factors: {pitch: content, loudness: private}}
"""
    spec = parse_spec(text, where="three.yaml")
    for name, each in (("plain", load_spec("m3di")), ("three", spec)):
        wanted = fake_options(tmp_path / name, spec=each)
        plan = generate.make_plan(each, wanted.resolved(each))
        data.prepare_folder(wanted.out, plan)
        generate.render_shards(each, plan, generate.shards_of(plan), wanted.out, FakePool(32))
        generate.finish(data.LocalFolder(wanted.out), each, plan)
    plain, three = (m3di.Multimodal3DIdent(tmp_path / name)[[0, 5, 9]] for name in ("plain", "three"))
    assert {*three} - {*plain} == {"ear", "z_ear"}
    assert all(torch.equal(plain[view], three[view]) for view in ("image", "text"))
    assert three["ear"].shape == (3, 32)
    m3di.verify(tmp_path / "three")
    card = (tmp_path / "three" / data.CARD).read_text()
    assert "images of 32 x 32 pixels" in card and "Files of the modality `sound`: `ear`." in card
    with pytest.raises(M3diError, match=r"ImageFolder has no place(.|\n)*ear \(sound\)"):
        data.export(tmp_path / "three", "imagefolder", tmp_path / "folder")
    with pytest.raises(M3diError, match="published layout has no place"):
        data.export(tmp_path / "three", "upstream", tmp_path / "upstream")


def test_what_lies_on_disk(tones: Path) -> None:
    manifest = m3di.verify(tones)
    assert manifest.extensions == {"ear": "f32", "text": "txt", "latents": "json"}
    assert manifest.render["bpy"] == "none"
    card = (tones / data.CARD).read_text()
    assert "pixels" not in card and "Blender" not in card.partition("Made by m3di")[2].partition("##")[0]
    assert "make files, with licences of their own: `sound` (view `ear`)." in card and "license: other\n" in card
    assert 'train[0]["ear"], train[0]["z_ear"], train[0]["text"], train[0]["z_text"]' in card
    columns = json.loads((tones / "croissant.json").read_text())["recordSet"][0]["field"]
    assert {"f32_offset", "ear.pitch", "text.caption"} <= {each["name"] for each in columns}
    assert not (tones / "samples.png").exists()


def test_the_same_spec_gives_the_same_bytes(tones: Path, tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec")
    generate.render(fake_options(tmp_path / "data", spec=str(spec), **N))
    for entry in data.read_manifest(tones).files:
        assert (tmp_path / "data" / entry.file).read_bytes() == (tones / entry.file).read_bytes(), entry.file


@pytest.mark.parametrize("resealed", [False, True])
def test_verify_finds_a_flipped_byte(tones: Path, tmp_path: Path, resealed: bool) -> None:
    """Also where every checksum was computed again: the file does not follow from the spec."""
    root = shutil.copytree(tones, tmp_path / "data")
    manifest = data.read_manifest(root)
    shard = manifest.splits["val"].shards[0]
    row = data.read_parquet(root / "val.parquet").slice(0, 1).to_pylist()[0]
    raw = bytearray((root / shard.file).read_bytes())
    raw[row["f32_offset"] + 5] ^= 1
    (root / shard.file).write_bytes(raw)
    if resealed:
        entry = data.file_entry(root / shard.file, shard.n_samples)
        split = manifest.splits["val"].model_copy(update={"shards": (entry, *manifest.splits["val"].shards[1:])})
        data.write_manifest(root, manifest.model_copy(update={"splits": {**manifest.splits, "val": split}}))
    with pytest.raises(M3diError, match="its sound in ear is not what the spec gives" if resealed else "sha256"):
        m3di.verify(root)


def test_items_batches_and_loaders(tones: Path) -> None:
    dataset = m3di.Multimodal3DIdent(tones, cache="ram")
    assert dataset.modalities == {"ear": "sound", "text": "text"}
    item, batch = dataset[7], dataset[[7, 2, 11]]
    np.testing.assert_array_equal(item["ear"].numpy(), tone(item["z_ear"]["pitch"], item["z_ear"]["loudness"]))
    assert batch["ear"].shape == (3, 32) and batch["ear"].dtype == torch.float32
    assert torch.equal(batch["ear"][0], item["ear"]) and torch.equal(batch["text"][0], item["text"])
    loader = DataLoader(dataset, batch_size=4, collate_fn=data.whole_batch)
    assert torch.equal(next(iter(loader))["ear"], dataset[range(4)]["ear"])
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[7]["ear"], item["ear"])


def test_a_file_that_cannot_be_read_is_told_or_skipped(tones: Path, tmp_path: Path) -> None:
    m = find_modality("sound")
    decode = m.decode
    bad = m3di.Multimodal3DIdent(tones)[1]["ear"].numpy().tobytes()

    def fails(raw: bytes) -> np.ndarray:
        return decode(raw[:-1] if raw == bad else raw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(m, "decode", fails)
        with pytest.raises(M3diError, match=r"sample 1 (.|\n)*view ear(.|\n)*127 bytes, a tone has 128"):
            m3di.Multimodal3DIdent(tones)[[0, 1]]
        with pytest.warns(UserWarning, match="skipped"):
            assert len(m3di.Multimodal3DIdent(tones, on_error="skip")[[0, 1, 2]]["ear"]) == 2


def test_subset_and_merge(tones: Path, tmp_path: Path) -> None:
    for name, split in (("a", "train"), ("b", "val")):
        data.subset(tones, tmp_path / name, splits=[split], where="ear.pitch >= 2")
        m3di.verify(tmp_path / name)
    data.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "both")
    m3di.verify(tmp_path / "both")
    assert min(m3di.Multimodal3DIdent(tmp_path / "both").factor_values["ear"]["pitch"]) >= 2
    data.export(tones, "croissant", tmp_path / "croissant.json")
    with pytest.raises(M3diError, match=r"published layout has no place(?s:.)*read the shards as they are"):
        data.export(tones, "upstream", tmp_path / "upstream")


def test_repair_makes_it_anew(tones: Path, tmp_path: Path) -> None:
    from m3di.generate.repair import repair

    root = shutil.copytree(tones, tmp_path / "data")
    (root / "train-00001.tar").write_bytes(b"damaged")
    assert repair(root) == ["train-00001.tar"]
    m3di.verify(root)


@pytest.mark.slow
def test_it_is_trained_and_evaluated_from_the_command_line(tmp_path: Path) -> None:
    """From a spec file to scores, with nothing but commands."""
    write_spec(tmp_path)
    counts = ("--n", 24, "--n-val", 12, "--n-test", 12, "--shard-size", 8)
    done = command("render", "--spec", "spec.yaml", "--out", "tones", *counts, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    knows_nothing()
    failed(command("train", "--data", "tones", cwd=tmp_path), 2, "no modality is called 'sound'", "--plugin")
    short = ("--steps", 3, "--batch-size", 8, "--encoding-size", 3, "--hidden-size", 8, "--no-tensorboard")
    train = ("train", "--data", "tones", "--run", "run", *short, "--threads", 1)
    done = command("--plugin", "tones", *train, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    views = json.loads((tmp_path / "run" / "config.json").read_text())["data"]["views"]
    assert views["ear"] == {
        **dict.fromkeys(("vocabulary_size", "pad_index", "vocabulary_sha256")), "modality": "sound", "shape": [32],
    }  # fmt: skip
    knows_nothing()
    evaluate = ("evaluate", "run", "--probes", "linear,logistic", "--out", "scores.csv")
    done = command("--plugin", "sound.py", *evaluate, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pitch" in done.stdout
    for verb in (("verify", "tones"), ("info", "tones"), ("verify", "tones", "--repair")):
        done = command("--plugin", "tones", *verb, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_encoders_come_back(tones: Path, tmp_path: Path) -> None:
    config = m3di.TrainConfig(n_steps=2, batch_size=8, encoding_size=3, hidden_size=8, tensorboard=False, n_threads=1)
    with pytest.raises(UsageError, match=r"no view is augmented(?s:.)*noise, and views ear, text"):
        m3di.train(tones, tmp_path / "run", replace(config, augment=("noise",)))
    assert not m3di.Multimodal3DIdent(tones).thread_safe and m3di.Multimodal3DIdent(tones, views="text").thread_safe
    result = m3di.train(tones, tmp_path / "run", config)
    batch = m3di.Multimodal3DIdent(tones, "test")[range(4)]
    again = m3di.load_encoders(str(tmp_path / "run"))
    assert torch.equal(again.encode("ear", batch["ear"]), result.encoders.encode("ear", batch["ear"]))
    with pytest.raises(UsageError, match="the run has no image view"):
        again.encode_images(batch["ear"])
    knows_nothing()
    with pytest.raises(UsageError, match="no modality is called 'sound'"):
        m3di.load_encoders(tmp_path / "run")


@pytest.mark.slow
def test_processes_of_a_sweep_know_the_plugins_of_the_one_that_started_them(tones: Path, tmp_path: Path) -> None:
    config = m3di.TrainConfig(n_steps=2, batch_size=8, encoding_size=3, hidden_size=8, tensorboard=False, n_threads=1)
    write_sweep(tmp_path / "sweep", make_sweep(tones, config, [], n_seeds=2))
    share = (tmp_path / "sweep", "0/1", [])
    assert (
        "no modality is called 'sound'"
        in subprocess.run(command_of(*share), capture_output=True, text=True, check=False).stderr
    )
    done = subprocess.run(command_of(*share, write_plugins(tmp_path)), capture_output=True, text=True, check=False)
    assert (done.returncode, "2 members finished" in done.stdout) == (0, True), done.stderr


def test_a_task_of_ray_is_sent_the_plugins(tmp_path: Path) -> None:
    """Those of `--plugin` too, which the spec does not name."""
    (tmp_path / "sound.py").write_text(PLUGIN)
    read_plugin(tmp_path / "sound.py")
    spec = load_spec(write_spec(tmp_path / "spec", SPEC.replace("plugins: [sound.py]\n", "")))
    options = fake_options(tmp_path / "out", spec=spec, **N)
    plan = prepare(options).plan
    tasks = ray_tasks.Tasks(options, tmp_path / "stage")
    sent = ray_tasks.ShardTask(str(tmp_path / "out"), plan, "val-00000.tar", tasks, plugins_run())
    knows_nothing()
    mechanisms._PLUGINS.clear()
    with pytest.raises(UsageError, match="no modality is called 'sound'"):
        ray_tasks.render_shard_task(replace(sent, plugins=()), MagicMock())
    (tmp_path / "out").mkdir()
    ray_tasks.render_shard_task(sent, MagicMock())
    assert (tmp_path / "out" / "val-00000.tar").is_file()


def test_what_is_about_images_is_refused(tmp_path: Path) -> None:
    spec = str(write_spec(tmp_path))
    with pytest.raises(UsageError, match=r"--passes is about images(.|\n)*views are ear, text"):
        generate.render(fake_options(tmp_path / "out", spec=spec, passes=("mask",), **N))
    with pytest.raises(UsageError, match=r"--gpu is about images"):
        generate.dry_run(fake_options(tmp_path / "out", spec=spec, gpu=True, **N))
    with pytest.raises(UsageError, match=r"no picture to preview(.|\n)*m3di sample"):
        generate.preview(fake_options(tmp_path / "out", spec=spec, **N), 2)
    told = str(generate.dry_run(fake_options(tmp_path / "out", spec=spec, **N)))
    assert "nothing is rendered; 3.1 kB a sample" in told


def test_to_finish_it_without_the_plugin_is_one_message(tones: Path, tmp_path: Path) -> None:
    shutil.copytree(tones, tmp_path / "part")
    (tmp_path / "part" / "dataset.json").unlink()
    claim(data.LocalFolder(tmp_path / "part"), data.plan_of(data.read_manifest(tones)))
    knows_nothing()
    with pytest.raises(UsageError, match=r"no modality is called 'sound'(.|\n)*m3di --plugin FILE"):
        generate.finalize(data.LocalFolder(tmp_path / "part"))


def test_opening_a_dataset_runs_no_code_of_it(made: Path) -> None:
    for act in (m3di.Multimodal3DIdent, m3di.verify, data.info):
        with pytest.raises(UsageError, match=r"no modality is called 'sound'(.|\n)*m3di --plugin FILE"):
            act(made)
    assert {each.name for each in modality.modalities()} == {"image", "text"}


@pytest.mark.slow
@pytest.mark.parametrize(("named", "said"), [("SOUND", "f32"), ("Sound", "this is no modality that can be registered")])
def test_a_package_names_it_in_an_entry_point(made: Path, tmp_path: Path, named: str, said: str) -> None:
    text = PLUGIN.replace("m3di.register_modality(Sound())", "SOUND = Sound()")
    write_package(tmp_path, "our_sound", text, f"[m3di.modalities]\nsound = our_sound:{named}\n")
    code = f"import m3di; print(m3di.verify({str(made)!r}).extensions['ear'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert said in (done.stdout or done.stderr)


def test_plugins_of_a_dataset_are_texts(made: Path, tmp_path: Path) -> None:
    stored = json.loads((made / data.MANIFEST).read_text())
    stored["spec"]["plugins"] = ["sound.py"]
    (tmp_path / data.MANIFEST).write_text(json.dumps(stored))
    with pytest.raises(M3diError, match=r"no valid m3di manifest(.|\n)*no texts by name"):
        data.plugins_in(tmp_path)


class Whatever(m3di.Modality):
    name, extension = "whatever", "bin"

    def encode(self, samples: object, view: str) -> list[bytes]:
        return [b""]

    def decode(self, raw: bytes) -> np.ndarray:
        return np.zeros(1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "image"}, "there is a modality of that name already"),
        ({"extension": "png"}, "files end so already"),
        ({"extension": "a/b"}, "no modality that can be registered"),
        ({"source": "rendered"}, "no modality that can be registered"),
    ],
)
def test_what_cannot_be_registered_is_refused(changed: dict[str, str], message: str) -> None:
    kind = type("Changed", (Whatever,), changed)
    with pytest.raises(UsageError, match=message):
        m3di.register_modality(kind())


@pytest.mark.parametrize(
    ("files", "message"), [(lambda: [b""], "gave no file a sample"), (lambda: 1 / 0, "ZeroDivisionError")]
)
def test_a_modality_that_fails_is_one_message(files: object, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    m3di.register_modality(Whatever())
    text = (
        "name: a\nfactors: {x: {type: integer, kind: scalar, range: [0, 3]}}\n"
        "views: {it: {modality: whatever, factors: {x: content}}}\nsplits: {train: 1}\n"
    )
    spec = parse_spec(text, where="a.yaml")
    monkeypatch.setattr(Whatever, "encode", lambda self, samples, view: files())  # type: ignore[operator]
    with pytest.raises(M3diError, match=message):
        data.files_of(sample(spec, "train", 3), "it")
