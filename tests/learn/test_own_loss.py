"""A loss of a user, from one file to a trained run, through the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from m3di.cli.main import cli
from m3di.errors import UsageError
from tests.conftest import write_package

DISTANCE = """
from m3di.learn import Objective, register_loss

@register_loss("distance")
class Distance(Objective):
    '''Mean squared distance of pairs.'''

    def __init__(self, *, weight: float = 2.0):
        super().__init__()
        self.weight = weight

    def of_pair(self, z1, z2):
        return self.weight * (z1 - z2).square().mean()
"""
ENCODER = """
from torch import nn
from m3di.learn import register_image_encoder
def flat(encoding_size, hidden_size):
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, encoding_size))
register_image_encoder("flat-image", flat)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--import", "entry point"])
def test_a_loss_of_a_users_own_is_one_file(
    how: str, extension_folder: Path, tiny_encoder: None, fake_dataset: Path
) -> None:
    folder = extension_folder
    (folder / "flat_images.py").write_text(ENCODER)
    options = ["--import", "distances"]
    if how == "entry point":
        write_package(folder, "distances", DISTANCE, "[m3di.losses]\ndistance = distances:Distance\n")
        sys.path.append(str(folder))
        options = []
    else:
        (folder / "distances.py").write_text(DISTANCE)
    arguments = ["train", "--data", str(fake_dataset), "--run", "run", *options, "--import", "flat_images"]
    arguments += ["--image-encoder", "flat-image", "--loss", "distance", "--loss-option", "weight=0.5", "--steps", "2"]
    arguments += ["--batch-size", "4", "--no-tensorboard", "--precision", "fp32", "--hidden-size", "8"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads((folder / "run" / "summary.json").read_text())["n_steps"] == 2
    assert '"distance"' in (folder / "run" / "config.json").read_text()
    with pytest.raises(UsageError, match=r"no loss is called 'distence'(?s:.)*did you mean 'distance'"):
        CliRunner().invoke(cli, [*arguments, "--loss", "distence"], catch_exceptions=False)
