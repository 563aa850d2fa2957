"""A run that was stopped, however and whenever, ends with the weights, bit for bit, of one that was not."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from m3di.errors import M3diError
from m3di.learn import TrainConfig, load_encoders, train_on
from m3di.learn.models.registry import register_image_encoder
from m3di.learn.training import checkpoint, run_folder
from m3di.learn.training.step import ContrastiveStep, make_loss, make_optimizer
from m3di.learn.training.tensor_file import read_tensors
from tests.conftest import slow
from tests.learn.conftest import FakePairs, TinyEncoder, keep_registered

TINY = TrainConfig(
    n_steps=7,
    batch_size=4,
    hidden_size=8,
    seed=5,
    precision="fp32",
    image_encoder="tiny-bn",
    learn_temperature=True,
    schedule="cosine",
    weight_decay=0.01,
    checkpoint_every=2,
    val_every=3,
    diagnostics_every=2,
    tensorboard=False,
)
SCRIPT = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.learn.conftest import FakePairs, register_tiny
from m3di.learn import train_on, TrainConfig
from m3di.learn.training.config import config_from_json
import json
register_tiny()
torch.set_num_threads(1)
config = config_from_json(json.loads(sys.argv[3]))
train_on(FakePairs(), Path(sys.argv[2]), config, on_step=lambda step, loss: print(step, flush=True), val=FakePairs(5))
"""


def all_weights(run):
    encoders = load_encoders(run)
    states = {view: module.state_dict() for view, module in encoders.modules.items()}
    return {f"{view}.{name}": each for view, state in states.items() for name, each in state.items()}


def check_equal(run, reference):
    wanted = all_weights(reference)
    assert all(torch.equal(each, wanted[name]) for name, each in all_weights(run).items())
    (ours,), (theirs,) = (list((each / "checkpoint").iterdir()) for each in (run, reference))
    ours, theirs = (read_tensors(each / "training.safetensors")[0] for each in (ours, theirs))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert measured(run) == measured(reference)


def measured(run):
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Read only: a run that was never stopped."""
    run = tmp_path_factory.mktemp("trained") / "run"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the tests: the config says so
    with pytest.MonkeyPatch.context() as patch:
        keep_registered(patch)
        train_on(FakePairs(), run, TINY, val=FakePairs(5))
    torch.set_num_threads(threads)
    return run


@pytest.fixture
def reference(trained, tiny_encoder, tmp_path):
    return shutil.copytree(trained, tmp_path / "reference")


@pytest.mark.parametrize("stop_at", [5, *slow(1, 2, 7)])
def test_stopped_in_this_process(make_pairs, reference, tmp_path, stop_at):
    def stop(step, _loss):
        if step == stop_at:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_on(make_pairs(), run, TINY, on_step=stop, val=make_pairs(5))
    torch.rand(stop_at)  # what others draw in between does not matter
    steps = []
    result = train_on(make_pairs(), run, TINY, on_step=lambda step, _loss: steps.append(step), val=make_pairs(5))
    assert steps == list(range(stop_at // 2 * 2 + 1 if stop_at < 7 else 8, 8))
    check_equal(run, reference)
    rows = measured(run)
    assert [int(row["step"]) for row in rows] == list(range(1, 8))
    assert result.final_loss == pytest.approx(float(rows[-1]["loss"]))
    assert result.val_loss == pytest.approx(float(rows[-1]["val_loss"]))


def test_stopped_as_it_saved(make_pairs, reference, tmp_path):
    def killed(partial, final):
        raise KeyboardInterrupt  # the new checkpoint is written, and not yet named

    run = tmp_path / "run"
    config = replace(TINY, checkpoint_every=3)

    with pytest.MonkeyPatch.context() as patch:

        def stop(step, _loss):
            if step == 5:
                patch.setattr(checkpoint, "publish", killed)

        with pytest.raises(KeyboardInterrupt):
            train_on(make_pairs(), run, config, on_step=stop, val=make_pairs(5))
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == ["step-000000003", "step-000000006.partial"]
    train_on(make_pairs(), run, TINY, val=make_pairs(5))  # how often it saves is free to change
    check_equal(run, reference)


def test_a_finished_run_is_only_looked_at(make_pairs, reference):
    before = {path: path.stat().st_mtime_ns for path in reference.rglob("*")}
    result = train_on(make_pairs(), reference, TINY, on_step=lambda *_: pytest.fail("made a step"))
    assert {path: path.stat().st_mtime_ns for path in reference.rglob("*")} == before
    assert result.n_steps == 7
    assert result.final_loss == json.loads((reference / "summary.json").read_text())["final_loss"]
    wanted = all_weights(reference)
    assert torch.equal(result.encoders.text.fc.weight, wanted["text.fc.weight"])


def test_without_a_folder_the_unfinished_run_goes_on(make_pairs, tiny_encoder, tmp_path):
    def stop(_step, _loss):
        raise KeyboardInterrupt

    config, runs = replace(TINY, n_steps=2), tmp_path / "runs"
    for each in (config, replace(config, seed=6)):
        with pytest.raises(KeyboardInterrupt):
            train_on(make_pairs(), None, each, on_step=stop, runs=runs)
    assert [path.name for path in sorted(runs.iterdir())] == ["root-001", "root-002"]
    assert train_on(make_pairs(), None, config, runs=runs).run == runs / "root-001"
    assert train_on(make_pairs(), None, config, runs=runs).run == runs / "root-003"  # 001 is finished


def test_training_state_of_other_encoders(make_pairs, reference):
    encoders = load_encoders(reference)
    step = ContrastiveStep(encoders, make_loss(replace(TINY, learn_temperature=False)), "fp32")
    (folder,) = (reference / "checkpoint").iterdir()
    with pytest.raises(M3diError, match="training state is that of other encoders"):
        checkpoint.restore_training(folder, step, make_optimizer(step, TINY))


@pytest.mark.slow
def test_killed_at_any_moment(make_pairs, tiny_encoder, tmp_path):
    """SIGKILL again and again, each time a little later after a step; every start goes on."""
    config = replace(TINY, n_steps=60, checkpoint_every=1, val_every=20)
    train_on(make_pairs(), tmp_path / "reference", config, val=make_pairs(5))
    run = tmp_path / "run"
    arguments = [str(Path(__file__).parents[2]), str(run), json.dumps(asdict(config))]
    for delay in (0.004, 0.017):
        with subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True) as process:
            for _ in range(8):
                assert process.stdout.readline()
            time.sleep(delay)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    subprocess.run([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.DEVNULL, check=True)
    check_equal(run, tmp_path / "reference")


def kept(run):
    return sorted(path.name for path in (run / "kept").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [4, *slow(None, 1)])
def test_kept_checkpoints_are_those_of_their_steps_and_change_nothing(make_pairs, reference, tmp_path, stop_at):
    def stop(step, _loss):
        if step == stop_at:
            raise KeyboardInterrupt

    run, config = tmp_path / "run", replace(TINY, keep_checkpoints=3)
    if stop_at is not None:
        with pytest.raises(KeyboardInterrupt):
            train_on(make_pairs(), run, config, on_step=stop, val=make_pairs(5))
    train_on(make_pairs(), run, config, val=make_pairs(5))
    check_equal(run, reference)
    assert kept(run) == ["step-000000000", "step-000000003", "step-000000006"]
    assert [path.name for path in checkpoint.all_checkpoints(run)] == [*kept(run), "step-000000007"]
    assert {path.name for path in (run / "kept" / "step-000000003").iterdir()} == {
        *("image_encoder.safetensors", "text_encoder.safetensors")
    }
    short = tmp_path / "short"  # what three steps of the same learning rates come to
    with pytest.raises(KeyboardInterrupt):
        train_on(make_pairs(), short, replace(TINY, checkpoint_every=3), on_step=lambda step, _: quit_at(step, 3))
    encoders = load_encoders(run, checkpoint=run / "kept" / "step-000000003")
    assert torch.equal(encoders.text.fc.weight, load_encoders(short).text.fc.weight)
    assert not torch.equal(encoders.text.fc.weight, load_encoders(run).text.fc.weight)


def quit_at(step, last):
    if step == last:
        raise KeyboardInterrupt


def test_kept_checkpoints_where_files_cannot_be_linked(make_pairs, tiny_encoder, tmp_path, monkeypatch):
    def no_links(*_paths):
        raise OSError("no links here")

    monkeypatch.setattr("os.link", no_links)
    train_on(make_pairs(), tmp_path, replace(TINY, n_steps=2, keep_checkpoints=2))
    assert kept(tmp_path) == ["step-000000000", "step-000000002"]
    found = load_encoders(tmp_path, checkpoint=tmp_path / "kept" / "step-000000002")
    assert torch.equal(found.text.fc.weight, load_encoders(tmp_path).text.fc.weight)


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [5, *slow(None)])
def test_a_run_made_longer_is_the_run_that_was_longer_from_the_start(make_pairs, tiny_encoder, tmp_path, stop_at):
    def stop(step, _loss):
        if step == stop_at:
            raise KeyboardInterrupt

    constant = replace(TINY, schedule="constant", val_every=4)
    train_on(make_pairs(), tmp_path / "long", constant, val=make_pairs(5))
    run = tmp_path / "run"
    first = replace(constant, n_steps=4)
    train_on(make_pairs(), run, first, val=make_pairs(5))
    if stop_at is not None:
        with pytest.raises(KeyboardInterrupt):
            train_on(make_pairs(), run, constant, on_step=stop, val=make_pairs(5))
        assert not (run / "summary.json").exists()
    steps = []
    result = train_on(make_pairs(), run, constant, on_step=lambda step, _: steps.append(step), val=make_pairs(5))
    assert steps == [5, 6, 7]
    assert result.n_steps == 7
    check_equal(run, tmp_path / "long")
    assert json.loads((run / "config.json").read_text())["config"]["n_steps"] == 7


def test_a_run_that_cannot_be_made_longer_is_left_alone(make_pairs, reference):
    before = {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()}
    said = (
        r"cannot be made longer: its learning rate falls(?s:.)*schedule cosine, n_steps 7(?s:.)*train 9 steps in a new"
    )
    with pytest.raises(M3diError, match=said):
        train_on(make_pairs(), reference, replace(TINY, n_steps=9))
    with pytest.raises(M3diError, match=r"already holds a run(?s:.)*n_steps 7(?s:.)*n_steps 5"):
        train_on(make_pairs(), reference, replace(TINY, n_steps=5))  # shorter
    with pytest.raises(M3diError, match=r"already holds a run(?s:.)*lr"):
        train_on(make_pairs(), reference, replace(TINY, n_steps=9, lr=0.5))
    with pytest.raises(M3diError, match=r"already holds a run(?s:.)*keep_checkpoints None(?s:.)*keep_checkpoints 3"):
        train_on(make_pairs(), reference, replace(TINY, keep_checkpoints=3))  # those of before are gone
    assert {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()} == before


def test_a_run_that_another_process_holds_is_not_made_longer(make_pairs, tiny_encoder, tmp_path):
    constant = replace(TINY, schedule="constant", n_steps=2)
    train_on(make_pairs(), tmp_path, constant)
    with run_folder.hold_run(tmp_path), pytest.raises(M3diError, match="another process is training in this folder"):
        train_on(make_pairs(), tmp_path, replace(constant, n_steps=4))
    assert (tmp_path / "summary.json").exists()


def test_a_run_of_before_an_option_was_there_is_the_run_with_its_default(make_pairs, reference):
    path = reference / "config.json"
    stored = json.loads(path.read_text())
    for name in ("accumulate", "augment", "loss", "loss_options", "patience", "keep_checkpoints", "loggers"):
        del stored["config"][name]
    path.write_text(json.dumps(stored))
    assert train_on(make_pairs(), reference, TINY).n_steps == 7
    with pytest.raises(M3diError, match=r"already holds a run(?s:.)*loss infonce(?s:.)*loss vicreg"):
        train_on(make_pairs(), reference, replace(TINY, loss="vicreg", learn_temperature=False))


class Dropping(TinyEncoder):
    """Draws random numbers at each step."""

    def forward(self, image):
        return torch.dropout(super().forward(image), 0.5, self.training)


@pytest.mark.slow
def test_random_numbers_of_an_encoder_go_on_where_they_were(make_pairs, tiny_encoder, tmp_path):
    register_image_encoder("dropping", Dropping)
    config = replace(TINY, image_encoder="dropping")

    def stop(step, _loss):
        if step == 5:
            raise KeyboardInterrupt

    train_on(make_pairs(), tmp_path / "reference", config, val=make_pairs(5))
    with pytest.raises(KeyboardInterrupt):
        train_on(make_pairs(), tmp_path / "run", config, on_step=stop, val=make_pairs(5))
    train_on(make_pairs(), tmp_path / "run", config, val=make_pairs(5))
    check_equal(tmp_path / "run", tmp_path / "reference")
