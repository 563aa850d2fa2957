"""Encoders by name: registered, installed by a package, of timm."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from m3di.errors import UsageError
from m3di.learn.models import registry
from m3di.learn.models.registry import build_image_encoder, build_text_encoder, register_image_encoder
from tests.conftest import keep


def test_registered_encoders_are_built_by_name(tiny_encoder):
    assert build_image_encoder("tiny", 3, 5)(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
    assert build_text_encoder("tiny", 9, 3, 0)(torch.zeros(2, 4, dtype=torch.int64)).shape == (2, 3)
    assert build_image_encoder("resnet18", 3, 5).head.weight.shape == (3, 5)
    assert build_image_encoder("resnet18-small", 3, 5).fc.weight.shape == (5, 256)
    assert build_text_encoder("convnet", 9, 3, 2).pad_index == 2


def test_encoders_of_installed_packages_are_found(monkeypatch):
    point = EntryPoint("mine", "torch.nn:Linear", "m3di.image_encoders")
    monkeypatch.setattr("m3di.system.registry._entry_points", lambda group, _: [point] * (group == point.group))
    keep(registry.IMAGE_ENCODERS, monkeypatch)
    assert isinstance(build_image_encoder("mine", 3, 5), nn.Linear)
    with pytest.raises(UsageError, match=r"no image encoder is called 'mime'(?s:.)*did you mean 'mine'"):
        build_image_encoder("mime", 3, 5)


def test_unknown_encoders():
    with pytest.raises(UsageError, match=r"no image encoder is called 'vit'(?s:.)*resnet18-small, or timm:NAME"):
        build_image_encoder("vit", 3, 5)
    with pytest.raises(UsageError, match=r"no text encoder is called 'convnets'(?s:.)*did you mean 'convnet'"):
        build_text_encoder("convnets", 9, 3, 0)


def test_a_name_that_is_taken(tiny_encoder):
    with pytest.raises(UsageError, match="there is an image encoder of that name already"):
        register_image_encoder("tiny", nn.Linear)
    with pytest.raises(UsageError, match="this is no name of an image encoder"):
        register_image_encoder("timm:mine", nn.Linear)


def test_timm_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"timm's, which is not installed(?s:.)*pip install timm"):
        build_image_encoder("timm:resnet50", 3, 5)


def test_timm_models_get_our_head(monkeypatch):
    def create_model(name, num_classes):
        if name != "flat":
            raise RuntimeError(f"Unknown model ({name})")
        return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes))

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model, list_models=lambda: ["flat"]))
    encoder = build_image_encoder("timm:flat", 3, 5)
    assert encoder(torch.zeros(2, 3, 2, 2)).shape == (2, 3)
    assert (encoder.head.in_features, encoder.head.out_features) == (5, 3)
    with pytest.raises(UsageError, match=r"timm has no model 'flatt'(?s:.)*did you mean timm:flat\?"):
        build_image_encoder("timm:flatt", 3, 5)


def test_the_example_of_the_docs(tiny_encoder):
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(example, "docs/train.md", "exec"), {})
    assert build_image_encoder("small", 3, 5)(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
