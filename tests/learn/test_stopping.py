"""The end of a run whose validation loss falls no more."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from m3di.errors import UsageError
from m3di.learn import TrainConfig, train_on
from m3di.learn.training.job import Job
from m3di.learn.training.stopping import Patience, measured_losses

CONFIG = TrainConfig(
    n_steps=40,
    batch_size=4,
    hidden_size=8,
    precision="fp32",
    image_encoder="tiny",
    text_encoder="tiny",
    val_every=2,
    checkpoint_every=3,
    patience=3,
    tensorboard=False,
)
COURSE = [3.0, 2.0, 2.5, 1.5, 1.5, 1.6, 1.7]  # the least at step 8; equal is not less; out after step 14


def test_patience():
    patience = Patience(2)
    out = []
    for loss in (3.0, 2.0, 2.0, 1.0, 1.5, 1.2, 0.5):
        patience.measured(loss)
        out.append(patience.is_out)
    assert out == [False, False, False, False, False, True, False]
    assert Patience(2, [1.0, 1.5, 1.2]).is_out and not Patience(None, [1.0, 2.0, 3.0]).is_out
    assert math.isinf(Patience(1).least)


def test_losses_of_a_metrics_file(tmp_path):
    path = tmp_path / "metrics.csv"
    assert measured_losses(path, 9, 2) == []
    path.write_text("step,loss,val_loss,seconds\n1,3,,0.1\n2,3,2.5,0.2\n4,3,2.25,0.4\n6,3,2.2")  # being written
    assert measured_losses(path, 6, 2) == [2.5, 2.25]
    assert measured_losses(path, 3, 2) == [2.5]
    assert measured_losses(path, 6, 4) == [2.25]  # step 2 was the last of a run that was made longer


@pytest.fixture
def course(monkeypatch):
    monkeypatch.setattr(Job, "_val_loss", lambda _self, step, _step_of: COURSE[step // 2 - 1])


@pytest.mark.parametrize("stop_at", [None, 5, 11, 13])
def test_a_run_ends_early_and_at_the_same_step_after_a_stop(make_pairs, tiny_encoder, tmp_path, course, stop_at):
    def stop(step, _loss):
        if step == stop_at:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    if stop_at is not None:
        with pytest.raises(KeyboardInterrupt):
            train_on(make_pairs(), run, CONFIG, on_step=stop, val=make_pairs(5))
    result = train_on(make_pairs(), run, CONFIG, val=make_pairs(5))
    assert (result.n_steps, result.val_loss) == (14, 1.7)
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["n_steps"], summary["stopped_early"]) == (14, True)
    assert [path.name for path in (run / "checkpoint").iterdir()] == ["step-000000014"]
    again = train_on(make_pairs(), run, CONFIG, on_step=lambda *_: pytest.fail("made a step"), val=make_pairs(5))
    assert again.n_steps == 14


def test_a_run_made_longer_ends_where_the_longer_run_ends(make_pairs, tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(Job, "_val_loss", lambda _self, step, _step_of: 1.0 if step % 2 else COURSE[step // 2 - 1])
    for n_steps in (5, 9, 40):  # the losses of steps 5 and 9 are the least, and count for nothing
        result = train_on(make_pairs(), tmp_path, replace(CONFIG, n_steps=n_steps), val=make_pairs(5))
    assert (result.n_steps, result.stopped_early) == (14, True)
    assert "14 steps in" in str(result) and "(stopped early, by --patience)" in str(result)


def test_killed_before_its_summary_it_makes_no_further_step(make_pairs, tiny_encoder, tmp_path, course):
    first = train_on(make_pairs(), tmp_path, CONFIG, val=make_pairs(5))
    (tmp_path / "summary.json").unlink()
    result = train_on(make_pairs(), tmp_path, CONFIG, on_step=lambda *_: pytest.fail("made a step"), val=make_pairs(5))
    assert (result.n_steps, result.final_loss) == (14, pytest.approx(first.final_loss))


def test_without_patience_it_does_not_end(make_pairs, tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(Job, "_val_loss", lambda *_: 1.0)
    result = train_on(make_pairs(), tmp_path, replace(CONFIG, patience=None, n_steps=12), val=make_pairs(5))
    assert result.n_steps == 12 and "early" not in str(result)
    assert json.loads((tmp_path / "summary.json").read_text())["stopped_early"] is False


def test_patience_without_a_val_split(make_pairs, tmp_path):
    for val in (None, make_pairs(1)):
        with pytest.raises(UsageError, match=r"when the validation loss falls no more, there must be one"):
            train_on(make_pairs(), tmp_path / "run", CONFIG, val=val)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="patience is too small"):
        replace(CONFIG, patience=0)
