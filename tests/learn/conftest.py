"""A small learnable dataset of pairs, and one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
import torch


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


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def make_pairs() -> Callable[..., FakePairs]:
    return FakePairs
