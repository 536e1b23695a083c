"""Builders for what a policy answers, and short questions to what it is asked about. They add no meaning."""

from __future__ import annotations

from .contract import (
    Attributes,
    Change,
    ChangeAlterRole,
    ChangeCreateDatabase,
    ChangeCreateRole,
    ChangeDropRole,
    ChangeGrantPrivilege,
    ChangeGrantRole,
    ChangeRunScript,
    ChangeSetSetting,
    Context,
    Database,
    ExpiryAt,
    Finding,
    LimitAtMost,
    Reviewed,
    Risk,
    Role,
    Severity,
    Spec,
    Step,
    Verdict,
)


def error(code: str, path: str, message: str, help: str | None = None) -> Finding:
    """A finding that blocks the plan. `path` is a JSON pointer into users.yaml: mostly a role's own."""
    return Finding(code, Severity.ERROR, path, message, help)


def warning(code: str, path: str, message: str, help: str | None = None) -> Finding:
    """A finding that is shown, and blocks nothing."""
    return Finding(code, Severity.WARNING, path, message, help)


def info(code: str, path: str, message: str, help: str | None = None) -> Finding:
    """A finding that is shown, and needs no action."""
    return Finding(code, Severity.INFO, path, message, help)


def allow(findings: list[Finding] | None = None) -> Reviewed:
    """The plan may run."""
    return Reviewed(Verdict.ALLOW, findings or [])


def hold(findings: list[Finding]) -> Reviewed:
    """The plan waits until somebody approves it."""
    return Reviewed(Verdict.HOLD, findings)


def deny(findings: list[Finding]) -> Reviewed:
    """The plan must not run."""
    return Reviewed(Verdict.DENY, findings)


def is_user(role: Role) -> bool:
    """A role that may log in is a user; the others are group roles."""
    return Attributes.LOGIN in role.attributes


def users(spec: Spec) -> list[Role]:
    """The declared roles that may log in."""
    return [role for role in spec.roles if is_user(role)]


def label(labelled: Role | Database | Context, key: str) -> str | None:
    """The value of a label; `None` where there is none."""
    return next((each.value for each in labelled.labels if each.key == key), None)


_SAFE = (ChangeCreateRole, ChangeGrantRole, ChangeGrantPrivilege, ChangeSetSetting, ChangeCreateDatabase)


def _risk(change: Change) -> Risk:
    """The host judges by the same rules and takes the higher of the two."""
    if isinstance(change, _SAFE):
        return Risk.SAFE
    if isinstance(change, (ChangeDropRole, ChangeRunScript)):
        return Risk.DESTRUCTIVE
    if isinstance(change, ChangeAlterRole):
        patch = change.value
        takes_away = (
            bool(patch.clear & ~Attributes.INHERIT)
            or isinstance(patch.connection_limit, LimitAtMost)
            or isinstance(patch.valid_until, ExpiryAt)
        )
        return Risk.DISRUPTIVE if takes_away else Risk.SAFE
    return Risk.DISRUPTIVE


def step(change: Change, reason: str, path: str = "") -> Step:
    """A step of a plan, with the risk that its change has."""
    return Step(change, _risk(change), reason, path)
