"""The trainer: it learns, repeats itself, writes what it says, and refuses before it writes."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import FrozenInstanceError, asdict, replace

import pytest
import torch

from m3di.errors import M3diError, UsageError
from m3di.learn import TrainConfig, load_encoders, train, train_on
from m3di.learn.training.inputs import vocabulary_sha256

RESNET = TrainConfig(
    n_steps=3, batch_size=4, hidden_size=8, seed=5, precision="fp32", tensorboard=False, image_encoder="resnet18-small"
)
TINY = replace(RESNET, image_encoder="tiny-bn")


def read_metrics(run):
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights_of(encoders):
    return [*encoders.image.state_dict().values(), *encoders.text.state_dict().values()]


@pytest.fixture
def pairs(make_pairs, tiny_encoder):
    return make_pairs()


def test_a_run_writes_what_it_says(pairs, tmp_path):
    steps = []
    result = train_on(pairs, tmp_path / "run", TINY, on_step=lambda step, loss: steps.append((step, loss)))

    rows = read_metrics(result.run)
    assert list(rows[0]) == ["step", "loss", "val_loss", "alignment", "entropy", "temperature", "lr", "seconds"]
    assert [(int(row["step"]), pytest.approx(float(row["loss"]), rel=1e-8)) for row in rows] == steps
    assert [step for step, _ in steps] == [1, 2, 3]
    assert {row["lr"] for row in rows} == {"0.0001"}
    assert [float(row["seconds"]) for row in rows] == sorted(float(row["seconds"]) for row in rows)
    assert result.final_loss == steps[-1][1]
    assert (result.n_steps, result.device) == (3, "cpu")

    config = json.loads((result.run / "config.json").read_text())
    assert config["config"] == json.loads(json.dumps(asdict(TINY)))
    assert config["data"] == {
        "root": "/fake/root",
        "fingerprint": "sha256:fake",
        "n_samples": 16,
        "views": {
            "image": {"modality": "image", "vocabulary_size": None, "pad_index": None, "vocabulary_sha256": None},
            "text": {
                "modality": "text",
                "vocabulary_size": 20,
                "pad_index": 0,
                "vocabulary_sha256": vocabulary_sha256(pairs.vocabularies["text"]),
            },
        },
    }
    assert config["versions"]["torch"] == torch.__version__
    assert len(config["versions"]["m3di_code_sha256"]) == 64
    assert config["image_statistics"]["image"]["n_samples"] == 16
    assert (config["device_type"], config["precision"], config["n_threads"]) == ("cpu", "fp32", 1)

    summary = json.loads((result.run / "summary.json").read_text())
    assert (summary["n_steps"], summary["final_loss"], summary["val_loss"]) == (3, result.final_loss, None)
    assert summary["n_parameters"] == sum(weights.numel() for weights in result.encoders.parameters())


def test_encoders_come_back_from_a_run_in_eval_mode(pairs, tmp_path):
    result = train_on(pairs, tmp_path, TINY)
    loaded = load_encoders(tmp_path)
    assert not any(module.training for module in (loaded.image, loaded.text, result.encoders.image))
    assert all(torch.equal(a, b) for a, b in zip(weights_of(result.encoders), weights_of(loaded), strict=True))
    with torch.no_grad():
        assert torch.equal(loaded.encode_images(pairs.images), result.encoders.encode_images(pairs.images))
        assert loaded.encode_texts(pairs.texts).shape == (16, 4)


@pytest.mark.slow
def test_same_seed_same_bytes_and_another_seed_others(pairs, tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        torch.rand(1)  # what the caller drew before does not matter
        train_on(pairs, tmp_path / name, replace(RESNET, n_steps=2, seed=seed))

    def checkpoint(name):
        return [path.read_bytes() for path in sorted((tmp_path / name / "checkpoint").rglob("*_encoder.safetensors"))]

    assert checkpoint("a") == checkpoint("b")
    assert checkpoint("a") != checkpoint("c")


def test_the_callers_random_generator_and_threads_are_left_alone(pairs, tmp_path):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    threads_inside = []
    torch.set_num_threads(2)
    config = replace(TINY, n_steps=1, n_threads=1)
    train_on(pairs, tmp_path, config, on_step=lambda *_: threads_inside.append(torch.get_num_threads()))
    assert torch.equal(torch.rand(3), expected)
    assert threads_inside == [1]
    assert torch.get_num_threads() == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("similarity", "lr", "bound"),
    [
        # Eight pairs in four dimensions are best spread as +- the axes: log(1 + 6 e^-2 + e^-4) = 0.60 at tau = 1/2.
        ("cosine", 1e-3, 0.75),
        ("neg_squared_euclidean", 1e-4, 0.05),
    ],
)
def test_the_loss_on_one_fixed_batch_falls(make_pairs, tmp_path, similarity, lr, bound):
    losses = []
    config = TrainConfig(n_steps=12, batch_size=8, lr=lr, temperature=0.5, similarity=similarity)
    train_on(make_pairs(n_samples=8), tmp_path, config, on_step=lambda _, loss: losses.append(loss))
    assert losses[0] == pytest.approx(math.log(8), rel=0.15)
    assert max(losses[-3:]) < bound


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")  # Python 3.12 and later, in torch
def test_worker_processes_change_nothing(pairs, tmp_path):
    train_on(pairs, tmp_path / "a", TINY)
    train_on(pairs, tmp_path / "b", replace(TINY, n_workers=1, worker_kind="processes"))
    name = "checkpoint/step-000000003/image_encoder.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.slow
def test_the_first_update_is_clipped_adam(pairs, tmp_path):
    # Adam's first step moves each weight by lr, whatever its gradient, unless that is near Adam's epsilon.
    one = train_on(pairs, tmp_path / "a", replace(RESNET, n_steps=1, lr=1e-3))
    other = train_on(pairs, tmp_path / "b", replace(RESNET, n_steps=1, lr=1e-12))
    moved = (one.encoders.image.head.weight - other.encoders.image.head.weight).abs()
    assert moved.max() < 1.001e-3
    assert moved.median().item() == pytest.approx(1e-3, rel=0.01)
    # With gradients clipped far below epsilon (1e-8), almost nothing moves.
    clipped = train_on(pairs, tmp_path / "c", replace(RESNET, n_steps=1, lr=1e-3, clip_norm=1e-10))
    assert (clipped.encoders.image.head.weight - other.encoders.image.head.weight).abs().max() < 1e-4


def test_checkpoints_come_as_often_as_asked(pairs, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr("m3di.learn.training.job.save_checkpoint", lambda _run, _encoders, step, *_: saved.append(step))
    train_on(pairs, tmp_path, replace(TINY, n_steps=5, checkpoint_every=2))
    assert saved == [2, 4, 5]


def test_a_killed_run_keeps_its_metrics_and_last_checkpoint(pairs, tmp_path):
    def stop(step, _loss):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on(pairs, tmp_path, replace(TINY, checkpoint_every=1), on_step=stop)
    assert len(read_metrics(tmp_path)) == 2
    load_encoders(tmp_path)


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_written(pairs, tmp_path):
    config = replace(TINY, n_steps=50, lr=1e30, similarity="neg_squared_euclidean", checkpoint_every=1)
    with pytest.raises(M3diError, match=r"no longer finite(?s:.)*step \d+ of 50(?s:.)*lower lr") as caught:
        train_on(pairs, tmp_path, config)
    assert not isinstance(caught.value, UsageError)
    rows = read_metrics(tmp_path)
    assert rows
    assert all(math.isfinite(float(row["loss"])) for row in rows)
    assert f"step {len(rows) + 1} of 50" in str(caught.value)
    load_encoders(tmp_path)


def test_a_gradient_that_is_not_finite_stops_before_it_is_applied(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(math.nan))
    with pytest.raises(M3diError, match="gradient of length nan"):
        train_on(pairs, tmp_path, TINY)
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize(("n_val", "told"), [(3, " in batches of 3"), (4, ""), (6, "")])
def test_a_validation_loss_against_fewer_negatives_says_so(make_pairs, tiny_encoder, tmp_path, n_val, told):
    for _ in range(2):  # as it ends, and of a finished run
        result = train_on(make_pairs(16), tmp_path, replace(TINY, image_encoder="tiny"), val=make_pairs(n_val))
        assert str(result).endswith(f", validation loss {result.val_loss:.4f}{told}")


def test_train_reads_the_train_and_val_splits_of_a_dataset_on_disk(fake_dataset, tmp_path):
    config = replace(RESNET, n_steps=1, views=("text", "image"), cache="ram")
    result = train(fake_dataset, tmp_path / "run", config)
    assert result.val_loss == pytest.approx(math.log(4), rel=0.5)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["val_loss"] == result.val_loss
    assert float(read_metrics(tmp_path / "run")[-1]["val_loss"]) == pytest.approx(result.val_loss, rel=1e-8)
    assert load_encoders(tmp_path / "run").views == ("text", "image")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_steps": 0}, "n_steps is too small"),
        ({"batch_size": 1}, "batch_size is too small: one pair alone has no negatives"),
        ({"encoding_size": 0}, "encoding_size is too small"),
        ({"hidden_size": 0}, "hidden_size is too small"),
        ({"checkpoint_every": 0}, "checkpoint_every is too small"),
        ({"n_workers": -1}, "n_workers is too small"),
        ({"n_threads": 0}, "n_threads is too small"),
        ({"seed": -1}, "seed is too small"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"lr": math.nan}, "lr must be positive"),
        ({"clip_norm": -1.0}, "clip_norm must be positive"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"similarity": "cosin"}, "did you mean 'cosine'"),
        ({"device": "cude"}, "did you mean 'cuda'"),
        ({"precision": "fp16"}, "unknown precision(?s:.)*fp32"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"negatives": "al"}, "did you mean 'all'"),
        ({"cache": "rom"}, "did you mean 'ram'"),
        ({"val_every": 0}, "val_every is too small"),
        ({"weight_decay": -0.1}, "weight_decay is too small"),
        ({"weight_decay": math.nan}, "weight_decay is too small"),
        ({"device": "tpu-v9"}, "cpu, cuda, auto"),
    ],
)
def test_values_out_of_range(changes, message):
    with pytest.raises(UsageError, match=message):
        replace(TINY, **changes)


def test_the_config_is_frozen():
    with pytest.raises(FrozenInstanceError):
        TINY.lr = 1.0


def test_a_batch_larger_than_the_split(pairs, tmp_path):
    with pytest.raises(UsageError, match=r"batch is larger than the train split(?s:.)*a batch of 17, a split of 16"):
        train_on(pairs, tmp_path / "run", replace(TINY, batch_size=17))
    assert not (tmp_path / "run").exists()


def test_cuda_where_there_is_none(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"torch finds no CUDA device(?s:.)*use device 'auto' or 'cpu'"):
        train_on(pairs, tmp_path / "run", replace(TINY, device="cuda"))
    assert not (tmp_path / "run").exists()
    assert train_on(pairs, tmp_path / "run", replace(TINY, n_steps=1, device="auto")).device == "cpu"


def test_bad_images_are_met_before_anything_is_written(pairs, tmp_path):
    pairs.images = pairs.images.float()
    with pytest.raises(M3diError, match="not 8-bit RGB"):
        train_on(pairs, tmp_path / "run", TINY)
    assert not (tmp_path / "run").exists()


def test_a_view_that_the_dataset_lacks_is_met_before_anything_is_written(pairs, fake_dataset, tmp_path):
    with pytest.raises(UsageError, match=r"no view 'texts'(?s:.)*did you mean 'text'"):
        train_on(pairs, tmp_path / "run", replace(TINY, views=("image", "texts")))
    with pytest.raises(UsageError, match=r"no view 'picture'(?s:.)*image, text"):
        train(fake_dataset, tmp_path / "run", replace(TINY, views=("picture", "text")))
    pairs.modalities = {"image": "image"}
    with pytest.raises(UsageError, match="two or more different views"):
        train_on(pairs, tmp_path / "run", TINY)
    assert not (tmp_path / "run").exists()


def test_a_folder_with_another_run_is_refused_and_left_as_it_is(pairs, make_pairs, tmp_path):
    train_on(pairs, tmp_path, replace(TINY, n_steps=1))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(M3diError, match=r"holds a run, and it is another(?s:.)*n_steps 1, lr 0.0001(?s:.)*n_steps 3"):
        train_on(pairs, tmp_path, replace(TINY, lr=1.0))
    others = make_pairs()
    others.fingerprint = "sha256:other"
    with pytest.raises(M3diError, match=r"data.fingerprint sha256:fake"):
        train_on(others, tmp_path, replace(TINY, n_steps=1))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["metrics.csv", "checkpoint", "summary.json"])
def test_a_folder_with_parts_of_a_run_is_refused(pairs, tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(M3diError, match=r"already holds a run, without its config.json(?s:.)*nothing was changed"):
        train_on(pairs, tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_no_run_folder(pairs, tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(M3diError, match="run folder is a file"):
        train_on(pairs, tmp_path / "run", TINY)
