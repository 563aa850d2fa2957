"""The modality `image`: what a spec can say of a view that is rendered."""

from __future__ import annotations

from collections.abc import Iterator

from m3di.latents.modality import Modality, register_modality
from m3di.latents.problems import Problem, custom_error
from m3di.latents.scene_checks import scene_problems
from m3di.latents.scene_factors import ANNOTATIONS, OBJECT_SHAPE
from m3di.latents.spec import Spec
from m3di.latents.view import View


class ImageViews(Modality):
    """Pictures of a scene, by Blender."""

    name, extension, source, has_frames = "image", "png", "rendered", True
    keys = ("shape", "material", "ground", "lights", "raised", "axes")
    columns = dict.fromkeys(ANNOTATIONS, "what is noted of each image")

    def check_view(self, view: View) -> None:
        """Raise where shape or lights are missing, or said twice."""
        has_factor = OBJECT_SHAPE in view.factors
        if view.shape is None and not has_factor:
            raise custom_error(
                "an image view needs `shape` or the factor `object_shape`",
                expected="one of the two",
                next_step="add `shape: teapot`, or the factor to `factors`",
            )
        if view.shape is not None and has_factor:
            raise custom_error(
                "the view has both `shape` and the factor `object_shape`: which of them is shown?",
                key="shape",
                expected="one of the two",
                next_step="set `shape: null`, or take the factor away",
            )
        if not view.lights:
            raise custom_error(
                "`lights` is empty: the image would be black",
                key="lights",
                expected="some of sun, area, spotlight",
                next_step="leave `lights` out for all three",
            )
        if len(set(view.lights)) < len(view.lights):
            raise custom_error(
                "`lights` names a light twice",
                key="lights",
                expected="every light once",
                next_step="take one of them away",
            )

    def problems(self, spec: Spec, view: str, *, sound: bool) -> Iterator[Problem]:
        """Factors that change no pixel, or another one than they say."""
        return scene_problems(spec, view)


register_modality(ImageViews())
