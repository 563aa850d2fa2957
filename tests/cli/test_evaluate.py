"""`m3di evaluate` and `m3di report` on the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from m3di.cli import evaluate as cli_evaluate
from m3di.cli.main import cli
from m3di.errors import DataError, UsageError
from m3di.evaluate import ProbeData, data_for
from m3di.learn.models import registry
from m3di.learn.training.run_folder import read_config
from tests.conftest import keep, write_fake_dataset


def brought(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    shape = rng.integers(0, 3, size=60)
    z = np.stack([shape, rng.normal(size=60)], axis=1).astype(np.float32)
    path = folder / "mine.npz"
    np.savez(
        path,
        val_image=z[:40],
        test_image=z[40:],
        **{"val_image.object_shape": shape[:40], "test_image.object_shape": shape[40:]},
    )
    return path


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step with a small encoder that every command finds."""
    from m3di.learn import TrainConfig, train

    root = write_fake_dataset(tmp_path_factory.mktemp("data") / "m3di", n_train=8, n_val=24, n_test=12)
    out = tmp_path_factory.mktemp("runs") / "run"
    step = TrainConfig(n_steps=1, batch_size=4, precision="fp32", n_threads=1, tensorboard=False)
    train(root, out, replace(step, image_encoder="resnet18-small"))
    return out


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_encodings_of_anybody_are_scored_and_drawn(tmp_path: Path) -> None:
    output = run("evaluate", brought(tmp_path), "--probes", "logistic,mlp", "--n-bootstrap", 20)
    assert "image.object_shape" in output and "accuracy" in output
    rows = pq.read_table(tmp_path / "mine.parquet").to_pylist()
    assert [row["value"] for row in rows] == [1.0, 1.0]
    output = run("report", tmp_path / "mine.parquet", "--out", tmp_path / "figures")
    assert (tmp_path / "figures" / "heat-map.png").is_file()
    assert "heat-map.pdf" in output


def test_folds_and_differences(tmp_path: Path) -> None:
    mine = brought(tmp_path)
    run("evaluate", mine, "--probes", "logistic", "--n-bootstrap", 20, "--folds", 4)
    (row,) = pq.read_table(tmp_path / "mine.parquet").to_pylist()
    assert (row["value"], row["n_fit"], row["n_test"]) == (1.0, 45, 60)
    with np.load(mine) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["test_image"] = arrays["test_image"][::-1]  # each sample has another one's encoding
    np.savez(tmp_path / "worse.npz", **arrays)
    words = ["compare", mine, tmp_path / "worse.npz", "--probes", "logistic", "--n-bootstrap", 50]
    output = run(*words, "--out", tmp_path / "difference.csv")
    assert "first" in output and "image.object_shape" in output and "0.0392" in output  # p = 2 / 51
    assert (tmp_path / "difference.csv").read_text().count("\n") == 2


def content_alone(folder: Path) -> tuple[Path, Path]:
    """A dataset, and encodings of it that are the shape and the position themselves."""
    root = write_fake_dataset(folder / "m3di", n_train=2, n_val=90, n_test=60)
    content = [each for each in ProbeData(root).factors["image"] if each.role == "content"]
    arrays = {
        f"{split}_image": np.stack([getattr(each, part) for each in content], axis=1).astype(np.float32)
        for split, part in (("val", "fit"), ("test", "test"))
    }
    np.savez(folder / "content.npz", **arrays)
    return root, folder / "content.npz"


@pytest.mark.parametrize("probes", ["leakage,mcc", pytest.param("", marks=pytest.mark.slow)])
def test_folds_cut_all_that_probes_look_at(tmp_path: Path, probes: str) -> None:
    root, encodings = content_alone(tmp_path)
    words = ["evaluate", encodings, "--data", root, "--n-bootstrap", 5, "--probes", probes]
    words += ["--factors", "object_shape,object_color"]
    found = []
    for more in ((), ("--folds", 3)):
        run(*words, "--out", tmp_path / "scores.parquet", *more)
        rows = pq.read_table(tmp_path / "scores.parquet").to_pylist()
        found.append({(row["factor"], row["estimator"], row["metric"]): row["value"] for row in rows})
    once, by_folds = found
    assert once.keys() == by_folds.keys()
    assert by_folds["content", "pearson", "mcc"] == pytest.approx(1.0)
    assert by_folds["image.object_color", "kernel_ridge", "leakage"] == pytest.approx(0.0, abs=0.1)


def test_runs_of_different_places_have_no_mean(tmp_path: Path) -> None:
    mine = brought(tmp_path)
    (tmp_path / "other").mkdir()
    other = shutil.copy(mine, tmp_path / "other" / "theirs.npz")
    output = run("evaluate", mine, other, "--probes", "logistic", "--n-bootstrap", 5)
    assert output.count("image.object_shape") == 2
    assert f"\n{mine}\n" in output and f"\n{other}\n" in output


def test_csv_by_the_name_of_the_file(tmp_path: Path) -> None:
    run("evaluate", brought(tmp_path), "--probes", "logistic", "--n-bootstrap", 5, "--out", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--do", "object_xpos=right"), "encodings that were made already"),
        (("--fit", "x"), "--fit needs --data"),
        (("--probes", "logistik"), "no metric is called"),
        (("--folds", "3", "--data", "x", "--fit", "y"), "folds are cut from the samples of one dataset"),
        (("--folds", "1"), "number of folds is too small"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run("evaluate", brought(tmp_path), *arguments)


def test_encodings_of_several_runs_are_not_saved(tmp_path: Path) -> None:
    path = brought(tmp_path)
    other = shutil.copy(path, tmp_path / "other.npz")
    with pytest.raises(UsageError, match="encodings are those of one run"):
        run("evaluate", path, other, "--save-encodings", tmp_path / "out.npz")
    with pytest.raises(UsageError, match="in a file already"):
        run("evaluate", path, "--save-encodings", tmp_path / "out.npz")


@pytest.mark.parametrize("device", ["cuda", "auto", "gpu"])
def test_a_device_is_one_that_is_there(tmp_path: Path, trained_run: Path, device: str) -> None:
    """Each is an answer or one message."""
    command = ["evaluate", str(trained_run), "--device", device, "--probes", "linear", "--n-bootstrap", "5"]
    result = CliRunner().invoke(cli, command)
    if device == "auto":
        assert result.exit_code == 0, result.output
        assert "scores of 1 run" in result.output
    elif device == "gpu":
        assert result.exit_code == 2
        assert "'gpu' is not one of 'auto', 'cpu', 'cuda'" in result.output
    else:
        assert isinstance(result.exception, UsageError)
        assert "torch finds no CUDA device" in str(result.exception)


def test_samples_are_called_what_they_are(trained_run: Path, tmp_path: Path) -> None:
    trained_on = Path(read_config(trained_run)["data"]["root"])
    runs = [trained_run, trained_run]
    other = write_fake_dataset(tmp_path / "other", n_train=8, n_val=24, n_test=12, seed=1)

    def name(*arguments: Any, **options: Any) -> str:
        return data_for(*arguments, **options).name

    assert name(runs, trained_on) == "factual"
    assert name(runs, trained_on, split="train") == "train"
    assert name(runs, trained_on, other) == "factual, fitted on other"
    assert name(runs, other, split="train") == "other train"
    moved = Path(shutil.copytree(trained_on, tmp_path / "moved"))
    assert name(runs, moved) == "factual"  # the dataset is the same, wherever it lies
    elsewhere = shutil.copytree(trained_run, tmp_path / "run")
    config = json.loads((elsewhere / "config.json").read_text())
    config["data"]["fingerprint"] = "0" * 64  # the path is the same, the dataset is another one
    (elsewhere / "config.json").write_text(json.dumps(config))
    for mixed in ([trained_run, elsewhere], [elsewhere, trained_run]):  # in either order
        assert name(mixed, trained_on) == trained_on.name
    for same in (trained_on, moved):
        with pytest.raises(UsageError, match="would be scored on what they were fitted on"):
            _ = ProbeData(trained_on, fit_root=same, split="val").fit
    assert len(ProbeData(trained_on, fit_root=other, split="val").fit) == 24


def test_a_run_or_split_that_is_named_twice_counts_once(trained_run: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    shutil.copytree(trained_run, sweep / "seed=0")
    (sweep / "sweep.json").write_text(json.dumps({"members": [{"run": "seed=0", "values": {"seed": 0}}]}))
    few = ("--probes", "linear", "--factors", "object_color", "--n-bootstrap", 5)
    once = run("evaluate", sweep / "seed=0", *few, "--out", tmp_path / "once.csv")
    assert "95 %" in once and (tmp_path / "once.csv").read_text().count("circular_r2") == 1
    given = (sweep, sweep, sweep / "seed=0", os.path.relpath(sweep / "seed=0"))
    run("evaluate", *given, *few, "--split", "test", "--split", "test", "--out", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().count("circular_r2") == 1


def test_results_on_other_samples_have_no_loss_of_the_training(trained_run: Path, tmp_path: Path) -> None:
    few = ("--probes", "linear", "--factors", "object_color", "--n-bootstrap", 5, "--out", tmp_path / "out.csv")
    assert "val_loss" in run("evaluate", trained_run, *few)
    shown = run("evaluate", trained_run, *few, "--split", "train")
    assert shown.startswith("\ntrain\n") and "val_loss" not in shown + (tmp_path / "out.csv").read_text()


def test_a_dataset_that_is_not_where_it_was(trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = shutil.copytree(trained_run, tmp_path / "run")
    config = json.loads((moved / "config.json").read_text())
    config["data"]["root"] = "data/here"
    (moved / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"not where it was\n(?s:.)*data/here, named in(?s:.)*say with --data"):
        run("evaluate", moved)


def test_what_is_fitted_on_itself_is_refused_before_it_is_rendered(trained_run: Path) -> None:
    folder = Path(read_config(trained_run)["data"]["root"]).parent
    before = sorted(folder.iterdir())
    with pytest.raises(UsageError, match="would be scored on what they were fitted on"):
        run("evaluate", trained_run, "--do", "object_xpos=right", "--split", "val")
    assert sorted(folder.iterdir()) == before


def test_differences_say_of_which_setting_and_samples_they_are(trained_run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        rates = (0.001, 0.01)
        members = [{"run": f"lr={rate}", "values": {"lr": rate}} for rate in rates]
        for member in members:
            shutil.copytree(trained_run, tmp_path / name / str(member["run"]))
        (tmp_path / name / "sweep.json").write_text(json.dumps({"members": members}))
    words = ("compare", tmp_path / "a", tmp_path / "b", "--probes", "linear", "--factors", "object_color")
    shown = run(*words, "--n-bootstrap", 5, "--split", "train")
    assert shown.startswith("\ntrain\n") and re.findall(r"\n 4 +(0\.\d+) .* r2 ", shown) == ["0.001", "0.01"]


FEW = ("--probes", "linear", "--factors", "object_color", "--n-bootstrap", 5)


@pytest.fixture(scope="module")
def scored_sweep(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of one run, which keeps its scores."""
    sweep = tmp_path_factory.mktemp("sweeps") / "sweep"
    shutil.copytree(trained_run, sweep / "seed=0")
    (sweep / "sweep.json").write_text(json.dumps({"members": [{"run": "seed=0", "values": {"seed": 0}}]}))
    run("evaluate", sweep, *FEW)
    return sweep


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, None),
        ({"temperature": 0.1}, "temperature"),
        ({"loss": "siglip", "loss_options": {"bias": -5.0}}, "loss, loss_options"),
        ({"negatives": "all", "learn_temperature": True}, "learn_temperature, negatives"),
        ({"views": {"image": {}}}, "views"),
        ({"val_batch_size": 3}, "val_batch_size"),
        ({"val": {"n_samples": 7}}, "validation data"),
    ],
)
def test_losses_of_different_objectives_are_not_compared(
    scored_sweep: Path, tmp_path: Path, changed: dict[str, Any], named: str | None
) -> None:
    other = shutil.copytree(scored_sweep, tmp_path / "other")
    for file in ("config.json", "summary.json"):
        path = other / "seed=0" / file
        stored = json.loads(path.read_text())
        for part in (stored, stored.get("config", {}), stored.get("data", {})):
            part |= {key: value for key, value in changed.items() if key in part}
        path.write_text(json.dumps(stored))
    result = CliRunner().invoke(cli, [str(word) for word in ("compare", scored_sweep, other, *FEW, "--json")])
    found = json.loads(result.stdout)
    assert found["left_out"] == (
        [] if named is None else [f"val_loss left out: the two sweeps do not have the same {named}"]
    )
    assert ("val_loss" in {row["metric"] for row in found["differences"]}) == (named is None)


def test_probes_of_no_chosen_factor(trained_run: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing can be measured(?s:.)*linear(?s:.)*object_xpos"):
        run("evaluate", trained_run, "--probes", "linear", "--factors", "object_xpos")


def test_files_of_one_name_and_their_samples_are_told_apart(tmp_path: Path) -> None:
    quick, paths = ("--probes", "logistic", "--n-bootstrap", 5), []
    for name, noted in (("one", {}), ("two", {}), ("three", {"split": "train"})):
        (tmp_path / name).mkdir()
        path = brought(tmp_path / name)
        with np.load(path) as file:
            np.savez(path, **{**file, **noted})
        paths.append(path)
    shown = run("evaluate", *paths, *quick, "--out", tmp_path / "out.csv")
    assert [shown.count(str(path)) for path in paths] == [1, 1, 1] and "\ntrain\n" in shown
    table = pacsv.read_csv(tmp_path / "out.csv")
    assert set(table["run"].to_pylist()) == set(map(str, paths))
    by_run = dict(zip(table["run"].to_pylist(), table["data"].to_pylist(), strict=True))
    assert list(by_run.values()) == ["factual", "factual", "train"]
    run("evaluate", paths[2], *quick, "--split", "train")
    with pytest.raises(UsageError, match=r"does not say that its encodings are of the split 'train'(?s:.)*--data"):
        run("evaluate", paths[0], *quick, "--split", "train")


@pytest.mark.slow
def test_a_comparison_on_other_data_leaves_what_was_measured(trained_run: Path, tmp_path: Path) -> None:
    run_folder = shutil.copytree(trained_run, tmp_path / "run")
    root = Path(read_config(run_folder)["data"]["root"])
    few = ("--probes", "linear", "--n-bootstrap", 5)
    run("evaluate", run_folder, *few)
    measured = (run_folder / "evaluation.parquet").read_bytes()
    run("evaluate", run_folder, *few)
    assert (run_folder / "evaluation.parquet").read_bytes() == measured
    other = write_fake_dataset(tmp_path / "other", n_train=8, n_val=24, n_test=12, seed=1)
    run("compare", run_folder, run_folder, "--data", other, *few, "--out", tmp_path / "out.csv")
    assert "other" in (tmp_path / "out.csv").read_text() and "factual" not in (tmp_path / "out.csv").read_text()
    run("evaluate", run_folder, "--data", root, "--fit", other, *few)
    assert (run_folder / "evaluation.parquet").read_bytes() == measured
    assert (run_folder / "evaluation-factual-fitted-on-other.parquet").is_file()
    run("evaluate", run_folder, "--split", "test", "--split", "train", *few)
    assert {each.name for each in run_folder.glob("evaluation*")} == {
        "evaluation.parquet", "evaluation-train.parquet", "evaluation-factual-fitted-on-other.parquet",
    }  # fmt: skip
    assert (run_folder / "several-evaluation-factual-train.parquet").is_file()


def small_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[object]]:
    """Data, and the words of a training command with an encoder of the user's own."""
    monkeypatch.chdir(folder)
    keep(registry.IMAGE_ENCODERS, monkeypatch)
    root = write_fake_dataset(folder / "data", n_train=8, n_val=24, n_test=12)
    words = ["--batch-size", 4, "--precision", "fp32", "--threads", 1, "--no-tensorboard", "--image-encoder", "mine"]
    return root, ["train", "--data", root, "--run", "run", *words]


def forget(name: str) -> None:
    """As a new process, which knows no such encoder."""
    registry.IMAGE_ENCODERS._known.pop(name)
    registry.IMAGE_ENCODERS._loaded.clear()


OWN_ENCODER = """
from torch import nn
from m3di.learn import register_image_encoder
def mine(encoding_size, hidden_size):
    return nn.Sequential(nn.Conv2d(3, encoding_size, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
register_image_encoder("mine", mine)
"""


@pytest.mark.slow
def test_an_encoder_of_a_module_is_trained_evaluated_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, command = small_run(tmp_path, monkeypatch)
    (tmp_path / "my_encoders.py").write_text(OWN_ENCODER)
    monkeypatch.setattr(sys, "path", list(sys.path))
    run(*command, "--import", "my_encoders", "--steps", 2)
    forget("mine")  # a new process knows it no more
    sys.modules.pop("my_encoders")
    score = ["evaluate", "run", "--probes", "linear,logistic,kernel_ridge,mlp", "--n-bootstrap", 5]
    with pytest.raises(UsageError, match=r"no image encoder is called 'mine'(?s:.)*--import"):
        run(*score)
    assert "scores of 1 run" in run(*score, "--import", "my_encoders")
    forget("mine")
    sys.modules.pop("my_encoders")
    assert "heat-map.png" in run("report", "run")


def test_an_encoder_of_an_installed_package_needs_no_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, command = small_run(tmp_path, monkeypatch)
    (tmp_path / "installed_encoders.py").write_text(OWN_ENCODER)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("mine", "installed_encoders:mine", "m3di.image_encoders")
    monkeypatch.setattr("m3di.system.registry._entry_points", lambda group, _: [point] * (group == point.group))
    run(*command, "--steps", 1)
    forget("mine")
    assert "scores of 1 run" in run("evaluate", "run", "--probes", "linear", "--n-bootstrap", 5)
    sys.modules.pop("installed_encoders")


@pytest.mark.slow
def test_checkpoints_are_kept_scored_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, command = small_run(tmp_path, monkeypatch)
    (tmp_path / "kept_encoders.py").write_text(OWN_ENCODER)
    monkeypatch.setattr(sys, "path", list(sys.path))
    run(*command, "--import", "kept_encoders", "--steps", 2, "--keep-checkpoints", 1)
    output = run("evaluate", "run", "--probes", "linear,logistic", "--n-bootstrap", 5, "--all-checkpoints")
    assert "3 checkpoints" in output and "checkpoints.parquet" in output
    drawn = run("report", "run", "--metric", "linear", "--classifier", "logistic")
    assert "over-steps.png" in drawn and "heat-map" not in drawn
    with pytest.raises(UsageError, match="encodings are those of one checkpoint"):
        run("evaluate", "run", "--all-checkpoints", "--save-encodings", "x.npz")
    assert "2 steps in" in run(*command, "--steps", 2, "--keep-checkpoints", 1)  # looked at
    assert "3 steps in" in run(*command, "--steps", 3, "--keep-checkpoints", 1)  # made longer
    sys.modules.pop("kept_encoders")


def test_devices_are_those_of_training() -> None:
    from m3di.learn import DEVICES

    assert set(cli_evaluate.DEVICES) == set(DEVICES)


def test_a_number_of_workers_below_zero(trained_run: Path) -> None:
    with pytest.raises(UsageError, match="n_workers is too small"):
        run("evaluate", trained_run, "--load-workers", -1)


def test_the_name_of_a_table_is_read_before_anything_is_measured(tmp_path: Path) -> None:
    for command in (("evaluate", tmp_path / "none"), ("compare", tmp_path / "none", tmp_path / "none")):
        with pytest.raises(UsageError, match=r"unknown table format(?s:.)*\.parquet or \.csv"):
            run(*command, "--out", tmp_path / "scores.xlsx")
