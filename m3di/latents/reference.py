"""What a spec file can say, generated from the models that check it: JSON Schema for editors, a page of the docs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from m3di.latents.factor import Factor
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.mechanisms import MECHANISMS, Mechanism
from m3di.latents.modality import modalities
from m3di.latents.regimes import Regime
from m3di.latents.scene_factors import SCENE_FACTORS
from m3di.latents.spec import Spec, Split
from m3di.latents.subsets import Subset
from m3di.latents.templates import Phrasing, Template, load_template, template_names
from m3di.latents.variants import Pairs, Sequence
from m3di.latents.view import FactorUse, View

SCHEMA = "https://json-schema.org/draft/2020-12/schema"
EXTENDS = "Name of a built-in spec, or path of a spec file beside this one: what is given here is laid over it."
GIVEN = (
    "The condition that every sample fulfils, such as `abs(object_xpos - spotlight_pos) < 0.5`; what does not is drawn "
    "again, before anything is rendered."
)
PLUGINS = "Python files beside it that register mechanisms or modalities (a resolved spec holds their texts, by name)."
BUILTIN = tuple(MECHANISMS[name] for name in MECHANISMS.own())
BUILTIN_MODALITIES = tuple(each for each in modalities() if each.keys)  # others have no keys in a view
_LAID_OVER = (
    Spec,
    Factor,
    View,
    Pairs,
    Sequence,
    Regime,
)  # models whose keys a spec that extends another may leave out
_MODELS: tuple[type[BaseModel], ...] = (*_LAID_OVER, FactorUse, MechanismUse, Subset, Template, Phrasing)


def attribute_texts(model: type[BaseModel]) -> dict[str, str]:
    """What the docstring of a model says of each key."""
    text = inspect.getdoc(model) or ""
    section = text.partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(each.split()) for name, each in entries}


def spec_schema() -> dict[str, Any]:
    """JSON Schema of a spec file: for completion and checks in editors."""
    schema = Spec.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.pop("$defs")
    definitions["Spec"] = schema
    for model in _MODELS:
        _described(definitions.get(model.__name__), model)
    roles = definitions["FactorUse"]["properties"]["role"]["enum"]
    use = {"anyOf": [{"enum": roles}, {"$ref": "#/$defs/FactorUse"}, {"type": "null"}]}
    definitions["View"]["properties"]["factors"]["additionalProperties"] = use
    asked = {"anyOf": [{"type": "number"}, {"type": "string"}, {"$ref": "#/$defs/MechanismUse"}, {"type": "null"}]}
    cases = {"anyOf": [{"type": "object", "additionalProperties": asked}, {"type": "null"}]}
    definitions["Regime"]["properties"]["cases"]["additionalProperties"] = cases
    for section, name in (("factors", "Factor"), ("views", "View"), ("regimes", "Regime")):
        entries = definitions["Spec"]["properties"][section]
        entries["additionalProperties"] = {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}
    phrasing = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Phrasing"}]}
    definitions["Template"]["properties"]["phrasings"]["additionalProperties"] = phrasing
    definitions["MechanismUse"] = _mechanism_schema(definitions)
    for model in _LAID_OVER:
        _laid_over(definitions[model.__name__])
    root = definitions.pop("Spec")
    root["properties"] = {"extends": {"type": "string", "description": EXTENDS}, **root["properties"]}
    paths = {"type": "array", "items": {"type": "string", "pattern": r"\.py$"}}
    root["properties"]["plugins"] = {
        "description": PLUGINS,
        "anyOf": [paths, {"type": "object", "additionalProperties": {"type": "string"}}, {"type": "null"}],
    }
    given = [{"type": "string"}, {"$ref": "#/$defs/Given"}, {"type": "null"}]
    root["properties"]["given"] = {"description": GIVEN, "anyOf": given}
    root["required"] = ["name"]
    root["if"] = {"not": {"required": ["extends"]}}
    root["then"] = {"required": [name for name, field in Spec.model_fields.items() if field.is_required()]}
    return {"$schema": SCHEMA, **root, "title": "m3di spec", "$defs": definitions}


def _described(definition: dict[str, Any] | None, model: type[BaseModel]) -> None:
    if definition is None:
        return
    definition["description"] = (inspect.getdoc(model) or "").partition("\n")[0]
    names = {name: field.alias or name for name, field in model.model_fields.items()}
    for name, text in attribute_texts(model).items():
        key = names.get(name, name)
        if key in definition["properties"]:
            definition["properties"][key]["description"] = text


def _laid_over(definition: dict[str, Any]) -> None:
    """Nothing is required, and null takes a key away."""
    definition.pop("required", None)
    for key, each in definition["properties"].items():
        description = each.pop("description", None)
        nullable = each if "anyOf" in each else {"anyOf": [each]}
        if {"type": "null"} not in nullable["anyOf"]:
            nullable["anyOf"].append({"type": "null"})
        definition["properties"][key] = {**nullable, **({"description": description} if description else {})}


def _mechanism_schema(definitions: dict[str, Any]) -> dict[str, Any]:
    """A built-in mechanism with its parameters, a user's own, or parameters that are merged into the inherited one."""
    parents = {"type": "array", "items": {"type": "string"}, "description": "Names of the factors it depends on."}
    ours = []
    for mechanism in BUILTIN:
        parameters = mechanism.parameters.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(parameters.pop("$defs", {}))
        fields = parameters.get("properties", {})
        name = {"const": mechanism.name, "description": _first_sentence(mechanism)}
        ours.append(
            {
                "type": "object",
                "properties": {"name": name, "parents": parents, **fields},
                "required": ["name", *parameters.get("required", [])],
                "additionalProperties": False,
            }
        )
    own = {
        "type": "object",
        "properties": {"name": {"type": "string", "not": {"enum": [each.name for each in BUILTIN]}}},
        "required": ["name"],
    }
    shift = {"type": "object", "not": {"required": ["name"]}}
    return {"description": "A mechanism, or new parameters for the one that is extended.", "anyOf": [*ours, own, shift]}


def _first_sentence(mechanism: Mechanism) -> str:
    return " ".join((inspect.getdoc(mechanism.function) or "").split("\n\n")[0].split())


def reference_page() -> str:
    """The page `docs/spec-reference.md`: every key, every mechanism, every factor that an image or a text reads."""
    return "\n".join(_page()).rstrip() + "\n"


def _page() -> Iterator[str]:
    yield from (
        "# Every key of a spec",
        "",
        "This page is generated from the models that check specs (`m3di specs reference`); a test compares the two.",
        "`m3di specs schema --out spec.schema.json` writes the same as JSON Schema, for completion in an editor: with",
        "the YAML extension of VS Code, begin a spec with `# yaml-language-server: $schema=spec.schema.json`.",
        "[causal-graph.md](causal-graph.md) says what one does with it.",
        "",
        "A spec that `extends` another one may leave out any key; null takes one away. `name` and `description` are",
        "not inherited. Files that a spec names lie beside it.",
        "",
        "## The spec",
        "",
    )
    yield from _table(
        Spec,
        {"extends": ("text", "none", EXTENDS)},
        {"plugins": ("list of paths", "none", PLUGINS), "given": ("text", "none", GIVEN)},
    )
    yield from ("", "## A factor: `factors: {NAME: {...}}`", "")
    yield from _table(Factor)
    yield from ("", "## A view: `views: {NAME: {...}}`", "")
    yield from _table(View)
    keys = [f"{each.name.capitalize()}s only: {_names(each.keys)}." for each in BUILTIN_MODALITIES]
    yield from ("", " ".join(keys), "")
    yield from ("## How a view uses a factor: `factors: {NAME: ROLE}` or `{NAME: {role: ROLE, ...}}`", "")
    yield from _table(FactorUse)
    yield from ("", "## `pairs`", "")
    yield from _table(Pairs)
    yield from ("", "## `sequence`", "")
    yield from _table(Sequence)
    yield from ("", "## A regime: `regimes: {NAME: {...}}`", "")
    yield from _table(Regime, instead={"cases": ("a mapping by case", "needed", attribute_texts(Regime)["cases"])})
    yield from ("", "[processes.md](processes.md) has examples.")
    yield from ("", "## A random subset: `chosen`, `changes`, `mentions`, `misstates`", "")
    yield from _table(Subset)
    yield from ("", "## A split with a process of its own: `splits: {NAME: {...}}`", "")
    yield from _table(Split)
    yield from ("", "## A caption template", "")
    yield from (
        "[templates/README.md](../templates/README.md) says more. A file beside the spec, or an entry of `templates`:",
        "",
    )
    yield from _table(Template)
    yield from ("", "## What an image draws", "")
    yield from _scene()
    yield from ("", "## What a caption reads", "")
    yield from _captions()
    yield from ("", "## Mechanisms: `mechanism: {name: NAME, parents: [...], ...}`", "")
    yield from _mechanisms()


def _table(
    model: type[BaseModel],
    before: dict[str, tuple[str, str, str]] | None = None,
    instead: dict[str, tuple[str, str, str]] | None = None,
) -> Iterator[str]:
    rows = dict(before or {})
    texts = attribute_texts(model)
    for name, field in model.model_fields.items():
        given = (instead or {}).get(name)
        default = "needed" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        rows[field.alias or name] = given or (
            _kind(model, field.alias or name),
            default,
            texts.get(field.alias or name, ""),
        )
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key, (kind, default, text) in rows.items():
        yield f"| `{key}` | {kind} | {default} | {text} |"


def _kind(model: type[BaseModel], key: str) -> str:
    """The type of a key in words, from its JSON Schema."""
    return _words(model.model_json_schema(by_alias=True)["properties"][key])


def _words(schema: dict[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{each}`" for each in schema.get("enum", [schema.get("const")]))
    if isinstance(schema.get("description"), str) and schema.get("x-varying"):
        return str(schema["description"])
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return " or ".join(_words(each) for each in several if each.get("type") != "null")
    if "$ref" in schema:
        return {"MechanismUse": "a mechanism"}.get(schema["$ref"].split("/")[-1], "a mapping")
    if schema.get("type") == "array":
        items: dict[str, Any] = schema.get("items") or next(iter(schema.get("prefixItems", [])), {})
        n = schema.get("maxItems") if schema.get("maxItems") == schema.get("minItems") else None
        return f"list of {f'{n} ' if n else ''}{_plural(_words(items))}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"{_words(inner)} by name" if isinstance(inner, dict) and inner else "a mapping"
    names = {"number": "number", "integer": "whole number", "string": "text", "boolean": "true or false"}
    return f"{names.get(schema.get('type', ''), 'anything')}{_bounds(schema)}"


def _plural(words: str) -> str:
    return re.sub(r"\b(number|text)\b", r"\1s", words, count=1)


def _bounds(schema: dict[str, Any]) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    given = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return f" {', '.join(given)}" if given else ""


def _shown(default: Any) -> str:
    if isinstance(default, MechanismUse):
        return f"`{default.name}`"
    if default is None or default in ("", (), {}, []):
        return "none"
    if isinstance(default, tuple):
        return ", ".join(f"`{each}`" for each in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _scene() -> Iterator[str]:
    yield "An image view can see these factors, and no others: of one that it has in the table only, say"
    yield "`recorded: true`. A factor with `physical` is drawn by its physical values, any other by its raw values."
    yield ""
    yield "| factor | type | unit | decides | not seen |"
    yield "|---|---|---|---|---|"
    for name, each in SCENE_FACTORS.items():
        needs = f"; needs the light `{each.needs_light}`" if each.needs_light else ""
        types = "any" if len(each.types) == 3 else ", ".join(each.types)
        yield f"| `{name}` | {types} | {each.unit or ''} | {each.effect}{needs} | {each.otherwise} |"


def _captions() -> Iterator[str]:
    yield "A text view may see any factor of the spec; its template says which of them captions tell. Each choice"
    yield "of a template (phrasing, synonym, clause) is a factor too, `VIEW_phrasing`, `VIEW_word_NAME`,"
    yield "`VIEW_clause_NAME`, and declared by itself; a spec may declare it with fewer values or other weights (a"
    yield "clause where `mentions` does not name it): it is read by the names of its values. A key and the factors that"
    yield "it stands for must say the same."
    yield ""
    yield "| template | reads (kind) | synonyms | clauses |"
    yield "|---|---|---|---|"
    for name in template_names():
        template = load_template(name)
        reads = ", ".join(f"`{read}` ({kind})" for read, kind in template.reads.items())
        words, clauses = map(_names, (template.words, template.clauses))
        yield f"| `{name}` | {reads} | {words} | {clauses} |"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in names) or "none"


def _mechanisms() -> Iterator[str]:
    yield "Used as `change` of a style factor, a mechanism has the factor's own value as its one parent; one without"
    yield "parents draws a new value. `m3di.latents.register` makes more of them."
    yield ""
    yield from _table(MechanismUse, None, {"parents": ("list of texts", "none", "The factors it depends on.")})
    for mechanism in BUILTIN:
        n = mechanism.n_parents
        count = {None: "any number of parents", 0: "no parents", 1: "one parent"}.get(n, f"{n} parents")
        if n != 0 and len(mechanism.parent_types) < 3:
            count += f" ({', '.join(mechanism.parent_types)})"
        ranged = "; needs `range`" if mechanism.needs_range and mechanism.types != ("categorical",) else ""
        count += " and those that its parameters name" if mechanism.varying and n else ""
        count = "the parents that its parameters name" if mechanism.varying and not n else count
        moving = "; from frame to frame" if mechanism.temporal else ""
        yield ""
        yield f"### `{mechanism.name}`"
        yield ""
        yield f"For {', '.join(mechanism.types)} factors; {count}{ranged}{moving}."
        yield ""
        yield inspect.getdoc(mechanism.function) or ""
        if mechanism.parameters.model_fields:
            yield ""
            yield "| parameter | value | default |"
            yield "|---|---|---|"
            for name, field in mechanism.parameters.model_fields.items():
                default = "needed" if field.is_required() else _shown(field.default)
                yield f"| `{name}` | {_kind(mechanism.parameters, name)} | {default} |"
