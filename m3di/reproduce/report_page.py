"""The report: one Markdown file with its pictures beside it, and one HTML file that holds everything."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m3di._version import __version__
from m3di.errors import M3diError
from m3di.evaluate.results import version_of
from m3di.evaluate.runs import RESULTS as EVALUATION
from m3di.evaluate.runs import VERSION
from m3di.reproduce.ledger import REPORT, Reproduction, read_record, unfinished
from m3di.reproduce.members import RUNS, Training
from m3di.reproduce.outcome import Line, ResultOutcome
from m3di.reproduce.paper_results import RESULTS, Result
from m3di.system.disk import disk_errors
from m3di.system.files import write_atomically

PAPER = "Daunhawer et al., Identifiability Results for Multimodal Contrastive Learning, ICLR 2023"
COLUMNS = ("setting", "quantity", "ours", "spread over seeds", "chance", "from content", "paper", "difference")
NOT_RUN, DAMAGED = "not run", "damaged"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { display: block; overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888; }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
figure { margin: 1.5rem 0; }
figcaption { color: #666; font-size: 0.8rem; }
p { overflow-wrap: anywhere; }
section { margin-top: 3rem; border-top: 1px solid #ccc; }
details > summary { cursor: pointer; }
.holds { color: #00694e; font-weight: 600; }
.does-not-hold { color: #a33b00; font-weight: 600; }
td > span { white-space: nowrap; }
.damaged { color: #a33b00; font-weight: 600; }
.not-judged, .not-run { color: #666; font-weight: 600; }
"""


@dataclass(frozen=True)
class Section:
    """A result in the report.

    Args:
        result: The result.
        outcome: What it came to; None if members of it are missing.
        missing: Keys of those.
        seconds: That its members took, each by itself.
        pictures: PNG files.
        damage: Why the results of a member cannot be read, if so.
    """

    result: Result
    outcome: ResultOutcome | None
    missing: Sequence[str]
    seconds: float
    pictures: Sequence[Path] = ()
    damage: M3diError | None = None

    @property
    def word(self) -> str:
        """The verdict in short."""
        if self.damage is not None:
            return DAMAGED
        return NOT_RUN if self.outcome is None else self.outcome.word

    @property
    def judged(self) -> str:
        """How many of its rules were judged."""
        if self.outcome is None:
            return ""
        return f"{self.outcome.n_judged} of {len(self.outcome.verdicts)} rules judged"


def write_report(reproduction: Reproduction) -> list[Path]:
    """Write OUT/report/report.md and report.html, of all results of the paper; those that were not run say so.

    Returns:
        The two files.

    Raises:
        M3diError: They cannot be written, or a member's results are damaged: then both are written before, and say so.
    """
    folder = reproduction.out / REPORT
    with disk_errors(folder, "the report cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        sections = [_section(result, reproduction, folder) for result in RESULTS.values()]
        told = about(reproduction)
        files = {"report.md": _markdown(sections, told), "report.html": _html(sections, told)}
        for name, text in files.items():
            write_atomically(folder / name, text.encode())
    damage = next((each.damage for each in sections if each.damage is not None), None)
    if damage is not None:
        raise damage
    return [folder / name for name in files]


def _section(result: Result, reproduction: Reproduction, folder: Path) -> Section:
    out = reproduction.out
    members = result.members(reproduction.scale)
    seconds = sum(float(read_record(out, member.key).get("seconds", 0.0)) for member in members)
    try:
        missing = unfinished(members, out)
    except M3diError as error:
        return Section(result, None, (), seconds, damage=error)
    if missing:
        return Section(result, None, missing, seconds)
    pictures = result.draw(reproduction.scale, out, folder)
    return Section(result, result.outcome(reproduction.scale, out), missing, seconds, pictures)


def about(reproduction: Reproduction) -> dict[str, str]:
    """Settings, versions, machines and time."""
    out, scale = reproduction.out, reproduction.scale
    records = [read_record(out, key) for key in reproduction.members]
    where = {_where(record["machine"]): None for record in records if record.get("finished")}
    data = [
        f"{name}: {'/'.join(f'{n:,}' for n in each.n_samples)} samples, "
        f"encoding sizes {', '.join(map(str, each.encoding_sizes))}, "
        f"{each.settings['n_steps']:,} steps of {each.settings['batch_size']}"
        for name, each in scale.experiments.items()
    ]
    return {
        "scale": f"{scale.name}: {scale.told}",
        "simulations": f"scale {scale.simulations} of `m3di simulate`"
        + "".join(f"; {recipe}: {_settings(changes)}" for recipe, changes in scale.changes.items()),
        "images": f"{scale.size_px} px, quality {scale.quality}, {'GPU' if reproduction.gpu else 'CPU'}; "
        + "; ".join(data),
        "seeds": f"{scale.n_seeds} a training",
        "probes": ", ".join(scale.probes),
        "made on": "; ".join(where) or "nothing is finished",
        "scores": _versions(reproduction),
        "time of all members": duration_of(sum(float(record.get("seconds", 0.0)) for record in records))
        + ", each by itself",
        # No clock: of the same members the same report, byte for byte.
        "last member finished": max(
            (str(record["at"]) for record in records if "at" in record), default="not recorded"
        ),
        "report": f"m3di {__version__}",
    }


def _versions(reproduction: Reproduction) -> str:
    """Say by which version of the metrics trained encoders were scored: kept scores outlive it."""
    paths = [
        reproduction.out / key / EVALUATION for key, each in reproduction.members.items() if isinstance(each, Training)
    ]
    found = sorted({version_of(path) for path in paths if path.is_file()})
    if not found:
        return "no trained encoder is scored"
    told = f"version {', '.join(map(str, found))} of the metrics"
    if found == [VERSION]:
        return told
    return f"{told}; today's is {VERSION}: delete {EVALUATION} in {RUNS}/*/* and run again to score once more"


def _settings(changes: Mapping[str, Any]) -> str:
    texts = {name: "-".join(map(str, value)) if isinstance(value, tuple) else value for name, value in changes.items()}
    return ", ".join(f"{name} {value}" for name, value in texts.items())


def _where(found: Mapping[str, Any]) -> str:
    gpus = f", {len(found['gpus'])} GPUs ({found['gpus'][0]})" if found["gpus"] else ", no GPU"
    versions = ", ".join(f"{name} {found[name]}" for name in ("python", "torch", "m3di"))
    return f"{found['system']}, {found['cores']} cores{gpus}, {versions}"


def duration_of(seconds: float) -> str:
    """Write a time in hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def _cells(line: Line) -> list[str]:
    ours = f"{line.mean:.2f}" + ("" if line.metric in ("r2", "loss") else f" ({line.metric})")
    numbers = [line.spread, line.chance, line.bound, line.paper]
    texts = ["" if number is None else f"{_plain_zero(number):.2f}" for number in numbers]
    difference = "" if line.difference is None else f"{_plain_zero(line.difference):+.2f}"
    return [line.setting, line.quantity, ours, *texts, difference]


def _plain_zero(number: float) -> float:
    """-0.00 is 0.00."""
    return 0.0 if abs(number) < 0.005 else number


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _shown(outcome: ResultOutcome) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table, without columns that are empty."""
    rows = [_cells(line) for line in outcome.lines]
    used = [at for at in range(len(COLUMNS)) if any(row[at] for row in rows)]
    return [COLUMNS[at] for at in used], [[row[at] for at in used] for row in rows]


def _markdown(sections: Sequence[Section], settings: Mapping[str, str]) -> str:
    parts = [f"# The paper, reproduced\n\n{PAPER}.\n\n"]
    verdicts = [[each.result.title, each.word, each.judged] for each in sections]
    parts.append(_table(("result", "verdict", ""), verdicts))
    parts.append("\n## Settings\n\n")
    parts.append(_table(("", ""), list(map(list, settings.items()))))
    for each in sections:
        parts.append(f"\n## {each.result.title}\n\n{each.result.stated}\n\n**{each.word}**")
        if each.outcome is None:
            parts.append(f": {_missing(each)}\n")
            continue
        parts.append(f". Its members took {duration_of(each.seconds)}, each by itself.\n\n")
        rules = [[verdict.rule, verdict.word, verdict.why] for verdict in each.outcome.verdicts]
        parts.append(_table(("rule, stated beforehand", "verdict", "why"), rules))
        parts += [f"\n![{path.stem}]({path.name})\n" for path in each.pictures]
        parts.append("\n" + _table(*_shown(each.outcome)))
    return "".join(parts)


def _missing(section: Section) -> str:
    if section.damage is not None:
        return " ".join(str(section.damage).split())
    n = len(section.missing)
    return f"{n} of its members {'is' if n == 1 else 'are'} not finished, such as {section.missing[0]}."


def _html(sections: Sequence[Section], settings: Mapping[str, str]) -> str:
    title = "The paper, reproduced"
    parts = [
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1><p>{html.escape(PAPER)}.</p>",
        _html_table(
            ("result", "verdict", ""),
            [
                (f"<a href='#{each.result.name}'>{html.escape(each.result.title)}</a>", _word(each.word), each.judged)
                for each in sections
            ],
            as_it_is=True,
        ),
        "<h2>Settings</h2>",
        _html_table((), list(settings.items())),
    ]
    for each in sections:
        parts.append(f"<section id='{each.result.name}'><h2>{html.escape(each.result.title)}</h2>")
        parts.append(f"<p>{html.escape(each.result.stated)}</p>")
        parts.append(_html_outcome(each))
        parts.append("</section>")
    return "".join([*parts, "</body></html>\n"])


def _html_outcome(section: Section) -> str:
    if section.outcome is None:
        return f"<p>{_word(section.word)}: {html.escape(_missing(section))}</p>"
    outcome = section.outcome
    rules = [(html.escape(each.rule), _word(each.word), html.escape(each.why)) for each in outcome.verdicts]
    return "".join(
        [
            f"<p>{_word(section.word)}. Its members took {duration_of(section.seconds)}, each by itself.</p>",
            _html_table(("rule, stated beforehand", "verdict", "why"), rules, as_it_is=True),
            *(_picture(path, section.result.title) for path in section.pictures),
            f"<details><summary>{len(outcome.lines)} numbers</summary>{_html_table(*_shown(outcome))}</details>",
        ]
    )


def _picture(path: Path, title: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    image = f"<img alt='{html.escape(title, quote=True)}' src='data:image/png;base64,{content}'>"
    return f"<figure>{image}<figcaption>{html.escape(path.stem)}</figcaption></figure>"


def _word(word: str) -> str:
    return f"<span class='{word.replace(' ', '-')}'>{word}</span>"


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, as_it_is: bool = False) -> str:
    """A table; cells are text, unless they are HTML already."""
    show: Callable[[str], str] = str if as_it_is else html.escape
    head = f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in header)}</tr>" if header else ""
    body = "".join(f"<tr>{''.join(f'<td>{show(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"
