"""Phrasings may come from strangers: nothing in them loops, calls, computes or reaches beyond their words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from m3di.errors import UsageError
from m3di.latents import captions, load_spec, sample
from m3di.latents.phrasings import MAX_SOURCE, PhrasingError, names_read, rendered


def test_what_a_phrasing_may_say() -> None:
    source = (
        "{% if clauses.a and not clauses['b'] %}{{ words.items }}{% else %}{{ x ~ '!' }}{% endif %} {{ y if z == 1 }}"
    )
    assert names_read(source) == {"clauses", "words", "x", "y", "z"}
    assert names_read("{{ joiner }}{{ range }}") == {"joiner", "range"}  # names as any other
    context = {"clauses": {"a": True, "b": False}, "words": {"items": "one"}, "x": "two", "y": "three", "z": 1}
    assert rendered(source, context) == "one three"
    assert rendered(source, {**context, "clauses": {"a": False, "b": False}, "z": 2}) == "two! "


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for a in 'xx' %}{{ a }}{% endfor %}", "'for' is no part of a phrasing"),
        ("{% include '/etc/passwd' %}", "'include' is no part"),
        ("{% import 'os' as os %}", "'import' is no part"),
        ("{% extends '/etc/passwd' %}", "'extends' is no part"),
        ("{% macro m() %}{% endmacro %}", "'macro' is no part"),
        ("{% set x = 5 %}", "'assign' is no part"),
        ("{{ range(999999999)|list }}", "'filter' is no part"),
        ("{{ 'a'.ljust(99999999999) }}", "'call' is no part"),
        ("{{ 'a' * 9999999999 }}", "'mul' is no part"),
        ("{{ 2 ** 999999999 }}", "'pow' is no part"),
        ("{{ 1/0 }}", "'div' is no part"),
        ("{{ x|upper }}", "'filter' is no part"),
        ("{{ x < 'm' }}", "the comparison 'lt' is no part"),
        ("{{ x in 'abc' }}", "the comparison 'in' is no part"),
        ("{{ x[0] }}", "only a factor has forms, and only by name"),
        ("{{ x.a.b }}", "only a factor has forms"),
        ("{{ ''.__class__ }}", "only a factor has forms"),
        ("{{ x.__class__ }}", "a form cannot be called '__class__'"),
        ("{{ x['format_map'] }}", "a form cannot be called 'format_map'"),
        ("{{ x._words }}", "a form cannot be called '_words'"),
        ("\ue000x.\ue001", "is kept for m3di"),
        ("{{ '\\ue000' }}", "is kept for m3di"),
        ("{{ x", "unexpected end of template"),
        ("{{ " + "(" * 4000 + "x" + ")" * 4000 + " }}", "it cannot be read: maximum recursion depth"),
        ("{{ " + "9" * 5000 + " }}", "it cannot be read: Exceeds the limit"),
        ("x" * (MAX_SOURCE + 1), "it has 10001 characters, expected at most 10000"),
    ],
)
def test_what_it_may_not(source: str, message: str) -> None:
    for read in (names_read, lambda each: rendered(each, {"x": "cow"})):
        with pytest.raises(PhrasingError, match=message):
            read(source)


def test_an_expression_without_a_value() -> None:
    with pytest.raises(PhrasingError, match="'x' is undefined"):
        rendered("{{ x }}", {})
    with pytest.raises(PhrasingError, match="'dict object' has no attribute 'b'"):
        rendered("{{ words.b }}", {"words": {}})
    deep = "{% if x %}" * 150 + "{% endif %}" * 150
    with pytest.raises(PhrasingError, match="too many levels of indentation"):
        rendered(deep, {"x": "cow"})


@pytest.mark.parametrize(
    ("phrasing", "message"),
    [
        ("{{ object_shape.items }}", r"object_shape' has no form 'items'"),
        ("{% if object_shape %}yes{% endif %}", "a phrasing compares 'object_shape'"),
        ("{{ words.b }}", r"phrasing 'p': .* no attribute 'b'"),
        ("{% if clauses.a %}x{% endif %}" * 2, None),
    ],
)
def test_a_template_that_cannot_be_rendered_is_a_message(tmp_path: Path, phrasing: str, message: str | None) -> None:
    text = f"name: t\nreads: {{object_shape: label}}\nclauses: [a]\nphrasings:\n  p: {json.dumps(phrasing)}\n"
    (tmp_path / "t.yaml").write_text(text)
    (tmp_path / "spec.yaml").write_text("extends: m3di\nname: x\nviews: {text: {template: t.yaml}}\n")
    if message is None:
        spec = load_spec(tmp_path / "spec.yaml")
        assert set(captions(sample(spec, "train", 50), "text")) == {"", "Xx"}
        return
    with pytest.raises(UsageError, match=message):
        load_spec(tmp_path / "spec.yaml")


def test_sentences_are_counted_before_they_are_made(tmp_path: Path) -> None:
    clauses = [f"c{number}" for number in range(40)]
    phrasing = "".join(f"{{% if clauses.{each} %}}x{{% endif %}}" for each in clauses)
    text = f"name: t\nreads: {{}}\nclauses: {json.dumps(clauses)}\nphrasings: {{p: {json.dumps(phrasing)}}}\n"
    (tmp_path / "t.yaml").write_text(text)
    (tmp_path / "spec.yaml").write_text("extends: m3di\nname: x\nviews: {text: {template: t.yaml}}\n")
    with pytest.raises(UsageError, match="too many sentences: phrasing 'p' has 40 clauses"):
        load_spec(tmp_path / "spec.yaml")


@pytest.mark.parametrize(
    ("lexicon", "message"),
    [
        ("{object_shape: {word: 5}}", "the form 'word' of 'object_shape' is no mapping"),
        ("{object_shape: {bins: five}}", "`bins` of 'object_shape' is no list of words"),
        ("{object_shape: {bins: []}}", "`bins` of 'object_shape' is no list of words"),
    ],
)
def test_a_lexicon_has_texts(tmp_path: Path, lexicon: str, message: str) -> None:
    (tmp_path / "t.yaml").write_text(
        f"name: t\nreads: {{object_shape: label}}\nlexicon: {lexicon}\nphrasings: {{p: '{{{{ object_shape }}}}'}}\n"
    )
    (tmp_path / "spec.yaml").write_text("extends: m3di\nname: x\nviews: {text: {template: t.yaml}}\n")
    with pytest.raises(UsageError, match=message):
        load_spec(tmp_path / "spec.yaml")
