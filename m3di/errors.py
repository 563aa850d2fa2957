"""The errors a user can meet: one message each, saying what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

# Secrets may hold any sign, also such as a URL should have in another form: rather too much is hidden than too little.
_USER = re.compile(r"(:/{1,2})([^\s/]+|\S+:\S+)@")
_NAME = r"[^=\s?&;]*(?:sig|token|key|secret|pass|credential|auth)[^=\s?&;]*"
_PARAMETER = re.compile(rf"([?&;]{_NAME}=)[^\s&;'\"]+", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """A text with `***` in the place of user names, passwords, keys and signatures in URLs: it may be printed."""
    return _PARAMETER.sub(r"\1***", _USER.sub(r"\1***@", text)) if ":/" in text else text


def _all_without_credentials(texts: dict[str, str]) -> dict[str, str]:
    """The same for the parts of a message: what is a secret in one of them is none of the reader's in the others."""
    users = {found[2] for text in texts.values() for found in _USER.finditer(text)}
    secrets = {*users, *(user.partition(":")[2] for user in users)} - {""}
    shown = {name: without_credentials(text) for name, text in texts.items()}
    for secret in sorted(secrets, key=len, reverse=True):
        shown = {name: text.replace(secret, "***") for name, text in shown.items()}
    return shown


class M3diError(Exception):
    """The data or the run is bad (exit code 1). The root of all errors of m3di: below it are those that a program may
    want to tell apart. Ctrl-C and SIGTERM are none of them: they stay `KeyboardInterrupt` (exit codes 130 and 143).

    Args:
        what: What is wrong, one sentence without a final period.
        where: File, option or place in a file.
        got: What was found there.
        expected: What would be right.
        next_step: What the user can do about it.

    Example:
        >>> from m3di import M3diError, load_spec
        >>> try:
        ...     load_spec("m3dii")
        ... except M3diError as error:
        ...     print(error.details["next"])
        did you mean 'm3di'?
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        got: object = None,
        expected: str | None = None,
        next_step: str | None = None,
    ) -> None:
        parts = {"where": where, "got": got, "expected": expected, "next": next_step}
        texts = {"what": what, **{name: str(part) for name, part in parts.items() if part is not None}}
        shown = _all_without_credentials(texts)
        self.what, self.details = shown.pop("what"), shown
        super().__init__(self.what, self.details)

    def __str__(self) -> str:
        return printable("\n".join([self.what, *(f"  {name + ':':9} {part}" for name, part in self.details.items())]))

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries (render workers, loader workers): keep the parts.
        return _rebuild, (type(self), self.what, self.details)


class UsageError(M3diError):
    """The command or the call is wrong (exit code 2)."""

    exit_code = 2


class DataError(M3diError):
    """A file or dataset is missing, damaged, or not what it should be (exit code 1)."""


class DeviceError(M3diError):
    """The GPU that was asked for is not there, is gone, or has no memory left (exit code 1)."""


class DiskError(M3diError):
    """A file could not be written: the disk is full, or refuses it (exit code 1). What is finished is kept."""


class InterruptedRunError(M3diError):
    """Another process has taken the run over (exit code 1). What is finished is kept."""


def _rebuild(kind: type[M3diError], what: str, details: dict[str, str]) -> M3diError:
    error = kind(what)
    error.details = details
    return error


def printable(text: str) -> str:
    """A text with its control characters written out: what a file says never steers the terminal."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)


def near_match(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be, or None where nothing is near."""
    names = list(known)
    same = [each for each in names if each.casefold() == word.casefold()]
    close = same or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str | None = None) -> str | None:
    """The next step after an unknown word: the known one that is near, or else `otherwise`."""
    near = near_match(word, known)
    return f"did you mean {near!r}?" if near else otherwise


def check_word(word: str, known: Sequence[str], *, what: str) -> None:
    """Raise UsageError, naming the nearest known word, unless `word` is one of them."""
    if word not in known:
        raise UsageError(
            f"unknown {what}",
            where=what,
            got=repr(word),
            expected=", ".join(known),
            next_step=did_you_mean(word, known),
        )
