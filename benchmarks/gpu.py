"""`make bench-gpu`: all that a GPU can be measured by, one script after another, and one table of it.

Each script leaves its figures in a file of `--out`; one that is there already is not measured again, so a run that was
stopped goes on. The last part trains one full-size row of table 1b for as long as `--minutes` has left, and goes on
with it the next time. Rendering needs Python 3.11 and Blender, learning any Python with torch for the GPU: where they
are two, `--render-python` and `--learn-python` say which.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_machine import machine

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Part:
    """A script to run: its name, its arguments, and the most seconds it should take."""

    name: str
    python: str
    arguments: list[str]
    seconds: float


def parts(arguments: argparse.Namespace) -> list[Part]:
    """All scripts, in the order in which they run."""
    learn = ["--device", "cuda", "--seconds", "3", "--seconds-in-all"]
    cpu = arguments.cpu or arguments.out / "cpu"
    made = [str(HERE / "render_gpu.py"), "--make-cpu", str(cpu), "--n", "7"]
    presets = ["--qualities", "standard", "fixed", "draft", "--budget", "540", "--seconds", "5"]
    return [
        Part("cpu", arguments.render_python, made, 600),
        Part("render", arguments.render_python, [*made[:1], "--cpu", str(cpu), "--n", "7", *presets], 660),
        Part("train", arguments.learn_python, [str(HERE / "train.py"), *learn, "150"], 300),
        Part("simulation", arguments.learn_python, [str(HERE / "simulation.py"), *learn, "60"], 120),
    ]


def run(part: Part, out: Path) -> dict[str, Any]:
    """The figures of a part, measured now unless they are there."""
    path = out / f"{part.name}.json"
    if not path.exists():
        partial = out / f"{part.name}.partial.json"
        with (out / f"{part.name}.log").open("w", encoding="utf-8") as log:
            command = [part.python, *part.arguments, "--json", str(partial)]
            print(f"{part.name}: {' '.join(command)}", flush=True)
            try:
                done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=part.seconds, check=False)
                ending = "" if done.returncode == 0 else f"exit code {done.returncode}"
            except subprocess.TimeoutExpired:
                ending = f"stopped after {part.seconds:.0f} s"
        found: dict[str, Any] = json.loads(partial.read_text()) if partial.exists() else {}
        if ending:
            return {**found, "ending": f"{ending}; see {log.name}"}
        partial.replace(path)
    return dict(json.loads(path.read_text()))


def full_row(arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """One member of table 1b at full size, statistical and causal dependence, for so many seconds more."""
    out = arguments.out / "table1b"
    code = "import sys; sys.argv[0] = 'm3di'; from m3di.cli.main import main; main()"
    command = [
        arguments.learn_python,
        "-c",
        code,
        "simulate",
        "--statistical",
        "--causal",
        "--style-change-prob",
        "0.75",
    ]
    command += ["--device", "cuda", "--precision", arguments.row_precision, "--out", str(out)]
    print(f"table1b: {' '.join(command)}", flush=True)
    before, began = _steps_of(out), time.monotonic()
    with (arguments.out / "table1b.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            code = process.wait(seconds)
            ending = f"exit code {code}; see {log.name}" if code else ""
        except subprocess.TimeoutExpired:  # as meant: it goes on the next time
            ending = ""
            process.terminate()
            process.wait(60)
    took, steps = time.monotonic() - began, _steps_of(out)
    row: dict[str, Any] = {"steps": steps, "steps_now": steps - before, "seconds_now": round(took, 1), "ending": ending}
    results = sorted(out.rglob("results.json"))
    return row | ({"result": json.loads(results[0].read_text())} if results else {})


def _steps_of(out: Path) -> int:
    """Steps that the log of a simulation has; it notes some of them only."""
    logs = sorted(out.rglob("metrics.csv"))
    lines = [line for line in logs[0].read_text().splitlines() if line[:1].isdigit()] if logs else []
    return int(lines[-1].split(",")[0]) if lines else 0


def rows_of(found: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """The table: what, figure, and how."""
    for row in found.get("render", {}).get("rows", []):
        how = f"{row['backend']}, {row['workers']} workers"
        near = f"; {row['db_reference']} dB to the reference" if row.get("db_reference") else ""
        memory = f"; {row['gpu_mb']:,.0f} MB of the card, {row['rss_mb']:,} MB a worker" if row.get("gpu_mb") else ""
        busy = f"; GPU {row['gpu_percent']:.0f} %" if row.get("gpu_percent") is not None else ""
        yield f"rendering, `{row['quality']}`", f"{row['images_per_s']} images/s", how + near + memory + busy
    starts = found.get("render", {}).get("rows", [])
    for backend in dict.fromkeys(row["backend"] for row in starts):
        first = next(row for row in starts if row["backend"] == backend)
        yield f"first start, {backend}", f"{first['start_s']} s", "kernels compiled, or taken from the driver's cache"
    for name in ("train", "simulation"):
        for figure, each in found.get(name, {}).get("figures", {}).items():
            yield from _learning_row(f"{name}, {figure}", each)
    if "table1b" in found:
        row = found["table1b"]
        rate = row["steps_now"] / row["seconds_now"] if row["seconds_now"] else 0.0
        yield "table 1b, full size", f"{row['steps']:,} steps", f"{rate:.0f} steps/s, start and probes included"


def _learning_row(what: str, figure: Any) -> Iterator[tuple[str, str, str]]:
    """A figure of the training or simulation benchmark as a row; what is neither time nor rate has none."""
    if isinstance(figure, float):
        yield what, f"{figure:.0f}", ""
    elif isinstance(figure, dict):
        first = "step_ms" if "step_ms" in figure else "images_per_s"
        notes = {
            "images_per_s": "{:,.0f} images/s",
            "gpu_utilisation_percent": "GPU {:.0f} %",
            "share_of_bf16_peak": "{:.3f} of measured bf16 peak",
            "peak_memory_gib": "{:.2f} GiB",
        }
        known = {name: each for name, each in figure.items() if isinstance(each, (int, float))}  # or "not known"
        how = [form.format(known[name]) for name, form in notes.items() if name in known and name != first]
        if first in known:
            unit = "ms a step" if first == "step_ms" else "images/s"
            yield what, f"{known[first]:,.2f} {unit}", "; ".join(how)


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """Table, machine and what went wrong."""
    lines = ["| what | figure | how |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows_of(found)]
    for name, each in found.items():
        lines += [f"\n{name}: {json.dumps(each['machine'])}"] if "machine" in each else []
        lines += [f"\n{name}: {each[key]}" for key in ("ending", "errors", "failures", "repeated") if each.get(key)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data/bench-gpu"), help="folder of figures and logs")
    parser.add_argument("--cpu", type=Path, help="images to compare with  [default: made, in OUT/cpu]")
    parser.add_argument("--minutes", type=float, default=25.0, help="for all of it")
    parser.add_argument("--only", nargs="+", choices=["cpu", "render", "train", "simulation", "table1b"])
    parser.add_argument("--render-python", default=sys.executable)
    parser.add_argument("--learn-python", default=sys.executable)
    parser.add_argument("--row-precision", default="bf16", help="of the full-size row of table 1b")
    arguments = parser.parse_args()
    if not machine()["gpus"]:
        parser.exit(
            1,
            "there is no NVIDIA GPU to measure: `nvidia-smi` lists none; nothing was measured. In a container, run it "
            "with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics\n",
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * arguments.minutes
    found = {}
    for part in parts(arguments):
        if not arguments.only or part.name in arguments.only:
            found[part.name] = run(part, arguments.out)
            (arguments.out / "table.md").write_text(markdown(found), encoding="utf-8")
    left = end - time.monotonic()
    if left > 30 and (not arguments.only or "table1b" in arguments.only):
        found["table1b"] = full_row(arguments, left - 15)
    (arguments.out / "table.md").write_text(markdown(found), encoding="utf-8")
    print(markdown(found))
    if any(each.get("ending") and not (each.get("rows") or each.get("figures")) for each in found.values()):
        sys.exit(1)  # a part that ran out of its time has some


if __name__ == "__main__":
    main()
