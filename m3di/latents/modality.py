"""Modalities: what kind a view is. One object says all that m3di needs to know of a kind of view.

`image` and `text` are two of them (in `views/`): images are rendered by Blender, texts are told
by a template. What rooms above know of these two (decoding, tokens, encoders) lies there, and no rule asks for their
names: it asks for the `source` of a view. Your own modality has the third source, `made`: its files follow from the
latents, and its one object answers all rooms.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from m3di.errors import UsageError
from m3di.system.registry import Registry

PLUGIN_MODULE = "m3di_plugin"
"""Start of what a plugin file is called while it runs."""
_PLAIN = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN_EXTENSIONS = ("json", "png", "txt", "webp", "qoi", "jpg", "jpeg", "npz")


class Modality:
    """A kind of view. Subclass it, and give an object of the subclass to `register_modality`.

    A subclass says `name` and `extension`, and has `encode`, `decode` and `build_encoder`; all else may stay. Rendering
    imports no torch: import it within `build_encoder`.

    Attributes:
        name: What a spec calls it.
        extension: Ending of its files, without a dot.
        source: Where a view comes from: a scene that is `rendered`, a template that `told` it, or, as all but `image`
            and `text`, `made` of the latents by `encode`.
        keys: Keys of a view in a spec that this modality alone has.
        has_frames: A `sequence` shows such a view once a frame, not once a sample.
        columns: Columns of the table, beside those of its factors, each with what it holds.
        reserved: Names that no factor of such a view can have, each with the reason.

    Example:
        >>> import m3di, numpy as np
        >>> class Numbers(m3di.Modality):
        ...     name, extension = "numbers", "f32"
        ...     def encode(self, samples, view):
        ...         values = np.stack(list(samples.views[view].values()), axis=1)
        ...         return [row.astype("<f4").tobytes() for row in values]
        ...     def decode(self, raw):
        ...         return np.frombuffer(raw, "<f4")
        ...     def build_encoder(self, shape, encoding_size, hidden_size):
        ...         from m3di.learn import MLP
        ...         return MLP(shape[0], encoding_size, (hidden_size,))
        >>> Numbers().decode(np.float32([1, 2]).tobytes())
        array([1., 2.], dtype=float32)
    """

    name: str
    extension: str
    source: ClassVar[Literal["rendered", "told", "made"]] = "made"
    keys: ClassVar[tuple[str, ...]] = ()
    has_frames: ClassVar[bool] = False
    columns: ClassVar[Mapping[str, str]] = {}
    reserved: ClassVar[Mapping[str, str]] = {}

    def check_view(self, view: Any) -> None:
        """Raise `custom_error` where a `View` lacks what it needs, or has what excludes each other."""

    def problems(self, spec: Any, view: str, *, sound: bool) -> Iterator[Any]:
        """Each `Problem` that a view of a `Spec` has; `sound` says whether all its factors are there and sound."""
        yield from ()

    def notes(self, spec: Any, view: str, factor: str) -> Iterator[str]:
        """What is sound in how a view of a `Spec` uses a factor, and may yet be no intention."""
        yield from ()

    def added_factors(self, name: str, view: dict[str, Any], data: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """Factors that a view of the plain `data` of a spec draws without saying so, and each `Problem` of it."""
        return {}, []

    def encode(self, samples: Any, view: str) -> Iterable[bytes]:
        """The file of each of some `Samples`, in their order. Equal latents give equal bytes, on any machine.

        Args:
            samples: `samples.views[view]` are the raw values [n] of each factor of the view, `samples.columns()[view]`
                the physical ones too; `samples.spec` is the spec.
            view: Name of the view.
        """
        raise NotImplementedError

    def decode(self, raw: bytes) -> NDArray[Any]:
        """What is in a file, as an array; ValueError where the bytes are no such file.

        All files of a view give one shape and dtype, one that torch has.
        """
        raise NotImplementedError

    def card(self, views: Sequence[str]) -> str:
        """What the card of a dataset says of its views of this modality, a sentence; empty for nothing."""
        return f"Files of the modality `{self.name}`: {', '.join(f'`{view}`' for view in views)}."

    def prepare(self, batch: Any) -> Any:
        """What the encoder takes of a batch on its device, a tensor [B, ...] as decoded."""
        return batch.float()

    def build_encoder(self, shape: tuple[int, ...], encoding_size: int, hidden_size: int) -> Any:
        """A new torch module, what `prepare` gives -> [B, encoding_size]; its weights come from torch's generator.

        Args:
            shape: Of what `decode` gives.
            encoding_size: Numbers that a view becomes.
            hidden_size: Width of hidden layers, as far as it has any.
        """
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        # A process that is given one has it registered: it imports the module that does so.
        return _in_this_process, (self.name, type(self).__module__)


class _Modalities(Registry[Modality]):
    def add(self, name: str, value: Any, *, origin: Any = None) -> None:
        """Make a modality known; one of the same class replaces the former."""
        self._import_own()
        extension = getattr(value, "extension", None)
        plain = all(isinstance(each, str) and _PLAIN.fullmatch(each) for each in (name, extension))
        is_own = type(value).__module__.startswith("m3di.")
        if (
            not isinstance(value, Modality)
            or not plain
            or value.name != name
            or (value.source != "made" and not is_own)
        ):
            raise UsageError(
                "this is no modality that can be registered",
                where=type(value).__name__,
                got=f"name {name!r}, extension {extension!r}, source {getattr(value, 'source', None)!r}",
                expected="an object of a subclass of m3di.Modality, its name and extension in small letters and digits",
            )
        endings = {each.extension for each in self.loaded.values() if each.name != name}
        if extension in endings or (extension in _TAKEN_EXTENSIONS and not is_own):
            got = f"name {name!r}, extension {extension!r}"
            raise UsageError("files end so already", where=type(value).__name__, got=got, next_step="choose another")
        super().add(name, value, origin=type(value))


MODALITIES = _Modalities(
    "modality",
    Modality,
    group="m3di.modalities",
    package="m3di.latents.views",
    otherwise="install the package that registers it, or import the module that does; on the command line, "
    "m3di --plugin FILE (or the DATASET that came with it) before the command",
)
find_modality = MODALITIES.find


def register_modality(modality: Modality) -> None:
    """Make a modality known by its name: specs, datasets, training and the command line take it.

    A package can do the same without a call by an entry point of the group `m3di.modalities` that names the object; a
    file by `m3di --plugin FILE`, or `plugins` of a spec.

    Raises:
        UsageError: It is no modality, or another one has its name or the ending of its files.

    Example:
        >>> import m3di
        >>> try:
        ...     m3di.register_modality(m3di.Modality())
        ... except m3di.M3diError as error:
        ...     print(error.what)
        this is no modality that can be registered
    """
    MODALITIES.add(getattr(modality, "name", ""), modality)


def modalities() -> tuple[Modality, ...]:
    """All that are known here, those of installed packages too."""
    return tuple(MODALITIES.values())


def _in_this_process(name: str, module: str) -> Modality:
    if name not in MODALITIES and not module.startswith(PLUGIN_MODULE):
        importlib.import_module(module)
    return find_modality(name)
