"""The defining statistics of every built-in spec, on 100,000 samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from m3di.latents import Samples, Spec, bounds, captions, load_spec, parse_spec, sample, share_accepted, spec_names
from tests.conftest import slow

N = 100_000
BLOCKS = {
    "rotation": ["object_alpharot", "object_betarot", "spotlight_pos"],
    "position": ["object_xpos", "object_ypos", "object_zpos"],
    "hue": ["object_color", "spotlight_color", "background_color"],
}
BOXES = [f"box-{'-'.join(order)}{end}" for order in itertools.permutations(BLOCKS) for end in ("", "-causal")]
Z = 4.5 / np.sqrt(N)  # correlations of independent samples stay below


def draw(name: str) -> Samples:
    return sample(load_spec(name), "train", N)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def is_uniform(values: np.ndarray, low: float, high: float) -> bool:
    return bool(stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-4)


def test_all_presets_are_there() -> None:
    assert set(spec_names()) == {
        *("m3di", "m3di-independent", "m3di-counterfactual", "m3di-sequence", "m3di-three-views"),
        *("image-pairs", "image-pairs-causal", "3dident", "3dident-periodic", "causal3dident"),
        *("temporal-causal3dident", "instantaneous-temporal-causal3dident", "shifted-causal3dident"),
        *("3dident-strong", "m3di-discrete"),
        *("ar1-pairs", "multiview-crl", "misaligned-captions"),
        *BOXES,
    }


def test_m3di() -> None:
    image = draw("m3di").views["image"]
    np.testing.assert_array_equal(np.floor(3 * image["object_color"]), image["object_xpos"])
    assert is_uniform(image["object_color"], 0, 1)
    assert is_uniform(3 * image["object_color"] % 1, 0, 1)
    for name, n in (("object_shape", 7), ("object_xpos", 3), ("object_ypos", 3)):
        assert stats.chisquare(np.bincount(image[name], minlength=n)).pvalue > 1e-4
    table = np.histogram2d(image["object_shape"], image["object_xpos"], bins=(7, 3))[0]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_m3di_independent() -> None:
    image = draw("m3di-independent").views["image"]
    assert abs(correlation(image["object_color"], image["object_xpos"])) < Z
    for position in range(3):
        assert is_uniform(image["object_color"][image["object_xpos"] == position], 0, 1)


def test_m3di_three_views() -> None:
    views = draw("m3di-three-views").views
    one, other = views["image"], views["image_changed"]
    for name in ("object_shape", "object_xpos", "object_ypos", "background_color"):
        np.testing.assert_array_equal(one[name], other[name])
    for name in ("object_alpharot", "spotlight_pos", "spotlight_color", "object_color"):
        assert (one[name] != other[name]).mean() == pytest.approx(0.5, abs=0.01)
    assert np.abs(one["object_color"] - other["object_color"]).max() < 0.6
    np.testing.assert_array_equal(views["text"]["object_shape"], other["object_shape"])


@pytest.mark.parametrize("name", ["image-pairs", *BOXES[-2:], *slow("image-pairs-causal", *BOXES[:-2])])
def test_pairs(name: str) -> None:
    """Roles of the three blocks, and the arrows between them."""
    causal = name.endswith("-causal")
    content, style, private = (
        name.removeprefix("box-").removesuffix("-causal").split("-")
        if name.startswith("box")
        else ("position", "hue", "rotation")
    )
    first, second = draw(name).views.values()
    for factor in BLOCKS[content]:
        np.testing.assert_array_equal(first[factor], second[factor])
    for factor in BLOCKS[style]:
        assert (first[factor] != second[factor]).mean() > 0.999
        assert 0.15 < correlation(first[factor], second[factor]) < 0.4  # normal of std 1, truncated to [-1, 1]
    varied = [(first[factor].std() > 0, second[factor].std() > 0) for factor in BLOCKS[private]]
    assert varied == [(True, False), (False, False), (False, True)]
    if name == "image-pairs-causal":
        arrows = {("object_zpos", "background_color"), ("object_color", "spotlight_color")}
    elif causal:
        (c1, c2, c3), (s1, s2, s3) = BLOCKS[content], BLOCKS[style]
        arrows = {(c2, c1), (c3, s3), (s2, s1)}
    else:
        arrows = set()
    names = [*BLOCKS[content], *BLOCKS[style], BLOCKS[private][0]]
    for one, other in itertools.combinations(names, 2):
        if {(one, other), (other, one)} & arrows:
            assert 0.2 < correlation(first[one], first[other]) < 0.4
        else:
            assert abs(correlation(first[one], first[other])) < Z, (one, other)
    for factor in names:
        if not any(factor == child for _, child in arrows):
            assert is_uniform(first[factor], -1, 1)


def test_3dident() -> None:
    image = draw("3dident").views["image"]
    names = [name for name in image if name != "render_seed"]
    assert len(names) == 10
    assert all(is_uniform(image[name], -1, 1) for name in names)
    correlations = np.corrcoef([image[name] for name in names])
    assert np.abs(correlations - np.eye(10)).max() < Z


def scores(values: np.ndarray) -> np.ndarray:
    """Normal scores of a factor that is uniform on [-1, 1]."""
    return stats.norm.ppf((values + 1) / 2)


@pytest.mark.slow
def test_3dident_strong() -> None:
    spec = load_spec("3dident-strong")
    first, whole = draw("3dident-strong").views["view1"], draw("box-position-rotation-hue-causal").views["view1"]
    arrows = [("object_xpos", "object_ypos"), ("object_alpharot", "object_betarot"), ("spotlight_pos", "object_zpos")]
    kept = np.ones(N, dtype=bool)
    for child, parent in arrows:
        assert spec.parents(child) == (parent,)
        assert np.abs(first[child] - first[parent]).max() < 0.5
        kept &= np.abs(whole[child] - whole[parent]) < 0.5
    # 16.5 % of pairs are kept there; what is kept is what is drawn here.
    assert share_accepted(spec) == pytest.approx(0.165, abs=4 * np.sqrt(0.165 * 0.835 / 10_000))
    assert kept.mean() == pytest.approx(0.165, abs=0.003)
    for name in {each for both in arrows for each in both}:
        np.testing.assert_array_equal(first[name][kept], whole[name][kept])  # where the first draw fits, it is taken


def test_m3di_discrete() -> None:
    spec = load_spec("m3di-discrete")
    image = draw("m3di-discrete").views["image"]
    for name, values in image.items():
        if name not in ("render_seed", "object_zpos"):  # the sampling noise, and a constant
            n = spec.factors[name].n
            assert spec.factors[name].type == "categorical"
            assert stats.chisquare(np.bincount(values, minlength=n)).pvalue > 1e-4
    # The hue lies in the third of the wheel that the x-position selects, as in m3di; roles are those of m3di.
    hue = spec.factors["object_color"].physical(image["object_color"])
    np.testing.assert_array_equal(np.floor(3 * hue), image["object_xpos"])
    for view, declared in load_spec("m3di").views.items():
        assert {name: use.role for name, use in declared.factors.items()} == {
            name: use.role for name, use in spec.views[view].factors.items()
        }
    found = {(each.view, each.factor): each for each in bounds(spec, n=4000)}
    assert found["image", "object_color"].value == pytest.approx(1 / 3, abs=0.01)  # one of three, given the position


def test_names_of_m3di_discrete_say_what_the_image_shows() -> None:
    """Roll and spotlight by where the camera sees them, pitch by the height of what faced it, the turn from above."""
    from m3di.render.camera import DATASET_CAMERA
    from m3di.render.scene import scene_values

    spec = load_spec("m3di-discrete")
    view, raw = spec.views["image"], {name: 0.0 for name in spec.views["image"].factors if name in spec.factors}

    def side(point: tuple[float, float, float]) -> float:
        return DATASET_CAMERA.project(point, 100)[0] - 50.0

    for index in range(5):
        roll, pitch, turn = (spec.factors[f"object_{each}rot"] for each in ("alpha", "beta", "gamma"))
        a, b, c = (float(each.physical(index)) for each in (roll, pitch, turn))
        lit = scene_values(spec, view, {**raw, "spotlight_pos": index}).spotlight_location_m(2.0)
        shown = {  # name of the factor: the number whose sign says it, the words for below and above 0
            "object_alpharot": (side((0.0, -np.sin(a), np.cos(a))), " left", " right"),
            "object_betarot": (-np.sin(b), " down", " up"),
            "object_gammarot": (np.sin(c), " clockwise", " counterclockwise"),
        }
        for name, (number, below, above) in shown.items():
            word = f" {spec.factors[name].value_name(index)}"
            assert (below in word) == (number < -1e-9), (name, word)
            assert (above in word) == (number > 1e-9), (name, word)
            assert word.startswith((" far", " steeply")) == (index in (0, 4))
        where = spec.factors["spotlight_pos"].value_name(index)
        assert ("front" in where, "behind" in where) == (lit[0] > 1e-9, lit[0] < -1e-9)
        assert side(lit) > 0 and ("right" in where) == (lit[1] > abs(lit[0]) / 2)


@pytest.mark.slow
def test_ar1_pairs() -> None:
    views = draw("ar1-pairs").views
    for name in ("spotlight_pos", "spotlight_color", "background_color"):
        assert is_uniform(views["now"][name], -1, 1) and is_uniform(views["next"][name], -1, 1)
        assert correlation(scores(views["now"][name]), scores(views["next"][name])) == pytest.approx(0.9, abs=0.003)
    table = np.histogram2d(views["now"]["object_shape"], views["next"]["object_shape"], bins=(7, 7))[0]
    assert stats.chi2_contingency(table).pvalue > 1e-4  # drawn again, independently
    for name in ("object_zpos", "object_alpharot"):
        assert abs(correlation(views["now"][name], views["next"][name])) < Z
    # Each image alone is one of Causal3DIdent.
    one = draw("causal3dident").views["image"]
    for view in views.values():
        for name in ("object_xpos", "object_color", "object_betarot"):
            for shape in range(7):
                known, found = one[name][one["object_shape"] == shape], view[name][view["object_shape"] == shape]
                assert stats.ks_2samp(known, found).pvalue > 1e-5


def test_multiview_crl() -> None:
    views = draw("multiview-crl").views
    image, changed, text = (views[name] for name in ("image", "image_changed", "text"))
    assert (image["object_shape"] == changed["object_shape"]).all() and (
        image["object_shape"] == text["object_shape"]
    ).all()
    assert (image["background_color"] == changed["background_color"]).all()
    for name in ("object_xpos", "object_ypos"):
        assert (image[name] == text[name]).all()
        assert (image[name] != changed[name]).mean() == pytest.approx(2 / 3 * 128 / 255, abs=0.01)
    masks = {name.removeprefix("image_changed_changed_"): each for name, each in changed.items() if "_changed_" in name}
    assert len(masks) == 8  # positions 2 (the third is constant), rotations 3, lights 2, hue 1
    subsets = sum(each.astype(np.int64) << k for k, each in enumerate(masks.values()))
    counts = np.bincount(subsets, minlength=256)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-4  # each of the 255 others is as likely
    same = (masks["object_color"] == 0) & (image["object_xpos"] == changed["object_xpos"])
    assert (image["object_color"][same] == changed["object_color"][same]).all()
    follows = masks["object_color"] == 0  # it follows the position that its own image shows
    assert (np.floor(3 * changed["object_color"][follows]) == changed["object_xpos"][follows]).all()
    for name in ("object_alpharot", "spotlight_pos", "spotlight_color"):
        assert ((image[name] != changed[name]) == (masks[name] == 1)).all()
        again = masks[name] == 1
        assert abs(correlation(image[name][again], changed[name][again])) < 2 * Z


CLAUSES = ("xpos", "ypos", "spotlight", "object_hue", "spotlight_hue", "background_hue")
WORDS = (
    *("of color", ("on the left", "in the center", "on the right"), ("at the back", "halfway", "at the front")),
    *("a spotlight from", "under light", "on ground"),
)


def misaligned(text: str) -> Spec:
    return parse_spec(f"extends: misaligned-captions\nname: t\nviews: {{text: {text}}}\n", where="t")


@pytest.mark.slow
def test_misaligned_captions() -> None:
    drawn = sample(load_spec("misaligned-captions"), "train", N)
    image, text = drawn.views["image"], drawn.views["text"]
    x, y, p = image["object_xpos"], image["object_ypos"], image["spotlight_pos"]
    assert is_uniform(3 * image["object_color"] - (x + y) / 2, 0, 1)
    assert is_uniform(2 * image["spotlight_color"] - p, 0, 1)
    assert is_uniform(3 * image["background_color"] - p - image["spotlight_color"], 0, 1)
    for noise in (3 * image["object_color"] - (x + y) / 2, 2 * image["spotlight_color"] - p):
        assert max(abs(correlation(noise, each)) for each in (x, y, p)) < Z
    for hue, prefix, n in (("object", "tab:", 10), ("spotlight", "", 148), ("background", "xkcd:", 949)):
        names = drawn.columns()["text"][f"{hue}_hue_name_name"]
        assert drawn.spec.factors[f"{hue}_hue_name"].n == n
        assert all(name.startswith(prefix) for name in names[:100])
    assert (text["object_shape"] == image["object_shape"]).all()


@pytest.mark.parametrize("k", range(1, 8))
def test_selections_of_misaligned_captions(k: int) -> None:
    """The first k of seven factors are named; one that no caption names need not be seen by the text."""
    order = ("xpos", "ypos", "spotlight", "object_hue", "spotlight_hue", "background_hue")
    mentions = {clause: int(number < k - 1) for number, clause in enumerate(order)}
    dropped = "{background_hue_name: null}" if k < 7 else "{}"
    spec = misaligned(f"{{mentions: {str(mentions).replace(chr(39), '')}, factors: {dropped}}}")
    drawn = sample(spec, "val", 300)
    told = dict(zip(order, ((WORDS[1]), WORDS[2], "a spotlight from", '" of', "under light", "on ground"), strict=True))
    told["object_hue"] = ('of color "tab:',)  # type: ignore[assignment]
    for caption in captions(drawn, "text"):
        for number, clause in enumerate(order):
            words = told[clause] if isinstance(told[clause], tuple) else (told[clause],)
            start = caption.split(", with a spotlight")[0] if clause in ("xpos", "ypos") else caption
            assert any(word in start for word in words) == (number < k - 1), (clause, caption)
    assert all((drawn.views["text"][f"text_clause_{clause}"] == value).all() for clause, value in mentions.items())


@pytest.mark.parametrize("k", range(7))
def test_perturbations_of_misaligned_captions(k: int) -> None:
    """The last k of six factors are drawn again for the text; all are named."""
    own = {
        **dict.fromkeys(("background_color", "spotlight_color", "object_color"), "mechanism: {name: uniform}, "),
        **dict.fromkeys(("spotlight_pos", "object_ypos", "object_xpos"), ""),
    }
    again = list(own)[:k]
    uses = ", ".join(f"{name}: {{role: private, {own[name]}unshared: true}}" for name in again)
    views = sample(misaligned(f"{{factors: {{{uses}}}}}"), "train", 20_000).views
    for name in ("object_shape", "object_xpos", "object_ypos", "spotlight_pos"):
        if name in again:
            table = np.histogram2d(views["image"][name], views["text"][name], bins=3)[0]
            assert stats.chi2_contingency(table).pvalue > 1e-4
        else:
            assert (views["image"][name] == views["text"][name]).all()
    truth = sample(load_spec("misaligned-captions"), "train", 20_000).views["text"]
    for hue in ("object", "spotlight", "background"):
        same = (truth[f"{hue}_hue_name"] == views["text"][f"{hue}_hue_name"]).mean()
        assert same < 0.2 if f"{hue}_color" in again else same == 1.0
