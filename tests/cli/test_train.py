"""`m3di train` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from m3di.cli import train as cli
from m3di.learn import TrainConfig
from m3di.learn.training.sweep import make_sweep
from tests.cli.test_main import failed, installed_m3di, m3di

QUICK = ("--batch-size", 4, "--no-tensorboard", "--precision", "fp32", "--hidden-size", 8, "--threads", 1)
QUICK += ("--image-encoder", "resnet18-small")


def test_presets_are_listed(tmp_path: Path) -> None:
    done = m3di("train", "--presets", cwd=tmp_path)
    assert done.returncode == 0
    for name in ("quick\n", "m3di-paper\n", "image-pairs-paper\n", "cpu-demo\n", "n_steps 100000"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preset", "cpu-dem"), "did you mean 'cpu-demo'"),
        (("--encoding-size", 0), "encoding_size is too small"),
        (("--image-encoder", "resnet81"), "did you mean 'resnet18'"),
        (("--views", "image,txt"), "did you mean 'text'"),
        (("--precision", "fp8"), "unknown precision"),
        (("--sweep", "encoding-sizes=1:3"), "did you mean 'encoding_size'"),
        (("--loss", "siglib"), "did you mean 'siglip'"),
        (("--loss-option", "bias"), "this option takes a name and a number"),
        (("--loss-option", "bias=-5", "--loss-option", "bias=-3"), "bias=-5, bias=-3"),
        (("--loss", "siglip", "--loss-option", "bais=1"), "did you mean 'bias'"),
        (("--import", "nowhere_at_all"), "no module 'nowhere_at_all'"),
        (("--keep-checkpoints", 0), "keep_checkpoints is too small"),
        (("--seeds", 0), "a sweep needs a seed"),
        (("--seeds", 2, "--sweep", "seed=0:1"), "seeds are given twice"),
        (("--ray", "local"), "a cluster trains the members of a sweep, and this is one run"),
        (("--seeds", 2, "--sweep-member", "0/2"), "--sweep-member needs --run"),
        (("--seeds", 2, "--sweep-member", "2/2", "--run", "s"), "share of a sweep cannot be read"),
    ],
)
def test_options_that_cannot_be(fake_dataset: Path, tmp_path: Path, options: tuple[object, ...], message: str) -> None:
    done = m3di("train", "--data", fake_dataset, "--steps", 1, *QUICK, *options, cwd=tmp_path)
    failed(done, 2, message)
    assert not list(tmp_path.iterdir())


def test_a_sweep_over_seeds_has_its_own_whatever_the_preset_says(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[str]] = []
    monkeypatch.setattr(cli, "_run_sweep", lambda sweep, *_, **__: found.append(list(sweep.members)))
    done = m3di("train", "--data", fake_dataset, "--preset", "m3di-paper", "--sweep", "seed=4:5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert found == [["seed=4", "seed=5"]]


def test_after_the_first_steps_a_run_says_how_long_the_others_take() -> None:
    seconds = iter([100.0, 102.0, 104.0, 106.0, 108.0, 110.0, 112.0])
    told = cli.TimeTold(1000, "on the CPU", clock=lambda: next(seconds))
    said = [told.after(step) for step in range(1, 8)]
    assert said[:5] == [None] * 5
    speed = "(2 s a step, measured over 5 steps)"
    assert said[5] == f"about 33 min 08 s on the CPU for the other 994 steps {speed}; a stopped run goes on"
    assert said[6] is None  # once


def test_a_run_that_goes_on_counts_its_own_steps_and_a_short_one_says_nothing() -> None:
    seconds = iter([0.0, *(10.0 + n for n in range(20))])
    told = cli.TimeTold(1000, "on the CPU", clock=lambda: next(seconds))
    assert "for the other 494 steps" in str([told.after(step) for step in range(501, 508)])
    quick = cli.TimeTold(50, "on a GPU", clock=iter([n / 100 for n in range(50)]).__next__)
    assert [quick.after(step) for step in range(1, 51)] == [None] * 50


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_a_sweep_under_torchrun_one_process_speaks(
    fake_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rank: str,
) -> None:
    def run_all(folder: Path, names: list[str], run_one: Callable[[Path, str], object]) -> None:
        for name in names:
            run_one(folder, name)

    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr("m3di.learn.training.sweep.run_members", run_all)
    monkeypatch.setattr(cli, "_run_one", lambda *_: "a result")
    cli._run_sweep(
        make_sweep(fake_dataset, TrainConfig(n_steps=1, batch_size=4), ("encoding_size=1:2",), 1),
        tmp_path / "sweep",
        None,
        None,
    )
    told = capsys.readouterr().out
    assert (told.count("a result"), told.count("2 members finished")) == ((2, 1) if rank == "0" else (0, 0))


@pytest.mark.slow
def test_a_sweep_in_shares_and_again(fake_dataset: Path, tmp_path: Path) -> None:
    command = ("train", "--data", fake_dataset, "--steps", 1, *QUICK, "--run", "sweep", "--sweep", "encoding_size=1:2")
    first = m3di(*command, "--sweep-member", "0/2", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "encoding_size=1,seed=0: 1 steps" in first.stdout
    assert "encoding_size=2" not in first.stdout
    for option in (("--steps", 2), ("--data", fake_dataset), ("--views", "image,text")):
        beside = m3di("train", "--run", "sweep", "--sweep-member", "1/2", *option, cwd=tmp_path)
        failed(beside, 2, "the sweep is there, with settings and data of its own")
    rest = m3di("train", "--run", "sweep", "--sweep-member", "1/2", cwd=tmp_path)  # all else is in sweep.json
    assert "encoding_size=2,seed=0: 1 steps" in rest.stdout
    again = m3di(*command, cwd=tmp_path)
    assert "step 1/1" not in again.stdout  # nothing was left to do
    assert "sweep: 2 members finished" in again.stdout
    summary = json.loads((tmp_path / "sweep" / "encoding_size=2,seed=0" / "summary.json").read_text())
    assert summary["n_steps"] == 1
    assert summary["val_loss"] > 0


@pytest.mark.slow
def test_members_run_on_ray(fake_dataset: Path, tmp_path: Path) -> None:
    command = ("train", "--data", fake_dataset, "--steps", 1, *QUICK, "--run", "sweep", "--device", "cpu")
    done = installed_m3di(*command, "--sweep", "batch_size=4,64", "--ray", "local", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "1 of 2 members of the sweep failed" in done.stderr
    assert "batch_size=64,seed=0: the batch is larger than the train split" in done.stderr
    assert (tmp_path / "sweep" / "batch_size=4,seed=0" / "summary.json").exists()
