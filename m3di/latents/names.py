"""The names of `m3di.latents`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.latents.caption_parser import CaptionParser
from m3di.latents.captioning import caption_languages, captions, sentences, template_of
from m3di.latents.colors import PALETTES, hsv_to_rgb, palette
from m3di.latents.conditions import holds_in
from m3di.latents.factor import Factor
from m3di.latents.graph import arrows
from m3di.latents.intervention_texts import intervene, parse_do, told
from m3di.latents.interventions import counterfactual, do, permute_content
from m3di.latents.load import load_spec, parse_spec, spec_names
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.mechanisms import (
    MECHANISMS,
    Plugin,
    plugins_run,
    read_plugin,
    register,
    run_again,
    run_plugin,
)
from m3di.latents.missing import missing_mechanisms
from m3di.latents.modality import Modality, find_modality, modalities, register_modality
from m3di.latents.name_checks import LATENTS
from m3di.latents.noise import uniforms
from m3di.latents.notes import notes
from m3di.latents.predictability import Bound, bounds
from m3di.latents.reference import reference_page, spec_schema
from m3di.latents.regimes import told_regimes
from m3di.latents.resolve import plain_spec, spec_from_dict, to_yaml
from m3di.latents.sampling import Samples, sample, share_accepted, told_given
from m3di.latents.scene_checks import shapes_shown
from m3di.latents.scene_factors import ANNOTATIONS, LATER_ANNOTATIONS, SCENE_FACTORS, SceneFactor
from m3di.latents.shapes import DATA_HOME, builtin_shapes, shape_folder, shape_names, user_shape_names
from m3di.latents.spec import SPLITS, Observed, Spec
from m3di.latents.split_texts import told_splits
from m3di.latents.splits import check_split
from m3di.latents.templates import load_template, parse_template, template_names
from m3di.latents.varying import Parent, Varies, Varying
from m3di.latents.view import FactorUse, View

__all__ = [
    "ANNOTATIONS",
    "DATA_HOME",
    "LATENTS",
    "LATER_ANNOTATIONS",
    "MECHANISMS",
    "PALETTES",
    "SCENE_FACTORS",
    "SPLITS",
    "Bound",
    "CaptionParser",
    "Factor",
    "FactorUse",
    "MechanismUse",
    "Modality",
    "Observed",
    "Parent",
    "Plugin",
    "Samples",
    "SceneFactor",
    "Spec",
    "Varies",
    "Varying",
    "View",
    "arrows",
    "bounds",
    "builtin_shapes",
    "caption_languages",
    "captions",
    "check_split",
    "counterfactual",
    "do",
    "find_modality",
    "holds_in",
    "hsv_to_rgb",
    "intervene",
    "load_spec",
    "load_template",
    "missing_mechanisms",
    "modalities",
    "notes",
    "palette",
    "parse_do",
    "parse_spec",
    "parse_template",
    "permute_content",
    "plain_spec",
    "plugins_run",
    "read_plugin",
    "reference_page",
    "register",
    "register_modality",
    "run_again",
    "run_plugin",
    "sample",
    "sentences",
    "shape_folder",
    "shape_names",
    "shapes_shown",
    "share_accepted",
    "spec_from_dict",
    "spec_names",
    "spec_schema",
    "template_names",
    "template_of",
    "to_yaml",
    "told",
    "told_given",
    "told_regimes",
    "told_splits",
    "uniforms",
    "user_shape_names",
]
