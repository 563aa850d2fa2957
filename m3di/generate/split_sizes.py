"""How many samples each split has: what was asked for, else what the spec says, in proportion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from m3di.data.format.limits import MAX_SAMPLES
from m3di.errors import UsageError, did_you_mean

VAL_AND_TEST = 0.08
"""Samples of val and of test for each training sample, where nothing else is said."""


def asked_sizes(texts: Iterable[str]) -> dict[str, int]:
    """Read `SPLIT=N`, as `--n-of` has it.

    Raises:
        UsageError: It is another text, a split is named twice, or N is not from 0 to 10^9.
    """
    found: dict[str, int] = {}
    for text in texts:
        split, equals, number = (each.strip() for each in text.partition("="))
        if not (split and equals and number.isdecimal() and int(number) <= MAX_SAMPLES) or split in found:
            raise UsageError(
                "this says no number of samples of a split" if split not in found else f"{split} is named twice",
                where="--n-of",
                got=repr(text),
                expected=f"SPLIT=N, each split once, N from 0 to {MAX_SAMPLES:,}",
                next_step="write it like --n-of held_out=500",
            )
        found[split] = int(number)
    return found


def split_sizes(
    own: Mapping[str, int], n: int | None, usual: Mapping[str, int | None], asked: Mapping[str, int]
) -> dict[str, int]:
    """Return the samples of each split of a dataset.

    Args:
        own: What the spec says.
        n: Training samples; of a spec without a train split, those of its first split. None takes the spec's.
        usual: Samples of val and test, where they were asked for.
        asked: Samples of splits that were asked for by their name.

    Raises:
        UsageError: A split was asked for that the spec does not have, or two numbers are given for one.
    """
    known = dict.fromkeys(["train", *usual, *own])
    for split in asked:
        if split not in known:
            step = did_you_mean(split, known, otherwise="give it in `splits` of the spec")
            raise UsageError(
                f"the spec has no split {split!r}", where="--n-of", expected=", ".join(known), next_step=step
            )
    first = first_split(own)
    _refuse_two_numbers({first: ("--n", n), **{split: (f"--n-{split}", size) for split, size in usual.items()}}, asked)
    scale = n / own[first] if n is not None and own.get(first) else 1.0
    sizes = {split: max(1, round(size * scale)) if size else 0 for split, size in own.items()}
    if n is not None:
        sizes[first] = n
    n_train = {**sizes, **asked}.get("train", 0)
    for split, size in usual.items():
        if first == "train" and (n is not None or split not in own):
            sizes[split] = max(1, round(VAL_AND_TEST * n_train))
        if size is not None:
            sizes[split] = size
    return {split: {**sizes, **asked}[split] for split in known if split in sizes or split in asked}


def first_split(own: Mapping[str, int]) -> str:
    """Return the split whose number `--n` gives: train, or the first one of a spec without it.

    Args:
        own: The samples of each split, as the spec says.
    """
    from m3di.latents import SPLITS  # here: `m3di render --help` waits for no NumPy

    others = [split for split, size in own.items() if size and split not in SPLITS]
    return "train" if "train" in own or not others else others[0]


def _refuse_two_numbers(given: Mapping[str, tuple[str, int | None]], asked: Mapping[str, int]) -> None:
    """Raise UsageError where an option of its own and `--n-of` give the number of one split."""
    for split, (option, size) in given.items():
        if size is not None and split in asked:
            raise UsageError(
                f"two options give the number of samples of the split {split!r}",
                where="--n-of",
                got=f"{option} {size} and --n-of {split}={asked[split]}",
                expected="one of them",
                next_step=f"leave {option} or --n-of {split}=... out",
            )
