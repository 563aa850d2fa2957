"""`m3di browse`."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from m3di.browse import PageServer
from tests.cli.test_main import failed, m3di


def test_one_file_is_written(fake_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = m3di("browse", fake_dataset, "--out", out, "--n", 5, "--thumbnail", 16)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"look at  {out}: 5 of 28 samples\n"
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_page_is_served_and_opened(fake_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    def interrupted(self: PageServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PageServer, "serve_forever", interrupted)
    done = m3di("browse", fake_dataset)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{fake_dataset}: 28 samples; Ctrl-C ends\nlook at  {opened[0]}\n"
    assert len(opened) == 1
    m3di("browse", fake_dataset, "--no-open")
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("options", "code", "parts"),
    [
        (["--port", 70_000], 2, ["there is no such port", "0 to 65535"]),
        (["--n-encoded", -1], 2, ["--n-encoded is too small", "got:      -1", "0 or more"]),
        (["--out", "page.html", "--n", 0], 2, ["--n is too small"]),
        (["--n", 5], 2, ["belongs to --out: it is of no use here", "where:    --n\n", "got:      5", "add --out"]),
        (["--thumbnail", 64], 2, ["belongs to --out", "where:    --thumbnail"]),
        (["--out", "page.html", "--port", 8123], 2, ["about a page that is served", "where:    --port", "no --out"]),
        (["--out", "page.html", "--no-open"], 2, ["about a page that is served", "where:    --no-open"]),
        (["--n-encoded", 5], 2, ["belongs to --run", "where:    --n-encoded", "--run beside it"]),
        (
            ["--n-encoded", 5, "--encodings", "e.npz", "--run", "."],
            2,
            ["makes encodings, and they are given", "no --encodings"],
        ),
        (["--out", "page.txt"], 2, ["the page needs another name"]),
        (["--run", "."], 2, ["there is no training run here"]),
        (["--encodings", "none.npz"], 2, ["there is no such file"]),
        (["--with", "nowhere"], 1, ["there is no m3di dataset here"]),
    ],
)
def test_what_cannot_be_looked_at(
    fake_dataset: Path, tmp_path: Path, options: list[object], code: int, parts: list[str]
) -> None:
    failed(m3di("browse", fake_dataset, *options, cwd=tmp_path), code, *parts)
    assert not list(tmp_path.iterdir())


def test_a_config_file_may_hold_options_of_both(fake_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("browse: {port: 8123, open: false, n: 5, n-encoded: 9}\n")
    done = m3di("--config", "mine.yaml", "browse", fake_dataset, "--out", "page.html", "--thumbnail", 16, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "look at  page.html: 5 of 28 samples\n"), done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_it_and_is_no_failure(fake_dataset: Path) -> None:
    command = [str(Path(sys.executable).parent / "m3di"), "browse", str(fake_dataset), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        url = [process.stdout.readline() for _ in range(2)][1].removeprefix("look at  ").strip()
        with urllib.request.urlopen(f"{url}about.json", timeout=60) as answer:
            assert b'"n_rows":28' in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
