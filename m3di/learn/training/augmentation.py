"""Augmentations of training images, by name, in torch alone.

What is drawn for a step depends on the seed, the step and the process only, never on what was drawn before: a run that
goes on after a stop augments as one that was not stopped, with any number of workers.

Each changes what an image says of its factors, so that an encoder learns to say less of them: `flip`, `shift` and
`crop` of where the object is, `color` and `gray` of hues and lights. Take those that leave your content alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from m3di.system.registry import Registry

LARGEST_SHIFT = 1 / 16  # of the image's side
LEAST_SIDE = 0.8  # of a crop, of the image's side
STRENGTH = 0.2  # brightness, contrast and saturation by a factor of 1 - 0.2 to 1 + 0.2
GRAY_SHARE = 0.2  # of the images
NOISE_STD = 0.03 * 255
ERASED_SIDE = 0.25  # of the image's side
LUMA = (0.299, 0.587, 0.114)

Augmentation = Callable[[Tensor, torch.Generator], Tensor]  # images [B, 3, H, W] from 0 to 255, and what it draws from
AUGMENTATIONS = Registry[Augmentation]("augmentation", object, group="m3di.augmentations")


def generator_of(device: torch.device, seed: int, step: int, rank: int = 0) -> torch.Generator:
    """Return the generator for the augmentations of a step."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) >> 1)


def augmented(images: Tensor, names: Sequence[str], draws: torch.Generator) -> Tensor:
    """Images [B, 3, H, W], uint8 or float from 0 to 255 -> float32 in that range, one augmentation after the other."""
    x = images.float()
    for name in names:
        x = AUGMENTATIONS[name](x, draws)
    return x.clamp(0, 255)


@AUGMENTATIONS.register("flip")
def flip(x: Tensor, draws: torch.Generator) -> Tensor:
    """Every other image, at random, mirrored left to right."""
    mirrored = _uniform(x, draws) < 0.5  # [B, 1, 1, 1]
    return torch.where(mirrored, x.flip(3), x)


@AUGMENTATIONS.register("shift")
def shift(x: Tensor, draws: torch.Generator) -> Tensor:
    """Moved by up to a sixteenth of the side each way, whole pixels; edge pixels fill up."""
    most = max(1, round(LARGEST_SHIFT * x.shape[3]))
    by = torch.randint(-most, most + 1, (2, len(x)), generator=draws, device=x.device)
    rows = (torch.arange(x.shape[2], device=x.device) + by[0, :, None]).clamp(0, x.shape[2] - 1)  # [B, H]
    columns = (torch.arange(x.shape[3], device=x.device) + by[1, :, None]).clamp(0, x.shape[3] - 1)  # [B, W]
    images = torch.arange(len(x), device=x.device)
    return x.permute(0, 2, 3, 1)[images[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@AUGMENTATIONS.register("crop")
def crop(x: Tensor, draws: torch.Generator) -> Tensor:
    """A square of 0.8 to 1 of the side, anywhere, brought back to the size."""
    side = LEAST_SIDE + (1 - LEAST_SIDE) * _uniform(x, draws)[:, 0, 0, 0]  # [B]
    centres = (2 * torch.rand(2, len(x), generator=draws, device=x.device) - 1) * (1 - side)  # [2, B]
    theta = torch.zeros(len(x), 2, 3, device=x.device)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, :, 2] = centres.T
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


@AUGMENTATIONS.register("color")
def color(x: Tensor, draws: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation, each by a factor of 0.8 to 1.2."""
    brightness, contrast, saturation = (1 + STRENGTH * (2 * _uniform(x, draws) - 1) for _ in range(3))
    x = x * brightness
    mean = _luma(x).mean(dim=(2, 3), keepdim=True)  # [B, 1, 1, 1]
    x = mean + contrast * (x - mean)
    luma = _luma(x)
    return luma + saturation * (x - luma)


@AUGMENTATIONS.register("gray")
def gray(x: Tensor, draws: torch.Generator) -> Tensor:
    """Every fifth image, at random, without colour."""
    return torch.where(_uniform(x, draws) < GRAY_SHARE, _luma(x).expand_as(x), x)


@AUGMENTATIONS.register("noise")
def noise(x: Tensor, draws: torch.Generator) -> Tensor:
    """Normal noise of 3 % of the range on each channel of each pixel."""
    return x + NOISE_STD * torch.randn(x.shape, generator=draws, device=x.device)


@AUGMENTATIONS.register("erase")
def erase(x: Tensor, draws: torch.Generator) -> Tensor:
    """A square of a quarter of the side, anywhere, filled with the image's mean colour."""
    side = max(1, round(ERASED_SIDE * x.shape[3]))
    inside = []
    for n in x.shape[2:]:
        first = torch.randint(0, max(1, n - side + 1), (len(x), 1), generator=draws, device=x.device)
        at = torch.arange(n, device=x.device)
        inside.append((at >= first) & (at < first + side))  # [B, n]
    hidden = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # [B, 1, H, W]
    return torch.where(hidden, x.mean(dim=(2, 3), keepdim=True), x)


def _uniform(x: Tensor, draws: torch.Generator) -> Tensor:
    """[B, 1, 1, 1] in [0, 1)."""
    return torch.rand(len(x), 1, 1, 1, generator=draws, device=x.device)


def _luma(x: Tensor) -> Tensor:
    """[B, 1, H, W], the brightness as one sees it."""
    red, green, blue = LUMA  # numbers, not a tensor: to copy one to a GPU would make the step wait
    return red * x[:, 0:1] + green * x[:, 1:2] + blue * x[:, 2:3]
