"""Settings: from the JSON text that crosses the boundary to a dict, checked against the policy's JSON Schema with its
defaults filled in. Of JSON Schema it knows what settings need: type, properties, required, additionalProperties, items,
enum, default, minimum, maximum, minLength, minItems and pattern. Other words are for people and editors."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

from .contract import Finding, Severity

Say = Callable[[str, str], None]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value == int(value),
    "null": lambda value: value is None,
}


def _walk(schema: dict[str, Any], value: Any, path: str, say: Say) -> None:
    if "enum" in schema and value not in schema["enum"]:
        say(path, "must be one of " + ", ".join(json.dumps(choice) for choice in schema["enum"]))
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_KINDS[kind](value) for kind in types):
        say(path, f"must be of type {' or '.join(types)}")
        return
    if _is_number(value):
        if value < schema.get("minimum", value):
            say(path, f"must be at least {schema['minimum']}")
        if value > schema.get("maximum", value):
            say(path, f"must be at most {schema['maximum']}")
    elif isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            say(path, f"must have at least {schema['minLength']} characters")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            say(path, f"must match {schema['pattern']}")
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            say(path, f"must have at least {schema['minItems']} entries")
        for index, entry in enumerate(value):
            _walk(schema.get("items", {}), entry, f"{path}/{index}", say)
    elif isinstance(value, dict):
        _walk_object(schema, value, path, say)


def _walk_object(schema: dict[str, Any], value: dict[str, Any], path: str, say: Say) -> None:
    def at(key: str) -> str:
        return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"

    properties = schema.get("properties", {})
    if schema.get("additionalProperties") is False:
        for key in value.keys() - properties.keys():
            say(at(key), f"is not known; there are {', '.join(properties)}")
    for key in schema.get("required", []):
        if key not in value:
            say(at(key), "is required")
    for key, of in properties.items():
        if key not in value and "default" in of:
            value[key] = copy.deepcopy(of["default"])
        if key in value:
            _walk(of, value[key], at(key), say)


def parse(text: str, schema: dict[str, Any] | None) -> tuple[dict[str, Any], list[Finding]]:
    """The settings, and what is wrong with them. `null` and nothing at all are an empty object."""
    findings: list[Finding] = []

    def say(path: str, message: str) -> None:
        what = f"the setting {path}" if path else "the settings of this policy"
        findings.append(Finding("invalid-settings", Severity.ERROR, path, f"{what} {message}"))

    try:
        settings = json.loads(text) if text.strip() else None
    except ValueError as problem:
        say("", f"cannot be read: {problem}")
        return {}, findings
    if settings is None:
        settings = {}
    _walk({"type": "object", "additionalProperties": False} if schema is None else schema, settings, "", say)
    # Found in a set: sorted, so that the same settings give the same findings.
    findings.sort(key=lambda finding: (finding.path, finding.message))
    return settings, findings
