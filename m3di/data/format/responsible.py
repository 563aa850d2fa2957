"""What a dataset says of itself in the vocabulary of responsible AI: the same for all, but its origin."""

from __future__ import annotations

from typing import Any

from m3di.data.format.foreign_texts import texts_of
from m3di.data.format.manifest import Manifest

KEYWORDS = ["synthetic data", "multimodal", "disentanglement", "identifiability", "causal representation learning"]
_ORIGIN = {
    "derived": "Samples of datasets that m3di made were cut out or joined; the table says which sample each was",
    "imported": "The published files of Multimodal3DIdent were put into this layout; nothing of them was changed",
}
_SAID = {
    "rai:hasSyntheticData": True,
    "rai:dataCollectionType": ["Software Collection", "Synthetic"],
    "rai:personalSensitiveInformation": "None: nothing was taken of any person.",
    "rai:dataBiases": (
        "Values follow the distributions of the spec, and no others. Captions follow templates in few phrasings. "
        "Shapes, camera and lights are few, and do not stand for those of the world."
    ),
    "rai:dataLimitations": (
        "Simple scenes of one lit object. What a method does here does not say what it does with photographs or with "
        "texts of people. Not for training of what is put to use."
    ),
    "rai:dataUseCases": (
        "To measure which factors a representation identifies, and under which causal graph; to test methods of "
        "disentanglement, causal representation learning and multimodal learning."
    ),
    "rai:dataSocialImpact": "None is expected of the data by themselves: they show no people and no places.",
    "rai:dataReleaseMaintenancePlan": (
        "The dataset stays as it is: its manifest has the checksum of every file. A corrected one is a new one."
    ),
}

_SAID_OF_TEXTS = {
    "rai:personalSensitiveInformation": "Of images and latents none; of the texts of {texts}, their writers can tell.",
    "rai:dataBiases": (
        "Values follow the distributions of the spec, and no others. Captions are texts of {texts}, with the biases of "
        "whoever wrote them. Shapes, camera and lights are few, and do not stand for those of the world."
    ),
}
"""What is another one where captions are texts that did not come with m3di."""


def responsible(manifest: Manifest) -> dict[str, Any]:
    """Return the fields of Croissant's RAI vocabulary, and where the data come from (PROV)."""
    spec = manifest.parsed_spec
    seeds, factors = ", ".join(map(str, manifest.all_seeds)), ", ".join(spec.factors)
    drawn = (
        f"m3di {manifest.render.get('m3di')} drew the latents by the spec (seeds {seeds}) and made all views of them"
    )
    made = _ORIGIN.get(manifest.source, drawn)
    collected = "Nothing was collected of the world."
    said = dict(_SAID)
    if texts := ", ".join(dict.fromkeys(texts_of(spec).values())):
        views = ", ".join(texts_of(spec))
        made += f"; but the captions of {views} are texts of {texts}, which came with the spec"
        collected = (
            f"How the texts of {texts} were collected, m3di does not know; nothing else was collected of the world."
        )
        said |= {name: text.format(texts=texts) for name, text in _SAID_OF_TEXTS.items()}
    return {
        **said,
        "rai:dataCollection": f"{made}. {collected}",
        "rai:dataAnnotationProtocol": f"None by people: a sample is made of its factors ({factors}), which label it.",
        "prov:wasGeneratedBy": made,
    }
