"""Parts of a dataset, for machines that render it side by side: part 1/3 has the shards 0, 3, 6, ... of all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from m3di import data
from m3di.errors import UsageError
from m3di.generate.plan import Shard, shards_of


@dataclass(frozen=True)
class Part:
    """One of `count` parts; `number` is 1 for the first and `count` for the last."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read a part that is written `I/N`.

        Raises:
            UsageError: It is not written so, or I is not one of 1 to N.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(
                "there is no such part",
                where="--shards",
                got=text,
                expected="I/N with I from 1 to N, such as 1/8 for the first of eight parts and 8/8 for the last",
            )
        return cls(int(found[1]), int(found[2]))

    def shards(self, plan: data.Plan) -> list[Shard]:
        """Return every N-th shard, so that parts have equal sizes and the short last shards are spread.

        Raises:
            UsageError: There are fewer shards than parts.
        """
        every = list(shards_of(plan))
        if self.count > len(every):
            raise UsageError(
                f"{self.count} parts are more than there are shards",
                where="--shards",
                got=str(self),
                expected=f"at most {len(every)} parts",
                next_step="fewer parts, or more shards with a smaller --shard-size",
            )
        return every[self.number - 1 :: self.count]


def missing_parts(indices: Sequence[int], seen: Part | None) -> list[Part]:
    """Return the parts that shards belong to, if `seen` says how many parts there are.

    Args:
        indices: Numbers of the shards, counted through all splits.
        seen: One of the parts; None if it is not known.
    """
    numbers = sorted({index % seen.count for index in indices}) if seen else []
    return [Part(number + 1, seen.count) for number in numbers] if seen else []
