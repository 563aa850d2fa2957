"""m3di: multimodal datasets whose every generative factor is known, and measures of what was identified.

What a program wants of it, by steps:

- a spec: `load_spec`, `do`, `bounds`; what it draws: `sample`, `captions`, `counterfactual`
- a dataset on disk: `verify`, and `Multimodal3DIdent` to load it; `load_example` loads one that comes with m3di
- encoders: `TrainConfig`, `train`, `load_encoders`; what they have identified: `score`
- views of a kind of your own: `Modality`, `register_modality`
- `M3diError`: the root of all errors, see `m3di.errors`

The rooms hold the rest, each a package to import by name: `m3di.generate` renders, `m3di.data` moves datasets,
`m3di.learn` registers losses and encoders, and `m3di.evaluate`, `m3di.simulate` and `m3di.report` do
what their commands do.

Example:
    >>> import m3di
    >>> dataset = m3di.Multimodal3DIdent("data/m3di", split="val")
    >>> dataset[0]["z_image"]["object_shape"] == dataset[0]["z_text"]["object_shape"]  # content is shared
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from m3di._version import __version__ as __version__
from m3di.errors import M3diError as M3diError

if TYPE_CHECKING:
    from m3di.data import Multimodal3DIdent as Multimodal3DIdent
    from m3di.data import load_example as load_example
    from m3di.data import verify as verify
    from m3di.evaluate import score as score
    from m3di.latents import Modality as Modality
    from m3di.latents import bounds as bounds
    from m3di.latents import captions as captions
    from m3di.latents import counterfactual as counterfactual
    from m3di.latents import do as do
    from m3di.latents import load_spec as load_spec
    from m3di.latents import register_modality as register_modality
    from m3di.latents import sample as sample
    from m3di.learn import TrainConfig as TrainConfig
    from m3di.learn import load_encoders as load_encoders
    from m3di.learn import train as train

_ROOMS = {
    "m3di.data": ("Multimodal3DIdent", "load_example", "verify"),
    "m3di.evaluate": ("score",),
    "m3di.latents": (
        *("Modality", "bounds", "captions", "counterfactual", "do", "load_spec", "register_modality", "sample"),
    ),
    "m3di.learn": ("TrainConfig", "load_encoders", "train"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "M3diError",
    "Modality",
    "Multimodal3DIdent",
    "TrainConfig",
    "__version__",
    "bounds",
    "captions",
    "counterfactual",
    "do",
    "load_encoders",
    "load_example",
    "load_spec",
    "register_modality",
    "sample",
    "score",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    # On first use: importing m3di stays quick, and rendering does not import torch.
    if name in _ROOM_OF:
        return getattr(import_module(_ROOM_OF[name]), name)
    raise AttributeError(f"module 'm3di' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
