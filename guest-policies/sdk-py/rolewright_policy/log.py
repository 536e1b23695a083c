"""Lines for the operator. The host adds the policy's name, cuts a line at 1,024 bytes, and stops listening after 100
lines a call. In tests outside of a component the lines go to standard error.

What a policy prints goes the same way in a component."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

try:
    from wit_world.imports import log as _host
except ImportError:
    _host = None
_listening = False


class Lines(io.TextIOBase):
    """A file that says each line that is written to it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)

    def end(self) -> None:
        """Says a last line without an end."""
        if self._begun:
            self.write("\n")


def take_what_is_printed() -> None:
    """For `component.py`: there is no standard output in a component, and to write to it ends the call."""
    sys.stdout = Lines(info)
    sys.stderr = Lines(warn)


@contextmanager
def heard() -> Iterator[None]:
    """For `component.py`: during a call the host listens. While the component is made nobody does."""
    global _listening
    _listening = True
    try:
        yield
    finally:
        for each in (sys.stdout, sys.stderr):
            if isinstance(each, Lines):
                each.end()
        _listening = False


def _emit(level: str, message: object) -> None:
    if _host is None:
        print(f"{level}: {message}", file=sys.stderr)
    elif _listening:
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
