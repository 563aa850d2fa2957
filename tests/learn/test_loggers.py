"""Loggers behind the metrics log, against fakes of the services."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from m3di.errors import M3diError, UsageError
from m3di.learn import TrainConfig, train_on

CONFIG = TrainConfig(
    n_steps=4,
    batch_size=4,
    hidden_size=8,
    precision="fp32",
    image_encoder="tiny",
    text_encoder="tiny",
    checkpoint_every=2,
    val_every=2,
    tensorboard=False,
    loggers=("wandb", "mlflow"),
)


class FakeWandb:
    """Takes `init`, `log` and `finish` as Weights & Biases does."""

    def __init__(self):
        self.started, self.logged, self.finished = [], [], []

    def init(self, **options):
        self.started.append(options)
        log = lambda values, step: self.logged.append((step, values))  # noqa: E731
        return SimpleNamespace(id="abc123", log=log, finish=lambda exit_code: self.finished.append(exit_code))


class FakeMlflow:
    """Takes what MLflow's fluent functions take."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(*args, **options):
            self.calls.append((name, args, options))
            return SimpleNamespace(info=SimpleNamespace(run_id="run-7"))

        return call

    def named(self, name):
        return [(args, options) for called, args, options in self.calls if called == name]


@pytest.fixture
def services(monkeypatch):
    wandb, mlflow = FakeWandb(), FakeMlflow()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    for name in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return wandb, mlflow


def rows(run):
    header, *lines = (run / "metrics.csv").read_text().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def test_services_get_the_numbers_of_metrics_csv(make_pairs, tiny_encoder, tmp_path, services):
    wandb, mlflow = services
    train_on(make_pairs(), tmp_path / "run", CONFIG, val=make_pairs(5))
    wanted = [
        (
            int(row["step"]),
            {name: pytest.approx(float(cell), rel=1e-6) for name, cell in row.items() if cell and name != "step"},
        )
        for row in rows(tmp_path / "run")
    ]
    assert wandb.logged == wanted
    assert [(options["step"], args[0]) for args, options in mlflow.named("log_metrics")] == wanted
    assert "val_loss" in wandb.logged[1][1] and "val_loss" not in wandb.logged[0][1]
    (started,) = wandb.started
    assert (started["project"], started["name"], started["dir"]) == ("m3di", "run", str(tmp_path / "run"))
    assert started["config"]["batch_size"] == 4 and "id" not in started
    assert mlflow.named("set_experiment") == [(("m3di",), {})]
    assert mlflow.named("log_params")[0][0][0]["lr"] == "0.0001"
    assert wandb.finished == [0] and mlflow.named("end_run") == [(("FINISHED",), {})]


def test_a_run_that_goes_on_goes_on_there_too(make_pairs, tiny_encoder, tmp_path, services):
    def stop(step, _loss):
        if step == 3:
            raise KeyboardInterrupt

    wandb, mlflow = services
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_on(make_pairs(), run, CONFIG, on_step=stop)
    assert wandb.finished == [1] and mlflow.named("end_run") == [(("FAILED",), {})]
    assert json.loads((run / "loggers.json").read_text()) == {"wandb": "abc123", "mlflow": "run-7"}
    train_on(make_pairs(), run, CONFIG)
    assert {name: wandb.started[1][name] for name in ("id", "resume")} == {"id": "abc123", "resume": "must"}
    assert mlflow.named("start_run") == [((), {"run_name": "run"}), ((), {"run_id": "run-7"})]
    assert [step for step, _ in wandb.logged] == [1, 2, 3, 3, 4]
    assert len(mlflow.named("log_params")) == 1


def test_projects_of_the_environment_are_kept(make_pairs, tiny_encoder, tmp_path, services, monkeypatch):
    wandb, mlflow = services
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    train_on(make_pairs(), tmp_path, replace(CONFIG, n_steps=1))
    assert wandb.started[0]["project"] is None and mlflow.named("set_experiment") == []


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed(make_pairs, tiny_encoder, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    said = rf"logger {name} is not installed(?s:.)*pip install 'm3di\[{name}\]'"
    with pytest.raises(M3diError, match=said):
        train_on(make_pairs(), tmp_path, replace(CONFIG, loggers=(name,)))


def test_tensorboard_is_one_of_them():
    assert replace(CONFIG, tensorboard=True).all_loggers == ("tensorboard", "wandb", "mlflow")
    assert replace(CONFIG, loggers=("tensorboard",)).all_loggers == ("tensorboard",)
    with pytest.raises(UsageError, match=r"unknown logger(?s:.)*mlflow, tensorboard, wandb"):
        replace(CONFIG, loggers=("wandbb",))
