"""What an image draws: every factor that the scene reads, its unit, its effect, and its value where a view lacks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SceneFactor:
    """A factor that an image view can see and the renderer draws.

    Attributes:
        unit: Unit of its physical values; None where the value is a name or a number without one.
        effect: What of the picture it decides.
        otherwise: What holds in a view that does not see it, in words.
        types: Types that a factor of this name can have.
        needs_light: The light that has to be on for it to change a pixel.
        within: Least and greatest raw value that the renderer takes.
    """

    unit: str | None
    effect: str
    otherwise: str
    types: tuple[str, ...] = ("continuous", "categorical", "integer")
    needs_light: str | None = None
    within: tuple[int, int] | None = None


OBJECT_SHAPE = "object_shape"
RENDER_SEED = "render_seed"

SCENE_FACTORS: Mapping[str, SceneFactor] = {
    OBJECT_SHAPE: SceneFactor(None, "which mesh is shown", "`shape` of the view", ("categorical",)),
    "object_xpos": SceneFactor("m", "place from left to right in the image (see `axes` of a view)", "0 m"),
    "object_ypos": SceneFactor("m", "place from top to bottom in the image (see `axes` of a view)", "0 m"),
    "object_zpos": SceneFactor("m", "height", "0 m"),
    "object_alpharot": SceneFactor("rad", "turn about the world's x (first Euler angle, XYZ order)", "0 rad"),
    "object_betarot": SceneFactor("rad", "turn about the world's y (second Euler angle)", "0 rad"),
    "object_gammarot": SceneFactor("rad", "turn about the world's z (third Euler angle)", "0 rad"),
    "object_color": SceneFactor("hue", "hue of the object", "grey"),
    "spotlight_pos": SceneFactor(
        "rad",
        "place of the spotlight on its circle; 0 is to the right, pi/2 in front",
        "0 rad",
        needs_light="spotlight",
    ),
    "spotlight_color": SceneFactor("hue", "hue of the spotlight", "white", needs_light="spotlight"),
    "background_color": SceneFactor("hue", "hue of the ground", "grey"),
    RENDER_SEED: SceneFactor(None, "seed of the sampling noise", "0", ("integer",), within=(0, 2**31 - 1)),
}
"""All factors that the scene reads, by name."""

ANNOTATIONS: Mapping[str, type] = {
    "object_visible_px": int,
    "object_left_px": int,
    "object_top_px": int,
    "object_right_px": int,
    "object_bottom_px": int,
    "object_center_x_px": float,
    "object_center_y_px": float,
    "object_contrast": float,
    "object_displayed_hue": float,
}
"""Names and types of what is noted of each rendered image, in order: they are columns beside the factors."""

LATER_ANNOTATIONS = ("object_displayed_hue",)
"""Those that datasets from before a manifest said what is noted do not have."""
