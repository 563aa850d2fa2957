"""The generative process of the simulation: content, style, and latents of one modality each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from m3di.simulate.config import SimulationConfig

N_NODES = 64  # of an integral


@dataclass(frozen=True)
class Latents:
    """Latents of n samples; every field is [n, its dimensions] float32.

    Args:
        content: c, the same in both modalities.
        style: s, as the first modality has it.
        changed_style: s~, as the second modality has it.
        modality1: m1.
        modality2: m2.
    """

    content: Tensor
    style: Tensor
    changed_style: Tensor
    modality1: Tensor
    modality2: Tensor

    @property
    def view1(self) -> Tensor:
        """What f1 mixes, (c, s, m1): [n, d]."""
        return torch.cat([self.content, self.style, self.modality1], dim=1)

    @property
    def view2(self) -> Tensor:
        """What f2 mixes, (c, s~, m2): [n, d]."""
        return torch.cat([self.content, self.changed_style, self.modality2], dim=1)

    def with_permuted_content(self, generator: torch.Generator) -> Latents:
        """The intervention of figure 8: content moved between samples, everything else as it was."""
        order = torch.randperm(len(self.content), generator=generator, device=self.content.device)
        return replace(self, content=self.content[order])


class LatentProcess:
    """c ~ N(0, Sigma_c), m_i ~ N(0, Sigma_mi), s ~ N(a + B c, Sigma_s), s~ = s + eps in the dimensions that change.

    Each style dimension changes with probability pi on its own, by its dimension of eps ~ N(0, Sigma_eps). Under
    statistical dependence every Sigma is one draw of a Wishart distribution with identity scale and as many degrees
    of freedom as dimensions; else it is the identity. Under causal dependence a and B are standard normal; else 0.
    The draws are independent; with covariances "shared" all come from one seed, as in the published code, so that
    those of equal size are the same matrix.

    A discrete block is binned: each dimension into `n_classes` classes, about equally likely, numbered in order; the
    latent is the class number, shifted and scaled to mean 0 and variance 1 of equally likely classes. So causal
    dependence alone means the same as for numbers; statistical dependence, whose draws give numbers other variances
    than 1, keeps no more than their correlations. s~ is binned at the edges of s: it varies more, and its outer classes
    are likelier. Style that discrete content causes is no Gaussian, and its classes are less equal.

    Args:
        config: Its dimensions, dependencies and seed; equal ones give the equal process.
        device: Where samples are drawn.
    """

    def __init__(self, config: SimulationConfig, device: str = "cpu") -> None:
        self.config = config
        n_c, n_s, n_m = config.n_content, config.n_style, config.n_modality
        sizes = {"content": n_c, "style": n_s, "change": n_s, "modality1": n_m, "modality2": n_m}
        shared = config.covariances == "shared"
        self.covariances = {
            name: _wishart(size, _generator(config.seed, "all" if shared else name))
            if config.statistical
            else np.eye(size)
            for name, size in sizes.items()
        }
        causes = _generator(config.seed, "causes")
        draw = causes.standard_normal if config.causal else np.zeros
        self.offset: NDArray[np.float64] = np.asarray(draw(n_s))  # a
        self.effect: NDArray[np.float64] = np.asarray(draw((n_s, n_c)))  # B
        self._factors = {
            name: _tensor(np.linalg.cholesky(covariance).T, device) for name, covariance in self.covariances.items()
        }
        self._offset, self._effect = _tensor(self.offset, device), _tensor(self.effect.T, device)
        self._sizes = list(sizes.values())
        self._device = device
        scales = {name: np.sqrt(np.diag(covariance)) for name, covariance in self.covariances.items()}
        scales["style"] = np.sqrt(np.diag(self.style_covariance()))
        self._scales = {name: _tensor(scale, device) for name, scale in scales.items()}
        self._edges = _class_edges(config.n_classes or 1).to(device, torch.float32)

    def content_covariance(self) -> NDArray[np.float64]:
        """[n_content, n_content] covariance of c as it is, binned where it is discrete."""
        covariance = self.covariances["content"]
        if "content" not in self.config.discrete or self.config.n_classes is None:
            return covariance
        scale = np.sqrt(np.diag(covariance))
        return _binned_covariance(covariance / np.outer(scale, scale), self.config.n_classes)

    def style_covariance(self) -> NDArray[np.float64]:
        """[n_style, n_style] covariance of s before it is binned, that which content causes included."""
        return self.covariances["style"] + self.effect @ self.content_covariance() @ self.effect.T

    def sample(self, n: int, generator: torch.Generator) -> Latents:
        """Draw n samples on the process's device; `generator` must be of the same device. Does not wait for a GPU."""
        noise = torch.randn(n, sum(self._sizes), generator=generator, device=self._device)
        uniform = torch.rand(n, self.config.n_style, generator=generator, device=self._device)
        content, style, change, modality1, modality2 = (
            part @ self._factors[name] if self.config.statistical else part
            for name, part in zip(self._factors, torch.split(noise, self._sizes, dim=1), strict=True)
        )
        content = self._binned("content", content)
        if self.config.causal:
            style = style + self._offset + content @ self._effect
        changed = torch.addcmul(style, change, (uniform < self.config.style_change_prob).to(change.dtype))
        centre = self._offset
        return Latents(
            content,
            self._binned("style", style, centre),
            self._binned("style", changed, centre),
            self._binned("modality", modality1, scale_of="modality1"),
            self._binned("modality", modality2, scale_of="modality2"),
        )

    def classes(self, latents: Tensor) -> Tensor:
        """[n, k] latents of a discrete block -> [n, k] int64 class numbers from 0."""
        n_classes = self.config.n_classes or 0
        return (latents * _class_spread(n_classes) + (n_classes - 1) / 2).round().long()

    def _binned(self, block: str, values: Tensor, centre: Tensor | None = None, scale_of: str | None = None) -> Tensor:
        if block not in self.config.discrete or self.config.n_classes is None:
            return values
        standard = (values if centre is None else values - centre) / self._scales[scale_of or block]
        numbers = torch.bucketize(standard, self._edges).to(values.dtype)
        return (numbers - (self.config.n_classes - 1) / 2) / _class_spread(self.config.n_classes)


def _class_edges(n_classes: int) -> Tensor:
    """[n_classes - 1] float64 quantiles of the standard normal that part it equally."""
    return torch.special.ndtri(torch.arange(1, n_classes, dtype=torch.float64) / n_classes)


def _binned_covariance(correlation: NDArray[np.float64], n_classes: int) -> NDArray[np.float64]:
    """[n, n] covariance of standard normals of a correlation [n, n], once they are binned.

    Class numbers count the edges below a value, so it is a sum over pairs of edges a, b of Cov(X > a, Y > b), which is
    the integral of the normal density at (a, b) over correlations from 0 (Plackett, 1954); in angles, by Gauss and
    Legendre.
    """
    edges = _class_edges(n_classes).numpy()
    a, b = edges[:, None, None], edges[None, :, None]
    nodes, weights = np.polynomial.legendre.leggauss(N_NODES)  # type: ignore[no-untyped-call]
    covariance = np.eye(len(correlation))
    for i, j in zip(*np.triu_indices(len(correlation), 1), strict=True):
        end = np.arcsin(np.clip(correlation[i, j], -1, 1))
        angles = end * (nodes + 1) / 2
        density = np.exp(-(a**2 + b**2 - 2 * a * b * np.sin(angles)) / (2 * np.cos(angles) ** 2)) / (2 * np.pi)
        covariance[i, j] = covariance[j, i] = (density @ weights).sum() * end / 2 / _class_spread(n_classes) ** 2
    return covariance


def _class_spread(n_classes: int) -> float:
    """Standard deviation of equally likely whole numbers 0 .. n_classes - 1."""
    return float(np.sqrt((n_classes**2 - 1) / 12))


def _generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for each parameter, so that one more dimension of one changes no other."""
    return np.random.default_rng([seed, *name.encode()])


def _wishart(size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """[size, size] of W(I, size): a sum of `size` outer products of standard normal vectors."""
    vectors = generator.standard_normal((size, size))
    return np.asarray(vectors @ vectors.T)


def _tensor(array: NDArray[np.float64], device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, torch.float32)
