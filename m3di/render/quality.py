"""Quality presets: how many samples a pixel gets, and how light is summed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from m3di.system.registry import Registry


@dataclass(frozen=True)
class Quality:
    """How an image is sampled.

    Attributes:
        max_samples: Most paths per pixel and pass.
        min_samples: Fewest paths per pixel before adaptive sampling may stop.
        noise_threshold: Adaptive sampling stops a pixel below this relative error; 0 turns it off.
        light_passes: Render each light alone and sum the passes in linear light. Light transport is direct
            only, so lights add; alone, a light has no noise from the choice of a light.
        denoise: OpenImageDenoise with albedo and normal guides.
        reuse_ground: With `light_passes`, render only the rectangle that the object and the spotlight change; the
            rest of the ground comes from one picture of it. What is rendered is the same, bit for bit; on a GPU up to
            the order of its sums, in which no two runs are equal.
    """

    max_samples: int
    min_samples: int
    noise_threshold: float
    light_passes: bool
    denoise: bool
    reuse_ground: bool = False


QUALITIES = Registry[Quality]("quality", Quality, group="m3di.qualities")
_OWN = {
    # The published settings.
    "paper": Quality(512, 0, 0.0, light_passes=False, denoise=True),
    "standard": Quality(256, 8, 0.01, light_passes=True, denoise=False, reuse_ground=True),
    # For GPUs: what is adaptive waits for the card every 16 samples.
    "fixed": Quality(64, 0, 0.0, light_passes=True, denoise=False, reuse_ground=True),
    # Not adaptive: that takes 16 samples at least.
    "draft": Quality(10, 0, 0.0, light_passes=True, denoise=False, reuse_ground=True),
}
for _name, _quality in _OWN.items():
    QUALITIES.add(_name, _quality)


def quality_digest(name: str) -> str | None:
    """Return the SHA-256 of the values of a quality; None for m3di's own, which the version of m3di stands for.

    Raises:
        UsageError: There is no such quality.
    """
    values = asdict(QUALITIES.find(name))
    return None if name in _OWN else hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
