"""Texts that a spec has in the place of captions: nobody but their writer knows their language, licence and origin."""

from __future__ import annotations

from m3di.latents import Spec, caption_languages


def texts_of(spec: Spec) -> dict[str, str]:
    """Files of texts that stand in the place of captions, by view."""
    return {name: view.texts for name, view in spec.told.items() if view.texts}


def stated_languages(spec: Spec) -> list[str]:
    """The languages of the captions; none where one is not known, or where there are no captions."""
    return [] if texts_of(spec) else caption_languages(spec)
