"""What captions cannot say: lies that none tells, lies in words that are true, clauses that a phrasing lacks."""

from __future__ import annotations

import pytest

from m3di.errors import UsageError
from m3di.latents import Spec, captions, notes, parse_spec, sample, sentences
from tests.latents.test_choice_checks import CHOICE, SEEN

LIE = "misstates: {probability: {spotlight_pos: 0.5, object_shape: 0.5}}"


def detailed(keys: str, more: str = "") -> Spec:
    view = f"views: {{text: {{template: detailed, {keys}, factors: {SEEN}}}}}"
    return parse_spec(f"extends: m3di\nname: t\n{view}\n{more}", where="t.yaml")


@pytest.mark.parametrize(
    ("mentions", "more"),
    [
        ("{spotlight: 0}", ""),
        ("{sets: [[rotation, ground], [ground]]}", ""),
        ("{probability: {spotlight: 0, ground: 0.5}}", ""),
        ("{}", f"factors: {{text_clause_spotlight: {{{CHOICE} [out]}}}}"),
        ("{}", f"factors: {{text_phrasing: {{{CHOICE} [short]}}}}"),
        (
            "{}",
            f"factors: {{text_phrasing: {{{CHOICE} [whole, short], mechanism: {{name: categorical, weights: [0, 1]}}"
            "}}",
        ),
    ],
)
def test_a_lie_that_no_caption_tells_is_refused(mentions: str, more: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)misstates: no caption tells spotlight_pos: .*next: +let captions have"):
        detailed(f"mentions: {mentions}, {LIE}", more)


def test_a_lie_that_some_caption_tells_is_not() -> None:
    for mentions in ("{spotlight: 0.1}", "{sets: [[spotlight], [ground]]}"):
        spec = detailed(f"mentions: {mentions}, {LIE}")
        assert "text_misstated_spotlight_pos" in spec.factors
    split = "splits: {train: 5, val: 5, test: {n: 5, views: {text: {mentions: {spotlight: 0}, misstates: CHANCES}}}}"
    honest = "{probability: {spotlight_pos: 0, object_shape: 0.5}}"
    detailed(f"mentions: {{spotlight: 0.1}}, {LIE}", split.replace("CHANCES", honest))
    with pytest.raises(UsageError, match="no caption tells spotlight_pos"):
        detailed(f"mentions: {{spotlight: 0.1}}, {LIE}", split.replace("CHANCES", honest.replace("0,", "0.2,")))


def of_sorts(phrasings: str, more: str = "") -> Spec:
    sorts = "{teapot: thing, hare: animal, dragon: animal, cow: animal, armadillo: animal, horse: animal, head: thing}"
    template = (
        f"{{name: t, reads: {{object_shape: label, object_xpos: position}}, clauses: [name], "
        f"lexicon: {{object_shape: {{sort: {sorts}}}}}, phrasings: {phrasings}}}"
    )
    view = "views: {text: {template: t, misstates: {probability: {object_shape: 1}}}}"
    return parse_spec(f"extends: m3di\nname: t\n{view}\ntemplates: {{t: {template}}}\n{more}", where="t.yaml")


@pytest.mark.parametrize(
    "phrasings",
    [
        "{a: 'This is {{ object_shape.sort }}.'}",
        "{a: 'This is {{ object_shape }}.', b: 'This is {{ object_shape.sort }}.'}",
        "{a: '{{ object_shape.sort }}{% if clauses.name %}, {{ object_shape }}{% endif %}'}",
    ],
)
def test_a_lie_in_a_form_of_several_values_is_refused(phrasings: str) -> None:
    message = r"(?s)two values of object_shape are told by one word.*got: +[Tt]hing, [Aa]nimal"
    with pytest.raises(UsageError, match=message):
        of_sorts(phrasings)


def test_a_form_of_several_values_beside_a_word_of_one_tells_the_lie() -> None:
    spec = of_sorts("{a: 'It: {{ object_shape.it }}, {{ object_shape.sort }}, {{ object_shape }}.'}")
    drawn = sample(spec, "train", 50)
    shapes, text = spec.factors["object_shape"].names, drawn.views["text"]
    for row, caption in enumerate(captions(drawn, "text")):
        assert caption.endswith(f", {shapes[text['text_said_object_shape'][row]]}.")
        assert shapes[text["object_shape"][row]] not in caption
    of_sorts("{a: '{{ object_shape }}', b: 'It: {{ object_shape.it }}{% if clauses.name %}.{% endif %}'}")


def test_clauses_that_a_phrasing_does_not_have_are_noted() -> None:
    (note,) = notes(detailed("mentions: {ground: 1, spotlight: 0}"))
    assert note.startswith(
        "Captions of text in the phrasing short never have rotation, ground: there, text_clause_rota"
    )
    without = f"factors: {{text_phrasing: {{{CHOICE} [whole, parts]}}}}"
    assert notes(detailed("mentions: {ground: 1}", without)) == []
    assert notes(detailed("mentions: {ground: 0, spotlight: 0, rotation: 0}")) == []


def test_a_clause_whose_name_begins_another_one_makes_no_sentence_twice() -> None:
    template = (
        "{name: t, reads: {object_shape: label}, clauses: [x, xpos], phrasings: {a: '{{ object_shape }}"
        "{% if clauses.xpos %} there{% endif %}', b: \"Here {% if clauses['x'] %}now {% endif %}{{ object_shape }}\"}}"
    )
    text = f"extends: m3di\nname: t\nviews: {{text: {{template: t}}}}\ntemplates: {{t: {template}}}\n"
    found = [set(each.choices) - {"text_phrasing"} for each in sentences(parse_spec(text, where="t.yaml"), "text")]
    assert found == [{"text_clause_xpos"}] * 2 + [{"text_clause_x"}] * 2
