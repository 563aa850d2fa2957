"""Causal mechanisms: parents and exactly one uniform number in, a value out, by inverse CDF.

A mechanism is a function `f(u, parents, factor, *, ...parameters)`, vectorised over samples; its keyword parameters
are what a spec file may set. `register` makes one known by name. m3di's own are in `m3di/latents/builtin`; a
package can offer its own through the entry point group `m3di.mechanisms`, a spec through `plugins`, files beside it.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, create_model

from m3di.errors import UsageError
from m3di.latents.factor import Factor
from m3di.latents.modality import MODALITIES, PLUGIN_MODULE
from m3di.latents.yaml_text import read_text
from m3di.system.registry import Registry

ALL_TYPES = ("categorical", "continuous", "integer")


@dataclass(frozen=True)
class Parent:
    """A parent as a mechanism sees it: its declaration and its raw values [n]."""

    factor: Factor
    values: NDArray[Any]

    @property
    def unit(self) -> NDArray[np.float64]:
        """The values on the unit interval, see `Factor.to_unit`.

        Raises:
            ValueError: The parent has no range, so no value of it has a place in one.
        """
        if not np.isfinite(self.factor.bounds).all():
            raise ValueError("it reads where in its range a parent lies: that parent needs `range`")
        return self.factor.to_unit(self.values)


Function = Callable[..., NDArray[Any]]


@dataclass(frozen=True)
class Mechanism:
    """A registered mechanism.

    Attributes:
        name: The name that a spec file uses.
        function: Evaluates it, see the module's docstring.
        n_parents: How many parents it takes; None for any number.
        types: Types of the factors it can give values to.
        parent_types: Types of the factors that can be its parents.
        parameters: Pydantic model of its keyword parameters.
        needs_range: Whether the factor must have a finite range.
        temporal: Whether, in every frame but the first, the factor's own value one frame earlier comes before the
            declared parents.
    """

    name: str
    function: Function
    n_parents: int | None
    types: tuple[str, ...]
    parent_types: tuple[str, ...]
    parameters: type[BaseModel]
    needs_range: bool
    temporal: bool


class Plugin(NamedTuple):
    """A plugin that was run in this process: its text, its name, and whether all specs may use its mechanisms."""

    text: str
    where: str
    for_all: bool


MECHANISMS = Registry[Mechanism]("mechanism", Mechanism, group="m3di.mechanisms", package="m3di.latents.builtin")
_PLUGINS: dict[str, tuple[Plugin, dict[str, Mechanism]]] = {}  # by text: what was run here, and what it registered
_registering: ContextVar[dict[str, Mechanism] | None] = ContextVar("registering", default=None)


def register(
    name: str,
    *,
    n_parents: int | None,
    types: Sequence[str],
    parent_types: Sequence[str] = ALL_TYPES,
    needs_range: bool = True,
    temporal: bool = False,
) -> Callable[[Function], Function]:
    """Make a function usable as a mechanism in spec files under `name`; see `Mechanism` for the arguments."""

    def decorate(function: Function) -> Function:
        fields: dict[str, Any] = {
            parameter.name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
            for parameter in inspect.signature(function, eval_str=True).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        config = ConfigDict(extra="forbid", allow_inf_nan=False)
        model = create_model(f"{name} parameters", __config__=config, **fields)
        mechanism = Mechanism(
            name, function, n_parents, tuple(types), tuple(parent_types), model, needs_range, temporal
        )
        into = _registering.get()
        if into is None:
            MECHANISMS.add(name, mechanism, origin=function)
        else:
            into[name] = mechanism
        return function

    return decorate


def plugins_run() -> tuple[Plugin, ...]:
    """The plugins that were run in this process, for the processes that it starts: see `run_again`."""
    return tuple(plugin for plugin, _ in _PLUGINS.values())


def run_again(plugins: Iterable[Plugin]) -> None:
    """Run plugins that another process of the same user has run.

    Raises:
        UsageError: One fails here.
    """
    for text, where, for_all in plugins:
        if text not in _PLUGINS:
            _run_for_all(text, where) if for_all else run_plugin(text, where)


def find_mechanism(name: str, plugins: Mapping[str, str] | None = None) -> Mechanism | None:
    """The mechanism with this name; None where there is none.

    Args:
        name: Its name.
        plugins: Texts of the plugins of a spec. Those that were run in this process are looked at first; none is run.
    """
    for text in (plugins or {}).values():
        if name in (found := _mechanisms_of(text)):
            return found[name]
    return MECHANISMS.get(name)


def mechanism_names(plugins: Mapping[str, str] | None = None) -> list[str]:
    """Names of all mechanisms that a spec can use here."""
    return [*MECHANISMS, *(name for text in (plugins or {}).values() for name in _mechanisms_of(text))]


def _mechanisms_of(text: str) -> dict[str, Mechanism]:
    """Those that a plugin has registered, if it was run here."""
    return _PLUGINS[text][1] if text in _PLUGINS else {}


def run_plugin(text: str, where: str) -> tuple[str, ...]:
    """Run a Python file that registers mechanisms, for the specs that hold the same text; names of the mechanisms.

    It runs with all rights of the user. Call it for what the user asks for, never for what came with a dataset.

    Args:
        text: The text of the file.
        where: Its name, for messages and tracebacks.

    Raises:
        UsageError: It fails, or takes a name of ours.
    """
    found: dict[str, Mechanism] = {}
    module = f"{PLUGIN_MODULE}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"  # two plugins are two modules
    with _into(found):
        try:
            exec(compile(text, where, "exec"), {"__name__": module, "__file__": where})
        except (Exception, SystemExit) as error:
            line = _line_in(error, where)
            raise UsageError(
                "the plugin cannot be run",
                where=f"{where}, line {line}" if line else where,
                got=f"{type(error).__name__}: {error}",
                expected="Python that registers mechanisms with `m3di.latents.register`",
                next_step=f"run it alone: python {where}",
            ) from error
    taken = sorted(name for name in found if name in MECHANISMS and text not in _PLUGINS)
    if taken or not (found or MODALITIES.registered_in(module)):
        raise UsageError(
            "the plugin takes a name of ours" if taken else "the plugin registers no mechanism",
            where=where,
            got=", ".join(taken) or "no call of `register`",
            expected="functions decorated with @register under names of their own",
            next_step=f"rename it, for example my_{taken[0]}" if taken else "see docs/causal-graph.md",
        )
    plugin = _PLUGINS[text][0] if text in _PLUGINS else Plugin(text, where, for_all=False)
    _PLUGINS[text] = (plugin, found)
    return tuple(found)


def read_plugin(path: Path) -> None:
    """Run a plugin file for all specs: its mechanisms are known by name, like those of a package.

    Raises:
        UsageError: There is no such file, or it fails.
    """
    _run_for_all(read_text(path, "plugin", next_step="check the path given to --plugin"), str(path))


def _run_for_all(text: str, where: str) -> None:
    run_plugin(text, where)
    mechanisms = _mechanisms_of(text)
    _PLUGINS[text] = (Plugin(text, where, for_all=True), mechanisms)
    for name, mechanism in mechanisms.items():
        MECHANISMS.add(name, mechanism, origin=mechanism.function)


@contextmanager
def _into(found: dict[str, Mechanism]) -> Iterator[None]:
    token = _registering.set(found)
    try:
        yield
    finally:
        _registering.reset(token)


def _line_in(error: BaseException, where: str) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == where:
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == where:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
