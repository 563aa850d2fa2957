"""Two runs and two sweeps against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from m3di.errors import M3diError, UsageError
from m3di.evaluate import FactorValues, Protocol, Request, compare, comparison, evaluate_all, gather, members_of
from m3di.evaluate.results import with_columns

RNG = np.random.default_rng(0)
N = 300
SHAPE = RNG.integers(0, 3, size=N)
SIZE = RNG.normal(size=N)
QUICK = Request(protocol=Protocol(("linear", "logistic", "mig"), n_bootstrap=200))


def brought(path: Path, noise: float, shape: np.ndarray = SHAPE, seed: int = 0) -> Path:
    """Encodings of shape (exact) and size (with noise)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    z = np.stack([shape, SIZE + noise * np.random.default_rng(seed).normal(size=N)], axis=1)
    arrays = {"val_image": z[:100], "test_image": z[100:]}
    for name, values in (("shape", shape), ("size", SIZE)):
        arrays |= {f"val_image.{name}": values[:100], f"test_image.{name}": values[100:]}
    np.savez(path, **arrays)
    return path


def test_two_runs_by_the_bootstrap(tmp_path: Path) -> None:
    good, bad = brought(tmp_path / "good.npz", 0.1), brought(tmp_path / "bad.npz", 0.5)
    rows = {(row["factor"], row["metric"]): row for row in compare(good, bad, QUICK).to_pylist()}
    size, shape = rows["image.size", "r2"], rows["image.shape", "accuracy"]
    assert size["difference"] == pytest.approx(size["first"] - size["second"]) == pytest.approx(0.2, abs=0.05)
    assert 0 < size["ci_low"] < size["difference"] < size["ci_high"]
    assert size["p"] == pytest.approx(2 / 201) and (size["test"], size["n"]) == ("bootstrap", 200)
    assert (shape["difference"], shape["p"]) == (0.0, 1.0)
    assert rows["all", "mig"]["p"] is None and rows["all", "mig"]["test"] is None
    back = {(row["factor"], row["metric"]): row for row in compare(bad, good, QUICK).to_pylist()}
    assert back["image.size", "r2"]["difference"] == pytest.approx(-size["difference"])
    by_folds = Request(protocol=Protocol(("linear",), n_bootstrap=50, n_folds=3))
    (row,) = compare(good, bad, by_folds).to_pylist()
    assert row["n"] == 300 and row["ci_low"] > 0
    with np.load(bad) as file:
        np.savez(bad, **{name: file[name][20:] if name.startswith("val") else file[name] for name in file.files})
    assert compare(good, bad, QUICK).num_rows  # the same test samples
    with pytest.raises(M3diError, match="evaluated on different samples"):
        compare(good, bad, by_folds)  # which scores those to fit as well


def sweep(folder: Path, noise: float, seeds: range) -> Path:
    folder.mkdir()
    members = [{"run": f"seed={seed}", "values": {"seed": seed}} for seed in seeds]
    (folder / "sweep.json").write_text(json.dumps({"members": members}))
    for seed in seeds:
        brought(folder / f"seed={seed}" / "mine.npz", noise, seed=seed)
    return folder


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep of encodings rather than of weights."""

    def members(paths: Any) -> tuple[list[Any], list[str]]:
        one_sweep = (paths[0] / "sweep.json").is_file()
        return (sorted(paths[0].glob("*/mine.npz")), []) if one_sweep else members_of(paths)

    def scores(paths: Any, request: Request) -> Any:
        tables = []
        for path in paths:
            table = evaluate_all([Plain(path)], request)
            for name, value in (("run", path.parent.name), ("seed", int(path.parent.name[-1]))):
                table = table.set_column(table.column_names.index(name), name, [[value] * len(table)])
            tables.append(table)
        return gather(tables)

    class Plain:
        def __init__(self, path: Path) -> None:
            self.path, self.name, self.values = path, path.parent.name, {}

    monkeypatch.setattr("m3di.evaluate.comparison.members_of", members)
    monkeypatch.setattr("m3di.evaluate.comparison.evaluate_all", scores)
    monkeypatch.setattr("m3di.evaluate.comparison._trained_on", lambda path: "fingerprint of the data")


def test_two_sweeps_by_the_paired_test_over_the_seeds_that_both_have(tmp_path: Path, scored: None) -> None:
    good, bad = sweep(tmp_path / "good", 0.1, range(4)), sweep(tmp_path / "bad", 0.3, range(1, 5))
    notes: list[str] = []
    rows = {(row["factor"], row["metric"]): row for row in compare(good, bad, QUICK, notes.append).to_pylist()}
    assert notes == [
        f"{good}: left out seed=0, without a run of equal seed and settings in the other sweep",
        f"{bad}: left out seed=4, without a run of equal seed and settings in the other sweep",
    ]
    size = rows["image.size", "r2"]
    assert (size["n"], size["test"], size["encoding_size"]) == (3, "paired t", 2)
    each = []
    for noise in (0.1, 0.3):
        paths = [brought(tmp_path / f"{noise}-{seed}.npz", noise, seed=seed) for seed in (1, 2, 3)]
        tables = [compare(path, paths[0], QUICK).to_pylist() for path in paths]
        each.append([row["first"] for table in tables for row in table if row["metric"] == "r2"])
    wanted = stats.ttest_rel(*each)
    assert size["p"] == pytest.approx(wanted.pvalue)
    assert size["difference"] == pytest.approx(np.mean(each[0]) - np.mean(each[1]))


def test_sweeps_over_different_settings_are_not_paired(
    tmp_path: Path, scored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = sweep(tmp_path / "good", 0.1, range(2)), sweep(tmp_path / "bad", 0.3, range(2))
    scores = comparison.evaluate_all

    def with_rates(paths: Any, request: Request) -> Any:
        if paths[0].is_relative_to(bad):
            return scores(paths, request)
        return gather([with_columns(scores(paths, request), {"lr": lr}) for lr in (1e-3, 1e-2)])

    monkeypatch.setattr(comparison, "evaluate_all", with_rates)
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(UsageError, match=r"only one of the two sweeps varies lr\n(?s:.)*0\.001, 0\.01"):
            compare(*pair, QUICK)


def test_an_unfinished_run_of_a_sweep_is_named(tmp_path: Path, scored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = sweep(tmp_path / "good", 0.1, range(2)), sweep(tmp_path / "bad", 0.3, range(2))
    members = comparison.members_of
    monkeypatch.setattr(
        comparison, "members_of", lambda paths: (members(paths)[0], ["bad/seed=2"] if paths == [bad] else [])
    )
    notes: list[str] = []
    compare(good, bad, QUICK, notes.append)
    assert notes == ["bad/seed=2: not finished, left out"]


def test_what_cannot_be_compared(tmp_path: Path, scored: None) -> None:
    one, many = brought(tmp_path / "one.npz", 0.1), sweep(tmp_path / "many", 0.1, range(1))
    with pytest.raises(
        UsageError, match=r"sweep cannot be compared with a single run(?s:.)*\(run\) and (?s:.)*\(sweep\)"
    ):
        compare(one, many, QUICK)


def test_different_samples_and_nothing_in_common(tmp_path: Path) -> None:
    one = brought(tmp_path / "one.npz", 0.1)
    with pytest.raises(M3diError, match=r"different samples(?s:.)*image\.shape(?s:.)*--data"):
        compare(one, brought(tmp_path / "other.npz", 0.1, SHAPE[::-1]), QUICK)
    with np.load(one) as file:
        arrays = {name.replace("image", "text"): file[name] for name in file.files}
    np.savez(tmp_path / "text.npz", **arrays)
    with pytest.raises(M3diError, match="no score in common"):
        compare(one, tmp_path / "text.npz", QUICK)


def noise(path: Path, factor: str, n_fit: int = 100, n_test: int = 200, **noted: str) -> Path:
    """Encodings of two views that have nothing to do with their only factor."""
    rng = np.random.default_rng(n_test)
    names = {"image": 2, "text": 2, factor: None}
    arrays = {
        f"{split}_{name}": rng.normal(size=n if size is None else (n, size))
        for split, n in (("val", n_fit), ("test", n_test))
        for name, size in names.items()
    }
    np.savez(path, **arrays, **noted)  # type: ignore[arg-type]
    return path


ENCODINGS_ALONE = Request(protocol=Protocol(("alignment", "retrieval", "mig"), n_bootstrap=20))


def test_unequally_many_samples_are_not_the_same(tmp_path: Path) -> None:
    one = noise(tmp_path / "one.npz", "image.x")
    with pytest.raises(M3diError, match=r"different samples(?s:.)*200 and 250 samples to score\n"):
        compare(one, noise(tmp_path / "more.npz", "image.y", n_test=250), ENCODINGS_ALONE)
    by_folds = Request(protocol=Protocol(ENCODINGS_ALONE.protocol.probes, n_bootstrap=20, n_folds=2))
    with pytest.raises(M3diError, match=r"different samples(?s:.)*100 and 90 samples to fit\n"):
        compare(one, noise(tmp_path / "fewer.npz", "image.y", n_fit=90), by_folds)


def test_samples_without_a_factor_in_common_are_the_same_if_both_files_say_so(tmp_path: Path) -> None:
    known = {"fingerprint": "abc", "split": "test"}
    one, other = noise(tmp_path / "one.npz", "image.x", **known), tmp_path / "other.npz"
    for noted in ({}, {"fingerprint": "abc"}, {**known, "split": "ood"}, {**known, "fingerprint": "abd"}):
        with pytest.raises(M3diError, match=r"different samples(?s:.)*no factor that both have(?s:.)*--data"):
            compare(one, noise(other, "image.y", **noted), ENCODINGS_ALONE)
    with pytest.raises(M3diError, match="no factor that both have"):  # nothing is known of either
        compare(noise(tmp_path / "third.npz", "image.z"), noise(other, "image.y"), ENCODINGS_ALONE)
    metrics = {row["metric"] for row in compare(one, noise(other, "image.y", **known), ENCODINGS_ALONE).to_pylist()}
    assert metrics >= {"alignment", "recall@5"}
    by_folds = Request(protocol=Protocol(ENCODINGS_ALONE.protocol.probes, n_bootstrap=20, n_folds=2))
    with pytest.raises(M3diError, match="no factor that both have"):
        compare(one, other, by_folds)  # neither says what its probes are fitted on
    all_known = {**known, "fitted_on": "abc"}
    one, other = noise(one, "image.x", **all_known), noise(other, "image.y", **all_known)
    assert compare(one, other, by_folds).num_rows


def test_samples_are_the_same_in_factors_that_were_not_chosen_too(tmp_path: Path) -> None:
    one, other = brought(tmp_path / "one.npz", 0.1), brought(tmp_path / "other.npz", 0.1, SHAPE[::-1])
    only_size = Request(protocol=QUICK.protocol, factors=("size",))
    with pytest.raises(M3diError, match=r"different samples(?s:.)*image\.shape"):
        compare(one, other, only_size)


def test_labels_are_the_same_however_they_are_numbered() -> None:
    few, many = np.array([0, 1, 0, 2]), np.array([3, 40, 3, 500])  # as a file and as the spec number them

    def factor(test: np.ndarray) -> FactorValues:
        return FactorValues("image", "shape", "", "label", test, test)

    assert comparison._equal(factor(few), factor(many), "test")
    assert not comparison._equal(factor(few), factor(many[::-1]), "test")


def test_sweeps_of_different_datasets_are_not_paired(
    tmp_path: Path, scored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = sweep(tmp_path / "good", 0.1, range(2)), sweep(tmp_path / "bad", 0.3, range(2))
    monkeypatch.setattr(comparison, "_trained_on", lambda path: path.parent.parent.name)
    with pytest.raises(M3diError, match=r"different samples\n(?s:.)*trained on good and bad(?s:.)*--data"):
        compare(good, bad, QUICK)
