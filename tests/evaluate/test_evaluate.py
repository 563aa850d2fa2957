"""From run folders to one table: real encoders of one step, on real datasets around a fake renderer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from m3di.errors import M3diError, UsageError
from m3di.evaluate import (
    NamedRun,
    ProbeData,
    Protocol,
    Request,
    compare,
    encode_run,
    evaluate,
    evaluate_all,
    members_of,
    over_seeds,
    read_results,
    results_of,
    write_results,
)
from m3di.latents import load_spec, permute_content
from m3di.learn import TrainConfig, train
from m3di.learn.training.run_folder import read_config, write_config
from m3di.report.runs.figures import save_report
from tests.conftest import write_fake_dataset

pytestmark = pytest.mark.slow
QUICK = Request(protocol=Protocol(("linear", "logistic", "alignment"), n_bootstrap=20))
N_TRAIN, N_VAL, N_TEST = 12, 24, 12
STEP = TrainConfig(n_steps=1, batch_size=4, precision="fp32", n_threads=1, encoding_size=2, tensorboard=False)
STEP = replace(STEP, image_encoder="resnet18-small")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_dataset(tmp_path_factory.mktemp("data") / "m3di", n_train=N_TRAIN, n_val=N_VAL, n_test=N_TEST)


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    train(root, run, STEP)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return shutil.copytree(trained, tmp_path / "run")


def test_encodings_are_those_of_the_encoders_in_evaluation_mode(root: Path, run: Path) -> None:
    from m3di.learn import load_encoders

    data = ProbeData(root)
    encoded = encode_run(run, data)
    fit, test = encoded.encodings["image"]
    assert (fit.shape, test.shape) == ((N_VAL, 2), (N_TEST, 2))
    encoders = load_encoders(run)
    with torch.inference_mode():
        alone = encoders.encode("image", data.test[3]["image"][None])  # a batch of one: no batch statistics
        text = encoders.encode("text", data.fit[[5]]["text"])
    np.testing.assert_allclose(test[3], alone[0].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encoded.encodings["text"][0][5], text[0].numpy(), rtol=1e-4, atol=1e-5)
    factors = {each.name: each for each in encoded.factors["text"]}
    assert encoded.similarity == "cosine"
    assert factors["object_shape"].test.tolist() == [data.test[i]["z_text"]["object_shape"] for i in range(N_TEST)]
    assert encoded.pairs == (("image", "text"),)


def test_pairs_are_as_similar_as_the_loss_has_it(root: Path, run: Path) -> None:
    config = read_config(run)
    write_config(run, {**config, "config": {**config["config"], "loss": "vicreg"}})
    assert encode_run(run, ProbeData(root)).similarity == "neg_squared_euclidean"


def test_results_are_kept_until_something_changes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = evaluate(NamedRun(run, "run"), QUICK)
    rows = table.to_pylist()
    assert {row["view"] for row in rows} == {"image", "text", "all"}
    assert {row["seed"] for row in rows} == {0} and {row["encoding_size"] for row in rows} == {2}
    assert [row["metric"] for row in rows if row["view"] == "all"] == ["val_loss"]
    assert read_results(run / "evaluation.parquet").to_pylist() == rows
    assert results_of(run).to_pylist() == rows

    def not_again(*_args: object, **_more: object) -> None:
        raise RuntimeError("encoded again")

    monkeypatch.setattr("m3di.evaluate.runs.encode_run", not_again)
    assert evaluate(NamedRun(run, "run"), QUICK).to_pylist() == rows
    with pytest.raises(RuntimeError, match="encoded again"):
        evaluate(NamedRun(run, "run"), Request(protocol=Protocol(("linear",), n_bootstrap=20)))


def test_saved_encodings_give_the_same_scores(root: Path, run: Path, tmp_path: Path) -> None:
    saved = tmp_path / "encodings.npz"
    ours = evaluate(NamedRun(run, "r"), Request(protocol=QUICK.protocol, save_encodings=saved)).to_pylist()
    theirs = evaluate(NamedRun(saved, "r"), Request(ProbeData(root), QUICK.protocol)).to_pylist()
    kept = ("view", "factor", "estimator", "metric", "value", "ci_low", "bound", "chance")
    assert [[row[name] for name in kept] for row in theirs] == [
        [row[name] for name in kept] for row in ours if row["metric"] != "val_loss"
    ]


def test_a_sweep_becomes_one_table_and_figures(run: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    names = [f"lr=0.1,seed={seed}" for seed in range(3)]
    for name in names[:2]:
        shutil.copytree(run, sweep / name)
    members = [{"run": name, "values": {"lr": 0.1, "seed": seed}} for seed, name in enumerate(names)]
    (sweep / "sweep.json").write_text(json.dumps({"members": members}))
    found, unfinished = members_of([sweep])
    assert [each.name for each in found] == names[:2]
    assert unfinished == [str(sweep / names[2])]
    table = evaluate_all(found, QUICK)
    assert set(table["lr"].to_pylist()) == {0.1}
    averaged = over_seeds(table).to_pylist()
    assert {row["n_seeds"] for row in averaged} <= {0, 2}
    assert len(averaged) == len(table) // 2
    write_results(sweep / "evaluation.parquet", table)
    files = save_report(sweep, tmp_path / "figures", "linear", "logistic")
    assert {path.name for path in files} >= {"heat-map.png", "loss.pdf"}


def test_a_run_and_its_copy_do_not_differ_and_neither_do_two_sweeps_of_them(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    rows = compare(run, copy, QUICK).to_pylist()
    assert {row["difference"] for row in rows} == {0.0}
    assert {row["p"] for row in rows} == {1.0}
    for name in ("one", "other"):
        for seed in range(2):
            shutil.copytree(run, tmp_path / name / f"seed={seed}")
            config = json.loads((run / "config.json").read_text())
            config["config"]["seed"] = seed
            (tmp_path / name / f"seed={seed}" / "config.json").write_text(json.dumps(config))
        members = [{"run": f"seed={seed}", "values": {"seed": seed}} for seed in range(2)]
        (tmp_path / name / "sweep.json").write_text(json.dumps({"members": members}))
    rows = compare(tmp_path / "one", tmp_path / "other", QUICK).to_pylist()
    assert {(row["difference"], row["p"], row["n"], row["test"]) for row in rows} == {(0.0, 1.0, 2, "paired t")}
    assert {row["metric"] for row in rows} >= {"r2", "val_loss"}


def test_every_checkpoint_is_scored_and_drawn_over_steps(root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(root, run, replace(STEP, n_steps=3, keep_checkpoints=2))
    request = replace(QUICK, all_checkpoints=True)
    rows = evaluate_all([NamedRun(run, "run")], request).to_pylist()
    assert sorted({row["step"] for row in rows}) == [0, 2, 3]
    newest = [row for row in evaluate(NamedRun(run, "run"), QUICK).to_pylist() if row["metric"] != "val_loss"]
    assert [row["value"] for row in rows if row["step"] == 3] == [row["value"] for row in newest]
    assert [row["value"] for row in rows if row["step"] == 0] != [row["value"] for row in newest]
    (run / "evaluation.parquet").unlink()
    files = save_report(run, tmp_path / "figures", "linear", "logistic")
    assert {path.stem for path in files} == {"over-steps", "loss"}
    with pytest.raises(UsageError, match="encodings have no checkpoints"):
        evaluate_all([NamedRun(tmp_path / "mine.npz", "mine")], request)


def test_permuted_content_is_probed_for_both_contents(run: Path, tmp_path: Path) -> None:
    spec = permute_content(load_spec("m3di"))
    twin = write_fake_dataset(tmp_path / "twin", spec=spec, n_train=1, n_val=N_VAL, n_test=N_TEST)
    table = evaluate(NamedRun(run, "run"), Request(ProbeData(twin, "permuted content"), QUICK.protocol))
    assert (run / "evaluation-permuted-content.parquet").is_file()
    known = [row for row in table.to_pylist() if row["estimator"] != "linear"]
    rows = {(row["view"], row["factor"], row["metric"]): row for row in known}
    shown = rows["image_permuted", "image_permuted.object_shape", "accuracy"]
    before = rows["image_permuted", "image.object_shape", "accuracy"]
    assert shown["bound"] == 1.0
    assert before["bound"] == before["chance"]
    assert ("image_permuted", "text_permuted", "alignment") in rows
    assert ("image", "text_permuted", "alignment") not in rows


def test_data_of_another_vocabulary_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "german.yaml").write_text("extends: m3di\nname: german\nviews: {text: {template: german}}\n")
    other = write_fake_dataset(tmp_path / "other", spec=str(tmp_path / "german.yaml"), n_val=N_VAL, n_test=N_TEST)
    with pytest.raises(M3diError, match="vocabulary is not the one that the run was trained on"):
        evaluate(NamedRun(run, "run"), Request(ProbeData(other, "other"), QUICK.protocol))


def _change_config(run: Path, change: Callable[[dict[str, dict[str, object]]], None]) -> None:
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


def test_a_dataset_that_has_changed_since_is_refused_unless_asked_for(run: Path, root: Path) -> None:
    _change_config(run, lambda config: config["data"].update(fingerprint="0123"))
    with pytest.raises(M3diError, match="not the one that the run was trained on"):
        evaluate(NamedRun(run, "run"), QUICK)
    assert len(evaluate(NamedRun(run, "run"), Request(ProbeData(root), QUICK.protocol)))


def test_data_without_a_view_that_the_run_knows(run: Path, tmp_path: Path) -> None:
    other = write_fake_dataset(tmp_path / "3dident", spec="3dident", n_val=N_VAL, n_test=N_TEST)
    table = evaluate(NamedRun(run, "run"), Request(ProbeData(other, "3dident"), QUICK.protocol))
    assert "text" not in table["view"].to_pylist()  # the image encoder reads it all the same
    pairs = write_fake_dataset(tmp_path / "pairs", spec="image-pairs", n_val=N_VAL, n_test=N_TEST)
    with pytest.raises(M3diError, match="no view that the run can encode"):
        evaluate(NamedRun(run, "run"), Request(ProbeData(pairs, "pairs"), QUICK.protocol))


def test_no_such_split_and_no_such_factor(run: Path, root: Path, tmp_path: Path) -> None:
    no_val = write_fake_dataset(tmp_path / "no-val", n_val=0, n_test=N_TEST)
    with pytest.raises(UsageError, match="no split 'val'"):
        evaluate(NamedRun(run, "run"), Request(ProbeData(no_val, "no val"), QUICK.protocol))
    with pytest.raises(UsageError, match=r"no factor 'object_shap'(.|\n)*did you mean 'object_shape'"):
        evaluate(NamedRun(run, "run"), Request(protocol=QUICK.protocol, factors=("object_shap",)))


def test_too_few_samples(run: Path, tmp_path: Path) -> None:
    few = write_fake_dataset(tmp_path / "few", n_val=4, n_test=4)
    with pytest.raises(M3diError, match="too few samples for probes"):
        evaluate(NamedRun(run, "run"), Request(ProbeData(few, "few"), QUICK.protocol))


def test_folders_that_hold_no_runs(tmp_path: Path) -> None:
    with pytest.raises(M3diError, match="no training run"):
        members_of([tmp_path])
    (tmp_path / "evaluation.parquet").write_text("")  # where `m3di evaluate runs/*` finds its own table
    with pytest.raises(UsageError, match=r"a table of results is no run\n(?s:.)*evaluation\.parquet"):
        members_of([tmp_path / "evaluation.parquet"])
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(M3diError, match="the sweep cannot be read"):
        members_of([tmp_path])
    (tmp_path / "sweep.json").write_text('{"members": [{"run": "a"}]}')
    with pytest.raises(M3diError, match="no run of the sweep is finished"):
        members_of([tmp_path])


def test_tables_that_are_none(tmp_path: Path, run: Path) -> None:
    with pytest.raises(M3diError, match="there are no results"):
        read_results(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_text("hello")
    with pytest.raises(M3diError, match="cannot be read"):
        read_results(tmp_path / "bad.parquet")
    table = evaluate(NamedRun(run, "run"), QUICK)
    with pytest.raises(UsageError, match="unknown table format"):
        write_results(tmp_path / "out.xlsx", table)
    write_results(tmp_path / "out.csv", table)
    assert (tmp_path / "out.csv").read_text().startswith('"run","encoding_size","seed","data","view"')


def test_another_split_is_scored_by_probes_that_are_fitted_on_val(root: Path, run: Path) -> None:
    usual = evaluate(NamedRun(run, "run"), QUICK)
    other = evaluate(NamedRun(run, "run"), replace(QUICK, split="train"))
    assert set(usual["data"].to_pylist()) == {"factual"} and set(other["data"].to_pylist()) == {"train"}
    assert set(other["n_test"].to_pylist()) == {N_TRAIN} and set(other["n_fit"].to_pylist()) == {N_VAL}
    # Both are kept beside the run, each under its own name.
    assert {each.name for each in run.glob("evaluation*.parquet")} == {"evaluation.parquet", "evaluation-train.parquet"}
    for name in ("val", "validation"):
        with pytest.raises(UsageError, match="would be scored on what they were fitted on"):
            evaluate(NamedRun(run, "run"), replace(QUICK, split=name))
    with pytest.raises(UsageError, match="the dataset has no split 'vla'"):
        evaluate(NamedRun(run, "run"), replace(QUICK, split="vla"))
