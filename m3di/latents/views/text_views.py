"""The modality `text`: what a spec can say of a view that a caption template tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from m3di.errors import UsageError
from m3di.latents.caption_checks import caption_problems, clause_notes
from m3di.latents.graph import unlike
from m3di.latents.modality import Modality, register_modality
from m3di.latents.problems import UNSET, Problem, custom_error
from m3di.latents.said import choice_factors, mention_problems, misstated_factors, phrasing_factor
from m3di.latents.scene_factors import SCENE_FACTORS
from m3di.latents.spec import Spec
from m3di.latents.templates import Template, builtin_template, template_names, template_problems
from m3di.latents.texts import text_factors, text_problems
from m3di.latents.view import APART, View
from m3di.latents.yaml_text import Path


class TextViews(Modality):
    """Captions, by a template."""

    name, extension, source = "text", "txt", "told"
    keys = ("template", "mentions", "misstates", "texts")
    columns = {"caption": "the caption"}  # noqa: RUF012
    reserved = dict.fromkeys(("words", "clauses"), "templates have that name")

    def check_view(self, view: View) -> None:
        """Raise where there is no template."""
        if view.template is None:
            raise custom_error(
                "a text view needs `template`", expected="template: NAME or FILE", next_step="add `template: m3di`"
            )

    def problems(self, spec: Spec, view: str, *, sound: bool) -> Iterator[Problem]:
        """What its captions lack, where its factors and its template are sound."""
        template = str(spec.views[view].template)
        own = spec.templates.get(template)
        is_here = own is not None or template in template_names() or FilePath(template).is_file()
        if sound and is_here and not (own is not None and any(template_problems(own))):
            yield from caption_problems(spec, view)
            yield from text_problems(spec, view)

    def notes(self, spec: Spec, view: str, factor: str) -> Iterator[str]:
        """Factors that a caption tells otherwise than an image shows them; clauses that a phrasing does not have."""
        if factor == phrasing_factor(view):
            yield from clause_notes(spec, view)
        use = spec.views[view].factors[factor]
        images = {name: each for name, each in spec.views.items() if each.kind.source == "rendered"}
        if factor not in SCENE_FACTORS:
            return
        if use.role == "private" and not unlike(spec, view, factor):
            for other, each in images.items():
                if factor in each.factors and each.factors[factor].role in APART:
                    yield (
                        f"{view} and {other} each have a value of {factor} of their own: a caption tells another one "
                        "than the image shows."
                    )
        if factor in ("object_xpos", "object_ypos"):
            for other, each in images.items():
                if factor in each.factors and each.axes == "world":
                    yield (
                        f"{view} tells {factor}, and {other} has axes: world, where it is another direction than the "
                        "words left, right, top and bottom tell."
                    )
        if use.role == "content":
            instead = SCENE_FACTORS[factor].otherwise
            for other, each in images.items():
                if factor not in each.factors:
                    yield f"{view} tells {factor}, and {other} does not see it: the image shows {instead}."

    def added_factors(
        self, name: str, view: dict[str, Any], data: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Problem]]:
        """The choices of its template: phrasing, synonyms, clauses."""
        if not isinstance(view.get("template"), str):
            return {}, []  # reported by the view itself, or when its file was looked for
        try:
            own = data.get("templates", {}).get(view["template"])
            template = Template.model_validate(own) if own is not None else builtin_template(view["template"])
        except UsageError as error:
            return {}, [_template_problem(("views", name, "template"), error)]
        except ValidationError:
            return {}, []  # reported with the template
        problems = list(mention_problems(name, view, template))
        wrong, more = misstated_factors(name, view, template, data)
        drawn = text_factors(name) if view.get("texts") is not None else {}
        choices, otherwise = choice_factors(name, view, template, data)
        return choices | wrong | drawn, problems + more + (otherwise if not problems else [])


def _template_problem(path: Path, error: UsageError) -> Problem:
    details = error.details
    return Problem(
        path,
        error.what,
        details.get("got", UNSET),
        details.get("expected"),
        details.get("next", "correct the name, or write the path of a file: ./NAME.yaml"),
    )


register_modality(TextViews())
