"""Read and write tensors in a safetensors file: written whole or not at all, and never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from m3di.errors import DataError
from m3di.system.files import partial_of, publish

_PICKLES = (b"PK\x03\x04", b"\x80")  # of torch.save: a zip of a pickle, and a bare one


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors, which share no memory, and texts that describe them."""
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, partial_of(path), metadata=metadata)
    publish(partial_of(path), path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        DataError: It is missing, damaged, or a pickle in disguise.
    """
    if not path.is_file():
        raise DataError("the checkpoint lacks a file", where=str(path), next_step="restore it, or train again")
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_PICKLES):
        raise DataError(
            "these weights are a pickle, which can run any code, and are not loaded",
            where=str(path),
            expected="a safetensors file",
            next_step="convert them where you trust them: safetensors.torch.save_file(torch.load(FILE), NEW)",
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
            return tensors, opened.metadata() or {}
    except SafetensorError as error:
        raise DataError(
            "the checkpoint is damaged",
            where=str(path),
            got=str(error).splitlines()[0],
            expected="a whole safetensors file",
            next_step="restore the file, or train again",
        ) from error
