"""Make the files of views that need no renderer: captions, and those of the user's modalities."""

from __future__ import annotations

from m3di.errors import M3diError
from m3di.latents import Samples, captions


def files_of(samples: Samples, view: str) -> list[bytes]:
    """Make the file of each sample, for a view that is told or made.

    Raises:
        M3diError: The modality failed, or did not give one file a sample.
    """
    kind = samples.spec.observed[view].view.kind
    if kind.source == "told":
        return [text.encode() for text in captions(samples, view)]
    expected = f"{samples.n} files, bytes each"
    where = f"view {view!r} of spec {samples.spec.name!r}"
    try:
        found = list(kind.encode(samples, view))
    except M3diError:
        raise
    except Exception as error:  # code of others may raise anything
        got = f"{type(error).__name__}: {error}"[:300]
        raise M3diError(f"the modality {kind.name!r} failed", where=where, got=got, expected=expected) from error
    if len(found) != samples.n or not all(isinstance(each, bytes) for each in found):
        got = f"{len(found)} of {', '.join(sorted({type(each).__name__ for each in found})) or 'nothing'}"
        raise M3diError(f"the modality {kind.name!r} gave no file a sample", where=where, got=got, expected=expected)
    return found
