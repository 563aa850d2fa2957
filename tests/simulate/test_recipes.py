"""Recipes: what they vary, how they shrink."""

from __future__ import annotations

import pytest

from m3di.errors import UsageError
from m3di.simulate import RECIPES, SCALES, SimulationConfig, folder_name, members, parse_scale


def test_the_paper_scale_is_the_papers():
    table = members("table1", SCALES["paper"])
    assert len(table) == 10 * 3
    assert table[0].config == SimulationConfig()
    assert [member.config.seed for member in table[:3]] == [0, 1, 2]
    original = [member.config for member in table if member.label["setting"] == "multiview"]
    assert all(config.shared_mixing and config.n_modality == 0 for config in original)
    assert not any(note for config in original for note in config.notes())
    asked = {(c.style_change_prob, c.statistical, c.causal) for c in original}
    assert asked == {
        (1.0, False, False),
        (0.75, False, False),
        (0.75, True, False),
        (0.75, False, True),
        (0.75, True, True),
    }


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("scale", SCALES)
def test_every_recipe_has_valid_members_with_a_folder_each(recipe, scale):
    asked = members(recipe, SCALES[scale])
    names = {(folder_name(member.config)): member.config for member in asked}
    distinct = {member.config for member in asked}
    assert set(names.values()) == distinct
    assert len(names) == len(distinct)


def test_figure8_asks_for_the_runs_of_table1():
    table = {folder_name(member.config) for member in members("table1", SCALES["cpu"])}
    assert {folder_name(member.config) for member in members("figure8", SCALES["cpu"])} <= table


def test_changes_win():
    member = members("figure5", SCALES["cpu"], first_seed=7, n_steps=3)[0]
    assert (member.config.n_steps, member.config.n_classes, member.config.seed) == (3, member.label["n_classes"], 7)


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("table1", {"style_change_prob": 0.5}),
        ("table1", {"statistical": True}),
        ("table4", {"n_modality": 3}),
        ("table4", {"shared_mixing": True}),  # its rows "distinct mixings" would have one
        ("figure5", {"n_classes": 4}),
        ("figure7a", {"encoding_size": 3}),
    ],
)
def test_what_a_recipe_is_about_cannot_be_changed(recipe, changes):
    with pytest.raises(UsageError, match=f"the recipe {recipe} says itself what {next(iter(changes))} is"):
        members(recipe, SCALES["cpu"], **changes)


def test_a_change_leaves_the_rows_alone_that_are_about_it():
    found = {
        (each.label["varied"], each.label["size"]): each.config
        for each in members("figure6", SCALES["cpu"], n_content=3)
    }
    assert [found["content", size].n_content for size in (2, 4, 6)] == [2, 4, 6]
    assert {found["style", size].n_content for size in (2, 4, 6)} == {3}
    assert {each.config.n_modality for each in members("table1", SCALES["cpu"], n_modality=3)} == {0, 3}


@pytest.mark.parametrize(("changes", "n_content"), [({}, 2), ({"n_content": 4}, 4), ({"n_content": 1}, 1)])
def test_encodings_go_to_twice_the_content_that_there_is(changes, n_content):
    found = [each.config for each in members("figure7a", SCALES["cpu"], **changes)]
    assert {config.n_content for config in found} == {n_content}
    assert [config.encoding_size for config in found] == list(range(1, 2 * n_content + 1))


@pytest.mark.parametrize("recipe", RECIPES)
def test_content_out_of_range(recipe):
    with pytest.raises(UsageError, match="n_content is too small"):
        members(recipe, SCALES["cpu"], n_content=0)


def test_on_the_small_scale_rows_with_statistical_dependence_have_the_papers_dimensions():
    rows = [member.config for member in members("table1", SCALES["cpu"])]
    assert [row.n_content for row in rows] == [2, 2, 5, 2, 5] * 2
    assert {(row.n_steps, row.widths, row.schedule) for row in rows if row.statistical} == {
        (12_000, (10, 20, 20, 20, 10), "cosine")
    }
    assert {(row.n_steps, row.widths, row.schedule) for row in rows if not row.statistical} == {
        (6000, SimulationConfig().widths, "constant")
    }
    assert [row.n_style for row in rows[5:]] == [2, 2, 5, 2, 5]
    assert members("table1", SCALES["cpu"], widths=(3,), n_style=4)[2].config.widths == (3,)


def test_fractions():
    half = parse_scale("0.5")
    assert (half.n_steps, half.batch_size, half.n_seeds, half.lr) == (150_000, 3072, 2, 1e-4)
    small = parse_scale("0.001")
    assert (small.n_steps, small.batch_size, small.n_seeds) == (300, 256, 1)
    assert parse_scale("cpu") is SCALES["cpu"]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "nan"])
def test_fractions_out_of_range(text):
    with pytest.raises(UsageError, match="a fraction of the paper's steps"):
        parse_scale(text)


def test_unknown_words():
    with pytest.raises(UsageError, match="did you mean 'paper'"):
        parse_scale("papr")
    with pytest.raises(UsageError, match="did you mean 'table1'"):
        members("tabel1", SCALES["cpu"])


def test_folder_names():
    assert folder_name(SimulationConfig()) == "paper-seed0"
    config = SimulationConfig(causal=True, style_change_prob=0.75, seed=2, discrete=("content", "style"), n_classes=3)
    assert folder_name(config) == "p0.75-causal-discretecontent-style-k3-seed2"
    judged_otherwise = SimulationConfig(n_eval=100, eval_seed=9, log_every=1, checkpoint_every=2, device="cpu")
    assert folder_name(judged_otherwise) == "paper-seed0"
