"""What a run leaves behind, and what comes back from it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from m3di.errors import M3diError
from m3di.learn import run_folder
from m3di.learn.inputs import ImageStatistics
from m3di.learn.run_folder import load_encoders, save_checkpoint

STATISTICS = ImageStatistics((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 9)
SIZES = {"vocabulary_size": 12, "pad_index": 2, "encoding_size": 3, "hidden_size": 5}


def build(seed=0):
    torch.manual_seed(seed)
    return run_folder.build_encoders(**SIZES, image_statistics=STATISTICS)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "deep" / "run"
    config = {
        "config": {"encoding_size": 3, "hidden_size": 5},
        "data": {"vocabulary_size": 12, "pad_index": 2},
        "image_statistics": {"mean": STATISTICS.mean, "std": STATISTICS.std, "n_samples": 9},
    }
    run_folder.write_config(folder, config)
    save_checkpoint(folder, build(), step=7)
    return folder


def test_encoders_come_back_the_same(run):
    before, after = build().eval(), load_encoders(run)
    assert not after.image.training
    assert not after.text.training
    assert after.image_statistics == STATISTICS
    assert after.text.pad_index == 2
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    tokens = torch.randint(0, 12, (2, 24))
    with torch.no_grad():
        assert torch.equal(before.encode_images(images), after.encode_images(images))
        assert torch.equal(before.encode_texts(tokens), after.encode_texts(tokens))


def test_checkpoints_are_plain_safetensors(run):
    weights = load_file(run / "checkpoint" / "image_encoder.safetensors")
    assert weights["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert weights.keys() == build().image.state_dict().keys()


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

    before = {path.name: path.read_bytes() for path in (run / "checkpoint").iterdir()}
    monkeypatch.setattr(run_folder, "save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(run, build(seed=1), step=8)
    assert {path.name: path.read_bytes() for path in (run / "checkpoint").iterdir()} == before


def test_no_run_here(tmp_path):
    with pytest.raises(M3diError, match="holds no training run"):
        load_encoders(tmp_path)


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
    (run / "checkpoint" / "text_encoder.safetensors").unlink()
    with pytest.raises(M3diError, match="no checkpoint"):
        load_encoders(run)


def test_damaged_checkpoint(run):
    path = run / "checkpoint" / "image_encoder.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(M3diError, match=r"does not fit .* or is damaged"):
        load_encoders(run)


def test_checkpoint_of_another_size(run):
    config = json.loads((run / "config.json").read_text())
    config["config"]["encoding_size"] = 99
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(M3diError, match=r"does not fit .* or is damaged"):
        load_encoders(run)


def test_encoders_of_different_steps(run):
    newer = (run / "checkpoint" / "text_encoder.safetensors").read_bytes()
    save_checkpoint(run, build(), step=8)
    (run / "checkpoint" / "text_encoder.safetensors").write_bytes(newer)
    with pytest.raises(M3diError, match="image encoder at step 8, text encoder at step 7"):
        load_encoders(run)


@pytest.mark.parametrize("name", ["config.json", "metrics.csv", "checkpoint"])
def test_a_folder_that_holds_a_run_is_not_free(tmp_path, name):
    run_folder.check_is_free(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(M3diError, match="already holds a run"):
        run_folder.check_is_free(tmp_path)


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(M3diError, match="run folder is a file"):
        run_folder.check_is_free(tmp_path / "run")
