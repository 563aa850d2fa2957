"""m3di: multimodal datasets whose every generative factor is known, and measures of what was identified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from m3di.data import Multimodal3DIdent as Multimodal3DIdent
    from m3di.latents import captions as captions
    from m3di.latents import counterfactual as counterfactual
    from m3di.latents import do as do
    from m3di.latents import load_spec as load_spec
    from m3di.latents import sample as sample

__version__ = "0.1.0"
__all__ = ["Multimodal3DIdent", "__version__", "captions", "counterfactual", "do", "load_spec", "sample"]


def __getattr__(name: str) -> Any:
    # On first use: importing m3di stays quick, and rendering does not import torch.
    if name == "Multimodal3DIdent":
        from m3di import data

        return data.Multimodal3DIdent
    if name in __all__:
        from m3di import latents

        return getattr(latents, name)
    raise AttributeError(f"module 'm3di' has no attribute {name!r}")
