"""The command line as a user meets it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from m3di.cli.main import main
from m3di.generate import Preview, RenderOptions
from m3di.latents import captions, do, load_spec, sample
from tests.conftest import write_fake_dataset


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def m3di(*arguments: object, cwd: Path | None = None) -> Done:
    """Run a command in this process: quick."""
    argv, stdin, folder, code = sys.argv, sys.stdin, Path.cwd(), 0
    sys.argv, sys.stdin = ["m3di", *map(str, arguments)], io.StringIO()
    with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()) as stderr:
        try:
            os.chdir(cwd or folder)
            main()
        except SystemExit as done:
            code = int(done.code or 0)
        finally:
            sys.argv, sys.stdin = argv, stdin
            os.chdir(folder)
    return Done(code, stdout.getvalue(), stderr.getvalue())


def installed_m3di(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own, as a user does."""
    command = [str(Path(sys.executable).parent / "m3di"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=500)


def failed(done: Done | subprocess.CompletedProcess[str], exit_code: int, *parts: str) -> None:
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
    for command in (
        "render",
        "preview",
        "sample",
        "specs",
        "verify",
        "train",
        "evaluate",
        "compare",
        "export",
        "import",
        "merge",
        "subset",
        "info",
    ):
        assert f"  {command} " in done.stdout


def test_unknown_spec(tmp_path: Path) -> None:
    failed(m3di("render", "--spec", "m3dy", cwd=tmp_path), 2, "no spec is called 'm3dy'", "did you mean 'm3di'?")
    failed(m3di("render", "--spec", "quux", cwd=tmp_path), 2, "no spec is called 'quux'", "m3di specs list")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n", [0, -5])
def test_no_samples(tmp_path: Path, n: int) -> None:
    failed(m3di("render", "--n", n, cwd=tmp_path), 2, "--n is too small", f"got:      {n}", "1 or more")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_installed_command(tmp_path: Path) -> None:
    failed(installed_m3di("render", "--n", 0, cwd=tmp_path), 2, "--n is too small")
    failed(installed_m3di("verify", tmp_path), 1, "no m3di dataset here")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--columns", 0), ("a sheet needs a column", "--columns", "got:      0", "1 or more")),
        (("--size", 0), ("--size is too small", "got:      0", "8 or more")),
        (("--size", 0, "--columns", 0), ("--size is too small",)),
        (("--n", 0), ("--n is too small",)),
        (("--group-by", "object_colour"), ("no view sees a factor", "did you mean 'object_color'?", "--group-by")),
        (("--group-by", "text.object_color"), ("no view sees a factor", "did you mean")),
    ],
)
def test_previews_that_cannot_be_are_refused_before_anything_is_rendered(
    tmp_path: Path, options: tuple[object, ...], parts: tuple[str, ...]
) -> None:
    failed(m3di("preview", *options, cwd=tmp_path), 2, *parts)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.blender  # whose fonts have the other character
def test_a_preview_says_which_characters_no_font_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(options: RenderOptions, n: int, *_: object) -> Preview:
        images = {"image": np.zeros((n, 16, 16, 3), np.uint8)}
        return Preview(sample(options.load_spec(), "train", n, seed=0), images, {"text": ["茶 𓀀"] * n})

    monkeypatch.setattr("m3di.generate.preview", shown)
    done = m3di("preview", "--n", 3, "--columns", 2, "--no-latents", "--group-by", "object_shape", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "note: no font here has these characters, and boxes stand for them: 𓀀\n"
    assert "look at  preview.png" in done.stdout
    with Image.open(tmp_path / "preview.png") as sheet:
        assert sheet.width > 200


def test_unknown_quality(tmp_path: Path) -> None:
    failed(m3di("render", "--quality", "best", cwd=tmp_path), 2, "'draft', 'fixed', 'paper', 'standard'")


def test_out_holds_a_different_dataset(tmp_path: Path) -> None:
    out = write_fake_dataset(tmp_path / "here")
    failed(m3di("render", "--n", 20, "--out", out), 1, "a different dataset", "--out")


@pytest.mark.slow
def test_export_import_subset_merge_info(fake_dataset: Path, tmp_path: Path) -> None:
    assert "as upstream" in m3di("export", fake_dataset, "--to", "upstream", "--out", tmp_path / "up").stdout
    assert "train 20, val 4" in m3di("import", tmp_path / "up", tmp_path / "back", "--shard-size", "8").stdout
    done = m3di(
        "subset", fake_dataset, "--out", tmp_path / "a", "--split", "train", "--where", "image.object_xpos == 0"
    )
    assert done.returncode == 0
    done = m3di(
        "subset", fake_dataset, "--out", tmp_path / "b", "--where", "image.object_xpos != 0", "--images", "webp"
    )
    assert done.returncode == 0
    failed(m3di("merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "ab"), 1, "differ in more than")
    assert "train 20, val 4" in m3di("info", fake_dataset).stdout
    failed(m3di("export", fake_dataset, "--to", "nowhere", "--out", tmp_path / "x"), 2, "no layout is called")


def test_verify(fake_dataset: Path, tmp_path: Path) -> None:
    done = m3di("verify", fake_dataset)
    assert done.returncode == 0
    assert "all 11 files are as they were made" in done.stdout
    out = write_fake_dataset(tmp_path / "here")
    (out / "val-00000.tar").write_bytes(b"")
    failed(m3di("verify", out), 1, "val-00000.tar: 0 bytes")
    failed(m3di("verify", tmp_path / "nowhere"), 1, "no m3di dataset here")
    assert "have the right structure" in m3di("verify", fake_dataset, "--quick").stdout
    failed(m3di("verify", fake_dataset, "--quick", "--repair"), 2, "a repair looks at everything", "leave --quick out")
    assert "nothing to repair" in m3di("verify", fake_dataset, "--repair").stdout
    out = write_fake_dataset(tmp_path / "littered")
    (out / "README.md").unlink()
    (out / "val-00007.tar").write_bytes(b"x")
    assert "made again: README.md; removed: val-00007.tar\n" in m3di("verify", out, "--repair").stdout


def test_train_refuses_a_batch_larger_than_the_split(fake_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = m3di("train", "--data", fake_dataset, "--steps", 1, "--batch-size", 64, "--run", run)
    failed(done, 2, "the batch is larger than the train split", "a batch of 64, a split of 20")
    assert not run.exists()


@pytest.mark.slow
def test_specs(tmp_path: Path) -> None:
    listed = m3di("specs", "list").stdout
    assert "image-pairs-causal\n" in listed
    shown = m3di("specs", "show", "m3di-independent").stdout
    assert yaml.safe_load(shown)["factors"]["object_color"]["mechanism"] == {"name": "uniform"}
    (tmp_path / "again.yaml").write_text(shown)
    done = m3di("specs", "check", "again.yaml", cwd=tmp_path)
    assert done.stdout == "again.yaml: sound; 15 factors, views image, text\n"
    done = m3di("specs", "graph", "m3di", cwd=tmp_path)
    assert done.stdout == "look at  m3di-graph.png\n"
    with Image.open(tmp_path / "m3di-graph.png") as picture:
        assert picture.size[0] > 500
    table = m3di("specs", "bounds", "m3di", "--n", 2000).stdout
    assert re.search(r"image +object_color +style +r2 +0\.889 +0\.000 +exact", table)


@pytest.mark.slow
def test_the_reference_and_the_schema_of_specs(tmp_path: Path) -> None:
    assert m3di("specs", "reference").stdout.startswith("# Every key of a spec")
    done = m3di("specs", "schema", "--out", "a/spec.schema.json", cwd=tmp_path)
    assert done.stdout == "a/spec.schema.json: written\n"
    assert json.loads((tmp_path / "a" / "spec.schema.json").read_text())["title"] == "m3di spec"
    (tmp_path / "file").touch()
    failed(
        m3di("specs", "schema", "--out", "file/x.json", cwd=tmp_path), 1, "the file cannot be written", "file/x.json"
    )


PLUGIN = """
from m3di.latents import register

@register("square", n_parents=0, types=["continuous"])
def square(u, parents, factor):
    return factor.from_unit(u**2)
"""


def test_a_plugin_of_the_users_is_run_for_any_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registries: None
) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    arguments = ("sample", "--n", 200, "--do", "object_color=square", "--out", "s.csv")
    failed(m3di(*arguments, cwd=tmp_path), 2, "'square' is neither a value of the factor nor a mechanism")
    for _ in range(2):  # the same file again is the same mechanism
        done = m3di("--plugin", "mine.py", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "s.csv")["image.object_color"].mean() == pytest.approx(1 / 3, abs=0.08)


def test_what_is_no_plugin(fake_dataset: Path, tmp_path: Path) -> None:
    failed(m3di("--plugin", "mine.py", "specs", "list", cwd=tmp_path), 2, "there is no such plugin", "mine.py")
    failed(m3di("--plugin", fake_dataset, "specs", "list"), 2, "the dataset came with no plugin", str(fake_dataset))
    failed(m3di("--plugin", tmp_path, "specs", "list"), 2, "this is no plugin", "a folder")


def test_notes_are_told_beside_the_answer(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("{extends: m3di, name: own, views: {image: {factors: {object_color: private}}}}")
    done = m3di("specs", "check", "own.yaml", cwd=tmp_path)
    assert done.stdout == "own.yaml: sound; 15 factors, views image, text\n"
    assert done.stderr.startswith("note: image has a value of object_color of its own (private); text_color of text")


def test_a_bad_spec_file_has_all_its_problems_in_one_report(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "{extends: m3di, name: bad, splits: {train: -1}, factors: {object_shape: {kindd: label}}}"
    )
    done = m3di("specs", "check", "bad.yaml", cwd=tmp_path)
    failed(done, 2, "2 problems", "factors.object_shape.kindd: unknown key; did you mean 'kind'?", "splits.train")


def test_sample(tmp_path: Path) -> None:
    done = m3di(
        "sample", "--n", 20, "--split", "val", "--seed", 4, "--do", "object_xpos=left", "--out", "a/s.csv", cwd=tmp_path
    )
    assert done.stdout == "a/s.csv: 20 samples of m3di\n"
    table = pd.read_csv(tmp_path / "a" / "s.csv", engine="pyarrow")  # to the last bit
    expected = sample(do(load_spec("m3di"), object_xpos="left"), "val", 20, seed=4)
    assert table["text.caption"].tolist() == captions(expected, "text")
    np.testing.assert_array_equal(table["image.object_color"], expected.views["image"]["object_color"])
    np.testing.assert_array_equal(table["image.object_xpos_m"], -3.0)
    assert m3di("sample", "--n", 20, "--seed", 4, "--out", "s.parquet", cwd=tmp_path).returncode == 0
    assert len(pd.read_parquet(tmp_path / "s.parquet")) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n", 2, "--out", "s.xlsx"), "unknown table format"),
        (("--n", -2, "--out", "s.csv"), "n is negative"),
        (("--n", 2, "--out", "s.csv", "--split", "tran"), "no split is called 'tran'"),
        (("--n", 2, "--out", "s.csv", "--do", "object_xpos"), "written FACTOR=VALUE"),
        (("--n", 2, "--out", "s.csv", "--do", "objectxpos=1"), "did you mean 'object_xpos'"),
    ],
)
def test_bad_samples(tmp_path: Path, options: tuple[object, ...], message: str) -> None:
    failed(m3di("sample", *options, cwd=tmp_path), 2, message)
    assert not list(tmp_path.iterdir())


def test_a_table_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed(m3di("sample", "--n", 2, "--out", "file/s.csv", cwd=tmp_path), 1, "the table cannot be written")


@pytest.mark.slow
def test_render_preview_verify_train(tmp_path: Path) -> None:
    """The whole line, for real."""
    done = installed_m3di(
        *("render", "--n", 8, "--n-val", 2, "--n-test", 2, "--size", 48, "--quality", "draft"), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "train 8, val 2, test 2" in done.stdout
    assert re.fullmatch(r"(render: [\d,]+/12 samples.*\n)+", done.stderr)  # no terminal, no progress bar
    assert installed_m3di("verify", "data/m3di", cwd=tmp_path).returncode == 0

    done = installed_m3di("preview", "--n", 2, "--seed", 5, "--size", 48, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sheet = np.asarray(Image.open(tmp_path / "preview.png"))
    assert sheet.ndim == 3
    assert sheet.std() > 20

    done = installed_m3di("train", "--steps", 3, "--batch-size", 4, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "step 3/3  loss" in done.stdout
    run = tmp_path / "runs" / "m3di-001"
    with (run / "metrics.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["1", "2", "3"]
    assert (run / "config.json").exists()
    assert {path.name for path in (run / "checkpoint" / "step-000000003").iterdir()} == {
        "image_encoder.safetensors",
        "text_encoder.safetensors",
        "training.safetensors",
    }
    assert list((run / "tensorboard").iterdir())
    assert installed_m3di("train", "--steps", 1, "--batch-size", 4, cwd=tmp_path).returncode == 0
    assert (tmp_path / "runs" / "m3di-002").is_dir()


@pytest.mark.slow
def test_gpu_without_a_gpu(tmp_path: Path) -> None:
    done = installed_m3di("render", "--n", 1, "--gpu", "--out", "g", cwd=tmp_path)
    failed(done, 1, "Cycles finds no GPU", "OPTIX, CUDA, HIP, ONEAPI, METAL")  # and nothing that Blender printed
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    """Under a pseudo-terminal the bar shows images done, the rate and the time left."""
    import pty

    command = [sys.executable, "-c", "from m3di.cli.main import main; main()"]
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


@pytest.mark.slow
def test_a_tilde_is_the_users_folder_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for line in (("sample", "--n", 2, "--out=~/s.csv"), ("specs", "graph", "m3di", "--out=~/g.png")):
        done = m3di(*line, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "~").exists()
    assert (tmp_path / "home" / "s.csv").exists()
    assert (tmp_path / "home" / "g.png").exists()
