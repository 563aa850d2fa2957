"""Spec, noise streams, causal mechanisms, colours and captions: numbers and words, no images."""

from m3di.latents.bounds import Bound, bounds
from m3di.latents.caption_parser import CaptionParser
from m3di.latents.captions import captions, sentences
from m3di.latents.colors import PALETTES, hsv_to_rgb, palette
from m3di.latents.factor import Factor, MechanismUse
from m3di.latents.interventions import counterfactual, do, intervene, parse_do, permute_content
from m3di.latents.load import load_spec, parse_spec, plain_spec, spec_from_dict, spec_names, to_yaml
from m3di.latents.mechanisms import MECHANISMS, Parent, register
from m3di.latents.noise import uniforms
from m3di.latents.sample import Samples, sample
from m3di.latents.spec import SPLITS, FactorUse, Observed, Spec, View
from m3di.latents.templates import load_template, parse_template, template_names

__all__ = [
    "MECHANISMS",
    "PALETTES",
    "SPLITS",
    "Bound",
    "CaptionParser",
    "Factor",
    "FactorUse",
    "MechanismUse",
    "Observed",
    "Parent",
    "Samples",
    "Spec",
    "View",
    "bounds",
    "captions",
    "counterfactual",
    "do",
    "hsv_to_rgb",
    "intervene",
    "load_spec",
    "load_template",
    "palette",
    "parse_do",
    "parse_spec",
    "parse_template",
    "permute_content",
    "plain_spec",
    "register",
    "sample",
    "sentences",
    "spec_from_dict",
    "spec_names",
    "template_names",
    "to_yaml",
    "uniforms",
]
