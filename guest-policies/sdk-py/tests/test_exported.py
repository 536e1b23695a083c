"""The package without WebAssembly: what an author writes, and what the host would get. `python3 -m unittest`."""

from __future__ import annotations

import json
import unittest
import unittest.mock
from typing import Any

from rolewright_policy import (
    Attributes,
    Catalog,
    Change,
    ChangeAlterRole,
    ChangeCreateRole,
    ChangeDropRole,
    Context,
    Credential,
    ExpiryAt,
    ExpiryNever,
    Finding,
    Grant,
    Label,
    LimitAtMost,
    LimitUnlimited,
    ObjectLargeObject,
    Policy,
    Privileges,
    Removal,
    Risk,
    RolePatch,
    SecretState,
    Severity,
    Spec,
    Step,
    Transformed,
    allow,
    error,
    step,
    users,
    warning,
)
from rolewright_policy import check
from rolewright_policy.exported import Exported, NoAnswer
from rolewright_policy.log import Lines
from rolewright_policy.testing import context, group, membership, spec, user

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"most": {"type": "integer", "minimum": 1, "default": 2}},
}


# A role with everything in it.
FULL = user(
    "a",
    connection_limit=LimitUnlimited(),
    valid_until=ExpiryNever(),
    memberships=[membership("b")],
    grants=[Grant(None, ObjectLargeObject(1), Privileges.SELECT, Privileges(0))],
    has_password=True,
    credential=Credential("s", "k", SecretState.PRESENT, "1", strength=4),
    labels=[Label("a", "b")],
)


class Limited(Policy):
    name = "limited"
    version = "0.1.0"
    summary = "So many users and no more."
    settings_schema = SCHEMA

    def check_settings(self, settings: dict[str, Any]) -> list[Finding]:
        return [error("too-many", "/most", "too many")] if settings["most"] > 9 else []

    def validate(self, context: Context, settings: dict[str, Any], spec: Spec) -> list[Finding]:
        return [warning("crowded", role.path, "one role too many") for role in spec.roles[settings["most"] :]]


def wrong(text: str) -> list[str]:
    return [f"{finding.code} {finding.path}" for finding in Exported(Limited()).validate_settings(text)]


class ExportedTest(unittest.TestCase):
    def test_a_policy_introduces_itself_and_its_schema_is_json(self) -> None:
        info = Exported(Limited()).describe()
        self.assertEqual(info.name, "limited")
        self.assertEqual(json.loads(info.settings_schema or ""), SCHEMA)

    def test_a_setting_that_is_left_out_has_the_default_of_the_schema(self) -> None:
        given = spec(user("a"), user("b"), user("c"))
        self.assertEqual(len(Exported(Limited()).validate(context(), "null", given)), 1)
        self.assertEqual(len(Exported(Limited()).validate(context(), '{"most": 1}', given)), 2)

    def test_settings_that_break_the_schema_are_findings_with_a_place_in_the_settings(self) -> None:
        self.assertEqual(wrong('{"most": 0}'), ["invalid-settings /most"])
        self.assertEqual(wrong('{"mots": 1}'), ["invalid-settings /mots"])
        self.assertEqual(wrong('{"most": "two"}'), ["invalid-settings /most"])
        self.assertEqual(wrong('{"most": true}'), ["invalid-settings /most"])
        self.assertEqual(wrong("{"), ["invalid-settings "])
        self.assertEqual(wrong("[]"), ["invalid-settings "])
        self.assertEqual(wrong('{"most": 3}'), [])

    def test_what_the_policy_says_of_its_settings_comes_after_the_schema(self) -> None:
        self.assertEqual(wrong('{"most": 10}'), ["too-many /most"])

    def test_a_fault_while_settings_are_checked_is_a_finding_for_there_is_no_other_way_to_tell(self) -> None:
        class Broken(Limited):
            def check_settings(self, settings: dict[str, Any]) -> list[Finding]:
                raise KeyError("least")

        self.assertEqual(Exported(Broken()).validate_settings("null")[0].code, "settings-not-checked")

    def test_an_exception_in_a_stage_is_why_there_is_no_answer(self) -> None:
        class Broken(Limited):
            def validate(self, context: Context, settings: dict[str, Any], spec: Spec) -> list[Finding]:
                raise OSError("the list is not there")

        with self.assertRaisesRegex(NoAnswer, "^OSError: the list is not there$"):
            Exported(Broken()).call("validate", context(), "null", spec())

    def test_an_answer_of_the_wrong_type_is_told_with_its_place(self) -> None:
        class Broken(Limited):
            def validate(self, context: Context, settings: dict[str, Any], spec: Spec) -> Any:
                return answer

            def transform(self, context: Context, settings: dict[str, Any], spec: Spec) -> Any:
                return answer

            def plan(self, context: Context, settings: dict[str, Any], desired: Spec, actual: Catalog) -> Any:
                return answer

            def review(self, context: Context, settings: dict[str, Any], actual: Catalog, steps: list[Step]) -> Any:
                return answer

        given: dict[str, tuple[Any, ...]] = {"review": (None, []), "plan": (spec(), None)}
        fine = [error("a", "", "b"), warning("a", "", "b")]
        cases: list[tuple[str, Any, str]] = [
            ("validate", 5, "validate must be a list of Finding, and is int 5"),
            ("validate", ["no"], "validate[0] must be a Finding, and is str 'no'"),
            ("validate", [*fine, error(7, "", "b")], "validate[2].code must be a string, and is int 7"),  # type: ignore[arg-type]
            ("validate", [Finding("a", "error", "", "b")], "validate[0].severity must be a Severity, and is str 'error'"),  # type: ignore[arg-type]
            ("transform", spec(user("a"), user("b", connection_limit=LimitAtMost("5"))),  # type: ignore[arg-type]
                "transform.spec.roles[1].connection_limit.value must be a whole number from 0 to 4294967295, and is str '5'"),
            ("transform", spec(user("a", connection_limit=LimitAtMost(-1))),
                "transform.spec.roles[0].connection_limit.value must be a whole number from 0 to 4294967295, and is int -1"),
            ("transform", spec(user("a", connection_limit=5)),
                "transform.spec.roles[0].connection_limit must be a LimitUnlimited or a LimitAtMost or None, and is int 5"),
            ("transform", spec(user("a", valid_until=ExpiryAt(1.5))),  # type: ignore[arg-type]
                "transform.spec.roles[0].valid_until.value must be a whole number from -9223372036854775808 to"
                " 9223372036854775807, and is float 1.5"),
            ("transform", spec(user("a", comment=b"x")), "transform.spec.roles[0].comment must be a string, and is bytes b'x'"),
            ("transform", spec(user("a", attributes=1)), "transform.spec.roles[0].attributes must be an Attributes, and is int 1"),
            ("plan", [step(ChangeCreateRole(user("a", labels=None)), "")],
                "plan[0].change.value.labels must be a list of Label, and is None"),
            ("review", None, "review must be a Reviewed, and is None"),
            ("review", allow(5), "review.findings must be a list of Finding, and is int 5"),  # type: ignore[arg-type]
            ("review", allow(["x" * 100]), f"review.findings[0] must be a Finding, and is str '{'x' * 79}…"),  # type: ignore[list-item]
        ]
        for stage, answer, words in cases:
            with self.assertRaises(NoAnswer) as caught:
                Exported(Broken()).call(stage, context(), "null", *given.get(stage, (spec(),)))
            self.assertEqual(str(caught.exception), words)

    def test_a_field_with_a_misspelt_name_cannot_be_set(self) -> None:
        class Misspelt(Limited):
            def transform(self, context: Context, settings: dict[str, Any], spec: Spec) -> Spec:
                spec.roles[0].comnent = "?"  # type: ignore[attr-defined]
                return spec

        with self.assertRaisesRegex(NoAnswer, "^AttributeError: 'Role' object has no attribute 'comnent'"):
            Exported(Misspelt()).call("transform", context(), "null", spec(user("a")))

    def test_an_answer_is_walked_along_only_where_it_may_be_wrong(self) -> None:
        class Word(str):
            pass

        walked: list[Any] = []
        with unittest.mock.patch.dict(check._known, {Spec: (walked.append, "", frozenset())}):
            looked_over = check.of(Spec)
        looked_over(spec(FULL, user("b")), "spec")
        self.assertEqual(walked, [])
        looked_over(spec(FULL, user("b", comment=1)), "spec")
        self.assertEqual(len(walked), 1)
        # What is derived from a string is one, and is found to be so on the walk.
        check.of(Spec)(spec(user(Word("b"), comment=Word("c"))), "spec")

    def test_who_a_policy_is_has_its_types_too(self) -> None:
        class Broken(Limited):
            version = 1  # type: ignore[assignment]

        with self.assertRaisesRegex(Exception, r"^Broken\.version must be a string, and is int 1$"):
            Exported(Broken()).describe()

    def test_an_answer_with_everything_in_it_is_as_it_must_be(self) -> None:
        class Same(Limited):
            def transform(self, context: Context, settings: dict[str, Any], spec: Spec) -> Spec:
                return spec

        self.assertEqual(Exported(Same()).call("transform", context(), "null", spec(FULL)).spec, spec(FULL))

    def test_a_transform_says_that_nothing_is_to_be_changed_and_does_not_forget_it(self) -> None:
        class Content(Limited):
            def transform(self, context: Context, settings: dict[str, Any], spec: Spec) -> Transformed:
                return Transformed()

        class Forgetful(Limited):
            def transform(self, context: Context, settings: dict[str, Any], spec: Spec) -> Any:
                pass

        self.assertEqual(Exported(Content()).transform(context(), "null", spec()), Transformed(None, []))
        with self.assertRaisesRegex(Exception, "must return"):
            Exported(Forgetful()).transform(context(), "null", spec())

    def test_a_transform_may_return_the_spec_alone(self) -> None:
        class Same(Limited):
            def transform(self, context: Context, settings: dict[str, Any], spec: Spec) -> Spec:
                return spec

        given = spec(user("a"))
        answer = Exported(Same()).transform(context(), "null", given)
        self.assertEqual((answer.spec, answer.findings), (given, []))

    def test_a_stage_that_is_not_written_has_no_answer(self) -> None:
        with self.assertRaisesRegex(NoAnswer, "does not review"):
            Exported(Limited()).call("review", context(), "null", None, [])


class LogTest(unittest.TestCase):
    def test_what_is_printed_is_said_line_by_line(self) -> None:
        said: list[str] = []
        lines = Lines(said.append)
        print("looking at", 5, file=lines)
        print("a\nb", end="", file=lines)
        self.assertEqual(said, ["looking at 5", "a"])
        lines.end()
        lines.end()
        self.assertEqual(said, ["looking at 5", "a", "b"])


class WordsTest(unittest.TestCase):
    def test_a_step_has_the_risk_of_its_change(self) -> None:
        none = Attributes(0)
        cases: list[tuple[Change, Risk]] = [
            (ChangeCreateRole(user("a")), Risk.SAFE),
            (ChangeDropRole(Removal("a", None)), Risk.DESTRUCTIVE),
            (ChangeAlterRole(RolePatch("a", none, Attributes.LOGIN)), Risk.DISRUPTIVE),
            (ChangeAlterRole(RolePatch("a", none, Attributes.INHERIT)), Risk.SAFE),
            (ChangeAlterRole(RolePatch("a", none, none, valid_until=ExpiryAt(1))), Risk.DISRUPTIVE),
        ]
        for change, risk in cases:
            self.assertEqual(step(change, "why").risk, risk, change)

    def test_users_are_the_roles_that_may_log_in(self) -> None:
        self.assertEqual([role.name for role in users(spec(user("a"), group("b")))], ["a"])

    def test_findings_have_their_severity(self) -> None:
        self.assertEqual(error("a", "", "b", "c"), Finding("a", Severity.ERROR, "", "b", "c"))
        self.assertEqual(allow().findings, [])


if __name__ == "__main__":
    unittest.main()
