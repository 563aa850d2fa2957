"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_fake_dataset


def m3di(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "from m3di.cli import main; main()"
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=500)


def failed(done: subprocess.CompletedProcess[str], exit_code: int, *parts: str) -> None:
    """One clear message on stderr, nothing else, and the right exit code."""
    assert done.returncode == exit_code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(("Error: ", "Usage: "))
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_help_lists_the_commands() -> None:
    done = m3di("--help")
    assert done.returncode == 0
    for command in ("render", "preview", "verify", "train"):
        assert f"  {command} " in done.stdout


def test_unknown_spec(tmp_path: Path) -> None:
    failed(m3di("render", "--spec", "m3dy", cwd=tmp_path), 2, "no spec is called 'm3dy'", "did you mean 'm3di'?")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n", [0, -5])
def test_no_samples(tmp_path: Path, n: int) -> None:
    failed(m3di("render", "--n", n, cwd=tmp_path), 2, "--n is too small", f"got:      {n}", "1 or more")
    assert not list(tmp_path.iterdir())


def test_unknown_quality(tmp_path: Path) -> None:
    failed(m3di("render", "--quality", "best", cwd=tmp_path), 2, "'draft', 'standard', 'paper'")


def test_out_holds_a_different_dataset(tmp_path: Path) -> None:
    out = write_fake_dataset(tmp_path / "here")
    failed(m3di("render", "--n", 20, "--out", out), 1, "a different dataset", "--out")


def test_verify(fake_dataset: Path, tmp_path: Path) -> None:
    done = m3di("verify", fake_dataset)
    assert done.returncode == 0
    assert "all 8 files" in done.stdout
    out = write_fake_dataset(tmp_path / "here")
    (out / "val-00000.tar").write_bytes(b"")
    failed(m3di("verify", out), 1, "val-00000.tar: 0 bytes")
    failed(m3di("verify", tmp_path / "nowhere"), 1, "no m3di dataset here")


def test_train_refuses_a_batch_larger_than_the_split(fake_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = m3di("train", "--data", fake_dataset, "--steps", 1, "--batch-size", 64, "--run", run)
    failed(done, 2, "the batch is larger than the train split", "a batch of 64, a split of 20")
    assert not run.exists()


@pytest.mark.slow
def test_render_preview_verify_train(tmp_path: Path) -> None:
    """The whole line, for real."""
    done = m3di(*("render", "--n", 8, "--n-val", 2, "--n-test", 2, "--size", 48, "--quality", "draft"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train 8, val 2, test 2" in done.stdout
    assert done.stderr == ""  # no terminal, no progress bar
    assert m3di("verify", "data/m3di", cwd=tmp_path).returncode == 0

    done = m3di("preview", "--n", 2, "--seed", 5, "--size", 48, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sheet = np.asarray(Image.open(tmp_path / "preview.png"))
    assert sheet.ndim == 3
    assert sheet.std() > 20

    done = m3di("train", "--steps", 3, "--batch-size", 4, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "step 3/3  loss" in done.stdout
    run = tmp_path / "runs" / "m3di-001"
    with (run / "metrics.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["1", "2", "3"]
    assert (run / "config.json").exists()
    assert {path.name for path in (run / "checkpoint").iterdir()} == {
        "image_encoder.safetensors",
        "text_encoder.safetensors",
    }
    assert m3di("train", "--steps", 1, "--batch-size", 4, cwd=tmp_path).returncode == 0
    assert (tmp_path / "runs" / "m3di-002").is_dir()


@pytest.mark.slow
def test_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    """Under a pseudo-terminal the bar shows images done, the rate and the time left."""
    import os
    import pty

    command = [sys.executable, "-c", "from m3di.cli import main; main()"]
    command += ["preview", "--n", "2", "--size", "32", "--workers", "1"]
    parent, child = pty.openpty()
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=child,
        env={**os.environ, "COLUMNS": "100", "TERM": "xterm"},
    ) as process:
        os.close(child)
        shown = b""
        try:
            while block := os.read(parent, 4096):
                shown += block
        except OSError:  # the terminal is gone once the process has ended
            pass
    os.close(parent)
    assert process.returncode == 0
    assert b"2/2" in shown
    assert b"images/s" in shown
    assert b"0:00:0" in shown
