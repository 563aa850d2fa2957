"""`m3di example`: the dataset that comes with m3di."""

from __future__ import annotations

import click

from m3di.cli.command import command
from m3di.cli.options import wrote
from m3di.cli.paths import Place


@command("example", examples=("m3di example data/example",))
@click.argument("root", metavar="FOLDER", default="data/example", type=Place())
def copy_the_example(root: str) -> None:
    """Copy the dataset that comes with m3di into FOLDER (data/example): 900 pairs of 64 px.

    Every command takes it, so that you can try each of them before you render, and without Blender.
    """
    from m3di.data import copy_example

    wrote(root, copy_example(root).n_samples)
