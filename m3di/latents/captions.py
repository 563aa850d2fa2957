"""Captions: a template has several phrasings; the drawn phrasing and the values of a view make one caption."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import jinja2
import jinja2.meta
import yaml
from jinja2.sandbox import SandboxedEnvironment

from m3di.errors import UsageError, near_match
from m3di.latents.sample import Samples
from m3di.latents.spec import Spec, View

PHRASING = "text_phrasing"


def with_article(noun: str) -> str:
    """`a cow`, `an armadillo`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["with_article"] = with_article
    environment.filters["sentence"] = lambda text: text[0].upper() + text[1:]
    return environment


@dataclass(frozen=True)
class Template:
    """A caption template.

    Attributes:
        name: Its name.
        phrasings: Jinja2 source of each phrasing, by name.
        reads: Names of the factors that some phrasing reads.
    """

    name: str
    phrasings: dict[str, str]
    reads: frozenset[str]

    def render(self, phrasing: str, values: dict[str, str]) -> str:
        """The caption in one phrasing, given the words of the factors it reads."""
        return _compiled(self.phrasings[phrasing]).render(values)


@cache
def _compiled(source: str) -> jinja2.Template:
    return _environment().from_string(source)


@cache
def load_template(name: str) -> Template:
    """The built-in template with this name.

    Raises:
        UsageError: There is none.
    """
    known = sorted(
        entry.name.removesuffix(".yaml") for entry in files("m3di.templates").iterdir() if entry.name.endswith(".yaml")
    )
    if name not in known:
        near = near_match(name, known)
        raise UsageError(
            f"no caption template is called {name!r}",
            expected=", ".join(known),
            next_step=f"did you mean {near!r}?" if near else None,
        )
    data = yaml.safe_load((files("m3di.templates") / f"{name}.yaml").read_text(encoding="utf-8"))
    phrasings = dict(data["phrasings"])
    parse = _environment().parse
    reads = frozenset().union(*(jinja2.meta.find_undeclared_variables(parse(source)) for source in phrasings.values()))
    return Template(name, phrasings, reads)


def check_template(spec: Spec, view: View) -> list[str]:
    """What is wrong with a text view's template: unknown, reading unseen factors, or of other phrasings."""
    try:
        template = load_template(str(view.template))
    except UsageError as error:
        return [f"template: {error}"]
    problems = [
        f"template {template.name!r} reads {factor!r}, which the view does not see"
        for factor in sorted(template.reads - set(view.factors))
    ]
    if PHRASING not in view.factors:
        problems.append(f"factors: a text view needs the factor {PHRASING!r}")
    elif spec.factors[PHRASING].names != tuple(template.phrasings):
        problems.append(
            f"factors.{PHRASING}: template {template.name!r} has the phrasings {', '.join(template.phrasings)}, "
            f"the factor has the values {', '.join(spec.factors[PHRASING].names)}"
        )
    return problems


def captions(samples: Samples, view_name: str) -> list[str]:
    """The caption of every sample in a text view."""
    view = samples.spec.views[view_name]
    template = load_template(str(view.template))
    columns = samples.views[view_name]
    factors = samples.spec.factors
    reads = sorted(template.reads)
    words = [[factors[name].names[value] for value in columns[name]] for name in reads]
    return [
        template.render(factors[PHRASING].names[phrasing], dict(zip(reads, row, strict=True)))
        for phrasing, row in zip(columns[PHRASING], zip(*words, strict=True), strict=True)
    ]
