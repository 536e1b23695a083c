"""What an author derives from: who the policy is, and one method for each stage that it takes part in."""

from __future__ import annotations

from typing import Any

from .contract import Catalog, Context, Finding, Reviewed, Spec, Step, Transformed


class Policy:
    """A policy. Override the stages that it takes part in; what is built has the same.

    An exception in a stage means that the policy could not do its work, and blocks the plan; its message is shown.
    """

    #: Kebab-case, such as `naming`.
    name: str
    #: Semantic version.
    version: str
    #: One sentence.
    summary: str
    #: A JSON Schema for the settings. They are checked against it before any method is called, and what the schema gives
    #: as `default` is filled in. Without one there is nothing to set.
    settings_schema: dict[str, Any] | None = None
    #: Ask for the time of day in `context.now`, rounded down to this many seconds.
    clock_step_seconds: int | None = None

    def check_settings(self, settings: dict[str, Any]) -> list[Finding]:
        """What the schema cannot say. The `path` of a finding points into the settings."""
        return []

    def validate(self, context: Context, settings: dict[str, Any], spec: Spec) -> list[Finding]:
        """Is this spec acceptable? Any finding that is an error blocks the plan."""
        raise NotImplementedError("this policy does not validate")

    def transform(self, context: Context, settings: dict[str, Any], spec: Spec) -> Spec | Transformed:
        """What should the spec become? The one handed over may be changed; `Transformed()` says that nothing is to be.
        A second call must change nothing."""
        raise NotImplementedError("this policy does not transform")

    def plan(self, context: Context, settings: dict[str, Any], desired: Spec, actual: Catalog) -> list[Step]:
        """Which steps lead from what is to what should be? Their order does not matter."""
        raise NotImplementedError("this policy does not plan")

    def review(self, context: Context, settings: dict[str, Any], actual: Catalog, steps: list[Step]) -> Reviewed:
        """May this plan run?"""
        raise NotImplementedError("this policy does not review")
