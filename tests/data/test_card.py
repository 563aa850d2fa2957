from __future__ import annotations

from pathlib import Path

import yaml
from PIL import Image


def test_card(fake_dataset: Path) -> None:
    text = (fake_dataset / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    parsed = yaml.safe_load(header)
    assert parsed["license"] == "cc0-1.0"
    assert parsed["size_categories"] == ["n<1K"]
    assert parsed["configs"][0]["data_files"][1] == {"split": "validation", "path": "val-*.tar"}
    assert "| image | object_color | style | hue | [0, 1] | 0, 1 hue | binned(object_xpos) |" in body
    assert "| image | object_zpos | constant | position | [-1, 1] | -1, 1 m | always 0 |" in body
    assert "`KEY.png` (image), `KEY.txt` (text), `KEY.json` (latents)" in body
    assert "train 20, val 4, test 4 samples; images of 32 x 32 pixels. Seed 0." in body
    assert "![The first samples](samples.png)" in body
    with Image.open(fake_dataset / "samples.png") as picture:
        assert picture.size == (8 * 32, 32)
    assert "```yaml\nname: m3di\n" in body
    assert "**Data** (images, captions, latents): CC0" in body
    assert "**Meshes and scene**: modelled by" in body
