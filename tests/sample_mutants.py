"""`make mutants`: small changes of the code, one at a time, by mutmut; which of them does no test notice?

mutmut itself takes all of them, 10,000 and more, or those that are named: this names a random sample.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).parents[1]
MUTANTS = ROOT / "mutants"
FIRST = "m3di.render.footprint.x__circle__mutmut_1"
"""Asked for first: mutmut writes all mutants, and finds out which tests run which function, before it tests any."""
KILLED = ("killed", "timeout", "segfault")


def main() -> None:
    """Test a sample of the mutants of some modules; exit with 1 where one is not killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patterns", nargs="+", help="of the names of modules, such as m3di.latents.*")
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run([FIRST])
    names = sorted(name for name in verdicts() if any(fnmatch(name, f"{each}.x*") for each in options.patterns))
    if not names:
        sys.exit(
            f"no mutant is called {options.pattern}.x*: which modules are changed says pyproject.toml, tool.mutmut"
        )
    chosen = sorted(random.Random(options.seed).sample(names, min(options.sample, len(names))))
    run(chosen)
    print(report(chosen, len(names)))
    sys.exit(any(verdicts()[name] not in KILLED for name in chosen))


def run(names: list[str]) -> None:
    """Have mutmut test these."""
    command = [sys.executable, "-m", "mutmut", "run", *names]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{done.stdout[-5000:]}\nmutmut has failed; do the tests pass? `rm -r mutants` starts it from nothing")


def verdicts() -> dict[str, str]:
    """What came of each mutant, in mutmut's words: `killed`, `survived`, `no tests`, `not checked` and more."""
    found: dict[str, str] = {}
    for path in MUTANTS.rglob("*.meta"):
        for name, code in json.loads(path.read_text())["exit_code_by_key"].items():
            found[name] = status_by_exit_code[code]
    return found


def report(chosen: list[str], n_all: int) -> str:
    """What came of the chosen ones, and the change of each that was not killed."""
    found = {name: verdicts()[name] for name in chosen}
    lines = []
    for name, verdict in found.items():
        if verdict not in KILLED:
            shown = subprocess.run(
                [sys.executable, "-m", "mutmut", "show", name], cwd=ROOT, capture_output=True, text=True, check=False
            )
            changed = [
                line for line in shown.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
            ]
            lines += [f"{verdict}: {name}", *(f"    {line}" for line in changed)]
    counts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(Counter(found.values()).items()))
    return "\n".join([*lines, f"{len(chosen)} of {n_all} mutants: {counts}"])


if __name__ == "__main__":
    main()
