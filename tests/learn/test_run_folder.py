"""What a run leaves behind, and what comes back from it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from m3di.errors import M3diError, UsageError
from m3di.learn.models.encoder_set import build_encoders
from m3di.learn.models.registry import IMAGE_ENCODERS
from m3di.learn.training import run_differences, run_folder, tensor_file
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.inputs import ImageStatistics, ViewInput
from m3di.learn.training.run_folder import load_encoders, save_checkpoint

STATISTICS = ImageStatistics((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 9)
INPUTS = {"image": ViewInput("image"), "text": ViewInput("text", 12, 2, "no hash")}
CONFIG = TrainConfig(n_steps=9, batch_size=2, encoding_size=3, hidden_size=5, image_encoder="tiny")
RESNET = replace(CONFIG, image_encoder="resnet18-small")


def build(seed=0, config=CONFIG):
    torch.manual_seed(seed)
    return build_encoders(INPUTS, config, {"image": STATISTICS})


@pytest.fixture
def run(tmp_path, tiny_encoder):
    return write_run(tmp_path / "deep" / "run", CONFIG)


def write_run(folder, settings):
    config = {
        "config": asdict(settings),
        "data": {"fingerprint": "a", "views": {view: asdict(each) for view, each in INPUTS.items()}},
        "image_statistics": {"image": asdict(STATISTICS)},
    }
    run_folder.write_config(folder, config)
    save_checkpoint(folder, build(config=settings), step=7)
    return folder


def weights_file(run, view="image"):
    (checkpoint,) = (run / "checkpoint").iterdir()
    return checkpoint / f"{view}_encoder.safetensors"


def test_encoders_come_back_the_same(tmp_path):
    before, after = build(config=RESNET).eval(), load_encoders(write_run(tmp_path, RESNET))
    assert not after.image.training
    assert not after.text.training
    assert after.image_statistics == STATISTICS
    assert after.text.pad_index == 2
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    tokens = torch.randint(0, 12, (2, 24))
    with torch.no_grad():
        assert torch.equal(before.encode_images(images), after.encode_images(images))
        assert torch.equal(before.encode_texts(tokens), after.encode_texts(tokens))


def test_checkpoints_are_plain_safetensors(tmp_path):
    weights = load_file(weights_file(write_run(tmp_path, RESNET)))
    assert weights["layer2.0.downsample.0.weight"].shape == (64, 32, 1, 1)
    assert weights.keys() == build(config=RESNET).image.state_dict().keys()


def test_nothing_partial_is_left(run):
    assert sorted(path.name for path in run.rglob("*") if path.is_file()) == [
        "config.json",
        "image_encoder.safetensors",
        "text_encoder.safetensors",
    ]


def test_a_checkpoint_replaces_the_one_before(run):
    save_checkpoint(run, build(seed=1), step=8)
    assert torch.equal(load_encoders(run).image.fc.weight, build(seed=1).image.fc.weight)


def test_a_failed_save_keeps_the_one_before(run, monkeypatch):
    def full_disk(*_args, **_kwargs):
        raise OSError("no space left on device")

    before = load_file(weights_file(run))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(tensor_file, "save_file", full_disk)
        save_checkpoint(run, build(seed=1), step=8)
    assert torch.equal(load_encoders(run).image.fc.weight, before["fc.weight"])
    save_checkpoint(run, build(seed=1), step=8)  # over what the failed one left
    assert torch.equal(load_encoders(run).image.fc.weight, build(seed=1).image.fc.weight)
    assert [path.name for path in (run / "checkpoint").iterdir()] == ["step-000000008"]


def test_no_run_here(tmp_path):
    with pytest.raises(M3diError, match="holds no training run"):
        load_encoders(tmp_path)


@pytest.mark.parametrize(("name", "what"), [("sweep.json", "a sweep"), ("dataset.json", "a dataset")])
def test_the_folder_of_something_else_is_no_run(tmp_path, name, what):
    (tmp_path / name).write_text("{}")
    with pytest.raises(M3diError, match=rf"the folder is that of {what}, not of a run(?s:.)*{name}(?s:.)*--run"):
        run_folder.claim(tmp_path, {})
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_runs_beside_are_named(run):
    with pytest.raises(M3diError, match=rf"no training run(?s:.)*folders of 1 runs(?s:.)*such as {run}"):
        run_folder.read_config(run.parent)


def test_config_that_is_not_json(run):
    (run / "config.json").write_text("{")
    with pytest.raises(M3diError, match="not JSON"):
        load_encoders(run)
    (run / "config.json").write_text("[]")
    with pytest.raises(M3diError, match="not a JSON object"):
        load_encoders(run)


def test_config_of_something_else(run):
    (run / "config.json").write_text(json.dumps({"name": "another tool"}))
    with pytest.raises(M3diError, match="not that of a training run"):
        load_encoders(run)


def test_no_checkpoint_yet(run):
    shutil.rmtree(run / "checkpoint")
    with pytest.raises(M3diError, match="no checkpoint"):
        load_encoders(run)


def test_a_checkpoint_without_one_of_its_files(run):
    weights_file(run, "text").unlink()
    with pytest.raises(M3diError, match=r"lacks a file(?s:.)*text_encoder"):
        load_encoders(run)


def test_damaged_checkpoint(run):
    path = weights_file(run)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(M3diError, match="checkpoint is damaged"):
        load_encoders(run)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_posing_as_weights_is_not_opened(run, zipped):
    class Trap:
        def __reduce__(self):
            return (run / "opened").touch, ()

    torch.save(Trap(), weights_file(run), _use_new_zipfile_serialization=zipped)
    with pytest.raises(M3diError, match=r"are a pickle(?s:.)*safetensors"):
        load_encoders(run)
    assert not (run / "opened").exists()


@pytest.mark.parametrize("changes", [{"encoding_size": 99}, {"image_encoder": "toy"}])
def test_a_checkpoint_of_another_architecture(run, changes, monkeypatch):
    monkeypatch.setitem(IMAGE_ENCODERS._known, "toy", lambda encoding_size, _hidden: nn.Linear(3, encoding_size))
    config = json.loads((run / "config.json").read_text())
    config["config"] |= changes
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(M3diError, match=r"of another architecture(?s:.)*image_encoder.safetensors"):
        load_encoders(run)


def test_encoders_that_nobody_registered_here(run):
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace('"tiny"', '"mine"'))
    with pytest.raises(UsageError, match="no image encoder is called 'mine'"):
        load_encoders(run)


def test_a_view_without_an_encoder(tiny_encoder):
    with pytest.raises(UsageError, match=r"no encoder for a view 'txt'(?s:.)*did you mean 'text'"):
        build().encode("txt", torch.zeros(1, 3))
    (only_text,) = ({"text": each} for view, each in INPUTS.items() if view == "text")
    with pytest.raises(UsageError, match="no image view"):
        build_encoders(only_text, CONFIG, {}).encode_images(torch.zeros(1, 3, 8, 8))


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    with run_folder.hold_run(tmp_path):
        assert run_folder.is_held(tmp_path)
        with pytest.raises(M3diError, match="another process is training"), run_folder.hold_run(tmp_path):
            pass
    assert not run_folder.is_held(tmp_path)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {}),
        ({"precision": "bf16"}, {"precision": ("fp32", "bf16")}),
        ({"device_type": "cuda"}, {"device_type": ("cpu", "cuda")}),
        ({"n_threads": 8}, {"n_threads": (2, 8)}),
        ({"world_size": 2}, {"world_size": (1, 2)}),
        ({"data": {"fingerprint": "b"}}, {"data.fingerprint": ("a", "b")}),
        ({"data": {"fingerprint": "a", "n_samples": 4}}, {}),  # a run of before that was recorded
    ],
)
def test_all_that_the_weights_depend_on_is_compared(changes, found):
    stored = {
        "config": json.loads(json.dumps(asdict(CONFIG))),
        "data": {"fingerprint": "a"},
        "precision": "fp32",
        "device_type": "cpu",
    }
    stored |= {"n_threads": 2, "world_size": 1}
    assert run_differences.differences(stored, stored | changes) == found


def test_another_split_or_a_filter_of_the_same_dataset_is_other_data():
    stored = {"config": json.loads(json.dumps(asdict(CONFIG))), "data": {"fingerprint": "a", "n_samples": 8}}
    wanted = {**stored, "data": {"fingerprint": "a", "n_samples": 4}}
    assert run_differences.differences(stored, wanted) == {"data.n_samples": (8, 4)}
    wanted = {**stored, "data": {**stored["data"], "selection": "train 1a"}}
    assert run_differences.differences(stored, wanted) == {}  # a run of before that was noted
    other = {**stored, "data": {**stored["data"], "selection": "train 2b"}}
    assert run_differences.differences(wanted, other) == {"data.selection": ("train 1a", "train 2b")}


def test_another_vocabulary_transform_or_validation_is_another_run():
    def described(sha256="1a", mean=0.5, val="train"):
        return {
            "config": json.loads(json.dumps(asdict(CONFIG))),
            "data": {
                "fingerprint": "a",
                "views": {"text": {"vocabulary_sha256": sha256, "shape": (3,)}},
                "val": {"selection": val, "n_samples": 4},
            },
            "image_statistics": {"image": {"mean": (mean, 0.25), "n_samples": 8}},
        }

    stored = json.loads(json.dumps(described()))
    assert run_differences.differences(stored, described(mean=0.500001)) == {}
    assert run_differences.differences(stored, described("2b", 0.6, "val 3c")) == {
        "data.views.text.vocabulary_sha256": ("1a", "2b"),
        "data.val.selection": ("train", "val 3c"),
        "image_statistics.image.mean": ([0.5, 0.25], [0.6, 0.25]),
    }
    before = {name: stored[name] for name in ("config",)} | {"data": {"fingerprint": "a"}}
    assert run_differences.differences(before, described("2b", 0.6, "val 3c")) == {}  # of before they were noted


def test_a_run_notes_on_what_else_it_goes_on(tmp_path):
    first = {"config": json.loads(json.dumps(asdict(CONFIG))), "device": "H100", "versions": {"torch": "2.4"}}
    run_folder.write_config(tmp_path, first)
    run_folder.note_continuation(tmp_path, first)
    assert run_folder.read_config(tmp_path) == first
    second = {**first, "device": "A100", "config": {**first["config"], "n_workers": 3}}
    (tmp_path / "checkpoint" / "step-000000012").mkdir(parents=True)
    for _ in range(2):  # the second time nothing is new
        run_folder.note_continuation(tmp_path, second)
    (noted,) = run_folder.read_config(tmp_path)["continued"]
    assert (noted["after_step"], noted["device"], noted["settings"]["n_workers"]) == (12, "A100", 3)
    assert "versions" not in noted
    run_folder.note_continuation(tmp_path, {**second, "device": "H100"})
    assert [each["device"] for each in run_folder.read_config(tmp_path)["continued"]] == ["A100", "H100"]
    run_folder.write_summary(tmp_path, {})
    run_folder.note_continuation(tmp_path, second)  # a finished run is only looked at
    assert len(run_folder.read_config(tmp_path)["continued"]) == 2


def test_threads_count_on_the_cpu_only():
    stored = {
        "config": json.loads(json.dumps(asdict(CONFIG))),
        "data": {"fingerprint": "a"},
        "precision": "fp32",
        "device_type": "cuda",
    }
    assert run_differences.differences({**stored, "n_threads": 2}, {**stored, "n_threads": 8}) == {}
