"""`m3di sample`: latents and captions without images."""

from __future__ import annotations

from pathlib import Path

import click

from m3di.cli.command import command
from m3di.cli.from_fields import RENDER, options_of
from m3di.cli.options import FOLDER


@command("sample")
@click.option("--n", required=True, type=int, help="Samples.")
@click.option("--out", type=FOLDER, required=True, help="The .parquet or .csv file to write.")
@click.option("--split", default="train", show_default=True, help="train, val, test, or another one of the spec.")
@options_of(RENDER, "spec", "interventions", "seed", defaults={"spec": "m3di", "seed": 0})
def sample_latents(spec: str, interventions: tuple[str, ...], seed: int, n: int, split: str, out: Path) -> None:
    """Draw latents and captions only: raw and physical values, no images."""
    from m3di.data import write_samples
    from m3di.latents import intervene, load_spec, sample

    intervened = intervene(load_spec(spec), interventions)
    write_samples(out, sample(intervened, split, n, seed=seed))
    click.echo(f"{out}: {n} samples of {intervened.name}")
