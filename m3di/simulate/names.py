"""The names of `m3di.simulate`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.simulate.config import SimulationConfig
from m3di.simulate.judge import evaluate
from m3di.simulate.mixing import InvertibleMLP, draw_mixing
from m3di.simulate.process import LatentProcess, Latents
from m3di.simulate.recipes import RECIPES, SCALES, RecipeRun, Scale, members, parse_scale
from m3di.simulate.run import folder_name, is_finished, simulate
from m3di.simulate.simulation import Simulation
from m3di.simulate.trainer import train

__all__ = [
    "RECIPES",
    "SCALES",
    "InvertibleMLP",
    "LatentProcess",
    "Latents",
    "RecipeRun",
    "Scale",
    "Simulation",
    "SimulationConfig",
    "draw_mixing",
    "evaluate",
    "folder_name",
    "is_finished",
    "members",
    "parse_scale",
    "simulate",
    "train",
]
