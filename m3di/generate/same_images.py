"""Check that new images of a dataset would match those that it has: same versions, meshes and quality."""

from __future__ import annotations

from pathlib import Path

from m3di import data
from m3di.errors import M3diError, check_word
from m3di.generate.plan import QUALITY_DIGEST, makers, noted_makers, user_shapes_of
from m3di.render import QUALITIES, UserShape


def check_makers(root: Path, manifest: data.Manifest) -> None:
    """Check that this machine has the versions and the quality that a dataset was made with.

    Args:
        root: Folder of the dataset, for the message.
        manifest: Its manifest.

    Raises:
        UsageError: The quality is not registered here.
        M3diError: The versions, or the values of the quality, are others.
    """
    quality = str(manifest.render["quality"])
    check_word(quality, tuple(QUALITIES), what="quality")
    here, noted = makers(manifest.parsed_spec, quality), noted_makers(manifest)
    other = [name for name in here | noted if here.get(name) != noted.get(name)]
    versions = [name for name in other if name != QUALITY_DIGEST]
    if versions:
        raise M3diError(
            "other versions rendered this dataset: new images would not match the others",
            where=str(root),
            got=", ".join(f"{name} {here[name]}" for name in versions),
            expected=", ".join(f"{name} {noted[name]}" for name in versions),
            next_step="install those versions, or render the dataset again",
        )
    if other:
        raise M3diError(
            f"the quality {quality!r} of this machine is not the one that rendered this dataset: new images would not "
            "match the others",
            where=str(root),
            got=f"SHA-256 {here.get(QUALITY_DIGEST, 'of none')}",
            expected=f"SHA-256 {noted[QUALITY_DIGEST]}" if QUALITY_DIGEST in noted else "not noted in the dataset",
            next_step="register the quality as it was, or render the dataset again",
        )


def shapes_as_noted(root: Path, manifest: data.Manifest) -> tuple[UserShape, ...]:
    """Return the user's meshes that the images of a dataset show.

    Args:
        root: Folder of the dataset, for the message.
        manifest: Its manifest.

    Raises:
        UsageError: One is not on this machine.
        M3diError: Those of this machine are not those of the manifest.
    """
    # The images do not show a mesh that was imported later under the name of a built-in shape.
    found = user_shapes_of(manifest.parsed_spec) if manifest.shapes else ()
    shapes = tuple(shape for shape in found if shape.name in manifest.shapes)
    here = {shape.name: shape.sha256 for shape in shapes}
    for name, sha256 in manifest.shapes.items():
        if here.get(name) != sha256:
            raise M3diError(
                f"the mesh {name!r} of this machine is not the one that the dataset shows",
                where=str(root),
                got=f"SHA-256 {here[name]}" if name in here else "you have no mesh of this name",
                expected=f"SHA-256 {sha256}",
                next_step=f"m3di shapes import FILE --name {name} --replace, with the file that it was imported from",
            )
    return shapes
