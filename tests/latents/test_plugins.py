"""Mechanisms and templates from files beside a spec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from m3di.errors import M3diError, UsageError
from m3di.latents import (
    MECHANISMS,
    Spec,
    arrows,
    captions,
    do,
    load_spec,
    missing_mechanisms,
    parse_spec,
    plain_spec,
    run_plugin,
    sample,
    spec_from_dict,
    to_yaml,
)

PLUGIN = """
import numpy as np
from m3di.latents import register

@register("NAME", n_parents=1, types=["continuous"])
def shifted(u, parents, factor, *, by: float = 0.25):
    '''The parent's place in its range, shifted.'''
    return factor.from_unit((parents[0].unit + by + 0.0 * u) % 1.0)
"""
SHIFTED = PLUGIN.replace("NAME", "shifted")
SPEC = """
extends: m3di
name: mine
plugins: [mine.py]
factors:
  background_color: {mechanism: {name: NAME, parents: [object_color]}}
views:
  image: {factors: {object_alpharot: {role: private, mechanism: {name: NAME, parents: [object_color], by: 0.5}}}}
"""


def written(folder: Path, name: str = "shifted", plugin: str = PLUGIN) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(plugin.replace("NAME", name))
    (folder / "mine.yaml").write_text(SPEC.replace("NAME", name))
    return folder / "mine.yaml"


def check_shift(spec: Spec) -> None:
    image = sample(spec, "train", 200).views["image"]
    np.testing.assert_allclose(image["background_color"], (image["object_color"] + 0.25) % 1.0)
    np.testing.assert_allclose(image["object_alpharot"], (image["object_color"] + 0.5) % 1.0)


def test_a_plugin_lies_beside_the_spec_and_is_kept_as_text(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path / "elsewhere"))
    check_shift(spec)
    assert spec.plugins == {"mine.py": PLUGIN.replace("NAME", "shifted")}
    assert "shifted" not in MECHANISMS  # it is this spec's own
    assert ("object_color", "background_color") in arrows(spec, "image")
    # Resolved, it needs no file.
    again = parse_spec(to_yaml(spec), where="nowhere/again.yaml")
    assert again == spec
    check_shift(again)
    check_shift(spec_from_dict(plain_spec(spec), where="test"))


def test_two_specs_may_use_one_name_for_different_mechanisms(tmp_path: Path) -> None:
    one = load_spec(written(tmp_path / "a"))
    other = load_spec(written(tmp_path / "b", plugin=PLUGIN.replace("+ by", "- by")))
    check_shift(one)
    drawn = sample(other, "train", 50).views["image"]
    np.testing.assert_allclose(drawn["background_color"], (drawn["object_color"] - 0.25) % 1.0)
    check_shift(one)


def test_a_stored_spec_runs_nothing_and_says_what_it_lacks(tmp_path: Path) -> None:
    """Never run in this process: this text is only in the data, as of a dataset from elsewhere."""
    plain = plain_spec(load_spec(written(tmp_path)))
    marker = tmp_path / "was-run"
    plain["plugins"] = {
        "mine.py": f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n" + PLUGIN.replace("NAME", "shifted")
    }
    spec = spec_from_dict(plain, where="test", stored=True)
    missing = missing_mechanisms(spec)
    assert missing == {"image": {"background_color": "shifted", "object_alpharot": "shifted"}, "text": {}}
    with pytest.raises(M3diError, match=r"mechanism 'shifted' is not installed here(?s:.)*m3di --plugin DATASET"):
        sample(spec, "train", 1)
    partly = sample(spec, "train", 30, partly=True)
    whole = sample(load_spec("m3di"), "train", 30)
    for view, factors in partly.views.items():
        assert set(factors) == set(whole.views[view]) - set(missing[view])
        for name, values in factors.items():
            np.testing.assert_array_equal(values, whole.views[view][name])
    assert captions(partly, "text") == captions(whole, "text")
    assert arrows(spec, "image") >= {("object_color", "background_color")}  # taken at their word
    with pytest.raises(UsageError, match="no mechanism is called 'shifted'"):
        do(spec, object_xpos="left")
    assert not marker.exists()
    run_plugin(spec.plugins["mine.py"], "mine.py")  # the user asks for it
    assert marker.exists()
    check_shift(spec)


def test_what_depends_on_a_missing_mechanism_is_missing_too(tmp_path: Path) -> None:
    path = written(tmp_path)
    text = path.read_text().replace(
        "views:", "  object_color: {mechanism: {name: shifted, parents: [object_xpos]}}\nviews:"
    )
    path.write_text(text)
    plain = plain_spec(load_spec(path))
    plain["plugins"] = {}
    missing = missing_mechanisms(spec_from_dict(plain, where="test", stored=True))
    assert set(missing["image"]) == {"object_color", "background_color", "object_alpharot"}
    assert set(missing["text"]) == {"text_color"}


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("import nothing_like_this\n", r"cannot be run(?s:.)*mine\.py, line 1(?s:.)*ModuleNotFoundError"),
        ("x = 1\n\n\ny = x / 0\n", r"mine\.py, line 4(?s:.)*ZeroDivisionError"),
        ("def broken(:\n", r"mine\.py, line 1(?s:.)*SyntaxError"),
        ("x = 1\ndef broken(:\n", r"where: +\S*mine\.py, line 2(?s:.)*SyntaxError"),
        ("import sys\nsys.exit(0)\n", r"cannot be run(?s:.)*mine\.py, line 2(?s:.)*SystemExit: 0"),
        (SHIFTED.replace("0.0 * u", "np.random.default_rng().random(len(u))"), r"another value each time(?s:.)*line 6"),
        (SHIFTED.replace("0.0 * u", "np.argsort(u) / len(u)"), r"another value when it is drawn among others"),
        (SHIFTED.replace("return", "values = parents[0].values\n    values *= 0.5\n    return"),
         r"changes the arrays that it is given"),
        ("x = 1\n", r"registers no mechanism"),
        (PLUGIN.replace("NAME", "uniform"), r"takes a name of ours(?s:.)*rename it, for example my_uniform"),
        (SHIFTED.replace("factor.from_unit", "np.log"), r"gives what is no value(?s:.)*line 6"),
        (SHIFTED.replace("% 1.0)", "% 1.0)[:3]"),
         r"an array of shape \[3\], for 512 samples"),
        (SHIFTED.replace("return", "raise KeyError('x')\n    return"), r"KeyError"),
    ],
)  # fmt: skip
def test_a_plugin_that_fails_is_told(plugin: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load_spec(written(tmp_path, plugin=plugin))


def test_plugins_of_what_is_extended_come_along(tmp_path: Path) -> None:
    written(tmp_path / "base")
    own = tmp_path / "own.yaml"
    own.write_text("extends: base/mine.yaml\nname: own\nfactors: {background_color: {mechanism: {by: 0.125}}}\n")
    spec = load_spec(own)
    image = sample(spec, "train", 50).views["image"]
    np.testing.assert_allclose(image["background_color"], (image["object_color"] + 0.125) % 1.0)
    (tmp_path / "mine.py").write_text(PLUGIN.replace("NAME", "another"))
    own.write_text("extends: base/mine.yaml\nname: own\nplugins: [mine.py]\n")
    with pytest.raises(UsageError, match=r"two different files are called 'mine\.py'"):
        load_spec(own)


def test_two_plugins_of_one_spec_register_different_names(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "other.py").write_text(SHIFTED + "\n# another file")
    path.write_text(path.read_text().replace("[mine.py]", "[mine.py, other.py]"))
    with pytest.raises(UsageError, match=r"'shifted' is registered by 'mine\.py' already(?s:.)*rename one of them"):
        load_spec(path)


def test_a_template_lies_beside_the_spec_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "short.yaml").write_text(
        "{name: short, reads: {object_shape: label}, "
        "phrasings: {a: '{{ object_shape.a }}', b: 'Look: {{ object_shape }}'}}"
    )
    (base / "one.yaml").write_text("extends: m3di\nname: one\nviews: {text: {template: short.yaml}}\n")
    (tmp_path / "two.yaml").write_text("extends: base/one.yaml\nname: two\n")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    for path in ("../base/one.yaml", tmp_path / "two.yaml"):
        spec = load_spec(path)
        drawn = captions(sample(spec, "train", 40), "text")
        assert {"A cow", "Look: cow"} <= set(drawn)
        # Kept with the spec: the file is not needed any more, and its place is nowhere in it.
        assert str(tmp_path) not in to_yaml(spec)
        assert captions(sample(spec_from_dict(plain_spec(spec), where="t", stored=True), "train", 40), "text") == drawn


def test_a_mistake_in_a_template_names_its_own_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("name: t\nreads: {object_shape: label}\nphrasings:\n  a: '{{ object_shap }}'\n")
    (tmp_path / "s.yaml").write_text("extends: m3di\nname: s\nviews: {text: {template: t.yaml}}\n")
    with pytest.raises(
        UsageError, match=r"reads 'object_shap', which is not in `reads`; did you mean(?s:.)*t\.yaml, line 4"
    ):
        load_spec(tmp_path / "s.yaml")
    (tmp_path / "t.yaml").write_text("name: t\nreads: {}\nphrasings: {a: b}\nphrasings: {a: c}\n")
    with pytest.raises(UsageError, match=r"'phrasings' is there twice(?s:.)*t\.yaml, line 4"):
        load_spec(tmp_path / "s.yaml")
    (tmp_path / "t.yaml").write_text("name: t\nphrasings: {a: b}\n")
    with pytest.raises(UsageError, match=r"reads: Field required(?s:.)*t\.yaml, line 1"):
        load_spec(tmp_path / "s.yaml")
    (tmp_path / "t.yaml").write_text("a: [")
    with pytest.raises(
        UsageError, match=r"1 problem:(?s:.)*views\.text\.template: the caption template is not valid YAML"
    ):
        load_spec(tmp_path / "s.yaml")
