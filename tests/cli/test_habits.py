"""What holds for every command: what is printed where, JSON, examples, sections, questions, completion."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import m3di as package
from m3di import generate
from m3di.cli import asking, completion, telling
from m3di.cli import render as cli_render
from m3di.cli.help_page import FEW, REST, SECTIONS, sections, typed
from m3di.cli.main import cli
from m3di.errors import UsageError
from tests.cli.test_evaluate import brought
from tests.cli.test_main import Done, failed
from tests.cli.test_main import m3di as run
from tests.conftest import FakeRenderPool, fake_options, write_fake_dataset

PACKAGE = Path(package.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
COMMON = (
    "n",
    "n-val",
    "n-test",
    "size",
    "seed",
    "spec",
    "do",
    "workers",
    "out",
    "import",
    "data",
    "device",
    "yes",
    "json",
)


def commands(command: click.Command = cli, context: click.Context | None = None) -> Iterator[click.Context]:
    """Every command and group, with its place."""
    context = context or click.Context(cli, info_name="m3di")
    yield context
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, click.Context(below, context, name))


ALL = list(commands())
IDS = [each.command_path for each in ALL]


def options_of(context: click.Context) -> list[click.Option]:
    return [each for each in context.command.get_params(context) if isinstance(each, click.Option)]


# Help


@pytest.mark.parametrize("context", ALL, ids=IDS)
def test_help_has_examples_that_the_command_reads(context: click.Context) -> None:
    examples = context.command.examples  # type: ignore[attr-defined]
    assert examples
    shown = context.command.get_help(context)
    for line in examples:
        assert f"\n  {line}" in shown
        words = shlex.split(line)
        assert " ".join(words).startswith(context.command_path if context.parent else "m3di ")
        read(words[1:])


def read(words: list[str]) -> None:
    """Read a command line as the command does, and run nothing."""
    command: click.Command = cli
    parent: click.Context | None = None
    while True:
        context = command.make_context(
            "m3di" if parent is None else words[0], words[parent is not None :], parent=parent
        )
        if not isinstance(command, click.Group):
            return
        words = [*context._protected_args, *context.args]
        command, parent = command.commands[words[0]], context


def test_an_example_that_cannot_be_read_is_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        read(["render", "--nn", "3"])
    with pytest.raises(UsageError, match="--n is too small"):
        read(["render", "--n", "0"])
    with pytest.raises(KeyError):
        read(["specs", "bound", "m3di"])


def test_no_example_renders_much_without_a_word() -> None:
    lines = [line for each in ALL for line in each.command.examples]  # type: ignore[attr-defined]
    rendering = [line for line in lines if line.startswith("m3di render")]
    assert len(rendering) > 3
    assert not [line for line in rendering if "--n " not in line]


@pytest.mark.parametrize("context", ALL, ids=IDS)
def test_every_option_stands_in_one_section(context: click.Context) -> None:
    options = [each for each in options_of(context) if not each.hidden]
    found = sections(options)
    assert sorted(each.name or "" for group in found.values() for each in group) == sorted(
        each.name or "" for each in options
    )
    if "Options" not in found:
        assert found.keys() <= SECTIONS.keys()
        assert {"quiet", "verbose", "help"} <= {typed(each) for each in found["Asking and telling"]}


def test_long_lists_have_sections_and_short_ones_have_none() -> None:
    by_path = {each.command_path: sections(options_of(each)) for each in ALL}
    assert list(by_path["m3di info"]) == ["Options"]
    what = [typed(each) for each in by_path["m3di render"]["What"]]
    assert what[0] == "n"
    assert {"n-val", "n-test", "spec", "do", "seed"} <= set(what)
    assert not {"size", "workers", "out", "quiet"} & set(what)
    for name in ("render", "train", "simulate", "evaluate"):
        assert len(by_path[f"m3di {name}"]) > 3
        assert REST not in by_path[f"m3di {name}"]
    assert len(sections([click.Option([f"--a{n}"]) for n in range(FEW)])) == 1
    assert list(sections([click.Option([f"--a{n}"]) for n in range(FEW + 1)])) == [REST]


def test_a_name_stands_in_one_section_only() -> None:
    names = [name for each in SECTIONS.values() for name in each]
    assert len(names) == len(set(names))
    known = {typed(option) for each in ALL for option in options_of(each)}
    assert set(names) <= known


@pytest.mark.parametrize("context", ALL, ids=IDS)
def test_every_command_can_be_quiet_and_verbose(context: click.Context) -> None:
    flags = {flag for option in options_of(context) for flag in option.opts}
    assert {"-q", "--quiet", "-v", "--verbose"} <= flags


def test_a_name_means_the_same_everywhere() -> None:
    found: dict[str, set[str]] = {}
    for context in ALL:
        for option in options_of(context):
            found.setdefault(typed(option), set()).add("flag" if option.is_flag else "value")
    assert not {name: kinds for name, kinds in found.items() if len(kinds) > 1}
    assert not {"num-samples", "n-samples", "jobs", "n-jobs", "num-workers", "n-workers", "random-seed"} & found.keys()
    assert set(COMMON) <= found.keys()


HEAVY = (
    "numpy",
    "scipy",
    "pyarrow",
    "PIL",
    "matplotlib",
    "sklearn",
    "jinja2",
    "torch",
    "bpy",
    "ray",
    "pydantic",
    "yaml",
)
HEAVY += ("psutil", "fsspec", "platformdirs", "importlib.metadata", "asyncio", "ssl", "urllib.request", "http.client")
ROOMS = (
    "latents",
    "render",
    "data",
    "generate",
    "learn",
    "evaluate",
    "simulate",
    "report",
    "browse",
    "reproduce",
    "doctor",
)


def test_the_first_help_imports_no_room_and_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; before = set(sys.modules); from m3di.cli.main import cli;"
        "done = CliRunner().invoke(cli, ['--help']); assert done.exit_code == 0, done.output;"
        "print('\\n'.join(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines())
    assert "m3di.cli.render" in loaded
    assert not {name for name in loaded if name.startswith(tuple(f"m3di.{room}" for room in ROOMS))}
    assert not loaded & set(HEAVY)


@pytest.mark.slow
def test_hints_start_nothing_big() -> None:
    """A next step that starts a render, a training or a reproduction says how little of it, or is the same command."""
    starts = re.compile(r"m3di (?:render|train|simulate|reproduce)\b(?!`? ?(?:command|wrote|--sweep` command)|`)")
    hints = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("next_step", "otherwise", "declined"):
                texts = [each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
                hints.append("".join(str(each) for each in texts))
    assert len(hints) > 100
    assert not [hint for hint in hints if starts.search(hint) and "--n " not in hint]


# Quiet and verbose


@pytest.mark.slow
def test_quiet_says_nothing_but_the_answer(fake_dataset: Path, tmp_path: Path) -> None:
    assert run("--quiet", "verify", fake_dataset) == Done(0, "", "")
    assert run("verify", fake_dataset, "-q") == Done(0, "", "")
    assert run("subset", fake_dataset, "--out", tmp_path / "a", "--n", 2, "--quiet") == Done(0, "", "")
    assert "train 20, val 4" in run("info", fake_dataset, "--quiet").stdout
    failed(run("--quiet", "info", tmp_path / "none"), 1, "there is no m3di dataset here")


def test_quiet_hides_notes(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("{extends: m3di, name: own, views: {image: {factors: {object_color: private}}}}")
    assert run("specs", "check", "own.yaml", cwd=tmp_path).stderr.startswith("note: ")
    assert run("specs", "check", "own.yaml", "-q", cwd=tmp_path).stderr == ""


def test_verbose_names_sources_time_and_where_an_error_arose(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M3DI_SUBSET_N", "2")
    plain = run("subset", fake_dataset, "--out", tmp_path / "a")
    told = run("-v", "subset", fake_dataset, "--out", tmp_path / "b")
    assert plain.stderr == ""
    assert "m3di" in told.stderr and "subset --n 2: environment variable M3DI_SUBSET_N\n" in told.stderr
    assert re.search(r"\nm3di [\d.]+\S*, Python [\d.]+\S*: [\d.]+ s\n$", told.stderr)
    assert told.stdout == plain.stdout.replace(str(tmp_path / "a"), str(tmp_path / "b"))
    bad = run("verify", tmp_path / "none", "--verbose")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "Traceback" in bad.stderr
    assert "\nError: there is no m3di dataset here\n" in bad.stderr


def test_of_quiet_and_verbose_what_is_typed_goes_before_the_environment(
    fake_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M3DI_VERIFY_QUIET", "1")
    assert run("verify", fake_dataset).stdout == ""
    assert "as they were made" in run("verify", fake_dataset, "-v").stdout
    monkeypatch.setenv("M3DI_VERIFY_QUIET", "0")
    monkeypatch.setenv("M3DI_VERIFY_VERBOSE", "1")
    assert run("verify", fake_dataset, "-q") == Done(0, "", "")
    monkeypatch.setenv("M3DI_VERIFY_QUIET", "1")
    failed(run("verify", fake_dataset), 2, "--quiet and --verbose exclude each other")


def test_of_quiet_and_verbose_the_command_says_which(fake_dataset: Path) -> None:
    failed(run("info", fake_dataset, "-q", "-v"), 2, "--quiet and --verbose exclude each other", "leave one out")
    failed(run("-q", "-v", "info", fake_dataset), 2, "--quiet and --verbose exclude each other")
    assert run("-v", "verify", fake_dataset, "-q").stdout == ""
    assert "as they were made" in run("-q", "verify", fake_dataset, "-v").stdout


# JSON


def document(*arguments: object, code: int = 0, cwd: Path | None = None) -> Any:
    """The one document on stdout."""
    done = run(*arguments, cwd=cwd)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def keys_of(value: Any, path: str = "") -> set[str]:
    """Keys as the page writes them; what a mapping without keys of its own holds is not looked at."""
    found: set[str] = set()
    for key, each in value.items():
        rows = [row for row in each if isinstance(row, dict)] if isinstance(each, list) else []
        found |= {name for row in rows for name in keys_of(row, f"{path}{key}[].")} if rows else {f"{path}{key}"}
    return found


def documented(command: str) -> set[str]:
    """The keys that the page names."""
    part = PAGE.read_text(encoding="utf-8").partition(f"\n### m3di {command}\n")[2].partition("\n##")[0]
    cells = re.findall(r"^\| (`.*?`) \|", part, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


def test_info_as_json(fake_dataset: Path) -> None:
    found = document("info", fake_dataset, "--json")
    assert keys_of(found) == documented("info")
    assert found["samples"] == {"train": 20, "val": 4, "test": 4}
    assert (found["spec"], found["source"], found["seeds"]) == ("m3di", "rendered", [0])
    image = {each["name"]: each for each in found["views"]}["image"]
    factors = {each["name"]: each for each in image["factors"]}
    shape = factors["object_shape"]
    assert shape["values"] == ["teapot", "hare", "dragon", "cow", "armadillo", "horse", "head"]
    assert (shape["role"], shape["low"]) == ("content", None)
    assert (factors["object_color"]["low"], factors["object_color"]["high"]) == (0.0, 1.0)


def test_info_of_the_published_layout_has_the_same_keys(fake_dataset: Path, tmp_path: Path) -> None:
    run("export", fake_dataset, "--to", "upstream", "--out", tmp_path / "up")
    found = document("info", tmp_path / "up", "--json")
    assert keys_of(found) == documented("info")
    assert (found["layout"], found["source"], found["n_bytes"]) == ("published", "published", None)


def test_verify_as_json_also_of_a_damaged_dataset(fake_dataset: Path, tmp_path: Path) -> None:
    found = document("verify", fake_dataset, "--json")
    assert (found["sound"], found["problems"], found["n_files"]) == (True, [], 11)
    out = write_fake_dataset(tmp_path / "here")
    (out / "val-00000.tar").write_bytes(b"")
    (out / "README.md").write_text("mine")
    done = run("verify", out, "--json")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the dataset is damaged")
    found = json.loads(done.stdout)
    assert keys_of(found) == documented("verify")
    assert (found["sound"], found["samples"]) == (False, None)
    assert [each["file"] for each in found["problems"]] == ["val-00000.tar"]
    assert found["notes"] == [{"file": "README.md", "what": "edited since it was written; it is kept"}]
    (out / "dataset.json").write_text("{")
    done = run("verify", out, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert keys_of({**found, "notes": [{"file": "", "what": ""}]}) == documented("verify")
    assert (found["sound"], found["problems"]) == (
        False, [{"file": "dataset.json", "what": "the file is no valid m3di manifest"}],
    )  # fmt: skip
    failed(run("verify", tmp_path / "none", "--json"), 1, "there is no m3di dataset here")


def test_a_repair_as_json(tmp_path: Path) -> None:
    out = write_fake_dataset(tmp_path / "littered")
    (out / "README.md").unlink()
    (out / "val-00007.tar").write_bytes(b"x")
    found = document("verify", out, "--repair", "--json")
    assert found == {"root": str(out), "made_again": ["README.md"], "removed": ["val-00007.tar"]}


@pytest.mark.slow
def test_specs_as_json() -> None:
    found = document("specs", "list", "--json")
    assert keys_of(found) == documented("specs list")
    (ours,) = [each for each in found["specs"] if each["name"] == "m3di"]
    assert ours["views"] == [{"name": "image", "modality": "image"}, {"name": "text", "modality": "text"}]
    found = document("specs", "bounds", "m3di", "--n", 500, "--seed", 3, "--json")
    assert keys_of(found) == documented("specs bounds")
    assert (found["n"], found["seed"]) == (500, 3)
    (color,) = [each for each in found["bounds"] if (each["view"], each["factor"]) == ("image", "object_color")]
    assert (color["method"], color["metric"], color["error"]) == ("exact", "r2", 0.0)
    assert color["value"] == pytest.approx(8 / 9)  # a third of the range is known
    failed(run("specs", "bounds", "m3dy", "--json"), 2, "did you mean 'm3di'?")


def test_a_dry_run_as_json(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    found = document("render", "--dry-run", "--json", "--n", 100, "--size", 32, "--out", tmp_path / "x", "--workers", 1)
    assert keys_of(found) == documented("render --dry-run")
    assert found["n_samples"] == {"train": 100, "val": 8, "test": 8}
    assert found["n_bytes"] == round(116 * found["sample_bytes"])
    assert found["hours"] > 0
    assert not (tmp_path / "x").exists()
    failed(run("render", "--json", cwd=tmp_path), 2, "--json describes a plan", "add --dry-run")


def test_a_plan_of_the_paper_as_json(tmp_path: Path) -> None:
    found = document("reproduce", "--dry-run", "--json", "--only", "table1a", "--workers", 1, "--out", tmp_path / "out")
    assert keys_of(found) == documented("reproduce --dry-run")
    assert (found["scale"], found["n_workers"], found["n_finished"]) == ("smoke", 1, 0)
    assert found["n_members"] == len(found["members"]) > 0
    assert not list(tmp_path.iterdir())
    failed(run("reproduce", "--json", "--out", tmp_path / "out"), 2, "--json describes a plan")


def test_scores_as_json_with_the_other_lines_on_stderr(tmp_path: Path) -> None:
    mine = brought(tmp_path)
    done = run("evaluate", mine, "--probes", "logistic", "--n-bootstrap", 5, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{tmp_path / 'mine.parquet'}: 1 scores of 1 run\n"
    found = json.loads(done.stdout)
    assert keys_of(found) == documented("evaluate")
    (score,) = found["scores"]
    assert (score["factor"], score["metric"], score["value"]) == ("image.object_shape", "accuracy", 1.0)
    found = document("compare", mine, mine, "--probes", "logistic", "--n-bootstrap", 5, "--json")
    assert found.keys() == documented("compare")
    assert [each["difference"] for each in found["differences"]] == [0.0]


def test_shapes_as_json() -> None:
    found = document("shapes", "list", "--json")
    assert keys_of(found) == documented("shapes list")
    assert {"name": "cow", "built_in": True, "own": False, "path": None, "sha256": None} in found["shapes"]


def test_what_json_has_no_words_for(capsys: pytest.CaptureFixture[str]) -> None:
    telling.print_json({"a": [float("inf"), float("nan"), 0.5], "b": {3: (Path("x"), None, True)}, "c": "é"})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": [None, None, 0.5], "b": {"3": ["x", None, True]}, "c": "é"}
    assert "é" in text


# Questions


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody who says no; the questions."""
    asked: list[str] = []

    def confirm(text: str, *, err: bool) -> bool:
        assert err
        asked.append(text)
        return False

    monkeypatch.setattr(asking, "is_asked", lambda: True)
    monkeypatch.setattr(cli_render, "is_asked", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)
    return asked


def slow(monkeypatch: pytest.MonkeyPatch, images_per_s: float) -> None:
    def rate(ends: object, began: float) -> float:
        return images_per_s

    monkeypatch.setattr("m3di.generate.estimate.rate", rate)


def test_hours_of_rendering_are_asked_about_on_a_terminal(
    tmp_path: Path, pools: type[FakeRenderPool], terminal: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 1.0)
    done = run(
        "render", "--n", 7200, "--n-val", 0, "--n-test", 0, "--size", 32, "--workers", 1, "--out", tmp_path / "x"
    )
    assert terminal == ["Begin? To render 7,200 images takes about 2 h 00 min, and goes on after any stop"]
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "nothing was begun; fewer are rendered with  m3di render --n 100\n"
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "images_per_s", "n_pools"),
    [
        (("--n", 40), 1.0, 2),  # measured, and less than an hour
        (("--n", 40, "--yes"), 0.0001, 1),
        (("--n", 10), 0.0001, 1),  # too few to be measured
    ],
)
def test_what_is_short_or_agreed_to_begins(
    tmp_path: Path,
    pools: type[FakeRenderPool],
    terminal: list[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    images_per_s: float,
    n_pools: int,
) -> None:
    slow(monkeypatch, images_per_s)
    monkeypatch.setattr(cli_render, "MEASURED_FROM", 30)
    out = tmp_path / "x"
    done = run("render", *words, "--n-val", 1, "--n-test", 1, "--size", 8, "--workers", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    assert (terminal, len(pools.made)) == ([], n_pools)


def test_jobs_of_a_cluster_are_not_asked(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 0.0001)
    monkeypatch.setattr(cli_render, "MEASURED_FROM", 30)
    done = run("render", "--n", 40, "--n-val", 1, "--n-test", 1, "--size", 8, "--workers", 1, "--out", tmp_path / "x")
    assert done.returncode == 0, done.stderr
    assert len(pools.made) == 1


def test_only_images_that_are_left_count(fake_dataset: Path, tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    assert generate.images_left(fake_options(fake_dataset), generate.Machines()) == 0
    assert generate.images_left(fake_options(tmp_path / "new"), generate.Machines()) == 28
    assert generate.images_left(fake_options(tmp_path / "new"), generate.Machines(shards="2/2")) == 12


@pytest.mark.parametrize(
    ("options", "n", "expected"),
    [
        ({}, 360, False),
        ({}, 361, True),
        ({"n_workers": 4}, 1440, False),
        ({"size_px": 448}, 91, True),
        ({"quality": "paper"}, 18, False),
        ({"quality": "paper"}, 19, True),
        ({"gpu": True, "n_workers": None}, 3600, False),
    ],
)
def test_what_may_take_an_hour_is_measured(options: dict[str, Any], n: int, expected: bool) -> None:
    wanted = generate.RenderOptions(out=Path("x"), **{"n_workers": 1, **options})
    assert cli_render.is_worth_measuring(n, wanted) is expected


def test_a_training_asks_once_it_has_measured_its_steps(terminal: list[str]) -> None:
    seconds = iter(float(2 * n) for n in range(100))
    told = asking.TimeTold(1000, "here", clock=lambda: next(seconds))
    for step in range(1, 7):
        told.after(step)
    assert (told.step_s, told.left_s) == (2.0, 1988.0)
    asking.Question(yes=False).after(told)
    assert terminal == []
    question = asking.Question(yes=False, n_other_steps=2000)  # 4,000 s for them, 1,988 s for those of this run
    with pytest.raises(click.exceptions.Exit):
        question.after(told)
    assert terminal == ["Begin? It takes about 1 h 39 min, and goes on after any stop"]
    question.after(told)
    asking.Question(yes=True, n_other_steps=10**6).after(told)
    assert len(terminal) == 1


@pytest.mark.slow
def test_a_no_ends_a_training_that_may_begin_once_more(
    fake_dataset: Path, tmp_path: Path, terminal: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LEAST_S", 0.0)
    monkeypatch.setattr(asking, "ASKS_ABOVE_S", 0.0)
    words = ("train", "--data", fake_dataset, "--steps", 9, "--batch-size", 4, "--no-tensorboard", "--threads", 1)
    done = run(*words, "--precision", "fp32", "--hidden-size", 8, "--run", tmp_path / "run")
    assert done.returncode == 1, done.stderr
    assert len(terminal) == 1
    assert done.stderr.endswith(
        "stopped; the same command begins once more, from its last checkpoint if there is one\n"
    )
    assert "finished" not in done.stdout
    again = run(*words, "--precision", "fp32", "--hidden-size", 8, "--run", tmp_path / "run", "--yes")
    assert again.returncode == 0, again.stderr
    assert "9 steps" in again.stdout


@pytest.mark.slow
def test_a_no_ends_a_simulation(tmp_path: Path, terminal: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LEAST_S", 0.0)
    monkeypatch.setattr(asking, "ASKS_ABOVE_S", 0.0)
    words = ("simulate", "--steps", 20, "--batch-size", 8, "--widths", "1", "--device", "cpu", "--n-eval", 20)
    done = run(*words, "--out", tmp_path / "out", "--seeds", 2)
    assert done.returncode == 1, done.stderr
    assert len(terminal) == 1
    assert "seed1" not in done.stdout


@pytest.mark.parametrize(
    ("stdin", "stderr", "variables", "expected"),
    [
        (True, True, {}, True),
        (False, True, {}, False),
        (True, False, {}, False),
        (True, True, {"JPY_PARENT_PID": "1"}, False),
        (True, True, {"TERM": "dumb"}, False),
        (True, True, {"WORLD_SIZE": "2"}, False),
    ],
)
def test_who_is_asked(
    stdin: bool, stderr: bool, variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JPY_PARENT_PID", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin.isatty", lambda: stdin, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: stderr, raising=False)
    assert asking.is_asked() is expected


# Completion


def completed(line: str) -> list[str]:
    """The words that a shell offers at the end of a line."""
    from click.shell_completion import BashComplete

    words = line.split(" ")
    offered = BashComplete(cli, {}, "m3di", "_M3DI_COMPLETE").get_completions(words[1:-1], words[-1])
    return [each.value if each.type == "plain" else f"<{each.type}>" for each in offered]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("m3di ver", ["verify"]),
        ("m3di specs b", ["bounds"]),
        ("m3di render --spec m3di-t", ["m3di-three-views"]),
        ("m3di render --spec ./my", ["<file>"]),
        ("m3di specs graph causal", ["causal3dident"]),
        ("m3di render --quality st", ["standard"]),
        ("m3di render --passes mask,d", ["mask,depth"]),
        ("m3di render --gpu-backend o", ["optix", "oneapi"]),
        ("m3di train --image-encoder r", ["resnet18", "resnet18-small"]),
        ("m3di train --text-encoder ", ["convnet"]),
        ("m3di train --loss si", ["siglip"]),
        ("m3di train --augment color,n", ["color,noise"]),
        ("m3di train --preset c", ["cpu-demo"]),
        ("m3di train --precision b", ["bf16"]),
        ("m3di evaluate run --probes linear,lo", ["linear,logistic"]),
        ("m3di export data --to i", ["imagefolder"]),
        ("m3di shapes preview arm", ["armadillo"]),
        ("m3di reproduce --scale f", ["full"]),
        ("m3di subset data --images w", ["webp"]),
        ("m3di specs bounds m3di --split v", ["val"]),
        ("m3di evaluate run --split te", ["test"]),
        ("m3di preview --split tr", ["train"]),
        ("m3di info da", ["<file>"]),
        ("m3di merge a b --out da", ["<file>"]),
    ],
)
def test_choices_and_names_complete(line: str, expected: list[str]) -> None:
    assert completed(line) == expected


def test_names_that_complete_are_those_of_the_registries() -> None:
    from m3di.data import LAYOUTS
    from m3di.evaluate import METRICS
    from m3di.latents import shape_names, spec_names
    from m3di.learn.losses import LOSSES
    from m3di.learn.models.registry import IMAGE_ENCODERS, TEXT_ENCODERS
    from m3di.learn.training.augmentation import AUGMENTATIONS
    from m3di.learn.training.loggers import LOGGERS
    from m3di.reproduce.scales import SCALES
    from m3di.simulate.recipes import RECIPES

    def own(registry: Any) -> set[str]:  # other tests register theirs
        return {*registry.registered_in("m3di"), *(point.name for point in registry._points())}

    registries = {"loss": LOSSES, "image_encoder": IMAGE_ENCODERS, "text_encoder": TEXT_ENCODERS}
    registries |= {"augment": AUGMENTATIONS, "loggers": LOGGERS}
    for name, registry in registries.items():
        registry.own()
        assert set(completion.OF_FIELDS[name]()) == own(registry), name
    METRICS.own(), LAYOUTS.own()
    assert set(completion.metrics()) == own(METRICS)
    assert set(completion.layouts()) == own(LAYOUTS)
    assert completion.specs() == spec_names()
    assert completion.shapes() == shape_names()
    assert sorted(completion.recipes()) == sorted(RECIPES)
    assert sorted(completion.scales()) == sorted(SCALES)


@pytest.mark.slow
def test_completion_waits_for_neither_torch_nor_blender() -> None:
    code = """
import sys
from click.shell_completion import BashComplete
from m3di.cli.main import cli
complete = BashComplete(cli, {}, "m3di", "_M3DI_COMPLETE").get_completions
assert [each.value for each in complete(["train", "--loss"], "si")] == ["siglip"]
assert complete(["train", "--augment"], "c") and complete(["evaluate", "x", "--probes"], "l")
assert complete(["render", "--spec"], "m3") and complete(["train", "--image-encoder"], "r")
print([name for name in ("torch", "bpy", "sklearn", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_names_how_each_shell_completes() -> None:
    from click.shell_completion import get_completion_class

    page = PAGE.read_text(encoding="utf-8")
    for shell in ("bash", "zsh", "fish"):
        assert f"_M3DI_COMPLETE={shell}_source m3di" in page
        assert get_completion_class(shell) is not None


# Streams and folders that are not there

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="of a POSIX shell")


def in_a_shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which `m3di` is the installed command."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    return subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, cwd=cwd, env=environment, check=False, timeout=500
    )


@pytest.mark.slow
@POSIX
def test_a_closed_stream_changes_nothing_but_what_is_heard(fake_dataset: Path, tmp_path: Path) -> None:
    command = f"m3di verify {shlex.quote(str(fake_dataset))}"
    answer = in_a_shell(command, tmp_path).stdout
    assert answer.endswith("files are as they were made\n")
    for closed, heard in (("2>&-", answer), ("<&- 2>&-", answer), (">&- 2>&- <&-", "")):
        done = in_a_shell(f"{command} {closed}", tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, heard, ""), closed


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_full_disk_behind_stdout_is_one_message(tmp_path: Path) -> None:
    done = in_a_shell("m3di specs list --json > /dev/full", tmp_path)
    failed(Done(done.returncode, done.stdout, done.stderr), 1, "could not be written", "No space left", "free some")


@pytest.mark.slow
@POSIX
def test_a_folder_that_was_removed_under_the_shell_is_one_message(fake_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    done = in_a_shell("cd gone && rmdir ../gone && m3di example there", tmp_path)
    failed(Done(done.returncode, done.stdout, done.stderr), 1, "current folder does not exist", "change to a folder")
