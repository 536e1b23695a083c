"""Lines for the operator. The host adds the policy's name, cuts a line at 1,024 bytes, and stops listening after 100
lines a call. In tests outside of a component the lines go to standard error."""

from __future__ import annotations

import sys
from typing import Any

try:
    from wit_world.imports import log as _host
except ImportError:
    _host = None


def _emit(level: str, message: object) -> None:
    if _host is None:
        print(f"{level}: {message}", file=sys.stderr)
    else:
        host: Any = _host
        host.emit(host.Level[level.upper()], str(message))


def debug(message: object) -> None:
    """For somebody who looks for a fault in the policy."""
    _emit("debug", message)


def info(message: object) -> None:
    """Good to know."""
    _emit("info", message)


def warn(message: object) -> None:
    """Worth a look."""
    _emit("warn", message)


def error(message: object) -> None:
    """Something went wrong. It blocks nothing: a finding or an exception does."""
    _emit("error", message)
