"""The results of the paper, by name. Only what its text and tables state is a number; figures are patterns in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from m3di.errors import UsageError, did_you_mean
from m3di.reproduce import simulated, trained
from m3di.reproduce.simulated import SimulatedResult
from m3di.reproduce.trained import TrainedResult

Result = SimulatedResult | TrainedResult

_DEPENDENCES = (
    "Content is found whatever depends on what; what one modality alone has is discarded; style is predicted where it "
    "depends on content or where its dimensions depend on each other. The table has numbers."
)
_TABLE = (simulated.CONTENT_FOUND, simulated.STYLE_DISCARDED, simulated.STYLE_PREDICTED)
_PLAIN = (simulated.CONTENT_FOUND, simulated.STYLE_DISCARDED, simulated.MODALITY_DISCARDED)
_IMAGES = (
    trained.CONTENT_FOUND,
    trained.PRIVATE_DISCARDED,
    trained.STYLE_OF_CONTENT,
    trained.STYLE_INDEPENDENT,
)

_ALL: tuple[Result, ...] = (
    SimulatedResult(
        "table1a",
        "Table 1a: simulation, two modalities",
        _DEPENDENCES,
        "table1",
        "multimodal",
        (*_TABLE, simulated.MODALITY_DISCARDED),
    ),
    SimulatedResult(
        "table1b", "Table 1b: simulation, two views of one modality", _DEPENDENCES, "table1", "multiview", _TABLE
    ),
    SimulatedResult(
        "table4a",
        "Table 4a: simulation without modality-specific latents, one mixing",
        _DEPENDENCES,
        "table4",
        "multiview",
        _TABLE,
    ),
    SimulatedResult(
        "table4b",
        "Table 4b: simulation without modality-specific latents, distinct mixings",
        _DEPENDENCES,
        "table4",
        "distinct mixings",
        _TABLE,
    ),
    TrainedResult(
        "figure3",
        "Figure 3: image/text pairs, against the encoding size",
        "A figure without stated numbers. Shape and position are found, what only image or text has is discarded, and "
        "the hue is predicted as far as position, which causes it, tells.",
        ("m3di",),
        "scores",
        _IMAGES,
    ),
    SimulatedResult(
        "figure5",
        "Figure 5: simulation with discrete latents (a: content, b: style, c: modality-specific)",
        "A figure without stated numbers. Content is found and the rest discarded when a block is discrete too.",
        "figure5",
        "",
        _PLAIN,
    ),
    SimulatedResult(
        "figure6",
        "Figure 6: simulation, number of dimensions of a block",
        "A figure without stated numbers, whose values are ours, one panel a block. Content is found and the rest "
        "discarded whatever the number of dimensions. The paper has a fourth panel, which is not reproduced: what it "
        "varies is not recorded in this project.",
        "figure6",
        "",
        _PLAIN,
    ),
    SimulatedResult(
        "figure7a",
        "Figure 7a: simulation, encoding size",
        "A figure without stated numbers. The loss stops to fall where encodings are as large as the content.",
        "figure7a",
        "",
        simulated.ELBOW,
    ),
    TrainedResult(
        "figure7b",
        "Figure 7b: image/text pairs, validation loss against the encoding size",
        "A figure without stated numbers. The validation loss has an elbow.",
        ("m3di",),
        "loss",
        (trained.LOSS_ELBOW,),
    ),
    SimulatedResult(
        "figure8",
        "Figure 8: simulation of table 1a, probed under permuted content",
        "Encoders predict the content that they see. Style that content causes is then predicted no more; style of "
        "statistical dependence still is. The figure has numbers.",
        "figure8",
        "",
        simulated.INTERVENTIONS,
    ),
    TrainedResult(
        "figure10",
        "Figure 10: pairs of images, with independent factors and with causal dependence",
        "A figure without stated numbers. Positions are found, rotations of one view are discarded, hues are predicted "
        "only as far as the causal graph lets content tell them.",
        ("image-pairs", "image-pairs-causal"),
        "scores",
        _IMAGES,
    ),
    TrainedResult(
        "figure11",
        "Figure 11: image/text pairs with independent factors",
        "A figure without stated numbers. As figure 3, but the hue, which nothing causes, is discarded.",
        ("m3di-independent",),
        "scores",
        _IMAGES,
    ),
)
RESULTS: Mapping[str, Result] = {result.name: result for result in _ALL}


def choose_results(only: Sequence[str] = ()) -> list[Result]:
    """Return results by name, in the order of the paper; all if none is named.

    Args:
        only: Names, such as "figure3"; "table1" stands for table1a and table1b.

    Raises:
        UsageError: There is none of a name.
    """
    for name in only:
        if not any(_is_meant(known, name) for known in RESULTS):
            raise UsageError(
                f"the paper has no result {name!r}",
                where="--only",
                expected=", ".join(RESULTS),
                next_step=did_you_mean(name, RESULTS),
            )
    return [each for name, each in RESULTS.items() if not only or any(_is_meant(name, asked) for asked in only)]


def _is_meant(name: str, asked: str) -> bool:
    return name == asked or (name[:-1] == asked and name[-1].isalpha())
