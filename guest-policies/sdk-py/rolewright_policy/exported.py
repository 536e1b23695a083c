"""Between a policy as its author writes it and the functions that the host calls. Plain Python, tested without
WebAssembly; `component.py` is the only user."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from . import check, settings
from .contract import Catalog, Context, Finding, Info, Reviewed, Severity, Spec, Step, Transformed
from .policy import Policy

T = TypeVar("T")


STAGES = ("validate", "transform", "plan", "review")


class NoAnswer(Exception):
    """Why a stage has no answer: the `err` of the contract."""


class NoPolicy(Exception):
    """Why nothing can be built."""


def find(module: ModuleType) -> type[Policy]:
    """The author's policy."""
    found = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Policy) and each.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise NoPolicy(f"{module.__name__}.py must define one class derived from Policy, and defines {len(found)}")
    return found[0]


_info, _findings, _steps = check.of(Info), check.of(list[Finding]), check.of(list[Step])
_transformed, _reviewed = check.of(Transformed), check.of(Reviewed)


def _listed(answer: list[T] | None, looked_over: Callable[[Any, str], None], place: str) -> list[T]:
    """A stage with nothing to say may return nothing."""
    listed = [] if answer is None else answer
    looked_over(listed, place)
    return listed


class Exported:
    """A policy as the host sees it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def stages(self) -> list[str]:
        """Those that the policy takes part in."""
        return [stage for stage in STAGES if getattr(type(self._policy), stage) is not getattr(Policy, stage)]

    def describe(self) -> Info:
        policy = self._policy
        schema = None if policy.settings_schema is None else json.dumps(policy.settings_schema, ensure_ascii=False)
        name, version, summary = (getattr(policy, part, None) for part in ("name", "version", "summary"))
        info = Info(name, version, summary, schema, policy.clock_step_seconds)  # type: ignore[arg-type]  # Looked at next.
        _info(info, type(policy).__name__)
        return info

    def validate_settings(self, text: str) -> list[Finding]:
        parsed, findings = settings.parse(text, self._policy.settings_schema)
        if findings:
            return findings
        # There is no `err` here: what goes wrong is a finding like any other.
        try:
            return _listed(self._policy.check_settings(parsed), _findings, "check_settings")
        except Exception as problem:
            message = f"the settings could not be checked: {_said(problem)}"
            return [Finding("settings-not-checked", Severity.ERROR, "", message)]

    def validate(self, context: Context, text: str, spec: Spec) -> list[Finding]:
        return _listed(self._policy.validate(context, self._settings(text), spec), _findings, "validate")

    def transform(self, context: Context, text: str, spec: Spec) -> Transformed:
        answer = self._policy.transform(context, self._settings(text), spec)
        if isinstance(answer, Spec):
            answer = Transformed(answer, [])
        if not isinstance(answer, Transformed):
            raise NoAnswer(f"transform must return a Spec or a Transformed, and returned {type(answer).__name__}")
        _transformed(answer, "transform")
        return answer

    def plan(self, context: Context, text: str, desired: Spec, actual: Catalog) -> list[Step]:
        return _listed(self._policy.plan(context, self._settings(text), desired, actual), _steps, "plan")

    def review(self, context: Context, text: str, actual: Catalog, steps: list[Step]) -> Reviewed:
        answer = self._policy.review(context, self._settings(text), actual, steps)
        _reviewed(answer, "review")
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
    if isinstance(problem, check.WrongType):
        return str(problem)
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
