"""`m3di evaluate` and `m3di report` on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from m3di.cli import cli
from m3di.errors import UsageError


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


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_encodings_of_anybody_are_scored_and_drawn(tmp_path: Path) -> None:
    output = run("evaluate", brought(tmp_path), "--probes", "logistic,mlp", "--n-bootstrap", 20)
    assert "image.object_shape" in output and "accuracy" in output
    rows = pq.read_table(tmp_path / "mine.parquet").to_pylist()
    assert [row["value"] for row in rows] == [1.0, 1.0]
    output = run("report", tmp_path / "mine.parquet", "--out", tmp_path / "figures")
    assert (tmp_path / "figures" / "heat-map.png").is_file()
    assert "heat-map.pdf" in output


def test_csv_by_the_name_of_the_file(tmp_path: Path) -> None:
    run("evaluate", brought(tmp_path), "--probes", "logistic", "--n-bootstrap", 5, "--out", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--do", "object_xpos=right"), "encodings that were made already"),
        (("--fit", "x"), "--fit needs --data"),
        (("--probes", "logistik"), "no probe is called"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run("evaluate", brought(tmp_path), *arguments)


def test_encodings_of_several_runs_are_not_saved(tmp_path: Path) -> None:
    path = brought(tmp_path)
    with pytest.raises(UsageError, match="encodings are those of one run"):
        run("evaluate", path, path, "--save-encodings", tmp_path / "out.npz")
