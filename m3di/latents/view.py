"""What a view sees: its factors, each in a role, and what its modality asks for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from m3di.errors import UsageError
from m3di.latents.factor import Strict, is_stored
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.modality import Modality, find_modality, modalities
from m3di.latents.problems import custom_error
from m3di.latents.subsets import Probability, Subset, is_subset


def _as_use(value: Any) -> Any:
    return {"role": value} if isinstance(value, str) else value


class FactorUse(Strict):
    """How a view uses a factor.

    Attributes:
        role: `content`: one value for all views that call it content. `style`: shared noise, but the view's own
            parents, and changed by `change`. `private`: drawn for this view alone. `constant`: always `value`.
        value: Raw value of a constant.
        change: Mechanism that changes a style factor; its parent is the factor's own value. One that takes no parent
            (`uniform`) draws a new value.
        when: The change happens where this factor of the view, which has two values, has the second one; `changes` of
            the view says so for its factors.
        mechanism: Mechanism of a private or style factor in this view, in place of the factor's own.
        recorded: The view draws nothing of this factor, and has it in the table on purpose: the target of an
            intervention, a hidden cause.
        unshared: The factor is content of other views, and this view has a value of its own on purpose.
    """

    role: Literal["content", "style", "private", "constant"]
    value: float | None = None
    change: MechanismUse | None = None
    when: str | None = None
    mechanism: MechanismUse | None = None
    recorded: bool = False
    unshared: bool = False

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> FactorUse:
        if is_stored(info):
            return self
        for key, roles in _ONLY_WITH.items():
            if getattr(self, key) is not None and self.role not in roles:
                named = " or ".join(f"`{role}`" for role in roles)
                raise custom_error(
                    f"`{key}` belongs to the role {named}, and only to it",
                    key=key,
                    expected=f"the role {named}",
                    next_step=f"leave `{key}` out, or change the role",
                )
        if self.role == "constant" and self.value is None:
            raise custom_error(
                "the role `constant` needs `value`",
                key="role",
                expected="value: NUMBER",
                next_step="add `value`, the raw value that the view always has",
            )
        if self.unshared and self.role not in APART:
            raise custom_error(
                "`unshared` is for the roles `private` and `constant`",
                key="unshared",
                expected="a role that draws a value of its own",
                next_step="leave `unshared` out",
            )
        return self

    @property
    def is_apart(self) -> bool:
        """Whether the view has, by this use alone, another value than the shared one."""
        return self.role in APART or self.change is not None or self.mechanism is not None


APART = ("private", "constant")
_ONLY_WITH = {"value": ("constant",), "change": ("style",), "when": ("style",), "mechanism": ("private", "style")}


def _says_subset(value: Any) -> str:
    return "subset" if isinstance(value, Subset) or is_subset("mentions", value) else "clauses"


Mentions = Annotated[
    Annotated[Subset, Tag("subset")] | Annotated[dict[str, Probability], Tag("clauses")], Discriminator(_says_subset)
]


class View(Strict):
    """What one modality sees.

    Attributes:
        modality: `image`, `text`, or the name of one that is registered, see `m3di.Modality`.
        factors: The factors it sees, and how.
        changes: Which factors with `change` do change, drawn for each sample; the others keep their value. What changes
            is recorded in the factors `VIEW_changed_FACTOR`.
        mixes: Two other views: a style factor has its value in the second one where `changes` has chosen it, and that
            in the first one elsewhere. Of which view it is, is recorded in the factors `VIEW_from_FACTOR`.
        shape: Shape of the object in an image, for specs without the factor `object_shape`.
        material: Material of the object in an image.
        ground: Pattern of the ground in an image: one colour, or squares of it and of a darker shade.
        lights: The lights that are on in an image.
        raised: Height of z = 0 above the scene's origin, in longest sides of the object.
        axes: Where `object_xpos` and `object_ypos` point in an image. `image`: x to the right, y towards the camera
            (down in the image), as in Multimodal3DIdent. `world`: x towards the camera, y to the right, as in 3DIdent.
        template: Name of the caption template of a text, or the path of one, relative to the spec.
        mentions: Probability that an optional clause of the template is part of a caption, by clause; 0.5 if not given.
            Or a random subset of the clauses. Which are drawn is recorded in the factors `VIEW_clause_CLAUSE`; a
            phrasing without such a clause tells it in no case.
        misstates: Of the factors that the template reads, those of which a caption states a wrong value, drawn for each
            sample. What it states is the factor `VIEW_said_FACTOR`; `VIEW_misstated_FACTOR` says whether that is wrong,
            also where a clause that would say it is out.
        texts: A CSV file beside the spec with texts in place of captions: columns `caption,text` (paraphrases of what
            the template says) or `seed,split,index,text` (a text for each sample).
    """

    modality: str
    factors: dict[str, Annotated[FactorUse, BeforeValidator(_as_use)]]
    changes: Subset | None = None
    mixes: tuple[str, str] | None = None
    shape: str | None = None
    material: Literal["rubber", "metal", "crystal"] = "rubber"
    ground: Literal["plain", "checker"] = "plain"
    lights: tuple[Literal["sun", "area", "spotlight"], ...] = ("sun", "area", "spotlight")
    raised: float = 0.0
    axes: Literal["image", "world"] = "image"
    template: str | None = None
    mentions: Mentions = Field(default_factory=dict)
    misstates: Subset | None = None
    texts: str | None = None

    @field_validator("modality")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            find_modality(name)
        except UsageError as error:
            expected, step = error.details["expected"], error.details["next"]
            raise custom_error(error.what, got=repr(name), expected=expected, next_step=step) from None
        return name

    @property
    def kind(self) -> Modality:
        """Its modality."""
        return find_modality(self.modality)

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> View:
        if is_stored(info):
            return self
        owners = {key: each.name for each in modalities() for key in each.keys}
        for key, owner in owners.items():
            if key in self.model_fields_set and owner != self.modality:
                raise custom_error(
                    f"`{key}` belongs to the modality `{owner}`, and only to it",
                    key=key,
                    expected=f"keys of the modality `{self.modality}`",
                    next_step=f"leave `{key}` out",
                )
        self.kind.check_view(self)
        return self
