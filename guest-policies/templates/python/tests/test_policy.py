"""The rule without WebAssembly: `python3 -m unittest`."""

import unittest

from policy import Rule
from rolewright_policy.testing import context, spec, user


def refused(prefixes: list[str], *names: str) -> list[str]:
    given = spec(*(user(name) for name in names))
    return [finding.path for finding in Rule().validate(context(), {"prefixes": prefixes}, given)]


class NamesTest(unittest.TestCase):
    def test_a_name_needs_one_of_the_prefixes(self) -> None:
        self.assertEqual(refused(["app_", "team_"], "app_shop", "alice"), ["/users/alice"])

    def test_without_prefixes_every_name_is_fine(self) -> None:
        self.assertEqual(refused([], "alice"), [])


if __name__ == "__main__":
    unittest.main()
