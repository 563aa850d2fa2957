"""Entries of a manifest: a file, a split, the tokens of a view."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from m3di.data.format.limits import MAX_ONE_HOT, MAX_TOKENS
from m3di.data.format.plain_names import Count, FileName, NBytes, Sha256
from m3di.data.format.tokens import Tokenizer


class StrictEntry(BaseModel):
    """An entry that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(StrictEntry):
    """A file of the dataset; `n_samples` is 0 if it is neither a shard nor a table."""

    file: FileName
    n_bytes: NBytes
    sha256: Sha256
    n_samples: Count = 0


class SplitEntry(StrictEntry):
    """The shards of a split in order, and its table."""

    n_samples: Count
    shards: tuple[FileEntry, ...]
    table: FileEntry

    @model_validator(mode="after")
    def _counts_agree(self) -> SplitEntry:
        n = sum(shard.n_samples for shard in self.shards)
        if not n == self.n_samples == self.table.n_samples:
            raise ValueError(
                f"the shards hold {n} samples, the table has {self.table.n_samples} rows, expected {self.n_samples}"
            )
        if self.n_samples > self.table.n_bytes:  # checked before a reader allocates memory for them
            raise ValueError(f"{self.n_samples} rows do not fit in {self.table.n_bytes} bytes of {self.table.file}")
        return self


class TextEntry(StrictEntry):
    """The tokens of a text view, see `Tokenizer`."""

    vocabulary: tuple[str, ...] = Field(min_length=2)
    length: int = Field(ge=0, le=MAX_TOKENS)
    quoted: Literal["words", "unit"] = "words"

    @model_validator(mode="after")
    def _one_hot_fits(self) -> TextEntry:
        if self.length * len(self.vocabulary) > MAX_ONE_HOT:
            raise ValueError(f"{self.length} tokens out of {len(self.vocabulary)} are too many")
        return self

    @property
    def tokenizer(self) -> Tokenizer:
        """Make the tokenizer of this vocabulary."""
        return Tokenizer(self.vocabulary, self.length, self.quoted)
