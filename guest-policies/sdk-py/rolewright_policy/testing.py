"""Roles and a context for tests that run without WebAssembly. They look as those that the host hands over."""

from __future__ import annotations

from typing import Any

from .contract import Attributes, Context, Membership, Mode, Role, Spec, Standing


def user(name: str, **fields: Any) -> Role:
    """A user as `CREATE ROLE name LOGIN` makes it."""
    login = Attributes.LOGIN | Attributes.INHERIT
    given = {"attributes": login, "path": f"/users/{name}", **fields}
    return Role(name, Mode.AUTHORITATIVE, Standing.MANAGED, **given)


def group(name: str, **fields: Any) -> Role:
    """A group role as `CREATE ROLE name` makes it, which must only be present."""
    return Role(name, Mode.PRESENT, Standing.MANAGED, **{"attributes": Attributes.INHERIT, **fields})


def membership(role: str) -> Membership:
    """What `GRANT role TO member` gives: INHERIT and SET, no ADMIN."""
    return Membership(role, admin=False, inherit=True, set=True)


def spec(*roles: Role) -> Spec:
    """A spec with these roles."""
    return Spec(list(roles), [], [])


def context(**fields: Any) -> Context:
    """No clock, no labels, a server of version 18."""
    given: dict[str, Any] = {
        "now": None,
        "target": "localhost:5432/postgres",
        "server_version": 180000,
        "dry_run": False,
        "reassign_owned_to": "postgres",
        "labels": [],
    }
    return Context(**{**given, **fields})
