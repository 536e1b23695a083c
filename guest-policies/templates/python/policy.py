"""The policy {{name}}: user names must begin with one of the allowed prefixes."""

from __future__ import annotations

from typing import Any

from rolewright_policy import Context, Finding, Policy, Spec, error, users


class Rule(Policy):
    name = "{{name}}"
    version = "0.1.0"
    summary = "Refuses users whose name begins with no allowed prefix."
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
        },
    }

    def validate(self, context: Context, settings: dict[str, Any], spec: Spec) -> list[Finding]:
        prefixes = settings["prefixes"]
        return [
            error(
                "name-prefix",
                user.path,
                f'"{user.name}" begins with no allowed prefix',
                f"begin the name with one of: {', '.join(prefixes)}",
            )
            for user in users(spec)
            if prefixes and not user.name.startswith(tuple(prefixes))
        ]
