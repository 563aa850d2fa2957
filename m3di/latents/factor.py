"""A factor as a spec declares it: its support, its physical meaning, and which mechanism gives it values."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from m3di.errors import near_match
from m3di.latents.colors import PALETTES, Palette, own_palette, palette
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.problems import custom_error

HEX = r"^#[0-9a-fA-F]{6}$"
MAX_WHOLE = 2**53  # whole numbers up to here are exact in float64, by which ranges are computed


WHENCE = ("mechanism", "first", "moved")
"""Keys of a factor that say where its values come from; all others say what they mean."""
STORED = "stored"  # validation context: the spec of a dataset, which is read even where today's rules refuse it


def is_stored(info: ValidationInfo) -> bool:
    """Whether what is validated comes from a dataset."""
    return bool(info.context and info.context.get(STORED))


class Strict(BaseModel):
    """Unknown keys are refused, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Factor(Strict):
    """A generative factor.

    Attributes:
        type: `categorical` (raw value = index), `continuous` or `integer` (raw value within `range`).
        values: Names of the values of a categorical factor.
        palettes: Instead of `values`: the values are all colour names of these palettes, `tableau`, `css4`, `xkcd` or
            some of `colors`.
        colors: Palettes of its own by name, each a mapping from names of colours to hexadecimal ones, '#rrggbb'.
        range: Least and greatest raw value; without it a continuous factor is any real number.
        kind: What the number is; hue and angle are circular.
        unit: Unit of the physical values.
        physical: Physical value of each categorical value, or of the two ends of `range` (affine between).
        saturation: HSV saturation of a hue.
        wheel: How a hue outside [0, 1) becomes a colour, see `hsv_to_rgb`.
        mechanism: Where the value comes from.
        first: Where it comes from in the first frames of a sequence, before which there is none that `mechanism` asks
            for.
        moved: Interventions, FACTOR or VIEW.FACTOR, that have replaced a mechanism which moves: the noise of every
            frame is kept there. m3di writes it.
    """

    type: Literal["categorical", "continuous", "integer"]
    values: tuple[str, ...] | None = None
    palettes: tuple[str, ...] = ()
    colors: dict[str, dict[str, Annotated[str, Field(pattern=HEX)]]] = Field(default_factory=dict)
    range: tuple[float, float] | None = None
    kind: Literal["label", "position", "angle", "hue", "seed", "scalar"]
    unit: str | None = None
    physical_values: tuple[float, ...] | None = Field(default=None, alias="physical")
    saturation: float = Field(default=1.0, ge=0.0, le=1.0)
    wheel: Literal["hsv", "published"] = "hsv"
    mechanism: MechanismUse = MechanismUse(name="uniform")
    first: MechanismUse = MechanismUse(name="uniform")
    moved: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Factor:
        if is_stored(info):
            return self
        self._check_support()
        self._check_physical()
        for key in ("saturation", "wheel"):
            if key in self.model_fields_set and self.kind != "hue":
                raise custom_error(
                    f"`{key}` belongs to the kind `hue`, and only to it",
                    key=key,
                    expected="a factor with `kind: hue`",
                    next_step=f"leave `{key}` out",
                )
        return self

    def _check_support(self) -> None:
        self._check_palettes()
        if self.type == "categorical":
            self._check_names()
        else:
            self._check_range()

    def _check_palettes(self) -> None:
        known = (*PALETTES, *self.colors)
        for name in self.palettes:
            if name not in known:
                near = near_match(name, known)
                raise custom_error(
                    f"no palette is called {name!r}" + (f"; did you mean {near!r}?" if near else ""),
                    key="palettes",
                    expected=f"some of {', '.join(known)}",
                    next_step="correct the name, or give its colours: colors: {NAME: {red: '#ff0000', ...}}",
                )
        for name, each in self.colors.items():
            what = None
            if name in PALETTES:
                what = f"{name!r} is a palette of m3di"
            elif name not in self.palettes:
                what = f"`palettes` does not name {name!r}"
            elif len({code.lower() for code in each.values()}) < 2:
                what = f"{name!r} has less than two colours"
            if what is not None:
                raise custom_error(
                    what,
                    key="colors",
                    expected="palettes of two colours and more, under names of their own that `palettes` has",
                    next_step="change it, or leave it out",
                )

    def _check_names(self) -> None:
        if bool(self.values) == bool(self.palettes):
            raise custom_error(
                "a categorical factor needs either `values` or `palettes`",
                expected="one of the two",
                next_step="add `values: [...]`",
            )
        for key, each in (("values", self.values or ()), ("palettes", self.palettes)):
            if len(set(each)) < len(each):
                raise custom_error(
                    f"`{key}` names a value twice",
                    key=key,
                    expected="every name once",
                    next_step="take one of them away",
                )
        self._check_colors()
        unfit = [each for each in self.values or () if not each.isprintable() or each != " ".join(each.split())]
        if unfit or "" in (self.values or ()):
            raise custom_error(
                "`values` has a name that a caption cannot show as it is: it is empty, has white space at an end "
                "or twice in a row, or a character that is not printed",
                key="values",
                got=repr(unfit[0] if unfit else ""),
                expected="words, with single spaces between them",
                next_step="change the name",
            )
        if self.range is not None:
            raise custom_error(
                "`range` is for numbers, this factor is categorical",
                key="range",
                expected="`values`",
                next_step="leave `range` out",
            )

    def _check_colors(self) -> None:
        """Names of colours are values, each once: captions are read back by them."""
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise custom_error(
                f"two palettes have a colour called {twice!r}",
                key="palettes",
                expected="every name once",
                next_step="rename the colour of your own",
            )
        for each in (name for own in self.colors.values() for name in own):
            if not each.isprintable() or not each or each != " ".join(each.split()) or '"' in each:
                raise custom_error(
                    "a colour has a name that a caption cannot show as it is",
                    key="colors",
                    got=repr(each),
                    expected="words, with single spaces between them and no double quotes",
                    next_step="change the name",
                )

    def _check_range(self) -> None:
        for key in ("values", "palettes"):
            if getattr(self, key):
                raise custom_error(
                    f"`{key}` is for `type: categorical`, this factor is {self.type}",
                    key=key,
                    expected="`range`",
                    next_step=f"leave `{key}` out, or change `type`",
                )
        if self.range is None:
            if self.type == "integer":
                raise custom_error(
                    "an integer factor needs `range`", expected="range: [least, greatest]", next_step="add `range`"
                )
            return
        low, high = self.range
        if not (low < high and math.isfinite(high - low)):
            raise custom_error(
                f"`range` must be [least, greatest] with least < greatest, got {list(self.range)}",
                key="range",
                expected="two numbers, the smaller one first",
                next_step=f"write [{high:g}, {low:g}]" if low > high else "change one of them",
            )
        if self.type == "integer" and not all(each.is_integer() and abs(each) <= MAX_WHOLE for each in self.range):
            raise custom_error(
                f"the `range` of an integer factor holds whole numbers from -2**53 to 2**53 (beyond it, "
                f"they are not exact), got {list(self.range)}",
                key="range",
                expected=f"whole numbers, at most {MAX_WHOLE}",
                next_step="take a smaller range, or `type: continuous`",
            )

    def _check_physical(self) -> None:
        if self.physical_values is None:
            return
        n_physical = self.n if self.type == "categorical" else 2
        if self.type != "categorical" and self.range is None:
            raise custom_error(
                "`physical` needs `range`",
                key="physical",
                expected="range: [least, greatest], whose ends `physical` maps",
                next_step="add `range`",
            )
        if len(self.physical_values) != n_physical:
            raise custom_error(
                f"`physical` needs {n_physical} numbers, got {len(self.physical_values)}",
                key="physical",
                expected=f"{n_physical} numbers",
                next_step="one number for each value, or for each end of `range`",
            )
        if not math.isfinite(max(self.physical_values) - min(self.physical_values)):
            raise custom_error(
                "the span of `physical` is infinite in float64",
                key="physical",
                expected="numbers that a scene can have",
                next_step="take smaller numbers",
            )
        if n_physical > 1 and len(set(self.physical_values)) == 1:
            raise custom_error(
                "`physical` is the same for all values: the factor would change nothing",
                key="physical",
                expected="different numbers",
                next_step="change one of them",
            )

    def palette(self, name: str) -> Palette:
        """One of its palettes."""
        return own_palette(tuple(self.colors[name].items())) if name in self.colors else palette(name)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the values of a categorical factor."""
        return self.values or tuple(name for each in self.palettes for name in self.palette(each).names)

    @cached_property
    def hex(self) -> tuple[str, ...]:
        """Hexadecimal colour of each value of a factor made of palettes."""
        return tuple(code for each in self.palettes for code in self.palette(each).hex)

    @property
    def n(self) -> int:
        """Number of values of a categorical factor."""
        return len(self.names)

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Numbers of values that stand for each other: those of each palette; without palettes, of all."""
        return tuple(len(self.palette(each).names) for each in self.palettes) or (self.n,)

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

    def columns(self, name: str) -> tuple[str, ...]:
        """Columns of this factor in a table, if it is called `name`: raw value, `_name`, `_hex`, physical value."""
        columns = [name]
        if self.type == "categorical":
            columns.append(f"{name}_name")
        if self.palettes:
            columns.append(f"{name}_hex")
        if self.physical_values is not None:
            columns.append(self.physical_column(name))
        return tuple(columns)

    def physical_column(self, name: str) -> str:
        """Column of its physical values, if it is called `name`."""
        return f"{name}_{self.unit or 'physical'}"

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
