"""How `--help` looks: options in sections, and examples that a test reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

FEW = 8
"""Up to so many options stand in one list."""
REST = "Further options"
SECTIONS: dict[str, tuple[str, ...]] = {
    "What": (
        *(
            "n",
            "n-val",
            "n-test",
            "n-of",
            "split",
            "spec",
            "do",
            "permute-content",
            "seed",
            "passes",
            "data",
            "fit",
            "factors",
            "views",
        ),
        *("preset", "presets", "recipe", "scale", "with", "encodings", "run", "n-encoded", "statistical", "causal"),
        *("n-content", "n-style", "n-modality", "style-change-prob", "covariances", "shared-mixing", "discrete"),
        *("n-classes", "eval-seed", "augment", "only", "all-checkpoints"),
    ),
    "Size and quality": ("size", "quality", "columns", "latents", "group-by", "thumbnail", "whiten"),
    "Encoders": (
        *("image-encoder", "text-encoder", "share-encoders", "shared-encoder", "encoding-size", "hidden-size"),
        "widths",
    ),
    "Learning": (
        *("steps", "batch-size", "accumulate", "lr", "schedule", "warmup", "weight-decay", "clip-norm", "loss"),
        *("loss-option", "temperature", "learn-temperature", "similarity", "negatives", "patience"),
    ),
    "Measuring": (
        *("probes", "folds", "n-bootstrap", "again", "val-every", "diagnostics-every", "n-eval", "log-every"),
        *("tensorboard", "logger"),
    ),
    "Many runs, many machines": ("sweep", "seeds", "sweep-member", "member", "shards", "ray", "staging"),
    "Where": (
        *("out", "save-encodings", "shard-size", "checkpoint-every", "keep-checkpoints", "cache", "port", "open"),
        "import",
    ),
    "Speed": (
        *("workers", "load-workers", "worker-kind", "threads", "device", "gpu", "gpu-devices", "gpu-backend"),
        *("precision", "compile", "cuda-graph", "worker-memory", "image-timeout"),
    ),
    REST: (),
    "Asking and telling": ("dry-run", "yes", "json", "quiet", "verbose", "help"),
}
"""Sections of a long list of options, and what stands in each: a name means the same in every command."""
_SECTION_OF = {name: section for section, names in SECTIONS.items() for name in names}


def typed(option: click.Parameter) -> str:
    """Return an option as typed, without the leading dashes."""
    return max(option.opts, key=len).lstrip("-")


def sections(options: Iterable[click.Option]) -> dict[str, list[click.Option]]:
    """Put options into sections, in the order of `SECTIONS`; few options stand together."""
    shown = [each for each in options if not each.hidden]
    if sum(_SECTION_OF.get(typed(each)) != "Asking and telling" for each in shown) <= FEW:
        return {"Options": shown}
    found: dict[str, list[click.Option]] = {name: [] for name in SECTIONS}
    for each in shown:
        found[_SECTION_OF.get(typed(each), REST)].append(each)
    return {name: each for name, each in found.items() if each}


def write_options(options: Iterable[click.Option], context: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the sections."""
    for name, each in sections(options).items():
        rows = [row for row in (option.get_help_record(context) for option in each) if row is not None]
        with formatter.section(name):
            formatter.write_dl(rows)


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Write the examples, a line each, however long."""
    if examples:
        formatter.write_paragraph()
        formatter.write("Examples:\n" + "".join(f"  {line}\n" for line in examples))
