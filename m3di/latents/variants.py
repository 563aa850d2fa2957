"""Views once more: in other worlds, and frame by frame."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from m3di.latents.factor import Strict


class Pairs(Strict):
    """Every view once more, in another world.

    Attributes:
        counterfactual: Once for each factor named, with that factor drawn again.
        permuted_content: Once with the content of the sample's neighbour (0 and 1, 2 and 3, ... change places), and
            all else as it is.
    """

    counterfactual: tuple[str, ...] = ()
    permuted_content: bool = False


class Sequence(Strict):
    """Frames, in which factors move whose mechanism has an earlier parent (`NAME@-1`) or is `ar1`, and what they cause.

    Attributes:
        length: Number of frames.
        frames: `views`: every image view `length` times in a sample. `samples`: a frame is a sample, `length` in a row
            are one sequence.
        burn_in: Frames that pass before the first one that is shown.
        redrawn: Factors whose noise is another one in every frame; that of others stays, unless they move, and so does
            that of a `change`.
    """

    length: Annotated[int, Field(ge=2, le=10_000)]
    frames: Literal["views", "samples"] = "views"
    burn_in: Annotated[int, Field(ge=0, le=10_000)] = 0
    redrawn: tuple[str, ...] = ()
