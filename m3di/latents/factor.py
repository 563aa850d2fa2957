"""A factor as a spec declares it: its support, its physical meaning, and which mechanism gives it values."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from m3di.latents.colors import palette


class Strict(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MechanismUse(BaseModel):
    """A mechanism by name, its parents, and its parameters beside them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    parents: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """What the spec sets beside name and parents."""
        return dict(self.model_extra or {})


class Factor(Strict):
    """A generative factor.

    Attributes:
        type: `categorical` (raw value = index), `continuous` or `integer` (raw value within `range`).
        values: Names of the values of a categorical factor.
        palettes: Instead of `values`: the values are all colour names of these palettes.
        range: Least and greatest raw value; without it a continuous factor is any real number.
        kind: What the number is; hue and angle are circular.
        unit: Unit of the physical values.
        physical: Physical value of each categorical value, or of the two ends of `range` (affine between).
        saturation: HSV saturation of a hue.
        wheel: How a hue outside [0, 1) becomes a colour, see `hsv_to_rgb`.
        mechanism: Where the value comes from.
    """

    type: Literal["categorical", "continuous", "integer"]
    values: tuple[str, ...] | None = None
    palettes: tuple[Literal["tableau", "css4", "xkcd"], ...] = ()
    range: tuple[float, float] | None = None
    kind: Literal["label", "position", "angle", "hue", "seed", "scalar"]
    unit: str | None = None
    physical_values: tuple[float, ...] | None = Field(default=None, alias="physical")
    saturation: float = Field(default=1.0, ge=0.0, le=1.0)
    wheel: Literal["hsv", "published"] = "hsv"
    mechanism: MechanismUse = MechanismUse(name="uniform")

    @model_validator(mode="after")
    def _consistent(self) -> Factor:
        if self.type == "categorical":
            if bool(self.values) == bool(self.palettes):
                raise ValueError("a categorical factor needs either `values` or `palettes`")
            if self.values and len(set(self.values)) < len(self.values):
                raise ValueError("`values` names a value twice")
        elif self.range is None and self.type == "integer":
            raise ValueError("an integer factor needs `range`")
        elif self.range is not None and not (all(map(math.isfinite, self.range)) and self.range[0] < self.range[1]):
            raise ValueError(f"`range` must be [least, greatest] with least < greatest, got {list(self.range)}")
        n_physical = self.n if self.type == "categorical" else 2
        if self.physical_values is not None:
            if self.type != "categorical" and self.range is None:
                raise ValueError("`physical` needs `range`")
            if len(self.physical_values) != n_physical:
                raise ValueError(f"`physical` needs {n_physical} numbers, got {len(self.physical_values)}")
        return self

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the values of a categorical factor."""
        return self.values or tuple(name for each in self.palettes for name in palette(each).names)

    @cached_property
    def hex(self) -> tuple[str, ...]:
        """Hexadecimal colour of each value of a factor made of palettes."""
        return tuple(code for each in self.palettes for code in palette(each).hex)

    @property
    def n(self) -> int:
        """Number of values of a categorical factor."""
        return len(self.names)

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest raw value; infinite for a continuous factor without `range`."""
        if self.type == "categorical":
            return 0, self.n - 1
        return self.range if self.range is not None else (-math.inf, math.inf)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the raw values."""
        return np.dtype(np.float64 if self.type == "continuous" else np.int64)

    def value_name(self, raw: float) -> str:
        """Name of a raw value of a categorical factor."""
        return self.names[int(raw)]

    def from_unit(self, u: NDArray[np.float64]) -> NDArray[Any]:
        """Raw values whose uniform distribution over the support has quantile `u`, [n] in (0, 1)."""
        if self.type == "categorical":
            return np.floor(u * self.n).astype(np.int64)
        low, high = self.bounds
        if self.type == "integer":
            return (low + np.floor(u * (high - low + 1))).astype(np.int64)
        return low + (high - low) * u

    def to_unit(self, raw: NDArray[Any]) -> NDArray[np.float64]:
        """Quantiles of raw values under the uniform distribution; of a categorical value, the middle of its bin."""
        if self.type == "categorical":
            return (raw + 0.5) / self.n
        low, high = self.bounds
        if self.type == "integer":
            return (raw - low + 0.5) / (high - low + 1)
        return (raw - low) / (high - low)

    def physical(self, raw: ArrayLike) -> NDArray[np.float64]:
        """Physical values of raw values, in `unit`; without `physical` in the spec, the raw values themselves."""
        values = np.asarray(raw, dtype=np.float64)
        if self.physical_values is None:
            return values
        if self.type == "categorical":
            return np.asarray(self.physical_values)[np.asarray(raw, dtype=np.int64)]
        (low, high), (first, last) = self.bounds, self.physical_values
        return first + (last - first) * (values - low) / (high - low)
