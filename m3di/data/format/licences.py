"""What may be done with a dataset: what came with m3di is CC0, and what did not keeps its own licence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from m3di.data.format.foreign_texts import texts_of
from m3di.data.format.manifest import Manifest
from m3di.latents import Spec

CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"
_OF_IMPORTS = """- **Data** (images, captions, latents): the licence of the imported files; see where you got them.
- **Meshes and scene**: those of the source, under the source's terms.
- **Code** of m3di: MIT."""


class Foreign(NamedTuple):
    """A part of a dataset that did not come with m3di.

    Attributes:
        short: Its part in the statement of a licence.
        told: The same as a sentence of the card.
    """

    short: str
    told: str


def foreign_parts(manifest: Manifest) -> list[Foreign]:
    """List what of a dataset did not come with m3di, and so has a licence that m3di does not know."""
    spec, parts = manifest.parsed_spec, []
    if manifest.shapes:
        listed = ", ".join(f"`{name}` (SHA-256 {digest[:12]})" for name, digest in manifest.shapes.items())
        parts.append(
            Foreign(
                f"images of {', '.join(sorted(manifest.shapes))}: the licences of these meshes",
                f"Meshes that do not come with m3di, and whose licences hold for the images of them: {listed}.",
            )
        )
    parts += _words("texts", "Texts that do not come with m3di, and stand in the place of captions", texts_of(spec))
    parts += _words(
        "templates", "Templates that do not come with m3di, and whose words captions have", _templates(spec)
    )
    if spec.made:
        made = {name: view.modality for name, view in spec.made.items()}
        parts += _words("modalities", "Modalities that do not come with m3di, and make files", made)
    return parts


def _words(kind: str, what: str, by_view: Mapping[str, str]) -> list[Foreign]:
    """What the views have that is somebody else's, by view."""
    if not by_view:
        return []
    listed = ", ".join(f"`{name}` (view `{view}`)" for view, name in by_view.items())
    return [
        Foreign(
            f"{', '.join(by_view)}: the licences of {', '.join(dict.fromkeys(by_view.values()))}",
            f"{what}, with licences of their own: {listed}.",
        )
    ]


def _templates(spec: Spec) -> dict[str, str]:
    """Templates of the spec's own, by view."""
    return {
        name: view.template for name, view in spec.told.items() if view.template in spec.templates and not view.texts
    }


def is_cc0(manifest: Manifest) -> bool:
    """Whether all of a dataset came with m3di."""
    return manifest.source != "imported" and not foreign_parts(manifest)


def licence_statement(manifest: Manifest) -> str:
    """The licence in a line, for machines: a URL, and what it does not hold for."""
    if manifest.source == "imported":
        return "see the source of the imported files"
    parts = [part.short for part in foreign_parts(manifest)]
    return "; ".join([CC0, *parts]) + (", see README.md" if parts else "")


def licences(manifest: Manifest) -> str:
    """The same for people: the licences of data, meshes and code, and what has another one."""
    if manifest.source == "imported":
        return f"{_OF_IMPORTS}\n"
    parts = foreign_parts(manifest)
    images = (
        "captions, latents, images of meshes that come with m3di" if manifest.shapes else "images, captions, latents"
    )
    but = ", but for what is named below" if [part for part in parts if "Meshes" not in part.told] else ""
    meshes = ", but for those named below" if manifest.shapes else "; none is a third party's"
    named = "".join(f"\n{part.told}\n" for part in parts)
    return f"""- **Data** ({images}): CC0 1.0, public domain{but}.
- **Meshes and scene**: modelled by the m3di project, CC0 1.0{meshes}.
- **Code** of m3di: MIT.
{named}"""
