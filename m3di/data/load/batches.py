"""A resumable order of samples, and the normalisation of pixels into a reused buffer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence, Sized
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from m3di.errors import M3diError, UsageError


class Batches(Sampler[list[int]]):
    """Lists of sample indices, one a batch: `DataLoader(dataset, batch_sampler=Batches(dataset, 64))`.

    Each `iter()` is a whole epoch, and the next one is the next epoch, even if a pass was left in the middle. Only the
    pass right after `load_state_dict` is the rest of an epoch.

    The order is a function of (n, batch_size, shuffle, seed, epoch, rank, world_size) alone. All ranks get equally many
    batches; together they get every sample once, but for a few that `drop_last` leaves out or padding repeats.

    Args:
        dataset: The dataset; only its length counts.
        batch_size: Samples of a batch, on each rank.
        shuffle: Draw a new order each epoch; else keep the order of the dataset.
        seed: Seed of the order, 0 or more.
        rank: Number of this process; by default that of torch.distributed.
        world_size: Number of processes; 1 if something else divides the batches, as Accelerate's `prepare` does.
        drop_last: Leave out an incomplete last batch.

    Raises:
        UsageError: A number is out of its range; or, from `iter()`, both this and Accelerate would divide the batches.
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
        self._found_ranks = together and rank is None and world_size is None
        self.rank = (torch.distributed.get_rank() if together else 0) if rank is None else rank
        self.world_size = (torch.distributed.get_world_size() if together else 1) if world_size is None else world_size
        if rank is None and world_size == 1:
            self.rank = 0  # nothing is divided here
        for name, number, least in (("batch_size", batch_size, 1), ("seed", seed, 0)):
            if not _is_count(number) or number < least:
                expected = f"an integer, {least} or more"
                raise UsageError(f"{name} is not in its range", got=repr(number), expected=expected)
        if not 0 <= self.rank < self.world_size:
            raise UsageError("rank is no rank of the world", got=self.rank, expected=f"0 to {self.world_size - 1}")
        self.n, self.batch_size, self.shuffle, self.seed = len(dataset), int(batch_size), shuffle, int(seed)
        # Not called `drop_last`: Lightning would take this for torch's BatchSampler and build another one in its place.
        self._drop_last = drop_last
        self.epoch, self.position = 0, 0
        self._pass = (0, 0)  # where the last pass began
        self._taken: tuple[int, int] | None = None  # where it stood after its last batch

    def __len__(self) -> int:
        if self._drop_last:
            return self.n // self.world_size // self.batch_size
        return -(-self.n // (self.world_size * self.batch_size))

    def __iter__(self) -> Iterator[list[int]]:
        """Yield a whole epoch; after `load_state_dict` the rest of one."""
        epoch, first = self.begin()
        for number, indices in enumerate(self.rest(epoch, first), first + 1):
            self.took(epoch, number)
            yield indices

    def begin(self) -> tuple[int, int]:
        """Return epoch and first batch of a new pass."""
        self._check_ranks()
        if self.position and (self.epoch, self.position) == self._taken:  # the last pass was left in the middle
            self.epoch, self.position = self.epoch + 1, 0
        self._pass = (self.epoch, self.position)
        self._taken = None
        return self._pass

    def took(self, epoch: int, n_batches: int) -> None:
        """Note that training has used the first `n_batches` of an epoch; after the last one, the next epoch begins."""
        self.epoch, self.position = self._place(epoch, n_batches)
        self._taken = (self.epoch, self.position)

    def _place(self, epoch: int, n_batches: int) -> tuple[int, int]:
        return (epoch, n_batches) if n_batches < len(self) else (epoch + 1, 0)

    def rest(self, epoch: int, first: int) -> Iterator[list[int]]:
        """Yield the batches of an epoch from number `first` on, without moving the position."""
        order = self._order(epoch)
        starts = range(first * self.batch_size, len(self) * self.batch_size, self.batch_size)
        return (order[start : start + self.batch_size].tolist() for start in starts)

    def _order(self, epoch: int) -> Any:
        order = np.arange(self.n)
        if self.shuffle:
            order = np.random.Generator(np.random.Philox([self.seed, epoch])).permutation(self.n)
        if self._drop_last:
            order = order[: self.n // self.world_size * self.world_size]
        elif self.n:
            order = np.resize(order, -(-self.n // self.world_size) * self.world_size)
        return order[self.rank :: self.world_size]

    def _check_ranks(self) -> None:
        """Refuse to divide batches twice: Accelerate divides those of a loader that it prepares."""
        if not self._found_ranks or self.world_size == 1:
            return
        accelerate = sys.modules.get("accelerate.state")
        if accelerate is not None and accelerate.PartialState._shared_state:
            raise UsageError(
                "both `Batches` and Accelerate may divide the batches over the processes: say which",
                got=f"a process group of {self.world_size} and an Accelerator",
                expected="`world_size=1` for a loader that `accelerator.prepare` gets; else rank and world_size of "
                "the accelerator",
                next_step="Batches(dataset, batch_size, world_size=1), then accelerator.prepare(loader)",
            )

    @property
    def sampler(self) -> Batches:
        """Return itself: frameworks look here for `set_epoch` of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go forward to an epoch, as frameworks ask when they resume; only `load_state_dict` goes back."""
        stands = self.epoch + (self.position > 0 and (self.epoch, self.position) == self._taken)
        if epoch > stands:
            self.epoch, self.position = epoch, 0

    def state_dict(self, n_batches: int | None = None) -> dict[str, int]:
        """Return the position in the order.

        Args:
            n_batches: Batches of this pass that training has used. A DataLoader with workers reads ahead, so the
                sampler does not know; with a `BatchLoader`, or without workers, None takes what was given out.

        Raises:
            UsageError: The pass has not that many.
        """
        epoch, position = self.epoch, self.position
        if n_batches is not None:
            epoch, first = self._pass
            if not 0 <= n_batches <= len(self) - first:
                raise UsageError(
                    "n_batches is not in its range", got=n_batches, expected=f"0 to {len(self) - first}, of this pass"
                )
            epoch, position = self._place(epoch, first + n_batches)
        return {"epoch": epoch, "position": position, **self._identity()}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from a state: the next pass is the rest of its epoch.

        Raises:
            M3diError: It belongs to another order, or its position cannot be.
        """
        if not isinstance(state, Mapping):
            raise M3diError("this is no state of an order", got=type(state).__name__, expected="what `state_dict` gave")
        differing = [name for name, value in self._identity().items() if state.get(name) != value]
        if differing:
            raise M3diError(
                "the state is that of another order",
                got=", ".join(f"{name} {state.get(name)}" for name in differing),
                expected=", ".join(f"{name} {self._identity()[name]}" for name in differing),
            )
        for name, most, expected in (
            ("epoch", None, "0 or more"),
            ("position", len(self), f"0 to {len(self)}, batches of an epoch"),
        ):
            value: Any = state.get(name)
            if not _is_count(value) or (most is not None and value > most):
                raise M3diError(
                    f"the state stands at {name} {value!r}, which cannot be",
                    expected=expected,
                    next_step="take the state from a sound checkpoint",
                )
        self.epoch, self.position = self._place(int(state["epoch"]), int(state["position"]))
        self._pass, self._taken = (self.epoch, self.position), None

    def _identity(self) -> dict[str, int]:
        names = ("n", "batch_size", "shuffle", "seed", "world_size")
        return {name: int(getattr(self, name)) for name in names} | {"drop_last": int(self._drop_last)}


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 0)


class Normaliser:
    """Turns pixels into floats of zero mean and unit variance, in a buffer that each call overwrites, or in new memory.

    Args:
        mean: Of red, green, blue, of values in [0, 1].
        std: Likewise.
    """

    def __init__(self, mean: Sequence[float] = (0.5, 0.5, 0.5), std: Sequence[float] = (0.5, 0.5, 0.5)) -> None:
        self.mean, self.std = tuple(mean), tuple(std)
        self._buffer = torch.empty(0)

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise images uint8 [B, 3, H, W] in channels-last memory, on any device.

        Returns:
            float32 [B, 3, H, W], channels-last, valid until the next call: copy it to keep it.
        """
        flat = images.permute(0, 2, 3, 1).contiguous().flatten(2)  # [B, H, W * 3]
        width = images.shape[3]
        if self._buffer.shape != flat.shape or self._buffer.device != flat.device:
            self._buffer = torch.empty(flat.shape, device=flat.device)
        # A row holds red, green, blue in turn; so do scale and shift, and the inner loop is W * 3 long.
        shift, scale = (each.flatten().repeat(width) for each in shift_and_scale(self.mean, self.std, flat.device))
        # Image by image, so that what was just written is still in the processor's cache when it is scaled.
        for pixels, floats in zip(flat, self._buffer, strict=True):
            torch.addcmul(shift, floats.copy_(pixels), scale, out=floats)
        return self._buffer.view(*flat.shape[:2], width, 3).permute(0, 3, 1, 2)

    def fresh(self, images: Tensor) -> Tensor:
        """Return the same values in new memory, laid out as the images: gradients need them later."""
        shift, scale = shift_and_scale(self.mean, self.std, images.device)
        return torch.addcmul(shift, images.float(), scale)


@lru_cache(maxsize=64)
def shift_and_scale(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return shift and scale, [3, 1, 1] each, made once a device: a copy at each step would make a GPU wait."""
    with torch.inference_mode(False):  # a tensor made in inference mode could not be used in training later
        scale = torch.tensor([1 / (255 * each) for each in std], device=device)
        shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
    return shift.view(3, 1, 1), scale.view(3, 1, 1)
