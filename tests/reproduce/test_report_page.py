"""All results from members written by hand: pictures, verdicts, and both reports."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from m3di.errors import M3diError
from m3di.evaluate import read_results
from m3di.evaluate.results import SCHEMA, write_results
from m3di.evaluate.runs import RESULTS as EVALUATION
from m3di.evaluate.runs import VERSION
from m3di.reproduce.ledger import Reproduction, record_path
from m3di.reproduce.members import Training
from m3di.reproduce.outcome import ResultOutcome, above_chance
from m3di.reproduce.paper_results import RESULTS, choose_results
from m3di.reproduce.report_page import about, write_report
from m3di.reproduce.scales import SCALES
from m3di.reproduce.simulated import SimulatedResult
from m3di.reproduce.trained import LEAST_BOUND, TrainedResult
from m3di.system.files import write_json
from tests.reproduce import stubs
from tests.reproduce.stubs import finish, finish_all, ideal


def outcome_of(name: str, reproduction: Reproduction) -> ResultOutcome:
    return RESULTS[name].outcome(reproduction.scale, reproduction.out)


@pytest.mark.parametrize("name", RESULTS)
def test_every_pattern_holds_where_scores_are_as_the_paper_claims(name: str, tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["cpu"])
    for member in RESULTS[name].members(reproduction.scale):
        finish(reproduction.out, member)
    found = outcome_of(name, reproduction)
    judged = {verdict.word for verdict in found.verdicts if "within 0.03" not in verdict.rule}
    assert judged <= {"holds", "not judged"} and "holds" in judged, found.verdicts
    unjudged = [each.why for each in found.verdicts if each.word == "not judged"]
    assert set(unjudged) <= {"there is no such score", "only at the paper's own settings"}
    assert found.lines


@pytest.mark.parametrize("name", RESULTS)
def test_the_verdict_of_a_result_is_that_of_the_rules_that_were_judged(name: str, tmp_path: Path) -> None:
    """At scale `cpu` no numbers are compared, and some figures have no style of some kind."""
    reproduction = Reproduction(tmp_path / "out", SCALES["cpu"])
    for member in RESULTS[name].members(reproduction.scale):
        finish(reproduction.out, member)
    found = outcome_of(name, reproduction)
    assert found.word == "holds"
    assert 0 < found.n_judged <= len(found.verdicts)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["cpu", "full"])
@pytest.mark.parametrize("name", ["table1a", "table4a", "figure5", "figure7a", "figure8", "figure3", "figure10"])
def test_no_rule_holds_where_scores_are_no_numbers(
    name: str, scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stubs, "write_json", _write_nan_too)
    reproduction = Reproduction(tmp_path / "out", SCALES[scale])
    nan = float("nan")
    for member in RESULTS[name].members(reproduction.scale):
        finish(reproduction.out, member, lambda config, data, block: nan, trained=nan)
    found = outcome_of(name, reproduction)
    assert found.word == "does not hold"
    by_content = [each for each in found.verdicts if "ontent" in each.rule and "loss" not in each.rule]
    if name.startswith(("table", "figure5", "figure7a", "figure8")):
        assert {each.word for each in by_content} <= {"does not hold", "not judged"}, found.verdicts
        assert all("nan" in each.why for each in by_content if each.word == "does not hold")
    assert all(line.spread is None or line.spread >= 0 or math.isnan(line.mean) for line in found.lines)


def _write_nan_too(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_a_score_that_one_seed_does_not_have_is_left_out_of_its_line(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["full"])
    runs = [member for member in RESULTS["figure3"].members(reproduction.scale) if isinstance(member, Training)]
    for member in RESULTS["figure3"].members(reproduction.scale):
        finish(reproduction.out, member)
    path = reproduction.out / runs[-1].key / EVALUATION
    rows = read_results(path).to_pylist()
    lost = [row for row in rows if row["factor"] == "image.object_color" or row["metric"] == "val_loss"]
    for row in lost:
        row["value"] = None
    write_results(path, pa.Table.from_pylist(rows, schema=SCHEMA))
    found = outcome_of("figure3", reproduction).lines
    assert [len(each.values) for each in found if each.quantity == "object color (style)"] == [2]
    assert [len(each.values) for each in outcome_of("figure7b", reproduction).lines][-1] == 2


def test_a_report_says_by_which_metrics_it_was_scored(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"])
    assert about(reproduction)["scores"] == "no trained encoder is scored"
    runs = [member for member in reproduction.members.values() if isinstance(member, Training)]
    for version, told in ((VERSION - 1, "delete evaluation.parquet in runs/*/* and run again"), (VERSION, "")):
        for run in runs:
            write_results(reproduction.out / run.key / EVALUATION, SCHEMA.empty_table(), {"version": version})
        found = about(reproduction)["scores"]
        assert found.startswith(f"version {version} of the metrics") and told in found
    write_results(reproduction.out / runs[0].key / EVALUATION, SCHEMA.empty_table())  # of before it was noted
    assert about(reproduction)["scores"].startswith(f"version 0, {VERSION} of the metrics; today's is {VERSION}")


@pytest.mark.parametrize(
    ("result", "lost", "rule"),
    [
        ("figure3", "image.object_shape", "hold all content"),
        ("figure3", "image.object_color", "depends on content"),
        ("figure3", "image.object_alpharot", "discarded at every size"),
        ("figure11", "image.object_color", "independent of content"),
        ("figure7b", "all", "elbow"),
    ],
)
@pytest.mark.parametrize(("scale", "n_lost"), [("cpu", 1), ("full", 1), ("full", 3)])
def test_a_score_that_seeds_do_not_have_speaks_against_its_rule(
    result: str, lost: str, rule: str, scale: str, n_lost: int, tmp_path: Path
) -> None:
    """A score that is no number is null in results; those of the other seeds do not stand for it."""
    reproduction = Reproduction(tmp_path / "out", SCALES[scale])
    members = RESULTS[result].members(reproduction.scale)
    runs = [member for member in members if isinstance(member, Training)]
    for member in members:
        finish(reproduction.out, member)
    for run in runs[-n_lost:]:  # of the largest encodings
        path = reproduction.out / run.key / EVALUATION
        rows = read_results(path).to_pylist()
        for row in rows:
            row["value"] = None if row["factor"] == lost else row["value"]
        write_results(path, pa.Table.from_pylist(rows, schema=SCHEMA))
    verdicts = outcome_of(result, reproduction).verdicts
    (own,) = [each for each in verdicts if rule in each.rule]
    assert own.word == "does not hold"
    assert "nan" in own.why or "a loss is missing" in own.why
    assert all(each.word != "does not hold" for each in verdicts if each is not own and "within" not in each.rule)


def test_rules_of_style_state_where_they_part() -> None:
    rules = {pattern.rule.partition(" (")[0]: pattern.rule for pattern in RESULTS["figure3"].patterns}
    assert f"(which tells at least {LEAST_BOUND} of" in rules["Style that depends on content"]
    assert f"(which tells less than {LEAST_BOUND} of" in rules["Style that is independent of content"]


def test_an_elbow_at_the_smallest_size_is_none_of_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m3di.reproduce.simulated.find_elbow", lambda sizes, losses: min(sizes))
    reproduction = Reproduction(tmp_path / "out", SCALES["cpu"])
    for member in RESULTS["figure7a"].members(reproduction.scale):
        finish(reproduction.out, member)
    (own,) = [each for each in outcome_of("figure7a", reproduction).verdicts if "elbow" in each.rule]
    assert own.word == "does not hold"
    assert "give or take one, and not at the smallest size." in own.rule


def test_chance_may_be_the_best_score() -> None:
    assert (above_chance(1.0, 1.0), above_chance(0.5, None), above_chance(0.6, 0.2)) == (0.0, 0.5, pytest.approx(0.5))


def test_style_that_was_never_predicted_cannot_be_lost(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["cpu"])
    for member in RESULTS["figure8"].members(reproduction.scale):
        finish(reproduction.out, member, lambda config, data, block: -0.04 if data == "observed" else -0.03)
    (rule,) = [each for each in outcome_of("figure8", reproduction).verdicts if "loses at least half" in each.rule]
    assert (rule.word, rule.why) == ("does not hold", "pi 0.75, causal dependence: style -0.03")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (SimulatedResult, TrainedResult):
        monkeypatch.setattr(kind, "draw", lambda result, scale, out, folder: [])


@pytest.mark.usefixtures("no_pictures")
def test_a_damaged_member_is_named_and_the_report_has_all_others(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"])
    for name in ("table1b", "figure7b"):
        for member in RESULTS[name].members(reproduction.scale):
            finish(reproduction.out, member)
    cut = reproduction.out / RESULTS["table1b"].members(reproduction.scale)[1].key / "results.json"
    cut.write_text(cut.read_text()[:100])
    with pytest.raises(
        M3diError, match=r"cannot be used: results.json is not JSON(?s:.)*or delete \S*/results.json: what it held"
    ):
        write_report(reproduction)
    text = (reproduction.out / "report" / "report.md").read_text()
    assert "| Table 1b: simulation, two views of one modality | damaged |" in text
    assert "**damaged**: the results of simulations/" in text
    assert "| Figure 7b: image/text pairs, validation loss against the encoding size | not judged |" in text
    assert (
        "<span class='damaged'>damaged</span>: the results of simulations/"
        in (reproduction.out / "report" / "report.html").read_text()
    )


@pytest.mark.usefixtures("no_pictures")
def test_a_report_of_the_same_members_has_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"])
    for member in RESULTS["figure7b"].members(reproduction.scale):
        finish(reproduction.out, member)
    first = [path.read_bytes() for path in write_report(reproduction)]
    monkeypatch.setattr("time.time", lambda: 4e9)
    record = {"seconds": 9.0, "finished": False, "at": "2031-05-04 10:00 UTC"}
    assert [path.read_bytes() for path in write_report(reproduction)] == first
    write_json(record_path(reproduction.out, "data/m3di"), record)
    markdown, _ = write_report(reproduction)
    assert "| last member finished | 2031-05-04 10:00 UTC |" in markdown.read_text()


@pytest.mark.parametrize("name", [name for name in RESULTS if name != "figure7b"])
def test_no_pattern_of_content_holds_where_nothing_was_learned(name: str, tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["cpu"])
    for member in RESULTS[name].members(reproduction.scale):
        finish(reproduction.out, member, lambda config, data, block: 0.0, trained=0.0)
    found = outcome_of(name, reproduction)
    assert found.word == "does not hold"
    missed = next(each for each in found.verdicts if each.word == "does not hold")
    assert "0.00" in missed.why


def test_the_largest_encodings_are_judged_by_what_content_tells(tmp_path: Path) -> None:
    """The hue of m3di may be as good as its bound; that of m3di-independent has to be at chance."""
    reproduction = Reproduction(tmp_path / "out", SCALES["cpu"])
    for name in ("figure3", "figure10"):
        for member in RESULTS[name].members(reproduction.scale):
            finish(reproduction.out, member)
    rules = {verdict.rule: verdict for verdict in outcome_of("figure10", reproduction).verdicts}
    word = {rule.partition(":")[0]: each.word for rule, each in rules.items() if "depends on content" in rule}
    assert word == {"image-pairs": "not judged", "image-pairs-causal": "holds"}
    (line,) = [each for each in outcome_of("figure3", reproduction).lines if each.quantity == "object color (style)"]
    assert (line.mean, line.bound, line.setting) == (0.89, 0.89, "encoding size 8, image")


def test_full_compares_numbers_with_the_paper_and_has_a_spread(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["full"])
    for member in RESULTS["table1a"].members(reproduction.scale):
        finish(reproduction.out, member, lambda config, data, block: ideal(config, data, block) + 0.01 * config.seed)
    found = outcome_of("table1a", reproduction)
    content = found.lines[0]
    assert (content.quantity, content.paper, len(content.values)) == ("content", 0.99, 3)
    assert content.mean == pytest.approx(0.98) and content.spread == pytest.approx(0.01)
    assert content.difference == pytest.approx(-0.01)
    numbers = next(each for each in found.verdicts if "within 0.03" in each.rule)
    assert numbers.word == "does not hold"
    assert "pi 0.75, causal dependence, style: -0.26" in numbers.why  # 0.61 on average, the paper has 0.87
    assert "pi 1, no dependence, content" not in numbers.why


@pytest.mark.slow
def test_a_report_has_every_result_and_says_what_was_not_run(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["cpu"])
    finish_all(reproduction)
    lost = RESULTS["figure11"].members(reproduction.scale)[1]
    (reproduction.out / lost.key / "evaluation.parquet").unlink()
    machine = {"system": "Linux x86_64", "cores": 2, "gpus": [], "python": "3.11", "torch": "2.13", "m3di": "0"}
    record = {"seconds": 90.0, "finished": True, "machine": machine}
    write_json(record_path(reproduction.out, "data/m3di"), record)
    markdown, page = write_report(reproduction)
    text, html = markdown.read_text(), page.read_text()
    for result in RESULTS.values():
        assert f"## {result.title}\n\n{result.stated}" in text and f"id='{result.name}'" in html
    assert f"**not run**: 1 of its members is not finished, such as {lost.key}." in text
    assert "<span class='not-run'>not run</span>: 1 of its members" in html
    assert "| time of all members | 1 min 30 s, each by itself |" in text
    assert "Linux x86_64, 2 cores, no GPU, python 3.11, torch 2.13, m3di 0" in text
    assert "| pi 0.75, causal dependence | style | 0.60 | 0.00 | 0.87 | -0.27 |" in text
    assert "Its members took 1 min 30 s" in text
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (markdown.parent / name).stat().st_size > 5000
    assert html.count("src='data:image/png;base64,") == text.count("![")
    assert "http" not in html and "<script" not in html


def test_smoke_judges_nothing(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"])
    for member in RESULTS["table1a"].members(reproduction.scale):
        finish(reproduction.out, member)
    found = outcome_of("table1a", reproduction)
    assert found.word == "not judged"
    assert {each.why for each in found.verdicts} == {
        "so few steps show no pattern",
        "only at the paper's own settings",
    }


def test_results_by_name_come_in_the_order_of_the_paper() -> None:
    names = [result.name for result in choose_results(["figure7", "table1", "figure3"])]
    assert names == ["table1a", "table1b", "figure3", "figure7a", "figure7b"]
    assert [result.name for result in choose_results()] == list(RESULTS)
