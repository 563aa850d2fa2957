"""Read and write encodings as `.npz`: no m3di model is needed, and no pickle is ever loaded.

    val_VIEW            float [N, D]     encodings that probes are fitted on
    test_VIEW           float [M, D]     encodings that are scored, of the same view
    val_VIEW.FACTOR     [N]              a factor's values; floating point is a number, all else a label
    test_VIEW.FACTOR    [M]
    fingerprint         one string       optional: of the dataset that was encoded
    split               one string       optional: the split of test_VIEW
    fitted_on           one string       optional: fingerprint of the dataset of val_VIEW
    similarity          one string       optional: similarity of the training loss
    data                one string       optional: what the samples are called in results

The factors may be left out if the dataset is given instead; rows are then in its order.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import DataError, M3diError, UsageError, did_you_mean
from m3di.evaluate.encoded import FACTUAL, Encoded, FactorValues
from m3di.evaluate.probe_data import SCORED, ProbeData
from m3di.system.disk import disk_errors
from m3di.system.files import open_partial, partial_of, publish

SPLITS = ("val", "test")
FINGERPRINT, SPLIT, FITTED_ON, SIMILARITY, DATA = "fingerprint", "split", "fitted_on", "similarity", "data"
NOTED = (FINGERPRINT, SPLIT, FITTED_ON, SIMILARITY, DATA)
Arrays = dict[str, NDArray[Any]]


def read_npz(path: Path, data: ProbeData | None = None) -> Encoded:
    """Read encodings and factors from a file.

    Args:
        path: The .npz file.
        data: The dataset that was encoded, for its factors; without it they are in the file.

    Raises:
        M3diError: The file is damaged, holds no such arrays, or does not fit the dataset.
        UsageError: There is no such file.
    """
    arrays = _load(path)
    views = [name.removeprefix("test_") for name in arrays if name.startswith("test_") and "." not in name]
    stray = [name for name in arrays if name not in NOTED and not name.startswith(("val_", "test_"))]
    if stray:
        raise _bad(path, f"an array is called {stray[0]!r}", "val_VIEW, test_VIEW, val_VIEW.FACTOR or test_VIEW.FACTOR")
    if not views:
        raise _bad(path, f"arrays {', '.join(arrays) or 'none'}", "test_VIEW and val_VIEW, such as test_image")
    encodings = {view: _both(arrays, view, path) for view in views}
    noted: dict[str, Any] = {"similarity": str(arrays[SIMILARITY])} if SIMILARITY in arrays else {}
    noted["samples"] = tuple(str(arrays.get(name, "")) for name in (FINGERPRINT, SPLIT, FITTED_ON))
    if data is not None:
        noted["samples"] = data.samples
        _check_dataset(path, arrays, views, data)
        known = {view: data.factors[view] for view in views}
        return Encoded(path.stem, encodings, known, data.name, _comparable(data.pairs(views), encodings), **noted)
    pairs = _comparable(itertools.combinations(views, 2), encodings)
    return Encoded(path.stem, encodings, _factors(arrays, views, path), _called(arrays), pairs, **noted)


def _comparable(
    pairs: Iterable[tuple[str, str]], encodings: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
) -> tuple[tuple[str, str], ...]:
    """Those pairs of views whose encodings are equally long: others have no similarity."""
    sizes = {view: test.shape[1:] for view, (_, test) in encodings.items()}
    return tuple((one, other) for one, other in pairs if sizes[one] == sizes[other])


def write_npz(path: Path, encoded: Encoded, fingerprint: str, split: str = "", fitted_on: str = "") -> None:
    """Write the encodings of a run so that `read_npz` gives them back, and knows the samples again.

    Args:
        path: The .npz to write.
        encoded: The encodings.
        fingerprint: Of the dataset that was encoded.
        split: The split that is scored; not noted if empty.
        fitted_on: Fingerprint of the dataset that probes are fitted on; not noted if empty.

    Raises:
        M3diError: The file cannot be written.
    """
    noted = {FINGERPRINT: fingerprint, SPLIT: split, FITTED_ON: fitted_on, SIMILARITY: encoded.similarity}
    noted[DATA] = encoded.data
    arrays: Arrays = {name: np.array(text) for name, text in noted.items() if text or name == FINGERPRINT}
    for view, both in encoded.encodings.items():
        arrays |= {f"{split}_{view}": encoding for split, encoding in zip(SPLITS, both, strict=True)}
        for each in encoded.factors[view]:
            if each.view == view:
                arrays |= {f"val_{each.full_name}": each.fit, f"test_{each.full_name}": each.test}
    with disk_errors(path, "the encodings cannot be written", kept=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_partial(partial_of(path)) as file:
            np.savez_compressed(file, **arrays)
        publish(partial_of(path), path)


def _called(arrays: Arrays) -> str:
    """What the samples of a file are called."""
    split = str(arrays.get(SPLIT, SCORED))
    return str(arrays.get(DATA, FACTUAL if split == SCORED else split))


def _load(path: Path) -> Arrays:
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path), next_step="check the path of the .npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, AttributeError) as error:
        raise DataError(
            "the file holds no plain arrays",
            where=str(path),
            got=error,
            expected="an .npz of numbers and strings; pickled objects are not loaded",
            next_step="numpy.savez(file, val_image=..., test_image=...)",
        ) from error


def _both(arrays: Arrays, name: str, path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    for split in SPLITS:
        if f"{split}_{name}" not in arrays:
            raise _bad(path, f"no array {split}_{name}", f"both val_{name} and test_{name}")
    fit, test = (arrays[f"{split}_{name}"] for split in SPLITS)
    if fit.dtype.kind == "f" and test.dtype.kind == "f":
        return fit.astype(np.float64), test.astype(np.float64)
    return fit, test


def _factors(arrays: Arrays, views: list[str], path: Path) -> dict[str, tuple[FactorValues, ...]]:
    names = [name.removeprefix("test_") for name in arrays if name.startswith("test_") and "." in name]
    if not names:
        raise _bad(path, "no factors", "arrays val_VIEW.FACTOR and test_VIEW.FACTOR; or the dataset, with --data ROOT")
    found: dict[str, list[FactorValues]] = {view: [] for view in views}
    for full_name in names:
        view, _, name = full_name.partition(".")
        if view not in found:
            raise _bad(path, f"factors of a view {view!r} without encodings", f"val_{view} and test_{view}")
        found[view].append(_factor(view, name, *_both(arrays, full_name, path), path))
    return {view: tuple(each) for view, each in found.items()}


def _factor(view: str, name: str, fit: NDArray[Any], test: NDArray[Any], path: Path) -> FactorValues:
    if fit.ndim != 1 or test.ndim != 1:
        raise _bad(path, f"{view}.{name} of shape {list(fit.shape)}", "one value a sample")
    if "c" in fit.dtype.kind + test.dtype.kind or (fit.dtype.kind == "f") != (test.dtype.kind == "f"):
        got = f"{view}.{name} is {fit.dtype} in val and {test.dtype} in test"
        raise _bad(path, got, "both floating point (a number) or neither (a label)")
    if fit.dtype.kind == "f":
        return FactorValues(view, name, "", "scalar", fit, test.astype(np.float64))
    names = np.unique(np.concatenate([fit, test]))
    return FactorValues(view, name, "", "label", np.searchsorted(names, fit), np.searchsorted(names, test))


def _check_dataset(path: Path, arrays: Arrays, views: list[str], data: ProbeData) -> None:
    for view in views:
        if view not in data.views:
            raise M3diError(
                f"the dataset has no view {view!r}",
                where=str(path),
                expected=", ".join(data.views),
                next_step=did_you_mean(view, data.views, otherwise=f"rename the arrays val_{view} and test_{view}"),
            )
    for name, wanted, of in (
        (FINGERPRINT, data.fingerprint, "dataset"),
        (SPLIT, data.split, "split"),
        (FITTED_ON, data.fit.fingerprint, "dataset for the probes"),
    ):
        stated = str(arrays[name]) if name in arrays else wanted  # files of others state what they like
        if stated != wanted:
            raise M3diError(
                f"the encodings are of another {of}",
                where=str(path),
                got=f"{name} {stated[:12]}",
                expected=f"{wanted[:12]}, that of {data.root}",
                next_step=f"give the {of} that was encoded, or encode this one",
            )


def _bad(path: Path, got: str, expected: str) -> M3diError:
    return DataError(
        "the file does not hold encodings",
        where=str(path),
        got=got,
        expected=expected,
        next_step="the arrays are described in docs/evaluation.md",
    )
