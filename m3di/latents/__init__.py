"""Spec, noise streams, causal mechanisms, colours and captions: numbers and words, no images."""

from m3di.latents.captions import captions, load_template
from m3di.latents.colors import PALETTES, hsv_to_rgb, palette
from m3di.latents.factor import Factor, MechanismUse
from m3di.latents.load import load_spec, parse_spec, spec_from_dict, spec_names
from m3di.latents.mechanisms import MECHANISMS, Parent, register
from m3di.latents.noise import uniforms
from m3di.latents.sample import Samples, sample
from m3di.latents.spec import SPLITS, FactorUse, Spec, View

__all__ = [
    "MECHANISMS",
    "PALETTES",
    "SPLITS",
    "Factor",
    "FactorUse",
    "MechanismUse",
    "Parent",
    "Samples",
    "Spec",
    "View",
    "captions",
    "hsv_to_rgb",
    "load_spec",
    "load_template",
    "palette",
    "parse_spec",
    "register",
    "sample",
    "spec_from_dict",
    "spec_names",
    "uniforms",
]
