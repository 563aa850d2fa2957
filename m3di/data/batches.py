"""The order of samples, resumable; and pixels to normalised floats in a buffer that is used again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from m3di.errors import M3diError, UsageError


class Batches(Sampler[list[int]]):
    """Lists of sample indices, one a batch, of one epoch after the other.

    The order is a function of (n, batch_size, shuffle, seed, epoch, rank, world_size) alone. All ranks get equally many
    batches; together they get every sample once, but for a few that `drop_last` leaves out or padding repeats.

    Args:
        dataset: What to take samples from; only its length counts.
        batch_size: Samples of a batch, on each rank.
        shuffle: A new order each epoch; else the order of the dataset.
        seed: Seed of the order.
        rank: Number of this process; torch.distributed knows it, where it runs.
        world_size: Number of processes.
        drop_last: Leave out an incomplete last batch.
    """

    def __init__(
        self,
        dataset: Sized,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
    ) -> None:
        together = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = (torch.distributed.get_rank() if together else 0) if rank is None else rank
        self.world_size = (torch.distributed.get_world_size() if together else 1) if world_size is None else world_size
        if batch_size < 1:
            raise UsageError("batch_size is too small", got=batch_size, expected="1 or more")
        if not 0 <= self.rank < self.world_size:
            raise UsageError("rank is no rank of the world", got=self.rank, expected=f"0 to {self.world_size - 1}")
        self.n, self.batch_size, self.shuffle, self.seed = len(dataset), batch_size, shuffle, seed
        self.drop_last = drop_last
        self.epoch, self.position = 0, 0

    def __len__(self) -> int:
        if self.drop_last:
            return self.n // self.world_size // self.batch_size
        return -(-self.n // (self.world_size * self.batch_size))

    def __iter__(self) -> Iterator[list[int]]:
        """The rest of the epoch; the next call gives the next one."""
        epoch = self.epoch
        for number, indices in enumerate(self.rest(), self.position + 1):
            self.position = number
            yield indices
        if self.epoch == epoch:
            self.epoch, self.position = epoch + 1, 0

    def rest(self) -> Iterator[list[int]]:
        """The rest of the epoch, to look ahead: where the order stands does not move."""
        order = self._order()
        starts = range(self.position * self.batch_size, len(self) * self.batch_size, self.batch_size)
        return (order[start : start + self.batch_size].tolist() for start in starts)

    def _order(self) -> Any:
        order = np.arange(self.n)
        if self.shuffle:
            order = np.random.Generator(np.random.Philox([self.seed, self.epoch])).permutation(self.n)
        if self.drop_last:
            order = order[: self.n // self.world_size * self.world_size]
        elif self.n:
            order = np.resize(order, -(-self.n // self.world_size) * self.world_size)
        return order[self.rank :: self.world_size]

    def state_dict(self, n_batches: int | None = None) -> dict[str, int]:
        """Where the order stands.

        Args:
            n_batches: Batches of this epoch that training has used. A DataLoader with workers reads ahead, so the
                sampler does not know; with a `BatchLoader`, or without workers, None takes what was given out.
        """
        position = self.position if n_batches is None else n_batches
        return {"epoch": self.epoch, "position": position, **self._identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where a state stands.

        Raises:
            M3diError: It is that of another order.
        """
        differing = [name for name, value in self._identity().items() if state.get(name) != value]
        if differing:
            raise M3diError(
                "the state is that of another order",
                got=", ".join(f"{name} {state.get(name)}" for name in differing),
                expected=", ".join(f"{name} {self._identity()[name]}" for name in differing),
            )
        self.epoch, self.position = state["epoch"], state["position"]

    def _identity(self) -> dict[str, int]:
        names = ("n", "batch_size", "shuffle", "seed", "world_size", "drop_last")
        return {name: int(getattr(self, name)) for name in names}


class Normaliser:
    """Pixels to floats of zero mean and unit variance, in one buffer that each call writes anew.

    Args:
        mean: Of red, green, blue, of values in [0, 1].
        std: Likewise.
    """

    def __init__(self, mean: Sequence[float] = (0.5, 0.5, 0.5), std: Sequence[float] = (0.5, 0.5, 0.5)) -> None:
        self.scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        self.shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self._buffer = torch.empty(0)

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise images uint8 [B, 3, H, W] in channels-last memory, on whatever device.

        Returns:
            float32 [B, 3, H, W], channels-last, valid until the next call: copy it to keep it.
        """
        flat = images.permute(0, 2, 3, 1).contiguous().flatten(2)  # [B, H, W * 3]
        width = images.shape[3]
        if self._buffer.shape != flat.shape or self._buffer.device != flat.device:
            self._buffer = torch.empty(flat.shape, device=flat.device)
        # A row of pixels holds red, green, blue in turn: so do scale and shift, and the inner loop is W * 3 long.
        scale, shift = (each.float().to(flat.device).repeat(width) for each in (self.scale, self.shift))
        # Image by image, so that what was just written is still in the processor's cache when it is scaled.
        for pixels, floats in zip(flat, self._buffer, strict=True):
            torch.addcmul(shift, floats.copy_(pixels), scale, out=floats)
        return self._buffer.view(*flat.shape[:2], width, 3).permute(0, 3, 1, 2)
