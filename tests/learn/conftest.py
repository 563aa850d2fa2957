"""A small learnable dataset of pairs, and one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
import torch
from torch import nn

from m3di.learn import register_image_encoder, register_text_encoder
from m3di.learn.models import registry
from tests.conftest import keep


class FakePairs:
    """Coloured noise images and the token sequences that name their colour; every pair differs from every other."""

    root = "/fake/root"
    fingerprint = "sha256:fake"
    modalities: ClassVar[dict[str, str]] = {"image": "image", "text": "text"}
    vocabularies: ClassVar[dict[str, tuple[str, ...]]] = {"text": tuple(f"word{number}" for number in range(20))}
    vocabulary_size = 20
    pad_index = 0

    def __init__(self, n_samples: int = 16, size_px: int = 32, n_tokens: int = 24) -> None:
        generator = torch.Generator().manual_seed(1)
        colors = torch.randint(0, 200, (n_samples, 3, 1, 1), generator=generator)
        noise = torch.randint(0, 50, (n_samples, 3, size_px, size_px), generator=generator)
        self.images = (colors + noise).to(torch.uint8)
        self.texts = torch.randint(1, self.vocabulary_size, (n_samples, n_tokens), generator=generator)
        self.texts[:, n_tokens * 3 // 4 :] = self.pad_index

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int | list[int]) -> dict[str, object]:
        return {
            "image": self.images[index],
            "text": self.texts[index],
            "caption": f"caption {index}",
            "z_image": {"object_xpos": index},
            "z_text": {"object_xpos": index},
        }


class TinyEncoder(nn.Module):
    """A quick image encoder, with or without batch norm."""

    def __init__(self, encoding_size: int, hidden_size: int, *, batch_norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, hidden_size, kernel_size=8, stride=8)
        self.norm = nn.BatchNorm2d(hidden_size) if batch_norm else nn.Identity()
        self.fc = nn.Linear(hidden_size, encoding_size)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.fc(self.norm(self.conv(image)).relu().mean(dim=(2, 3)))


class TinyText(nn.Module):
    """A quick text encoder without batch norm."""

    def __init__(self, vocabulary_size: int, encoding_size: int, pad_index: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, encoding_size, padding_idx=pad_index)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens).mean(dim=1)


def register_tiny() -> None:
    """Make the quick encoders known, as a user would."""
    register_image_encoder("tiny-bn", TinyEncoder)
    register_image_encoder("tiny", lambda *sizes: TinyEncoder(*sizes, batch_norm=False))
    register_text_encoder("tiny", TinyText)


def keep_registered(patch: pytest.MonkeyPatch) -> None:
    """Register the quick encoders, for as long as the patch lasts."""
    keep(registry.IMAGE_ENCODERS, patch)
    keep(registry.TEXT_ENCODERS, patch)
    register_tiny()


@pytest.fixture
def tiny_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_registered(monkeypatch)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def make_pairs() -> Callable[..., FakePairs]:
    return FakePairs
