"""The rule without WebAssembly: `PYTHONPATH=../../../guest-policies/sdk-py python3 -m unittest`."""

from __future__ import annotations

import unittest
from typing import Any

from policy import Naming
from rolewright_policy.testing import context, group, spec, user


def codes(settings: dict[str, Any], *names: str) -> list[str]:
    given = {"prefixes": [], "allowed-characters": "", "exceptions": [], **settings}
    roles = [user(name) for name in names]
    findings = Naming().validate(context(), given, spec(*roles, group("a_group")))
    return [f"{finding.code} at {finding.path}" for finding in findings]


class NamingTest(unittest.TestCase):
    def test_a_name_needs_one_of_the_prefixes(self) -> None:
        found = codes({"prefixes": ["app_", "team_"]}, "app_shop", "team_a", "alice")
        self.assertEqual(found, ["name-prefix at /users/alice"])

    def test_a_name_is_made_of_the_allowed_characters(self) -> None:
        found = codes({"allowed-characters": "abcdefghijklmnopqrstuvwxyz_"}, "app_shop", "Alice")
        self.assertEqual(found, ["name-characters at /users/Alice"])

    def test_exceptions_may_have_any_name(self) -> None:
        self.assertEqual(codes({"prefixes": ["app_"], "exceptions": ["alice"]}, "alice"), [])

    def test_an_empty_prefix_is_refused_with_its_place_in_the_settings(self) -> None:
        self.assertEqual(Naming().check_settings({"prefixes": ["a", ""]})[0].path, "/prefixes/1")

    def test_without_settings_every_name_is_fine(self) -> None:
        self.assertEqual(codes({}, "Alice", "名前"), [])


if __name__ == "__main__":
    unittest.main()
