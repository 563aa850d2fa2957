"""A share of a sweep in a process of its own: `python -m m3di.learn.training.sweep_share FOLDER I/N [MODULE ...]`.

A JSON file among the modules has the plugins that the process which started this one has run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from m3di.errors import M3diError
from m3di.latents import Plugin, plugins_run, run_again
from m3di.learn.training.job import TrainResult
from m3di.learn.training.sweep import read_sweep, run_member, run_members, share_of
from m3di.system.allocator import keep_freed_memory
from m3di.system.plugins import import_modules
from m3di.system.signals import INTERRUPTED, exit_code_of, interrupt_behind, sigterm_interrupts

_PLUGINS = ".json"


def command_of(folder: Path, share: str, modules: Sequence[str], plugins: Path | None = None) -> list[str]:
    """The command of a process that runs a share, see `main`."""
    return [sys.executable, "-m", __name__, str(folder), share, *modules, *([str(plugins)] if plugins else [])]


def write_plugins(folder: Path) -> Path | None:
    """Write the plugins that this process has run, for `command_of`; None if there are none."""
    if not plugins_run():
        return None
    path = folder / f"plugins{_PLUGINS}"
    path.write_text(json.dumps(plugins_run()), encoding="utf-8")
    return path


def main(arguments: Sequence[str]) -> int:
    """Run a share of a sweep; what fails, and what interrupts it, is one message and an exit code.

    Args:
        arguments: The sweep's folder, the share as `share_of` has it, and names of modules to import
            first; a JSON file among them has plugins to run.

    Returns:
        The exit code.
    """
    folder, share, *modules = arguments
    try:
        with sigterm_interrupts():
            keep_freed_memory()
            for each in (name for name in modules if name.endswith(_PLUGINS)):
                run_again(Plugin(*plugin) for plugin in json.loads(Path(each).read_text(encoding="utf-8")))
            import_modules(name for name in modules if not name.endswith(_PLUGINS))
            names = share_of(read_sweep(Path(folder)), share)
            run_members(Path(folder), names, _run_and_say)
            print(f"{folder}: {len(names)} members finished", flush=True)
    except M3diError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    except (Exception, KeyboardInterrupt) as error:
        interrupt = interrupt_behind(error)
        if interrupt is None:
            raise
        print(INTERRUPTED, file=sys.stderr)
        return exit_code_of(interrupt)
    return 0


def _run_and_say(folder: Path, name: str) -> TrainResult:
    result = run_member(folder, name)
    print(result, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
