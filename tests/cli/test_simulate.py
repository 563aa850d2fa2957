"""`m3di simulate` from the command line."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from m3di.cli.main import cli
from m3di.cli.simulate import _file_name, _told
from m3di.errors import UsageError

pytest.importorskip("torch")
SIZES = ["--n-content", "1", "--n-style", "1", "--n-modality", "1"]
TINY = [*SIZES, "--steps", "4", "--batch-size", "8", "--n-eval", "20", "--device", "cpu"]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("m3di.simulate.mixing.draw_mixing.__kwdefaults__", {"n_draws": 1000, "n_layers": 3})


def simulate(*arguments):
    result = CliRunner().invoke(cli, ["simulate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_simulation_of_your_own(tmp_path):
    flags = ["--causal", "--statistical", "--style-change-prob", "0.75", "--seeds", "2", "--negatives", "fresh"]
    output = simulate("--out", str(tmp_path), *TINY, *flags)
    assert "step 4/4" in output
    runs = sorted(path.parent for path in tmp_path.glob("*/results.json"))
    assert [run.name[-5:] for run in runs] == ["seed0", "seed1"]
    config = json.loads((runs[1] / "config.json").read_text())["config"]
    assert (config["causal"], config["negatives"], config["seed"]) == (True, "fresh", 1)
    (table,) = tmp_path.glob("*.md")
    assert table.read_text().count("\n|") == 3
    again = simulate("--out", str(tmp_path), *TINY, *flags)
    assert again.count("(finished before)") == 2 and "step 4/4" not in again


def test_a_table_of_your_own_settings_replaces_no_other(tmp_path):
    own = ["--out", str(tmp_path), *TINY]
    simulate(*own)
    simulate(*own, "--lr", "0.5")
    simulate(*own, "--seeds", "2")
    simulate(*own, "--log-every", "2")  # how it runs, not what its numbers are
    sizes = "n_content=1-n_style=1-n_modality=1-n_steps=4-batch_size=8"
    names = [f"{sizes}-n_eval=20", f"{sizes}-lr=0.5-n_eval=20", f"{sizes}-n_eval=20-seeds=2"]
    assert {path.name for path in tmp_path.glob("*.md")} == {f"simulation-{name}.md" for name in names}
    title = (tmp_path / f"simulation-{names[2]}.md").read_text().splitlines()[0]
    assert title == "# simulation, n_content=1, n_style=1, n_modality=1, n_steps=4, batch_size=8, n_eval=20, seeds=2"


def test_what_a_table_is_of():
    assert _told("table1", None, None, {"device": "cpu", "cuda_graph": False}) == {"scale paper": "paper"}
    several = _told("table1", "0.1", 1, {"precision": "bf16", "widths": (3, 4), "log_every": 5})  # in any order
    assert "-".join(several.values()) == "0.1-widths=3-4-precision=bf16-seeds=1"
    assert next(iter(several)) == "scale 0.1"
    assert _told(None, None, None, {}) == {}


def test_a_long_name_of_a_table_ends_with_its_hash():
    long = [_file_name(["simulation", *["n_content=1"] * 20, last]) for last in ("seeds=1", "seeds=2")]
    assert long[0] != long[1] and long[0][:150] == long[1][:150] and {len(name) for name in long} == {159}
    assert _file_name(["table1", "cpu"]) == "table1-cpu"


@pytest.mark.parametrize("scale", ["smoke", "paper", "nonsense"])
def test_a_scale_without_a_recipe_is_refused(tmp_path, scale, monkeypatch):
    asked = ["simulate", "--out", str(tmp_path), *TINY]
    message = r"a scale is that of a recipe, and none was named\n  where:    {}\n  got:      {}"
    with pytest.raises(UsageError) as refused:
        CliRunner().invoke(cli, [*asked, "--scale", scale], catch_exceptions=False)
    assert re.match(message.format("--scale", scale), str(refused.value))
    monkeypatch.setenv("M3DI_SIMULATE_SCALE", scale)
    with pytest.raises(UsageError) as refused:
        CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert re.match(message.format("environment variable M3DI_SIMULATE_SCALE", scale), str(refused.value))
    assert not list(tmp_path.iterdir())


def test_discrete_latents(tmp_path):
    output = simulate("--out", str(tmp_path), *TINY, "--discrete", "content", "--discrete", "style", "--n-classes", "3")
    assert "accuracy, chance" in output


def test_a_note_on_one_mixing_with_private_latents(tmp_path):
    output = simulate("--out", str(tmp_path), *TINY, "--shared-mixing", "--shared-encoder")
    assert "note: one mixing for both modalities, with modality-specific latents" in output


@pytest.mark.slow
def test_recipes_share_their_members(tmp_path):
    output = simulate("--out", str(tmp_path), "--recipe", "table1", "--scale", "smoke", "--device", "cpu")
    assert "(paper 0.87," in output
    assert (tmp_path / "table1-smoke.png").exists() and (tmp_path / "table1-smoke.pdf").exists()
    output = simulate("--out", str(tmp_path), "--recipe", "figure8", "--scale", "smoke", "--device", "cpu")
    assert output.count("(finished before)") == 5
    assert "| content | content' | style | modality |" in output
    table = (tmp_path / "table1-smoke.md").read_bytes()
    simulate("--out", str(tmp_path), "--recipe", "table1", "--scale", "smoke", "--device", "cpu", "--n-content", "2")
    assert (tmp_path / "table1-smoke-n_content=2.md").read_text().startswith("# table1, scale smoke, n_content=2\n")
    assert (tmp_path / "table1-smoke.md").read_bytes() == table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--encoding-size", "0"], "encoding_size is too small"),
        (["--style-change-prob", "1.2"], "a probability lies between 0 and 1"),
        (["--discrete", "content", "--n-classes", "1"], "n_classes is too small"),
        (["--seed", "3", "--eval-seed", "3"], "judged by the samples that they were trained on"),
        (["--widths", "10,0"], "widths is too small"),
        (["--seeds", "0"], "at least one run is needed"),
        (["--scale", "smoke"], "a scale is that of a recipe"),
        (["--recipe", "tabel1"], "did you mean 'table1'"),
        (
            ["--recipe", "table1", "--style-change-prob", "0.5"],
            "the recipe table1 says itself what style_change_prob is",
        ),
        (["--recipe", "table1", "--scale", "2"], "a fraction of the paper's steps"),
    ],
)
def test_bad_options(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(cli, ["simulate", "--out", str(tmp_path), *arguments], catch_exceptions=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("widths", ["10,x", "1,,2", "1,", ","])
def test_widths_are_whole_numbers(tmp_path, widths):
    result = CliRunner().invoke(cli, ["simulate", "--out", str(tmp_path), "--widths", widths])
    assert result.exit_code == 2
    assert f"expected whole numbers such as 10,20,20,10, got {widths!r}" in result.output
