"""A modality that m3di has never heard of: this file is all there is of it, from the spec to the trained encoder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import m3di
from m3di import data, generate
from m3di.errors import M3diError, UsageError
from m3di.evaluate.encode import encode_run
from m3di.evaluate.probe_data import load_probe_data
from m3di.latents import Samples, do, load_spec, modality, parse_spec, sample
from m3di.learn.training.describe import describe
from tests.conftest import FakePool, fake_options

PLUGIN = '''
import numpy as np
import m3di


class Sound(m3di.Modality):
    """A tone of 32 values: its pitch is how often it swings, its loudness how far."""

    name, extension = "sound", "f32"

    def encode(self, samples, view):
        pitch, loudness = (samples.views[view][name][:, None] for name in ("pitch", "loudness"))
        waves = loudness * np.sin(np.arange(32) * (pitch + 1) * np.pi / 16)
        return [wave.astype("<f4").tobytes() for wave in waves]

    def decode(self, raw):
        if len(raw) != 128:
            raise ValueError(f"{len(raw)} bytes, a tone has 128")
        return np.frombuffer(raw, "<f4")

    def build_encoder(self, shape, encoding_size, hidden_size):
        from m3di.learn import MLP

        return MLP(shape[0], encoding_size, (hidden_size,))


m3di.register_modality(Sound())
'''
SPEC = """
name: tones
description: Tones, and what is said of them.
plugins: [sound.py]
factors:
  pitch: {type: integer, kind: scalar, range: [0, 5]}
  loudness: {type: continuous, kind: scalar, range: [0.5, 1.0]}
  level: {type: categorical, kind: label, values: [low, mid, high]}
views:
  ear: {modality: sound, factors: {pitch: content, loudness: style, level: content}}
  text: {modality: text, template: tones.yaml, factors: {level: content, pitch: content}}
splits: {train: 24, val: 12, test: 12}
"""
TEMPLATE = """
name: tones
language: en
reads: {level: label}
lexicon: {level: {word: {low: low, mid: middle, high: high}}}
phrasings: {one: "a {{ level }} tone", two: "the tone is {{ level }}"}
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test registers is known to no other test."""
    before, origins = dict(modality._modalities), dict(modality._origins)
    yield
    for now, then in ((modality._modalities, before), (modality._origins, origins)):
        now.clear()
        now.update(then)


def write_spec(folder: Path, spec: str = SPEC) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "sound.py").write_text(PLUGIN)
    (folder / "tones.yaml").write_text(TEMPLATE)
    (folder / "spec.yaml").write_text(spec)
    return folder / "spec.yaml"


def options_of(out: Path, spec: Path, **more: Any) -> generate.RenderOptions:
    return fake_options(out, spec=str(spec), n_train=24, n_val=12, n_test=12, **more)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: 24 + 12 + 12 samples, made by `m3di render`'s road without a renderer."""
    folder = tmp_path_factory.mktemp("tones")
    before, origins = dict(modality._modalities), dict(modality._origins)
    generate.render(options_of(folder / "data", write_spec(folder / "spec")))
    modality._modalities.clear(), modality._origins.clear()
    modality._modalities.update(before), modality._origins.update(origins)
    return folder / "data"


@pytest.fixture
def tones(rendered: Path) -> Path:
    m3di.latents.run_plugin(PLUGIN, "sound.py")
    return rendered
