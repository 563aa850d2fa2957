"""What captions leave out and state wrongly: how often, recorded, read back, and the same noise under interventions."""

# ruff: noqa: E501 - a mistake and its message are read best side by side
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from m3di import data
from m3di.errors import UsageError
from m3di.latents import CaptionParser, Spec, bounds, captions, counterfactual, do, palette, parse_spec, sample
from tests.conftest import write_fake_dataset
from tests.latents.test_captioning import DETAILED

N = 20_000


def text_of(keys: str, more: str = "") -> Spec:
    return parse_spec(f"extends: m3di\nname: t\nviews: {{text: {keys}}}\n{more}", where="t.yaml")


def detailed(keys: str) -> Spec:
    return parse_spec(DETAILED.replace("mentions: {rotation: 0.2, ground: 1.0}", keys), where="t.yaml")


def test_the_table_says_what_is_said_what_is_true_and_whether_they_differ() -> None:
    spec = text_of("{misstates: {probability: {object_shape: 0.3, text_color: 0.6}}}")
    drawn = sample(spec, "train", N)
    text, image = drawn.views["text"], drawn.views["image"]
    for name, share in (("object_shape", 0.3), ("text_color", 0.6)):
        wrong = text[f"text_said_{name}"] != text[name]
        assert (wrong == (text[f"text_misstated_{name}"] == 1)).all()
        assert wrong.mean() == pytest.approx(share, abs=0.016)
    assert (text["object_shape"] == image["object_shape"]).all()
    others = (text["text_said_object_shape"] - text["object_shape"]) % 7
    np.testing.assert_allclose(np.bincount(others, minlength=7)[1:] / N, 0.05, atol=0.008)
    assert set(drawn.columns()["text"]["text_misstated_object_shape_name"]) == {"no", "yes"}


def test_a_caption_tells_what_the_table_says_is_said() -> None:
    spec = text_of("{misstates: {}}")  # all that the template reads, each with probability 0.5
    drawn = sample(spec, "train", 400)
    parser, text = CaptionParser(spec, "text"), drawn.views["text"]
    for row, caption in enumerate(captions(drawn, "text")):
        read = parser.parse(caption)
        assert {"text_said_object_shape", "text_said_object_xpos", "text_said_object_ypos"} <= read.keys()
        assert "object_shape" not in read
        assert all(value == text[name][row] for name, value in read.items())


def test_a_wrong_colour_name_is_of_the_same_palette_and_another_colour() -> None:
    drawn = sample(text_of("{misstates: {probability: {text_color: 1}}}"), "train", N)
    text = drawn.views["text"]
    factor = drawn.spec.factors["text_color"]
    sizes = np.cumsum([len(palette(each).names) for each in factor.palettes])
    of = [np.searchsorted(sizes, text[name], side="right") for name in ("text_color", "text_said_text_color")]
    assert (of[0] == of[1]).all() and (of[0] == text["text_palette"]).all()
    codes = np.asarray(factor.hex)
    assert (codes[text["text_color"]] != codes[text["text_said_text_color"]]).all()  # cyan is no wrong aqua


def test_a_wrong_number_is_told_by_another_word() -> None:
    spec = detailed("misstates: {probability: {spotlight_pos: 0.5}}")
    drawn = sample(spec, "train", N)
    text = drawn.views["text"]
    words = [np.floor(5 * text[name]) for name in ("spotlight_pos", "text_said_spotlight_pos")]
    wrong = text["text_misstated_spotlight_pos"] == 1
    assert ((words[0] != words[1]) == wrong).all()
    assert wrong.mean() == pytest.approx(0.5, abs=0.016)
    assert (text["spotlight_pos"][~wrong] == text["text_said_spotlight_pos"][~wrong]).all()


def test_at_most_one_lie_a_caption() -> None:
    text = sample(text_of("{misstates: {probability: 0.5, at_least: 1, at_most: 1}}"), "train", N).views["text"]
    lies = sum(each for name, each in text.items() if "_misstated_" in name)
    assert (lies == 1).all()


def test_interventions_keep_the_lies() -> None:
    factual = sample(text_of("{misstates: {probability: {object_shape: 0.5}}}"), "train", 2_000)
    before = factual.views["text"]
    after = counterfactual(factual, object_shape="cow").views["text"]
    assert (after["object_shape"] == 3).all()
    assert (after["text_misstated_object_shape"] == before["text_misstated_object_shape"]).all()
    shift = (before["text_said_object_shape"] - before["object_shape"]) % 7
    assert (after["text_said_object_shape"] == (3 + shift) % 7).all()
    forced = counterfactual(factual, text_said_object_shape="cow").views["text"]
    assert (
        (forced["text_misstated_object_shape"] == 1) == (forced["object_shape"] != 3)
    ).all()  # a lie only where it is one
    honest = counterfactual(factual, text_misstates=0).views["text"]
    assert (honest["text_misstated_object_shape"] == 0).all()
    assert (honest["text_said_object_shape"] == before["object_shape"]).all()


def test_the_bound_of_what_is_said() -> None:
    """The best guess of the shape that is said is the true one, right with probability 0.7."""
    spec = text_of("{misstates: {probability: {object_shape: 0.3}}}")
    (bound,) = [each for each in bounds(spec, n=40_000) if each.factor == "text_said_object_shape"]
    assert bound.value == pytest.approx(0.7, abs=0.015)
    assert bound.chance == pytest.approx(1 / 7, abs=0.01)


@pytest.mark.slow
def test_a_subset_of_clauses_is_drawn_at_once() -> None:
    spec = detailed("mentions: {probability: 0.5, at_least: 1, at_most: 2}")
    drawn = sample(spec, "train", N)
    text = drawn.views["text"]
    masks = np.stack([text[f"text_clause_{each}"] for each in ("rotation", "spotlight", "ground")])
    counts = np.bincount((masks * [[1], [2], [4]]).sum(axis=0), minlength=8) / N
    assert counts[0] == counts[7] == 0
    np.testing.assert_allclose(counts[1:7], 1 / 6, atol=0.013)
    parser = CaptionParser(spec, "text")
    for caption in captions(sample(spec, "train", 200), "text"):
        parser.parse(caption)
    groups = sample(detailed("mentions: {sets: [[rotation, ground], [spotlight]], weights: [3, 1]}"), "train", N).views[
        "text"
    ]
    assert (groups["text_clause_rotation"] == groups["text_clause_ground"]).all()
    assert (groups["text_clause_rotation"] != groups["text_clause_spotlight"]).all()
    assert groups["text_clause_spotlight"].mean() == pytest.approx(0.25, abs=0.014)


def test_a_clause_that_is_never_there_reads_nothing() -> None:
    text = (
        "extends: misaligned-captions\nname: t\nviews: {text: {mentions: KEYS, factors: {background_hue_name: null}}}"
    )
    for keys in ("{background_hue: 0}", "{sets: [[xpos, ypos], [spotlight]]}"):
        drawn = sample(parse_spec(text.replace("KEYS", keys), where="t"), "train", 50)
        assert not any("ground" in each for each in captions(drawn, "text"))
    with pytest.raises(UsageError, match="reads 'background_hue_name', which the view does not see"):
        parse_spec(text.replace("KEYS", "{background_hue: 0.1}"), where="t")


@pytest.mark.slow
@pytest.mark.usefixtures("pools")
def test_a_dataset_with_lies_and_changes_is_verified_and_loaded(tmp_path: Path) -> None:
    from m3di import Multimodal3DIdent

    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "extends: m3di\nname: t\nviews:\n  text: {misstates: {probability: {object_shape: 0.5}}}\n"
        "  after: {modality: image, changes: {probability: 0.5, at_least: 1}, factors: {object_shape: content, object_color: "
        "{role: style, change: {name: uniform}}, spotlight_pos: {role: style, change: {name: uniform}}}}\n"
        "pairs: {counterfactual: [object_shape]}\n"
    )
    root = write_fake_dataset(tmp_path / "made", spec=str(spec))
    data.verify(root)
    item = Multimodal3DIdent(root, split="train")[0]
    assert item["z_text"]["text_misstated_object_shape"] in (0, 1)
    assert {"after_changed_object_color", "after_changed_spotlight_pos"} <= set(item["z_after"])
    smaller = tmp_path / "lies"
    data.subset(root, smaller, where="text.text_misstated_object_shape == 1")
    data.verify(smaller)
    lying = Multimodal3DIdent(smaller, split="train")
    assert 0 < len(lying) < 20
    shapes = lying.spec.factors["object_shape"].names
    for each in lying:
        assert shapes[each["z_text"]["text_said_object_shape"]] in each["caption"]
        assert shapes[each["z_image"]["object_shape"]] not in each["caption"]


MISTAKES = {
    "{misstates: {probability: {object_shap: 0.5}}}": r"'object_shap' is not a factor that the template reads; did you mean 'object_shape'",
    "{misstates: {probability: {spotlight_pos: 0.5}}}": r"'spotlight_pos' is not a factor that the template reads",
    "{misstates: {probability: {object_shape: 1.5}}}": r"misstates\.probability\.object_shape: .*less than or equal to 1",
    "{misstates: {at_least: 9}}": r"no subset fits",
    "{misstates: {often: 1}}": r"often: unknown key",
    "{mentions: {probability: 0.5}}": r"there is nothing to choose from: a clause of template 'm3di' is needed",
    "{template: detailed, mentions: {probability: {ground: 0.5}, at_most: 1}}": r"mentions\.probability: it does not name rotation, spotlight",
    "{template: detailed, mentions: {probability: {grund: 0.5}}}": r"'grund' is not a clause of template 'detailed'; did you mean 'ground'",
    "{template: detailed, mentions: {sets: [[ground]], weights: [1, 2]}}": r"1 weights are needed",
    "{template: detailed, mentions: {ground: 2}}": r"mentions\.ground: .*less than or equal to 1",
}


@pytest.mark.parametrize("keys", MISTAKES)
def test_mistakes(keys: str) -> None:
    with pytest.raises(UsageError, match=MISTAKES[keys]):
        text_of(keys)


def test_values_that_are_told_alike_cannot_be_misstated(tmp_path: Path) -> None:
    template = "{name: own, reads: {object_shape: label}, lexicon: {object_shape: {word: {teapot: pot, hare: animal, dragon: animal, cow: animal, armadillo: animal, horse: animal, head: head}}}, phrasings: {one: '{{ object_shape.a }}'}}"
    (tmp_path / "own.yaml").write_text(template)
    (tmp_path / "spec.yaml").write_text("extends: m3di\nname: t\nviews: {text: {template: own.yaml, misstates: {}}}\n")
    from m3di.latents import load_spec

    with pytest.raises(UsageError, match="two values of object_shape are told by one word"):
        load_spec(tmp_path / "spec.yaml")
    with pytest.raises(UsageError, match="a wrong value needs another one"):
        text_of("{misstates: {probability: {object_shape: 0.5}}}", "factors: {object_shape: {values: [cow]}}")


LYING = """extends: m3di
name: lying
views: {text: {misstates: {probability: {object_shape: 0.2}}}}
"""


def test_the_record_of_what_is_wrong_is_not_set_by_itself() -> None:
    spec = parse_spec(LYING, where="lying.yaml")
    message = r"(?s)'text_misstated_object_shape' only says whether .*next: +set text_said_object_shape"
    with pytest.raises(UsageError, match=message):
        do(spec, text_misstated_object_shape="yes")
    with pytest.raises(UsageError, match=message):
        do(spec, {"text.text_misstated_object_shape": "no"})
    case = "regimes: {r: {chosen: {}, cases: {lie: {text_misstated_object_shape: 'yes'}}}}\n"
    with pytest.raises(UsageError, match=r"(?s)regimes\.r\.cases\.lie\.text_misstated_object_shape: " + message[4:]):
        parse_spec(LYING + case, where="lying.yaml")


def test_a_case_may_say_what_a_caption_states_or_what_it_misstates() -> None:
    cases = "regimes: {r: {chosen: {}, cases: {cow: {text_said_object_shape: cow}, lie: {text_misstates: 1}}}}\n"
    text = sample(parse_spec(LYING + cases, where="lying.yaml"), "train", 400).views["text"]
    wrong = text["text_said_object_shape"] != text["object_shape"]
    assert (wrong == (text["text_misstated_object_shape"] == 1)).all()
    assert (text["text_said_object_shape"][text["r_cow"] == 1] == 3).all()
    assert wrong[(text["r_lie"] == 1) & (text["r_cow"] == 0)].all()
