"""Options are made of fields: each field is an option, with its help and range, and has its variable and its key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import click
import pytest

import m3di
from m3di.cli import simulate as cli_simulate
from m3di.cli import train as cli_train
from m3di.cli.command import OTHER_VARIABLES, read_config, typed
from m3di.cli.from_fields import RENDER, SIMULATION, TRAIN, FieldOption, _found
from m3di.cli.main import cli
from m3di.errors import UsageError
from m3di.system.settings import Setting, settings_of
from tests.cli.test_main import failed
from tests.cli.test_main import m3di as run
from tests.options_page import PAGE, page

pytest.importorskip("torch")
CLASSES = {"render": RENDER, "train": TRAIN, "simulate": SIMULATION}
REQUIRED = {"render": {"out": Path("x")}, "train": {"n_steps": 1, "batch_size": 2}, "simulate": {}}
# What a field that is no range, no switch and no choice can be: as it is typed, and as it is.
WORDS: Mapping[str, tuple[str, Any]] = {
    "spec": ("m3di", "m3di"),
    "gpu_backend": ("cuda", "cuda"),
    "gpu_devices": ("0,2", (0, 2)),
    "passes": ("mask,depth", ("mask", "depth")),
    "interventions": ("object_color=0.5", ("object_color=0.5",)),
    "n_of": ("ood=5", ("ood=5",)),
    "views": ("image,text", ("image", "text")),
    "augment": ("shift,noise", ("shift", "noise")),
    "loggers": ("wandb", ("wandb",)),
    "image_encoder": ("resnet18", "resnet18"),
    "text_encoder": ("convnet", "convnet"),
    "loss": ("siglip", "siglip"),
    "loss_options": ("bias=-5", {"bias": -5.0}),
    "discrete": ("content", ("content",)),
    "widths": ("10,20", (10, 20)),
}
FIELDS = [(name, each) for name, source in CLASSES.items() for each in settings_of(_found(source)).values()]
OFFERED = [pytest.param(name, each, id=f"{name}-{each.name}") for name, each in FIELDS if each.option.offered]


def context(name: str, *arguments: str, config: Path | None = None) -> click.Context:
    """A command with its options read, not run."""
    root = cli.make_context("m3di", [name], resilient_parsing=True)
    root.resilient_parsing = False
    if config is not None:
        read_config(root, config)
    return cli.commands[name].make_context(name, list(arguments), parent=root)


def option_of(name: str, setting: Setting) -> FieldOption:
    (option,) = [each for each in context(name).command.get_params(context(name)) if each.name == setting.name]
    assert isinstance(option, FieldOption)
    return option


def example(setting: Setting) -> tuple[str, Any]:
    """A value as it is typed, and as it is."""
    if setting.name in WORDS:
        return WORDS[setting.name]
    if setting.base is bool:
        return "true", True
    if setting.choices:
        return setting.choices[-1], setting.choices[-1]
    number = setting.base(re.findall(r"[\d.]+", setting.range)[0]) or setting.base(1)
    return str(number), number


def test_only_the_folder_is_no_option() -> None:
    assert [(name, each.name) for name, each in FIELDS if not each.option.offered] == [("render", "out")]


@pytest.mark.parametrize(("name", "setting"), OFFERED)
def test_a_field_is_an_option_with_its_help_and_every_source_reaches_it(
    name: str, setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    option = option_of(name, setting)
    assert setting.description.endswith(".")
    assert (option.help or "").startswith(setting.description)
    assert setting.range in (option.help or "")
    assert setting.description in " ".join((_found(CLASSES[name]).__doc__ or "").split())
    text, value = example(setting)
    flag = f"--{typed(option)}"
    assert context(name, *([flag] if setting.base is bool else [flag, text])).params[setting.name] == value
    assert context(name).params[setting.name] in (None, ())
    config = tmp_path / "c.yaml"
    config.write_text(f"{name}: {{{typed(option)}: {text if setting.base is not tuple else f'[{text}]'}}}\n")
    assert context(name, config=config).params[setting.name] == value
    monkeypatch.setenv(f"M3DI_{name.upper()}_{typed(option).upper().replace('-', '_')}", text)
    assert context(name).params[setting.name] == value


@pytest.mark.parametrize(("name", "setting"), [each for each in OFFERED if each.values[1].range])
def test_what_is_out_of_range_has_one_message(name: str, setting: Setting) -> None:
    low = setting.base(re.findall(r"[\d.]+", setting.range)[0])
    wrong = low if setting.range.startswith("above") else low - 1
    with pytest.raises(UsageError) as typed_error:
        context(name, f"{setting.flags}={wrong}")
    with pytest.raises(UsageError) as python_error:
        _found(CLASSES[name])(**{**REQUIRED[name], setting.name: wrong})
    assert typed_error.value.what == python_error.value.what
    there, here = dict(typed_error.value.details), dict(python_error.value.details)
    assert there.pop("where") == setting.flags
    assert here.pop("where") == setting.shown
    assert there == here
    assert here["got"] == str(wrong)
    assert here["expected"]


@pytest.mark.parametrize(("name", "setting"), OFFERED)
def test_a_value_of_another_type_is_refused(name: str, setting: Setting) -> None:
    wrong: Any = "3" if setting.base in (int, float, bool) else 3
    for value in (wrong, True) if setting.base in (int, float) else (wrong,):
        with pytest.raises(UsageError, match=re.escape(setting.shown.lstrip("-")) + " is not|unknown|is called"):
            _found(CLASSES[name])(**{**REQUIRED[name], setting.name: value})


def test_the_command_line_goes_before_the_environment_before_the_file_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("render: {n-val: 3, n_test: 3, size: 33, gpu: true, out: there}\n")
    monkeypatch.setenv("M3DI_RENDER_SIZE", "22")
    monkeypatch.setenv("M3DI_RENDER_N_VAL", "2")
    found = context("render", "--n-val", "1", "--no-gpu", config=config).params
    names = ("n_val", "size_px", "n_test", "gpu", "out", "shard_size")
    assert [found[name] for name in names] == [1, 22, 3, False, "there", None]


def test_every_source_goes_before_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(cli_train, "_run_one", lambda root, folder, config, *_: seen.append(config))
    (tmp_path / "c.yaml").write_text("train:\n  preset: cpu-demo\n  warmup: 30\n  batch-size: 31\n  lr: 0.5\n")
    monkeypatch.setenv("M3DI_TRAIN_BATCH_SIZE", "20")
    monkeypatch.setenv("M3DI_TRAIN_LR", "0.25")
    assert run("--config", "c.yaml", "train", "--lr", "0.125", cwd=tmp_path).returncode == 0
    (config,) = seen
    assert (config.lr, config.batch_size, config.n_warmup_steps) == (0.125, 20, 30)
    assert (config.n_steps, config.temperature, config.hidden_size) == (7000, 0.1, 100)  # of the preset, of the class


def test_every_source_goes_before_the_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.yaml").write_text("simulate: {steps: 7, n-eval: 77, lr: 0.7}\n")
    monkeypatch.setenv("M3DI_SIMULATE_N_EVAL", "66")
    found = context("simulate", "--lr", "0.5", config=tmp_path / "c.yaml").params
    changes = {name: found[name] for name in ("n_steps", "n_eval", "lr")}
    config = cli_simulate._members("figure8", "smoke", None, changes)[0].config
    assert (config.lr, config.n_eval, config.n_steps, config.batch_size) == (0.5, 66, 7, 64)


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("M3DI_RENDER_SIZE", "3", ("--size is too small", "environment variable M3DI_RENDER_SIZE")),
        ("M3DI_RENDER_SIZE", "big", ("'big' is not a whole number", "environment variable M3DI_RENDER_SIZE")),
        ("M3DI_RENDER_SIZE_PX", "64", ("has no such option", "did you mean 'M3DI_RENDER_SIZE'")),
        ("M3DI_RENDER_GPU", "perhaps", ("not a valid boolean", "environment variable M3DI_RENDER_GPU")),
        ("M3DI_RENDER_QUALITY", "best", ("no quality is called 'best'", "environment variable M3DI_RENDER_QUALITY")),
        ("M3DI_RENDER_GPU_DEVICES", "0,x", ("--gpu-devices takes numbers", "M3DI_RENDER_GPU_DEVICES")),
        ("M3DI_RENDER_GPU_DEVICES", "0", ("chooses among GPUs", "environment variable M3DI_RENDER_GPU_DEVICES")),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, value)
    failed(run("render", cwd=tmp_path), 2, *parts)
    assert not list(tmp_path.iterdir())


def test_options_of_training_that_cannot_be_read_are_named() -> None:
    failed(run("train", "--augment", "shift,,noise"), 2, "'shift,,noise' has an empty place between its commas")
    failed(run("train", "--views", "text"), 2, "two or more different views", "where:    --views", "got:      text\n")
    assert context("train", "--augment", "").params["augment"] == ()


@pytest.mark.slow
def test_a_variable_of_no_command_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M3DI_RENDR_SIZE", "64")
    monkeypatch.setenv("M3DI_TRAIN_NONSENSE", "1")  # for `m3di train` to refuse
    done = run("specs", "list")
    assert done.returncode == 0
    assert done.stderr == "note: M3DI_RENDR_SIZE is no variable of m3di's; did you mean 'M3DI_RENDER_SIZE'?\n"


@pytest.mark.parametrize(
    ("variable", "arguments", "parts"),
    [
        ("M3DI_RENDER_SISE", ("render",), ("render has no such option", "next:     did you mean 'M3DI_RENDER_SIZE'?")),
        ("M3DI_RENDER_FOO", ("render",), ("M3DI_RENDER_N, ", "next:     unset M3DI_RENDER_FOO")),
        (
            "M3DI_INFO_FOO",
            ("info", "x"),
            ("expected: M3DI_INFO_JSON, M3DI_INFO_QUIET, M3DI_INFO_VERBOSE\n", "next:     unset M3DI_INFO_FOO"),
        ),
        ("M3DI_SPECS_BOUND_N", ("specs", "list"), ("specs has no such", "did you mean 'M3DI_SPECS_BOUNDS_N'?")),
    ],
)
def test_an_unknown_variable_of_a_command_is_refused(
    variable: str, arguments: tuple[str, ...], parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "3")
    failed(run(*arguments), 2, f"environment variable {variable}", *parts)


def test_other_variables_are_those_that_the_package_reads() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in Path(m3di.__file__).parent.rglob("*.py"))
    assert set(re.findall(r'"(M3DI_[A-Z_]+)"', texts)) == set(OTHER_VARIABLES)


def test_options_of_groups_and_repeated_ones_have_variables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M3DI_SPECS_BOUNDS_N", "many")
    failed(run("specs", "bounds", "m3di"), 2, "'many' is not a valid integer", "M3DI_SPECS_BOUNDS_N")
    monkeypatch.setenv("M3DI_RENDER_DO", "object_color={strength: 0.5};object_xpos=left")
    assert context("render").params["interventions"] == ("object_color={strength: 0.5}", "object_xpos=left")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("rendr: {size: 64}", ("a section that is no command", "c.yaml, line 1: rendr", "did you mean 'render'")),
        ("render:\n  sise: 64", ("has no option 'sise'", "c.yaml, line 2: render.sise", "did you mean 'size'")),
        ("render:\n  size: 3", ("--size is too small", "c.yaml, line 2: render.size", "8 or more")),
        ("render:\n  size: true", ("True is not a whole number", "c.yaml, line 2: render.size")),
        ("render:\n  n_val: [3]", ("is not a whole number", "c.yaml, line 2: render.n_val")),
        ("render:\n  gpu: 3", ("not a valid boolean", "c.yaml, line 2: render.gpu")),
        ("render: 64", ("takes options and their values", "c.yaml, line 1: render")),
        ("render: {size: 64, size: 65}", ("size",)),
        ("render: {size: [}", ("not valid YAML",)),
        ("", ("the config file is not a mapping: the file is empty", "such as `render: {size: 64}`")),
        ("# render:", ("the config file is not a mapping: the file is empty",)),
        ("- render", ("the config file is not a mapping", "a list", "`render: {size: 64}`, without a dash")),
    ],
)
def test_a_wrong_config_file(text: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    failed(run("--config", "c.yaml", "render", cwd=tmp_path), 2, *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_no_config_file(tmp_path: Path) -> None:
    failed(run("--config", "c.yaml", "render", cwd=tmp_path), 2, "there is no such config file", "c.yaml")


def test_a_config_file_serves_groups_and_other_commands(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("sample: {n: 2, do: {object_color: 0.5}, out: s.csv}\nspecs: {bounds: {n: 300}}\n")
    assert run("--config", "c.yaml", "sample", cwd=tmp_path).stdout == "s.csv: 2 samples of m3di\n"
    assert run("--config", "c.yaml", "specs", "bounds", "m3di", cwd=tmp_path).returncode == 0
    (tmp_path / "c.yaml").write_text("specs: {bound: {n: 300}}\n")
    failed(run("--config", "c.yaml", "specs", "bounds", "m3di", cwd=tmp_path), 2, "no option 'bound'", "'bounds'")


def test_a_setting_that_is_not_there_or_missing() -> None:
    train = _found(TRAIN)
    with pytest.raises(UsageError, match=r"TrainConfig has no setting 'n_step'(?s:.)*did you mean 'n_steps'"):
        train(n_step=1, batch_size=2)
    with pytest.raises(TypeError, match="n_steps"):
        train(batch_size=2)


def test_numbers_of_numpy_and_lists_are_taken() -> None:
    import numpy as np

    config = _found(TRAIN)(n_steps=np.int64(3), batch_size=2, lr=np.float32(0.5), views=["image", "text"])
    assert (config.n_steps, type(config.n_steps), config.lr, config.views) == (3, int, 0.5, ("image", "text"))


def test_the_page_of_options_is_true() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.options_page`"


def test_defaults_are_those_of_the_class() -> None:
    assert all(each.default is MISSING or each.default is not None or each.option.default for _, each in FIELDS)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--data", "file:///data/m3di"),
        ("train", "--run", "s3://bucket/run"),
        ("evaluate", "run", "--out", "s3://bucket/scores.csv"),
        ("evaluate", "file:///runs/one"),
        ("browse", "data", "--out", "memory://page.html"),
    ],
)
def test_a_url_where_a_path_is_needed_makes_no_folder_of_its_name(words: tuple[str, ...], tmp_path: Path) -> None:
    failed(run(*words, cwd=tmp_path), 2, "a path of this machine, not a URL", words[-1], "m3di push URL FOLDER")
    assert not list(tmp_path.iterdir())
