"""A share of a sweep in a process of its own: `python -m m3di.learn.training.sweep_share FOLDER I/N [MODULE ...]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from m3di.errors import M3diError
from m3di.learn.training.job import TrainResult
from m3di.learn.training.sweep import read_sweep, run_member, run_members, share_of
from m3di.system.allocator import keep_freed_memory
from m3di.system.plugins import import_modules
from m3di.system.signals import INTERRUPTED, exit_code_of, interrupt_behind, sigterm_interrupts


def command_of(folder: Path, share: str, modules: Sequence[str]) -> list[str]:
    """The command of a process that runs a share, see `main`."""
    return [sys.executable, "-m", __name__, str(folder), share, *modules]


def main(arguments: Sequence[str]) -> int:
    """Run a share of a sweep; what fails, and what interrupts it, is one message and an exit code.

    Args:
        arguments: The sweep's folder, the share as `share_of` has it, and names of modules to import first.

    Returns:
        The exit code.
    """
    folder, share, *modules = arguments
    try:
        with sigterm_interrupts():
            keep_freed_memory()
            import_modules(modules)
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
