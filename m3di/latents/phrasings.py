"""The part of Jinja2 that a phrasing may use: text, words, and `if` on clauses.

A template may come with a dataset, from a stranger. Nothing here loops, calls, computes, includes or defines: whatever
a phrasing says, rendering it takes no longer, and gives no more, than its own length. An `if` chooses by clauses.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes
from jinja2.sandbox import SandboxedEnvironment

OPEN, CLOSE = "\ue000", "\ue001"
"""Marks where a word goes; of private use, so that no phrasing or value holds them."""
MAX_SOURCE = 10_000
"""Characters of a phrasing."""
_ALLOWED: tuple[type[jinja2.nodes.Node], ...] = (
    *(jinja2.nodes.Template, jinja2.nodes.Output, jinja2.nodes.TemplateData, jinja2.nodes.Const, jinja2.nodes.Name),
    *(jinja2.nodes.Getattr, jinja2.nodes.Getitem, jinja2.nodes.If, jinja2.nodes.CondExpr, jinja2.nodes.Concat),
    *(jinja2.nodes.Not, jinja2.nodes.And, jinja2.nodes.Or, jinja2.nodes.Compare, jinja2.nodes.Operand),
)
# What parser and compiler raise besides errors of Jinja2: nested too deeply, a number of thousands of digits.
_FAULTS = (RecursionError, ValueError, ArithmeticError, TypeError, MemoryError, SyntaxError, LookupError)


class PhrasingError(Exception):
    """A phrasing that is none, or that cannot be rendered."""


@cache
def names_read(source: str, absent: frozenset[str] = frozenset()) -> frozenset[str]:
    """The names that a phrasing reads.

    Args:
        source: The phrasing.
        absent: Clauses that are never there: what stands in their `{% if clauses.NAME %}` is not read.

    Raises:
        PhrasingError: It is no phrasing.
    """
    tree = _parsed(source)
    for node in tree.find_all(jinja2.nodes.If) if absent else ():
        test = node.test
        if (
            isinstance(test, jinja2.nodes.Getattr)
            and isinstance(test.node, jinja2.nodes.Name)
            and test.node.name == "clauses"
            and test.attr in absent
        ):
            node.body = []
    return frozenset(jinja2.meta.find_undeclared_variables(tree))


@cache
def clauses_read(source: str) -> frozenset[str]:
    """The clauses that a phrasing has, by name.

    Raises:
        PhrasingError: It is no phrasing.
    """
    tree = _parsed(source)
    plain = [(each.node, each.attr) for each in tree.find_all(jinja2.nodes.Getattr)]
    quoted = [(each.node, getattr(each.arg, "value", None)) for each in tree.find_all(jinja2.nodes.Getitem)]
    return frozenset(
        str(name) for of, name in plain + quoted if isinstance(of, jinja2.nodes.Name) and of.name == "clauses"
    )


def rendered(source: str, context: dict[str, Any]) -> str:
    """A phrasing with its words.

    Raises:
        PhrasingError: It is no phrasing, or an expression in it has no value.
    """
    try:
        return _compiled(source).render(context)
    except (jinja2.TemplateError, *_FAULTS) as error:
        raise PhrasingError(str(error) or type(error).__name__) from None


@cache
def _compiled(source: str) -> jinja2.Template:
    _parsed(source)
    return _environment().from_string(source)


def _parsed(source: str) -> jinja2.nodes.Template:
    if len(source) > MAX_SOURCE:
        raise PhrasingError(f"it has {len(source)} characters, expected at most {MAX_SOURCE}")
    try:
        tree = _environment().parse(source)
        problem = next(_problems(tree), None)
    except jinja2.TemplateSyntaxError as error:
        raise PhrasingError(str(error)) from None
    except _FAULTS as error:
        raise PhrasingError(f"it cannot be read: {error or type(error).__name__}") from None
    if problem is not None:
        raise PhrasingError(problem)
    return tree


def _problems(tree: jinja2.nodes.Template) -> Iterator[str]:
    for node in (tree, *tree.find_all(jinja2.nodes.Node)):
        if not isinstance(node, _ALLOWED):
            yield f"{type(node).__name__.lower()!r} is no part of a phrasing"
        if isinstance(node, jinja2.nodes.Operand) and node.op not in ("eq", "ne"):
            yield f"the comparison {node.op!r} is no part of a phrasing"
        if isinstance(node, (jinja2.nodes.Getattr, jinja2.nodes.Getitem)):
            yield from _form_problems(node)
        text = node.data if isinstance(node, jinja2.nodes.TemplateData) else getattr(node, "value", None)
        if isinstance(node, (jinja2.nodes.TemplateData, jinja2.nodes.Const)) and {OPEN, CLOSE} & set(str(text)):
            yield f"the character {OPEN!r} or {CLOSE!r} is kept for m3di"


def _form_problems(node: jinja2.nodes.Getattr | jinja2.nodes.Getitem) -> Iterator[str]:
    """`factor.form`, `words.NAME`, `clauses.NAME`, and nothing deeper."""
    if isinstance(node, jinja2.nodes.Getattr):
        form: object = node.attr
    else:
        form = node.arg.value if isinstance(node.arg, jinja2.nodes.Const) else None
    if not isinstance(node.node, jinja2.nodes.Name) or not isinstance(form, str):
        yield "only a factor has forms, and only by name: {{ factor.form }}"
    elif node.node.name not in ("words", "clauses") and (form.startswith("_") or hasattr(str, form)):
        yield f"a form cannot be called {form!r}: it is a name of Python's own"


class _Environment(SandboxedEnvironment):
    """Looks names up as they stand in the template: a synonym called `items` is no method of a dict."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self.getattr(obj, argument)


@cache
def _environment() -> _Environment:
    environment = _Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.globals.clear()  # `range`, `joiner` and the like are no words of a template
    return environment
