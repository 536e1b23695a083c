"""What a build is prepared from: projects as authors leave them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CONTRACT = PACKAGE.parents[1] / "wit"
HEAD = "from rolewright_policy import Policy\n"
IDENTITY = '    name, version, summary = "limited", "0.1.0", "So many users and no more."\n'
VALIDATES = "    def validate(self, context, settings, spec):\n        pass\n"
REVIEWS = "    def review(self, context, settings, actual, steps):\n        pass\n"


class PrepareTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.project = Path(directory.name)

    def prepare(self, code: str) -> tuple[int, str, str]:
        (self.project / "policy.py").write_text(code)
        done = subprocess.run(
            [sys.executable, "-B", "-m", "rolewright_policy.prepare", "--wit", str(CONTRACT)],
            cwd=self.project, env={**os.environ, "PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True,
        )
        return done.returncode, done.stdout, done.stderr

    def refused(self, code: str) -> str:
        status, _, said = self.prepare(code)
        self.assertEqual(status, 1)
        return said

    def test_the_world_has_the_stages_of_the_code(self) -> None:
        status, said, wrong = self.prepare(f"{HEAD}class Rule(Policy):\n{IDENTITY}{VALIDATES}{REVIEWS}")
        self.assertEqual((status, said, wrong), (0, "policy.py takes part in: validate, review\n", ""))
        world = (self.project / "build/wit/policy.wit").read_text()
        self.assertEqual(re.findall(r"include \w+", world), ["include validator", "include reviewer"])
        self.assertTrue((self.project / "build/wit/worlds.wit").is_file())

    def test_a_module_without_a_policy_or_a_stage_is_told_so(self) -> None:
        self.assertEqual(self.refused(HEAD), "policy.py must define one class derived from Policy, and defines 0\n")
        self.assertRegex(self.refused(f"{HEAD}class Rule(Policy):\n{IDENTITY}"), r"^policy\.py takes part in no stage: ")
        self.assertRegex(self.refused(f"{HEAD}class Rule(Policy):\n{VALIDATES}"), r"^Rule\.name must be a string, and is None\n$")

    def test_what_cannot_be_loaded_is_said_with_file_line_and_source_and_nothing_else(self) -> None:
        said = self.refused(f"{HEAD}class Rule(Policy)\n{IDENTITY}")
        self.assertRegex(said, r'^  File ".*policy\.py", line 2\n    class Rule\(Policy\)\n +\^\nSyntaxError: ')
        self.assertEqual(len(said.splitlines()), 4, said)
        (self.project / "other.py").write_text("a = = 1\n")
        said = self.refused("import other\n")
        self.assertRegex(said, r'policy\.py", line 1, in <module>\n    import other\n')
        self.assertRegex(said, r'other\.py", line 1\n    a = = 1\n +\^\nSyntaxError: ')
        said = self.refused("import nothing_of_this_name\n")
        self.assertRegex(said, r'^Traceback.*:\n  File ".*policy\.py", line 1, in <module>\n.*\nModuleNotFoundError: ')


if __name__ == "__main__":
    unittest.main()
