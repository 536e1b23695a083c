"""The example policy of naming-rust in Python: user names must follow the house's rules. The same settings, the same
findings."""

from __future__ import annotations

from typing import Any

from rolewright_policy import Context, Finding, Policy, Spec, error, users


class Naming(Policy):
    name = "naming"
    version = "0.1.0"
    summary = "Refuses user names that do not follow the house's naming rules."
    settings_schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "prefixes": {
                "description": "A name must begin with one of these; empty: with anything.",
                "type": "array",
                "items": {"type": "string"},
                "default": [],
            },
            "allowed-characters": {
                "description": "The characters that a name may be made of; empty: any.",
                "type": "string",
                "default": "",
            },
            "exceptions": {
                "description": "Names that the rules do not apply to.",
                "type": "array",
                "items": {"type": "string"},
                "default": [],
            },
        },
    }

    def check_settings(self, settings: dict[str, Any]) -> list[Finding]:
        return [
            error(
                "empty-prefix",
                f"/prefixes/{index}",
                "every name begins with an empty prefix",
                "write a prefix, or leave `prefixes` out",
            )
            for index, prefix in enumerate(settings["prefixes"])
            if prefix == ""
        ]

    def validate(self, context: Context, settings: dict[str, Any], spec: Spec) -> list[Finding]:
        prefixes, allowed = settings["prefixes"], settings["allowed-characters"]
        findings = []
        for user in users(spec):
            if user.name in settings["exceptions"]:
                continue
            if prefixes and not user.name.startswith(tuple(prefixes)):
                message = f'"{user.name}" begins with no allowed prefix'
                help = f"begin the name with one of: {', '.join(prefixes)}"
                findings.append(error("name-prefix", user.path, message, help))
            other = next((character for character in user.name if allowed and character not in allowed), None)
            if other is not None:
                message = f"\"{user.name}\" contains '{other}'"
                findings.append(
                    error("name-characters", user.path, message, f"use only these characters: {allowed}")
                )
        return findings
