"""Encodings that a user brings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from m3di.errors import M3diError, UsageError
from m3di.evaluate import (
    Encoded,
    NamedRun,
    ProbeData,
    Protocol,
    Request,
    Score,
    evaluate,
    read_npz,
    to_table,
    write_npz,
)

RNG = np.random.default_rng(0)
GOOD = {
    "val_image": RNG.normal(size=(30, 2)).astype(np.float32),
    "test_image": RNG.normal(size=(20, 2)).astype(np.float32),
    "val_image.shape": np.array(["cow", "hare", "head"] * 10),
    "test_image.shape": np.array(["cow", "hare"] * 10),
    "val_image.hue": RNG.uniform(size=30),
    "test_image.hue": RNG.uniform(size=20),
}


def write(folder: Path, **changes: object) -> Path:
    path = folder / "mine.npz"
    np.savez(path, **{name: value for name, value in {**GOOD, **changes}.items() if value is not None})  # type: ignore[arg-type]
    return path


def test_arrays_alone_are_enough(tmp_path: Path) -> None:
    table = evaluate(NamedRun(write(tmp_path), "mine"), Request(protocol=Protocol(("linear", "logistic", "mcc"))))
    rows = {(row["factor"], row["metric"]): row for row in table.to_pylist()}
    assert set(rows) == {("image.hue", "r2"), ("image.shape", "accuracy"), ("all", "mcc")}
    assert rows["image.shape", "accuracy"]["chance"] == 0.5
    assert rows["image.hue", "r2"]["encoding_size"] == 2
    assert rows["image.hue", "r2"]["n_fit"] == 30
    assert rows["image.hue", "r2"]["bound"] is None


@pytest.mark.parametrize(
    ("fit", "told"),
    [
        (np.arange(30), r"image.hue is int64 in val and float64 in test(?s:.)*both floating point"),
        (np.arange(30) * 1j, r"image.hue is complex128 in val and float64 in test(?s:.)*both floating point"),
    ],
)
def test_a_factor_is_of_one_kind_in_both_splits(tmp_path: Path, fit: object, told: str) -> None:
    with pytest.raises(M3diError, match=told):
        read_npz(write(tmp_path, **{"val_image.hue": fit}))


def test_written_encodings_come_back(tmp_path: Path) -> None:
    encoded = read_npz(write(tmp_path))
    write_npz(tmp_path / "again" / "mine.npz", encoded, "f")
    again = read_npz(tmp_path / "again" / "mine.npz")
    np.testing.assert_array_equal(again.encodings["image"][1], encoded.encodings["image"][1])
    factors = {each.name: each for each in encoded.factors["image"]}
    for each in again.factors["image"]:
        np.testing.assert_array_equal(each.test, factors[each.name].test)


def test_factors_of_a_dataset(fake_dataset: Path, tmp_path: Path) -> None:
    data = ProbeData(fake_dataset)
    path = tmp_path / "mine.npz"
    np.savez(path, val_image=np.zeros((4, 2)), test_image=np.zeros((4, 2)), fingerprint=data.fingerprint)
    encoded = read_npz(path, data)
    known = {each.name: each for each in encoded.factors["image"]}
    assert known["object_shape"].bound == 1.0
    assert known["object_color"].bound == pytest.approx(8 / 9, abs=0.01)
    assert known["object_color"].angle is not None
    assert known["object_alpharot"].bound == 0.0
    assert "object_zpos" not in known and "render_seed" not in known


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"val_image": None}, "no array val_image"),
        ({"test_image": None}, "expected: val_VIEW|test_VIEW and val_VIEW"),
        ({"val_image.hue": None}, "no array val_image.hue"),
        ({"z_image": np.zeros(2)}, "an array is called 'z_image'"),
        ({"val_image.shape": np.array([{}] * 30, dtype=object)}, "holds no plain arrays"),
        ({"val_text.hue": GOOD["val_image.hue"], "test_text.hue": GOOD["test_image.hue"]}, "of a view 'text' without"),
        ({"val_image.hue": np.zeros((30, 2))}, "one value a sample"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(M3diError, match=said):
        read_npz(write(tmp_path, **changes))


def test_encodings_without_factors_ask_for_the_dataset(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", val_image=GOOD["val_image"], test_image=GOOD["test_image"])
    with pytest.raises(M3diError, match=r"--data ROOT"):
        read_npz(tmp_path / "mine.npz")


@pytest.mark.parametrize(("value", "said"), [(np.nan, "not finite"), (None, "different numbers of samples")])
def test_encodings_are_looked_at(tmp_path: Path, value: float | None, said: str) -> None:
    bad = GOOD["val_image"][:-1] if value is None else np.full((30, 2), value)
    with pytest.raises(M3diError, match=said):
        evaluate(NamedRun(write(tmp_path, val_image=bad), "mine"))


def test_no_file_and_no_npz(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_npz(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(M3diError, match="holds no plain arrays"):
        read_npz(tmp_path / "text.npz")


def test_views_of_unequal_sizes(fake_dataset: Path, tmp_path: Path) -> None:
    rng, path, data = np.random.default_rng(0), tmp_path / "mine.npz", ProbeData(fake_dataset)
    sizes = {"image": 4, "text": 8}
    known = data.fit, data.test
    arrays = {
        f"{split}_{view}": rng.normal(size=(len(samples), size))
        for split, samples in zip(("val", "test"), known, strict=True)
        for view, size in sizes.items()
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]
    encoded = read_npz(path, data)
    assert encoded.pairs == ()  # nothing says how similar 4 numbers are to 8
    scores = [
        Score(*names, "", "", "", "x", 0.5) for names in (("image", "all"), ("text", "text.f"), ("text", "image"))
    ]
    whole = Score("all", "all", "", "", "", "val_loss", 0.5)
    assert to_table(encoded, [*scores, whole])["encoding_size"].to_pylist() == [4, 8, None, None]
    equal = replace(encoded, encodings=dict.fromkeys(sizes, encoded.encodings["image"]))
    assert to_table(equal, [*scores, whole])["encoding_size"].to_pylist() == [4] * 4


def test_a_file_knows_its_samples_and_its_similarity(fake_dataset: Path, tmp_path: Path) -> None:
    data = ProbeData(fake_dataset)
    z = {"image": (np.zeros((4, 2)), np.ones((4, 2)))}
    known = Encoded("r", z, {"image": data.factors["image"]}, similarity="neg_squared_euclidean")
    path = tmp_path / "r.npz"
    write_npz(path, known, data.fingerprint, "test", data.fingerprint)
    assert read_npz(path, data).similarity == "neg_squared_euclidean"
    write_npz(path, known, data.fingerprint, "held_out", data.fingerprint)
    with pytest.raises(M3diError, match=r"of another split(?s:.)*split held_out"):
        read_npz(path, data)
    write_npz(path, known, data.fingerprint, "test", "0123")
    with pytest.raises(M3diError, match=r"of another dataset for the probes(?s:.)*fitted_on 0123"):
        read_npz(path, data)


def test_a_file_says_what_its_samples_are_called(fake_dataset: Path, tmp_path: Path) -> None:
    encoded = replace(read_npz(write(tmp_path)), data="do object_xpos=right")
    write_npz(tmp_path / "mine.npz", encoded, "f", "test")
    assert read_npz(tmp_path / "mine.npz").data == "do object_xpos=right"
    assert read_npz(write(tmp_path, split=np.array("held_out"))).data == "held_out"  # files from before
    assert read_npz(write(tmp_path)).data == read_npz(write(tmp_path, split=np.array("test"))).data == "factual"


def test_encodings_of_another_dataset(fake_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(M3diError, match="of another dataset"):
        read_npz(write(tmp_path, fingerprint=np.array("0123")), ProbeData(fake_dataset))
    with pytest.raises(M3diError, match=r"no view 'imag'(.|\n)*did you mean 'image'"):
        read_npz(write(tmp_path, val_imag=np.zeros((4, 1)), test_imag=np.zeros((4, 1))), ProbeData(fake_dataset))


def test_a_factor_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no factor 'heu'(.|\n)*did you mean 'hue'"):
        evaluate(NamedRun(write(tmp_path), "mine"), Request(factors=("heu",)))
