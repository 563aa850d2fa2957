"""Frames: parents of earlier frames, first frames, burn-in, redrawn factors; frames as views and as samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from m3di.errors import UsageError
from m3di.latents import counterfactual, do, parse_spec, plain_spec, sample, spec_from_dict
from m3di.latents.spec import Spec

TURN = 2 * np.pi


def own(sequence: str = "{length: 6, frames: samples}", **mechanisms: str) -> Spec:
    """Four factors, of which none moves by itself; `x="..."` sets the rest of a factor."""
    kinds = {
        "x": "type: continuous, kind: position, range: [-1, 1]",
        "y": "type: continuous, kind: position, range: [-1, 1]",
        "shape": "type: categorical, kind: label, values: [a, b, c]",
        "seed": "type: integer, kind: scalar, range: [0, 999999]",
    }
    factors = "".join(
        f"  {name}: {{{kind}{', ' + mechanisms[name] if name in mechanisms else ''}}}\n" for name, kind in kinds.items()
    )
    uses = ", ".join(f"{name}: {{role: private, recorded: true}}" for name in kinds)
    text = f"name: own\nfactors:\n{factors}views: {{image: {{modality: image, shape: teapot, factors: {{{uses}}}}}}}\n"
    text += f"splits: {{train: 10}}\n{f'sequence: {sequence}' if sequence else ''}\n"
    return parse_spec(text, where="own.yaml")


def frames(spec: Spec, n: int, **options: Any) -> dict[str, np.ndarray]:
    """Values of each factor, [sequences, frames]."""
    length = spec.sequence.length if spec.sequence is not None else 1
    drawn = sample(spec, "train", n * length, **options).views["image"]
    return {name: values.reshape(n, length) for name, values in drawn.items()}


STAY = "mechanism: {name: copy, parents: [shape@-1], strength: 0.5}"
WALK = "mechanism: {name: normal, mean: x@-1, std: 0.1}"


def test_a_frame_follows_from_the_one_before_by_noise_of_its_own() -> None:
    drawn = frames(own(x=WALK), 3000)
    before, after = drawn["x"][:, :-1], drawn["x"][:, 1:]
    quantiles = stats.truncnorm.cdf(after, (-1 - before) / 0.1, (1 - before) / 0.1, before, 0.1)
    assert stats.kstest(quantiles.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(quantiles.T) - np.eye(5)).max() < 4.5 / np.sqrt(3000)
    assert stats.kstest(drawn["x"][:, 0], stats.uniform(-1, 2).cdf).pvalue > 1e-3  # uniform, where nothing else is said
    for name in ("y", "shape", "seed"):  # what does not move stays
        assert (drawn[name] == drawn[name][:, :1]).all()


def test_frames_as_samples_are_those_as_views_and_depend_on_their_index_only() -> None:
    mechanisms = {"x": WALK, "y": "mechanism: {name: function, value: x / 2}"}
    chain, views = own(**mechanisms), own("{length: 6}", **mechanisms)
    drawn = frames(chain, 20, seed=4)
    as_views = sample(views, "train", 20, seed=4).views
    assert list(as_views) == [f"image_t{number}" for number in range(6)]
    for number in range(6):
        for name, values in as_views[f"image_t{number}"].items():
            np.testing.assert_array_equal(values, drawn[name][:, number])
    for start, n in ((0, 1), (5, 2), (17, 40), (119, 1), (6, 6), (3, 0)):
        part = sample(chain, "train", n, seed=4, start=start).views["image"]
        assert all((part[name] == drawn[name].reshape(-1)[start : start + n]).all() for name in part)


def test_same_and_earlier_parents_mix() -> None:
    drawn = frames(
        own(x=WALK, y="mechanism: {name: function, value: (x + x@-1 + y@-2) / 3}, first: {name: function, value: x}"),
        50,
    )
    x, y = drawn["x"], drawn["y"]
    np.testing.assert_array_equal(y[:, :2], x[:, :2])
    np.testing.assert_allclose(y[:, 2:], (x[:, 2:] + x[:, 1:-1] + y[:, :-2]) / 3)


def test_a_label_stays_or_is_redrawn_and_decides_what_others_do() -> None:
    spec = own(
        shape="first: {name: categorical, weights: [1, 1, 0]}, "
        "mechanism: {name: copy, parents: [shape@-1], strength: 0.7}",
        x="mechanism: {name: normal, mean: {shape@-1: {a: 0.5, b: {shape: {b: -0.5, else: 0}}, c: 0}}, std: 0.01}",
    )
    drawn = frames(spec, 2000)
    shape, x = drawn["shape"], drawn["x"]
    assert set(shape[:, 0]) == {0, 1}
    changed = (shape[:, 1:] != shape[:, :-1]).mean()
    assert changed == pytest.approx(0.3 * 2 / 3, abs=4 * np.sqrt(0.2 * 0.8 / 10_000))
    goal = np.where(shape[:, :-1] == 0, 0.5, np.where((shape[:, :-1] == 1) & (shape[:, 1:] == 1), -0.5, 0.0))
    assert np.abs(x[:, 1:] - goal).max() < 0.06


def test_redrawn_factors_have_noise_of_their_own_in_every_frame() -> None:
    drawn = frames(own("{length: 6, frames: samples, redrawn: [seed, shape]}", x="mechanism: {name: uniform}"), 500)
    assert len(np.unique(drawn["seed"])) > 2900
    assert stats.chisquare(np.bincount(drawn["shape"].ravel())).pvalue > 1e-3
    assert (drawn["x"] == drawn["x"][:, :1]).all()


@pytest.mark.slow
def test_a_burnt_in_chain_is_the_later_part_of_a_longer_one() -> None:
    mechanisms = {"x": WALK, "y": "mechanism: {name: normal, mean: (x@-2 + y@-1) / 2, std: 0.2}"}
    whole = frames(own("{length: 30, frames: samples}", **mechanisms), 10)
    late = frames(own("{length: 6, frames: samples, burn_in: 24}", **mechanisms), 10)
    for name in whole:
        np.testing.assert_array_equal(late[name], whole[name][:, 24:])
    as_views = sample(own("{length: 6, burn_in: 24}", **mechanisms), "train", 10).views
    np.testing.assert_array_equal(as_views["image_t5"]["x"], whole["x"][:, 29])
    long = sample(own("{length: 2, frames: samples, burn_in: 3000}", x=WALK), "train", 4)  # no recursion
    assert np.isfinite(long.views["image"]["x"]).all()


def test_an_intervention_keeps_the_noise_of_every_frame() -> None:
    spec = own(
        x=WALK,
        y="mechanism: {name: normal, mean: x@-1, std: 0.1}",
        shape=STAY,
    )
    factual = sample(spec, "train", 60)
    moved = counterfactual(factual, x=0.25)
    assert (moved.views["image"]["x"] == 0.25).all()
    assert (moved.views["image"]["shape"] == factual.views["image"]["shape"]).all()
    before = np.concatenate([[np.nan], factual.views["image"]["x"][:-1]]).reshape(10, 6)[:, 1:]

    def noise(y: np.ndarray, mean: Any) -> np.ndarray:
        return stats.truncnorm.cdf(y.reshape(10, 6)[:, 1:], (-1 - mean) / 0.1, (1 - mean) / 0.1, mean, 0.1)

    np.testing.assert_allclose(
        noise(factual.views["image"]["y"], before), noise(moved.views["image"]["y"], 0.25), atol=1e-9
    )
    soft = do(spec, x={"mean": "-x@-1"})
    assert soft.factors["x"].mechanism.parents == ("x@-1",)
    again = spec_from_dict(plain_spec(soft), where="again", stored=True)
    assert (sample(again, "train", 60).views["image"]["y"] == sample(soft, "train", 60).views["image"]["y"]).all()


def test_a_condition_holds_in_every_frame_of_a_chain() -> None:
    spec = own("{length: 4, frames: samples, burn_in: 3}\ngiven: x > -0.5", x=WALK)
    drawn = frames(spec, 40)
    assert (drawn["x"] > -0.5).all()
    free = frames(own("{length: 4, frames: samples, burn_in: 3}", x=WALK), 40)
    fits = (free["x"] > -0.5).all(axis=1)
    assert 10 < fits.sum() < 40 and (drawn["y"][fits] == free["y"][fits]).all()


WRONG = {
    ("", WALK): r"x has a parent in an earlier frame, and the spec has no frames(?s:.)*add `sequence`",
    ("{length: 6}", "first: {name: normal, mean: 0, std: 1}"): r"`first` would have no effect",
    ("{length: 6}", WALK + ", first: {name: normal, mean: x@-1, std: 1}"): r"the first frame has no earlier one",
    ("{length: 6}", WALK + ", first: {name: normal, mean: 0, std: -1}"): r"factors\.x\.first\.std: -1 is out of range",
    ("{length: 6}", "mechanism: {name: normal, mean: x, std: 1}"): r"a cycle",
    ("{length: 6}", "mechanism: {name: normal, mean: z@-1, std: 1}"): r"no factor is called 'z@-1'",
    ("{length: 6}", "mechanism: {name: copy, parents: ['x@1']}"): r"no factor is called 'x@1'",
    ("{length: 6}", "mechanism: {name: copy, parents: ['x@-0']}"): r"no factor is called 'x@-0'",
    ("{length: 6, redrawn: [z]}", ""): r"no factor is called 'z'",
    ("{length: 5000}", ""): r"at most 1000 frames as views(?s:.)*frames: samples",
    ("{length: 6, frames: sample}", ""): r"did you mean 'samples'",
    ("{length: 6, burnin: 3}", ""): r"unknown key; did you mean 'burn_in'",
    ("{length: 6}\npairs: {permuted_content: true}", ""): r"not together with `sequence`",
}


@pytest.mark.parametrize(("sequence", "x"), WRONG, ids=lambda text: text[:40])
def test_mistakes(sequence: str, x: str) -> None:
    with pytest.raises(UsageError, match=WRONG[sequence, x]):
        own(sequence, **({"x": x} if x else {}))


def test_a_factor_without_range_needs_a_first_frame() -> None:
    text = "name: own\nfactors:\n"
    text += "  x: {type: continuous, kind: scalar, mechanism: {name: normal, mean: x@-1, std: 1}FIRST}\n"
    text += "views: {image: {modality: image, shape: teapot, factors: {x: {role: private, recorded: true}}}}\n"
    text += "splits: {train: 1}\nsequence: {length: 9}"
    with pytest.raises(UsageError, match=r"x has no range, from which its first frame could be drawn"):
        parse_spec(text.replace("FIRST", ""), where="own")
    walk = parse_spec(text.replace("FIRST", ", first: {name: normal, mean: 0, std: 1}"), where="own")
    last = sample(walk, "train", 20_000).views["image_t8"]["x"]
    assert last.std() == pytest.approx(3.0, rel=0.03)
