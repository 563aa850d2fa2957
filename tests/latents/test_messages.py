"""Realistic mistakes in spec files: each message says what, where (file and line), got, expected, and the next step."""

# ruff: noqa: E501 - a mistake and its message are read best side by side
from __future__ import annotations

import re
from pathlib import Path

import pytest

from m3di.errors import UsageError
from m3di.latents import load_spec

OWN = "extends: m3di\nname: own\n"
MISTAKES = {
    # Keys and names.
    "factor:\n  object_color: {mechanism: {strength: 0.5}}": r"factor: unknown key; did you mean 'factors'\?(?s:.)*line 3",
    "factors:\n  object_colour: {mechanism: {strength: 0.5}}": r"1 problem:(?s:.)*no factor is called 'object_colour' .*"
    r"did you mean 'object_color'(?s:.)*line 4",
    "factors:\n  new: {mechanism: {name: uniform}}": r"a new factor needs `type` and `kind`",
    "factors:\n  object_color:\n    mechanism: {name: bined, parents: [object_shape]}": r"'bined'; did you mean 'binned'"
    r"(?s:.)*line 5",
    "factors:\n  object_color: {mechanism: {name: binned, parents: [object_shap]}}": r"'object_shap'; did you mean 'object_shape'",
    "factors:\n  object_alpharot: {mechanism: {std: 1}}": r"`name` of the mechanism",
    "views:\n  imag: {factors: {object_zpos: private}}": r"no view is called 'imag' .*did you mean 'image'",
    "views:\n  image: {factors: {object_zpos: contant}}": r"did you mean 'content'|did you mean 'constant'",
    "views:\n  image: {factors: {object_alpharot: {value: 1}}}": r"Field required: `role`(?s:.)*line 4",
    "views:\n  image: {factors: {object_colour: private}}": r"no factor is called 'object_colour'; did you mean 'object_color'",
    "views:\n  image: {light: [sun]}": r"unknown key; did you mean 'lights'",
    "views: {text: {mentions: {ground: 1}}}": r"no clause is called 'ground'(?s:.)*no clause: template 'm3di' has none",
    "factors:\n  object_colour: null": r"no factor 'object_colour' to take away; did you mean 'object_color'",
    "views:\n  txt: null": r"no view 'txt' to take away; did you mean 'text'",
    "views: {image: {factors: {object_colour: null}}}": r"no factor 'object_colour' to take away",
    "factors:": r"factors: the key is empty(?s:.)*line 3",
    "views:\n  image:\n    factors:": r"views\.image\.factors: the key is empty(?s:.)*line 5",
    "name: again": r"the key 'name' is there twice, in lines 2 and 3",
    "factors:\n  object_color: {mechanism: {strength: 0.5}}\n  object_color: {}": r"twice, in lines 4 and 5",
    "views: {image: {material: metal, material: rubber}}": r"the key 'material' is there twice",
    # Types that YAML gives.
    "factors: {object_shape: {values: [yes, cow]}}": r"values\.0: .*reads yes as a truth value(?s:.)*quote it: 'yes'",
    "factors: {object_shape: {values: [1, cow]}}": r"reads 1 as a number(?s:.)*quote it: '1'",
    "factors: {object_shape: {values: [010, cow]}}": r"no shape is called '010'",
    "factors: {object_shape: {values: [~, cow]}}": r"as nothing",
    "factors: {object_shape: {values: teapot}}": r"factors\.object_shape\.values: .*array(?s:.)*a list: \[a, b\]",
    "factors: {on: {type: categorical, kind: label, values: [a, b]}}": r"the key on is a truth value(?s:.)*quote it: 'on'",
    "factors: {1: {type: categorical, kind: label, values: [a, b]}}": r"the key 1 is no text",
    "description: 12": r"description: .*reads 12 as a number",
    "factors: {object_color: {mechanism: {strength: yes}}}": r"strength: Input should be a valid number(?s:.)*got: +yes",
    "factors: {object_color: {mechanism: {strength: '0.5'}}}": r"strength: .*(?s:.)*write a number, without quotes",
    "factors: {object_color: {mechanism: {strength: half}}}": r"got: +'half'",
    "factors: {object_color: {mechanism: {strength: .nan}}}": r"strength: Input should be (a finite number|greater)",
    "factors: {object_color: {saturation: on}}": r"saturation: Input should be a valid number(?s:.)*got: +on",
    "factors: {object_color: {range: [0, .inf]}}": r"range\.1: Input should be a finite number",
    "factors: {object_color: {range: ['0', 1]}}": r"range\.0: Input should be a valid number",
    "factors: {object_color: {range: [0, 1, 2]}}": r"range",
    "factors: {object_color: {range: 3}}": r"range: Input should be a valid array",
    "factors: [object_color]": r"factors: Input should be an object",
    "factors: {object_color: uniform}": r"factors\.object_color: Input should be an object",
    "factors: {object_color: {mechanism: uniform}}": r"mechanism: Input should be",
    "splits: {train: 1.5}": r"splits\.train: Input should be a valid integer",
    "splits: {trian: 5}": r"splits\.trian",
    "splits: {train: -5}": r"splits\.train: .*greater than or equal to 0",
    "pairs: {permuted_content: maybe}": r"pairs\.permuted_content: Input should be a valid boolean",
    "views: {image: {factors: {object_xpos: {role: constant, value: right, unshared: true}}}}": r"value: Input should be a"
    r" valid number(?s:.)*0 is left, 1 is center, 2 is right(?s:.)*write 2",
    "factors: {object_xpos: {mechanism: {name: constant, value: right}}}": r"value: Input should be a valid number",
    "views: {image: {factors: {object_alpharot: {role: private, mechanism: {name: copy, parents: [object_betarot]}}, "
    "object_betarot: {role: private, mechanism: {name: copy, parents: [object_alpharot]}}}}}": r"a cycle: object_alpharot",
    "factors: {object_color: null}": r"no factor is called 'object_color'",
    # Numbers out of range, weights.
    "factors: {object_color: {range: [1, 0]}}": r"least < greatest(?s:.)*write \[0, 1\]",
    "factors: {object_color: {mechanism: {strength: 2}}}": r"less than or equal to 1(?s:.)*got: +2",
    "factors: {object_shape: {mechanism: {name: categorical, weights: [0.5, 0.5]}}}": r"7 weights are needed",
    "factors: {object_xpos: {mechanism: {name: categorical, weights: [0.5, 0.5, 0.5]}}}": r"whose sum is 1, .*sum of .* is 1\.5",
    "factors: {object_xpos: {mechanism: {name: categorical, weights: [0, 0, 0]}}}": r"weights are all 0",
    "factors: {object_xpos: {mechanism: {name: categorical, weights: [2, -1, 0]}}}": r"-1 is out of range(?s:.)*>= 0",
    "factors: {object_ypos: {mechanism: {name: table, parents: [object_shape], rows: [[1,0,0],[0,1,0]]}}}": r"shape \(7, 3\)",
    "factors: {object_ypos: {mechanism: {name: table, parents: [object_xpos], rows: [[0.5,0.1,0.1],[0,1,0],[1,0,0]]}}}":
    r"the sum of \[0\.5, 0\.1, 0\.1\] is 0\.7",
    "factors: {render_seed: {range: [0, 1.0e+19]}}": r"from -2\*\*53 to 2\*\*53",
    "factors: {render_seed: {range: [0, 99999999999999999999]}}": r"from -2\*\*53 to 2\*\*53",
    "factors: {render_seed: {range: [0, 9223372036854775808]}}": r"from -2\*\*53 to 2\*\*53",
    "factors: {render_seed: {range: [0.5, 7]}}": r"holds whole numbers",
    "factors: {object_zpos: {range: [-1.0e+308, 1.0e+308]}}": r"least < greatest",
    "factors: {object_zpos: {physical: [1, 1]}}": r"`physical` is the same for all values",
    "views: {image: {factors: {object_zpos: {role: constant, value: 3}}}}": r"3 is outside \[-1\.0, 1\.0\]",
    "views: {image: {factors: {object_xpos: {role: constant, value: 0.5, unshared: true}}}}": r"0\.5 is no value of a categorical",
    "views: {image: {raised: .inf}}": r"raised: Input should be a finite number",
    "views: {text: {mentions: {a: 2}}}": r"mentions\.a: .*less than or equal to 1",
    "sequence: {length: 0}": r"greater than or equal to 2",
    "sequence: {length: 3}\npairs: {counterfactual: [object_color]}": r"not together with `sequence`",
    "pairs: {counterfactual: [object_hue]}": r"no factor is called 'object_hue'",
    # Values that would be none.
    "factors:\n  a: {type: continuous, kind: scalar, mechanism: {name: linear_gaussian, weights: [], std: 1}}\n"
    "  object_color: {mechanism: {name: affine, parents: [a], weights: [0.5]}}": r"that parent needs `range`(?s:.)*line 5",
    "factors:\n  a: {type: continuous, kind: scalar, mechanism: {name: constant, value: 3}, range: [0, 1]}": r"no value of the factor: 3 to 3",
    "factors:\n  object_xpos: {mechanism: {name: constant, value: 0.7}}": r"`value` is a whole number",
    "factors:\n  a: {type: continuous, kind: scalar}": r"uniform needs a factor with `range`",
    "factors: {object_color: {mechanism: {name: truncated_normal, parents: [object_color], std: 1}}}": r"a cycle: object_color",
    "factors:\n  object_color: {mechanism: {name: binned, parents: [object_shape, object_ypos]}}": r"takes 1 parents, got 2",
    "factors:\n  object_zpos: {mechanism: {name: binned}}": r"takes 1 parents, got 0",
    "factors:\n  object_zpos: {mechanism: {name: affine, parents: [object_color, object_color], weights: [0.1, 0.1]}}": r"a parent is named twice",
    # What an image shows.
    "factors: {object_shape: {values: [teapot, lamp]}}": r"values\.1: no shape is called 'lamp'(?s:.)*m3di shapes import",
    "factors: {object_shape: {values: [teapott]}}": r"no shape is called 'teapott'; did you mean 'teapot'",
    "views: {image: {shape: teapot}}": r"both `shape` and the factor `object_shape`",
    "views: {image: {lights: [sun, sun]}}": r"names a light twice",
    "views: {image: {lights: [sun]}}": r"spotlight_pos would change no pixel: the spotlight is not on",
    "factors: {object_color: {saturation: 0}}": r"object_color would change no pixel: its `saturation` is 0",
    "factors: {object_alpharot: {unit: deg, physical: [-90, 90]}}": r"an image draws object_alpharot in radians",
    "factors: {object_xpos: {physical: null}}": r"which one is each value of object_xpos",
    "factors:\n  spotlight_color: {type: categorical, kind: hue, values: [r, g], range: null, physical: null}":
    r"which one is each value of spotlight_color",
    "factors: {render_seed: {type: continuous}}": r"render_seed is integer in an image",
    "factors:\n  camera_azimuth: {type: continuous, kind: angle, range: [0, 1]}\nviews: {image: {factors: {camera_azimuth: private}}}":
    r"an image draws no 'camera_azimuth'(?s:.)*line 5",
    "views: {image: {factors: {object_zpos: {role: private, recorded: true}}}}": r"the image shows object_zpos",
    "views: {image: {material: glass}}": r"'glass'",
    "factors: {object_zpos: {saturation: 0.5}}": r"`saturation` belongs to the kind `hue`",
    "factors: {object_zpos: {values: [a, b]}}": r"`values` is for `type: categorical`",
    # Names that are taken.
    "views: {latents: {modality: text, template: m3di, factors: {object_shape: content}}}": r"cannot be called 'latents'",
    "views: {caption: {modality: image, shape: cow, factors: {object_zpos: private}}}": r"cannot be called 'caption'",
    "views: {class: {modality: image, shape: cow, factors: {object_zpos: private}}}": r"is a word of Python",
    "views: {z_image: {modality: image, shape: cow, factors: {object_zpos: private}}}": r"begins with 'z_'",
    "views: {Image: {modality: image, shape: cow, factors: {object_zpos: private}}}": r"differ in capitals only",
    "pairs: {permuted_content: true}\nviews: {image_permuted: {modality: image, shape: cow, factors: {object_zpos: private}}}":
    r"makes a view 'image_permuted' too",
    "factors: {object_contrast: {type: continuous, kind: scalar, range: [0, 1]}}\n"
    "views: {image: {factors: {object_contrast: {role: private, recorded: true}}}}": r"column 'object_contrast' .*taken",
    "factors: {object_shape_name: {type: continuous, kind: scalar, range: [0, 1]}}\n"
    "views: {image: {factors: {object_shape_name: {role: private, recorded: true}}}}": r"column 'object_shape_name' .*taken by the factor",
    "factors: {caption: {type: continuous, kind: scalar, range: [0, 1]}}\nviews: {text: {factors: {caption: private}}}":
    r"taken by the caption",
    "views: {my view: {modality: image, shape: cow, factors: {object_zpos: private}}}": r"a name is letters(?s:.)*my_view",
    # Captions.
    "views: {text: {template: m3dj}}": r"no caption template is called 'm3dj'",
    "views: {text: {template: ./nope.yaml}}": r"no such caption template(?s:.)*line 3",
    "views: {text: {template: detailed, factors: {spotlight_colour: private}}}\n"
    "factors: {spotlight_colour: {type: continuous, kind: hue, range: [0, 1]}}": r"reads no 'spotlight_colour'; did you mean 'spotlight_color'",
    "views: {text: {factors: {text_color: null}}}": r"reads 'text_color', which the view does not see",
    "views: {sound: {modality: audio, factors: {object_shape: content}}}": r"views\.sound\.modality",
    # Files beside it.
    "plugins: [nope.py]": r"no such plugin(?s:.)*line 3",
    "plugins: nope.txt": r"a plugin is a Python file",
    "plugins: [3]": r"a plugin is a Python file",
    "interventions: {object_xpo: right}": r"no factor is called 'object_xpo'",
    "interventions: {object_xpo: right}\nfactors: {object_colour: {mechanism: {strength: 1}}}": r"2 problems(?s:.)*interventions\.object_xpo",
    "interventions: {imag.object_xpos: right}": r"no view is called 'imag'; did you mean 'image'",
    "interventions: {object_xpos: [right]}": r"1 problem:(?s:.)*an intervention is a value of the factor",
    "interventions: {object_xpos: yes}": r"1 problem:(?s:.)*got: +yes",
    # Lists and mappings that are written short.
    "factors: {object_color: {mechanism: {parents: object_shape}}}": r"in square brackets: \[object_shape\]",
    "views: {image: {lights: sun}}": r"in square brackets: \[sun\]",
    "factors: {spotlight_pos: {mechanism: uniform}}": r"write \{name: uniform\}",
    "views: {image: {factors: [object_shape]}}": r"write object_shape: content",
    # Values that a picture, a table or a caption cannot have.
    "factors: {render_seed: {range: [0, 9007199254740992]}}": r"an image takes render_seed from 0 to 2147483647",
    "factors: {render_seed: {range: [-5, -1]}}": r"an image takes render_seed from 0 to 2147483647",
    "factors: {spotlight_pos: {physical: [1e308, -1e308]}}": r"the span of `physical` is infinite",
    "factors: {object_xpos: {values: ['', a, b]}}": r"a name that a caption cannot show(?s:.)*got: +''",
    "factors: {object_xpos: {values: [' a', b, c]}}": r"a name that a caption cannot show(?s:.)*got: +' a'",
    'factors: {object_xpos: {values: ["a\\nb", b, c]}}': r"a name that a caption cannot show",
    "factors: {object_xpos: {mechanism: {name: categorical, weights: [1e308, 1e308, 0]}}}": r"ratios are whole numbers up to",
    "factors: {text_palette: {values: [xkcd, css4, tableau]}}": r"name the palettes, in their order",
    # Counterfactual views.
    "factors: {hidden: {type: continuous, kind: scalar, range: [0, 1]}}\npairs: {counterfactual: [hidden]}": r"no view sees 'hidden'",
    "pairs: {counterfactual: [object_color, object_color]}": r"1 problem:(?s:.)*named twice",
}  # fmt: skip


def parts_of(message: str) -> list[set[str]]:
    """For each problem of a message, which of its parts are there."""
    entries = re.split(r"^  - ", message, flags=re.MULTILINE)
    pattern = r"^ +(where|got|expected|next): "
    return [set(re.findall(pattern, entry, flags=re.MULTILINE)) for entry in (entries[1:] or entries)]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda text: text.replace("\n", " ")[:70])
def test_a_mistake_is_told_with_all_that_helps(mistake: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN + mistake + "\n")
    with pytest.raises(UsageError, match=MISTAKES[mistake]) as error:
        load_spec(path)
    message = str(error.value)
    assert all(parts == {"where", "got", "expected", "next"} for parts in parts_of(message)), message
    assert re.search(r"own\.yaml, line \d", message), message


NO_YAML = {
    "factors:\n\tobject_color: {mechanism: {strength: 0.5}}": r"a tab indents a line(?s:.)*line 4(?s:.)*use spaces",
    "factors:\n  object_color:\n\t  mechanism: {strength: 0.5}": r"line 5(?s:.)*use spaces",
    "description: my graph: hue follows shape": r"line 3(?s:.)*quote the text",
    "factors:\n  object_color: {mechanism: {strength: 0.5}": r"the \{ in line 4 is not closed",
    "splits: [train": r"the \[ in line 3 is not closed",
    "description: 'it''s": r"the quote in line 3 is not closed",
    "description: @home": r"line 3(?s:.)*quote the text",
    "description: *home": r"line 3(?s:.)*quote a text that begins with \*",
    "factors: !!python/object:os.system {}": r"line 3(?s:.)*leave tags",
    "splits: !mine {train: 1}": r"line 3(?s:.)*leave tags",
    "description: !!python/name:os.system": r"line 3(?s:.)*leave tags",
    "---\nname: b": r"keep one document a file",
    "factors:\n  object_color: {}\n object_zpos: {}": r"line 5(?s:.)*indent keys",
    "factors\n  object_color": r"line [345]",
    "a: &a [*a]": r"an alias holds itself",
}


@pytest.mark.parametrize("mistake", NO_YAML)
def test_what_is_no_yaml_is_told_in_plain_words(mistake: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN + mistake + "\n")
    with pytest.raises(UsageError, match=r"the spec is not valid YAML(?s:.)*" + NO_YAML[mistake]) as error:
        load_spec(path)
    assert parts_of(str(error.value)) == [{"where", "got", "expected", "next"}], str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the file is empty"),
        (b"# nothing\n", r"the file is empty"),
        (b"- a\n- b\n", r"not a mapping(?s:.)*line 1(?s:.)*a list"),
        (b"m3di", r"not a mapping"),
        (b"extends: m3di\nname: caf\xe9\n", r"not UTF-8 text(?s:.)*line 2(?s:.)*0xe9"),
        ("extends: m3di\nname: a\n".encode("utf-16"), r"not UTF-8 text(?s:.)*UTF-16"),
        (bytes(range(256)), r"not UTF-8 text"),
        (b"extends: m3di\nname: a\0b\n", r"not UTF-8 text(?s:.)*line 2"),
        (b"extends: m3di\n", r"the spec has no name(?s:.)*line 1(?s:.)*not inherited(?s:.)*add `name: own`"),
        (b"name: a\nfactors: {}\n", r"views: Field required(?s:.)*splits: Field required"),
        (b"extends: m3dj\nname: a\n", r"no spec is called 'm3dj'(?s:.)*line 1(?s:.)*did you mean 'm3di'"),
        (b"extends: nope.yaml\nname: a\n", r"no such spec file(?s:.)*nope\.yaml(?s:.)*own\.yaml, line 1"),
        (b"extends: [m3di]\nname: a\n", r"`extends` is not a name(?s:.)*line 1"),
        (b"extends:\nname: a\n", r"`extends` is not a name(?s:.)*got: +nothing"),
        (b"extends: .\nname: a\n", r"this is no spec file(?s:.)*own\.yaml, line 1(?s:.)*a folder"),
        (b"name: a\nextends: own.yaml\n", r"the spec extends itself(?s:.)*line 2"),
        (b"name: no\nextends: m3di\n", r"name: .*truth value(?s:.)*quote it: 'no'"),
        (b"name: my graph\nextends: m3di\n", r"name: String should match pattern"),
    ],
)  # fmt: skip
def test_what_is_no_spec_file_says_what_and_where(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as error:
        load_spec(path)
    for parts in parts_of(str(error.value)):
        assert parts == {"where", "got", "expected", "next"}, str(error.value)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").mkdir()
    with pytest.raises(UsageError, match=r"this is no spec file(?s:.)*own\.yaml(?s:.)*a folder"):
        load_spec(tmp_path / "own.yaml")
    with pytest.raises(UsageError, match=r"this is no spec file(?s:.)*a folder"):
        load_spec(tmp_path)
    (tmp_path / "mine.yaml").write_text("extends: m3di\nname: mine\n")
    with pytest.raises(UsageError, match=r"no such spec file(?s:.)*did you mean 'mine\.yaml'"):
        load_spec(tmp_path / "mime.yaml")
    (tmp_path / "mine.txt").write_text("extends: m3di\nname: mine\n")
    with pytest.raises(UsageError, match=r"no spec is called(?s:.)*rename the file"):
        load_spec(tmp_path / "mine.txt")


def test_a_circle_of_specs(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{one}.yaml").write_text(f"name: {one}\nextends: {other}.yaml\n")
    with pytest.raises(
        UsageError, match=r"extends itself, in a circle(?s:.)*c\.yaml, line 2(?s:.)*a\.yaml -> .*b\.yaml -> "
    ):
        load_spec(tmp_path / "a.yaml")


@pytest.mark.parametrize("text", ["\ufeffextends: m3di\r\nname: a\r\n", "extends: m3di\nname: a\nsplits: {train: 1}\n"])
def test_marks_of_windows_do_no_harm(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(text.encode())
    assert load_spec(path).name == "a"


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    mechanism = "{name: truncated_normal, parents: [object_color], std: 1e-3}"
    path.write_text(f"{OWN}factors: {{background_color: {{mechanism: {mechanism}}}}}\n")
    assert load_spec(path).factors["background_color"].mechanism.parameters == {"std": 0.001}


def test_all_problems_of_all_stages_come_at_once(tmp_path: Path) -> None:
    """Text, keys, types, names, mechanisms, images, captions: a report of each, in the order of the file."""
    path = tmp_path / "own.yaml"
    path.write_text(
        f"{OWN}descripton: x\n"
        "factors:\n"
        "  object_color: {mechanism: {strength: yes}}\n"
        "  object_alpharot: {range: [1, 0]}\n"
        "  object_zpos: {mechanism: {name: unifrom}}\n"
        "  object_size: {type: continuous, kind: scalar, range: [0, 1]}\n"
        "views:\n"
        "  image: {materiel: metal, factors: {object_size: private}}\n"
        "  text: {template: m3dj}\n"
        "splits: {train: 1}\n"
        "splits: {train: 2}\n"
    )
    with pytest.raises(UsageError) as error:
        load_spec(path)
    lines = [int(line) for line in re.findall(r"own\.yaml, line (\d+)", str(error.value))]
    assert lines == sorted(lines)
    assert set(lines) == {3, 5, 6, 7, 10, 11, 13}
    for what in (
        "descripton",
        "strength",
        "least < greatest",
        "unifrom",
        "materiel",
        "draws no 'object_size'",
        "m3dj",
        "twice",
    ):
        assert what in str(error.value)


def test_what_is_sound_is_looked_at_beside_what_is_not(tmp_path: Path) -> None:
    """A wrong type in one factor hides neither content that is not shared nor a caption that cannot be said."""
    path = tmp_path / "own.yaml"
    path.write_text(
        f"{OWN}factors:\n"
        "  spotlight_pos: {range: [1, 0]}\n"
        "  object_gammarot: {mechanism: {name: copy, parents: [nothing]}}\n"
        "views:\n"
        "  image: {factors: {object_shape: private, object_betarot: {role: contant}}}\n"
        "  text: {factors: {text_color: null}}\n"
    )
    with pytest.raises(UsageError, match="has 5 problems") as error:
        load_spec(path)
    for what in ("least < greatest", "'nothing'", "object_shape is content of text", "contant", "reads 'text_color'"):
        assert what in str(error.value)


def test_a_mistake_in_what_is_extended_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(f"{OWN}factors:\n  object_color: {{mechanism: {{strength: 2}}}}\n")
    (tmp_path / "own.yaml").write_text("extends: base.yaml\nname: mine\n")
    with pytest.raises(UsageError, match=r"strength: (?s:.)*base\.yaml, line 4"):
        load_spec(tmp_path / "own.yaml")


def test_what_no_longer_fits_names_the_line_that_changed_it(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f"{OWN}factors:\n  text_palette: {{values: [tableau, css4]}}\n")
    with pytest.raises(UsageError, match=r"2 values for 3 palettes(?s:.)*m3di, line \d+, .*own\.yaml, line 4"):
        load_spec(tmp_path / "own.yaml")


def test_a_built_in_spec_is_named_without_an_ending_and_in_its_own_letters(tmp_path: Path) -> None:
    for extends, message in (
        ("m3di.yaml", r"no spec file 'm3di\.yaml' here"),
        ("m3di.yaml", r"line 1(?s:.)*for the built-in spec, write m3di$"),
        ("M3DI", r"did you mean 'm3di'"),
    ):
        (tmp_path / "own.yaml").write_text(f"extends: {extends}\nname: own\n")
        with pytest.raises(UsageError, match="no spec ") as error:
            load_spec(tmp_path / "own.yaml")
        assert re.search(message, str(error.value).replace(f"{tmp_path}/", ""))


def test_a_template_in_the_place_of_a_spec_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text("name: words\nreads: {}\nphrasings: {a: one}\n")
    with pytest.raises(UsageError, match=r"a caption template, not a spec(?s:.)*line 3(?s:.)*template: words\.yaml"):
        load_spec(tmp_path / "words.yaml")


def test_a_template_with_open_brackets_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text("name: words\nreads: {}\nphrasings:\n  a: 'one {{'\n")
    (tmp_path / "own.yaml").write_text(OWN + "views: {text: {template: words.yaml}}\n")
    with pytest.raises(UsageError, match=r"phrasings\.a: unexpected(?s:.)*words\.yaml, line 4"):
        load_spec(tmp_path / "own.yaml")


def test_a_factor_and_a_view_may_be_called_role(tmp_path: Path) -> None:
    """`role` marks the use of a factor that replaces another one whole, and nothing else."""
    (tmp_path / "own.yaml").write_text(
        OWN
        + "factors: {role: {type: continuous, kind: scalar, range: [0, 1]}}\n"
        + "views: {image: {factors: {role: {role: private, recorded: true}}}, "
        + "role: {modality: image, shape: cow, factors: {object_alpharot: private}}}\n"
    )
    spec = load_spec(tmp_path / "own.yaml")
    assert set(spec.factors) == {*load_spec("m3di").factors, "role"} and list(spec.views) == ["image", "text", "role"]
    assert (
        spec.description
        == "Extends m3di; changed: factors.role added, views.image.factors.role added, views.role added."
    )


def test_an_intervention_replaces_that_of_what_is_extended_whole(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(OWN + "interventions: {object_color: {name: uniform}}\n")
    (tmp_path / "own.yaml").write_text(
        "extends: base.yaml\nname: own\ninterventions: {object_color: {strength: 0.5}}\n"
    )
    spec = load_spec(tmp_path / "own.yaml")
    assert spec.interventions == {"object_color": {"strength": 0.5}}
    assert spec.factors["object_color"].mechanism.name == "binned"
