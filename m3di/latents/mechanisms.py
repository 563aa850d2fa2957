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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, create_model

from m3di.errors import UsageError
from m3di.latents.factor import Factor
from m3di.latents.modality import MODALITIES, PLUGIN_MODULE
from m3di.latents.varying import Parent, Varies, computed, model_type, references, varies_of
from m3di.latents.yaml_text import read_text
from m3di.system.registry import Registry

ALL_TYPES = ("categorical", "continuous", "integer")


Function = Callable[..., NDArray[Any]]


@dataclass(frozen=True)
class Mechanism:
    """A registered mechanism.

    Attributes:
        name: The name that a spec file uses.
        function: Evaluates it, see the module's docstring.
        n_parents: How many parents it takes, beside those that its varying parameters name; None for any number.
        types: Types of the factors it can give values to.
        parent_types: Types of the factors that can be its parents.
        parameters: Pydantic model of its keyword parameters.
        needs_range: Whether the factor must have a finite range.
        temporal: Whether, in every frame but the first, the factor's own value one frame earlier comes before the
            declared parents.
        varying: Those of its parameters that may vary from sample to sample.
    """

    name: str
    function: Function
    n_parents: int | None
    types: tuple[str, ...]
    parent_types: tuple[str, ...]
    parameters: type[BaseModel]
    needs_range: bool
    temporal: bool
    varying: Mapping[str, Varies] = field(default_factory=dict)

    def values(
        self,
        u: NDArray[np.float64],
        parents: Sequence[Parent],
        factor: Factor,
        parameters: Mapping[str, Any],
        *,
        strict: bool = True,
    ) -> NDArray[Any]:
        """Evaluate it: the function gets the values of the parameters, and the parents that they do not name.

        Args:
            u: Noise [n].
            parents: Those it takes, then those that its parameters name, in the order of the spec.
            factor: The factor that gets the values.
            parameters: What the spec says.
            strict: A parameter without a value is an error; otherwise it is NaN.

        Raises:
            UndefinedError: A parameter has no value for a sample.
        """
        if not self.varying:
            return self.function(u, parents, factor, **parameters)
        by_name = {parent.name: parent for parent in parents}
        given = {
            name: computed(value, self.varying[name], by_name, len(u), name=f"`{name}`", strict=strict)
            if name in self.varying
            else value
            for name, value in parameters.items()
        }
        return self.function(u, parents[: self.n_parents], factor, **given)

    def named(self, parameters: Mapping[str, Any], factors: Mapping[str, Factor]) -> tuple[str, ...]:
        """The factors that its varying parameters name, in their order, with `@-K` where they lie earlier."""
        found = [each for name in self.varying if name in parameters for each in references(parameters[name], factors)]
        return tuple(dict.fromkeys(found))


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
        fields: dict[str, Any] = {}
        varying: dict[str, Varies] = {}
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY:
                varies, kind = varies_of(parameter.annotation), parameter.annotation
                if varies is not None:
                    varying[parameter.name], kind = varies, model_type(varies)
                fields[parameter.name] = (kind, ... if parameter.default is parameter.empty else parameter.default)
        if varying and (n_parents is None or temporal):
            raise UsageError(
                "a mechanism with varying parameters takes a fixed number of parents beside those that these name",
                where=f"register({name!r})",
                got=f"n_parents={n_parents}, temporal={temporal}",
                expected="n_parents=0, or how many it takes in their order; not temporal",
                next_step="let the parameters name the parents: n_parents=0",
            )
        config = ConfigDict(extra="forbid", allow_inf_nan=False)
        model = create_model(f"{name} parameters", __config__=config, **fields)
        mechanism = Mechanism(
            name, function, n_parents, tuple(types), tuple(parent_types), model, needs_range, temporal, varying
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
