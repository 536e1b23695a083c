"""Between a policy as its author writes it and the functions that the host calls. Plain Python, tested without
WebAssembly; `component.py` is the only user."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from . import settings
from .contract import Catalog, Context, Finding, Info, Reviewed, Severity, Spec, Step, Transformed
from .policy import Policy

T = TypeVar("T")


class NoAnswer(Exception):
    """Why a stage has no answer: the `err` of the contract."""


def _listed(answer: list[T] | None, of: type[T], place: str) -> list[T]:
    """The canonical ABI would answer a wrong type with a crash that names nothing."""
    if answer is None:
        return []
    if not isinstance(answer, list):
        raise NoAnswer(f"{place} must return a list of {of.__name__}, and returned {type(answer).__name__}")
    for index, entry in enumerate(answer):
        if not isinstance(entry, of):
            raise NoAnswer(f"{place}: entry {index} must be a {of.__name__}, and is {type(entry).__name__}")
    return answer


class Exported:
    """A policy as the host sees it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def describe(self) -> Info:
        policy = self._policy
        schema = None if policy.settings_schema is None else json.dumps(policy.settings_schema, ensure_ascii=False)
        return Info(policy.name, policy.version, policy.summary, schema, policy.clock_step_seconds)

    def validate_settings(self, text: str) -> list[Finding]:
        parsed, findings = settings.parse(text, self._policy.settings_schema)
        if findings:
            return findings
        # There is no `err` here: what goes wrong is a finding like any other.
        try:
            return _listed(self._policy.check_settings(parsed), Finding, "check_settings")
        except Exception as problem:
            message = f"the settings could not be checked: {_said(problem)}"
            return [Finding("settings-not-checked", Severity.ERROR, "", message)]

    def validate(self, context: Context, text: str, spec: Spec) -> list[Finding]:
        return _listed(self._policy.validate(context, self._settings(text), spec), Finding, "validate")

    def transform(self, context: Context, text: str, spec: Spec) -> Transformed:
        answer = self._policy.transform(context, self._settings(text), spec)
        if isinstance(answer, Spec):
            return Transformed(answer, [])
        if isinstance(answer, Transformed):
            return answer
        raise NoAnswer(f"transform must return a Spec or a Transformed, and returned {type(answer).__name__}")

    def plan(self, context: Context, text: str, desired: Spec, actual: Catalog) -> list[Step]:
        return _listed(self._policy.plan(context, self._settings(text), desired, actual), Step, "plan")

    def review(self, context: Context, text: str, actual: Catalog, steps: list[Step]) -> Reviewed:
        answer = self._policy.review(context, self._settings(text), actual, steps)
        if not isinstance(answer, Reviewed):
            raise NoAnswer(f"review must return a Reviewed, and returned {type(answer).__name__}")
        return answer

    def call(self, stage: str, *given: Any) -> Any:
        """A stage's answer; whatever goes wrong is a `NoAnswer` with words for the operator."""
        try:
            return getattr(self, stage)(*given)
        except NoAnswer:
            raise
        except Exception as problem:
            raise NoAnswer(_said(problem)) from problem

    def _settings(self, text: str) -> dict[str, Any]:
        parsed, findings = settings.parse(text, self._policy.settings_schema)
        if findings:
            raise NoAnswer(findings[0].message)
        return parsed


def _said(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
