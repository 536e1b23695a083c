"""The module that componentize-py is given: it finds the author's policy in the module `policy`, and exports it.

It exists only while a component is made. The bindings that componentize-py generates are hidden here: each of their types
is replaced by the one of `contract.py` before the first value is made, so that authors see one set of types, in tests and
in the component.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from typing import Any

import wit_world.imports
from componentize_py_types import Err

from . import contract, exported, log

log.take_what_is_printed()  # Before the author's code may keep one of the files for itself.

import policy as author  # noqa: E402

# Where the bindings call a type otherwise.
_RENAMED = {("transform", "Outcome"): "Transformed", ("review", "Outcome"): "Reviewed"}


def _replace_types() -> None:
    import wit_world.exports

    for package in (wit_world.imports, wit_world.exports):
        for found in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{found.name}")
            for name in list(vars(module)):
                # A case of a variant is Limit_AtMost there, and LimitAtMost here.
                ours = getattr(contract, _RENAMED.get((found.name, name), name.replace("_", "")), None)
                if isinstance(ours, type) and isinstance(getattr(module, name), type):
                    setattr(module, name, ours)


def _no_clock() -> Any:
    raise RuntimeError("a policy has no clock: set clock_step_seconds and use context.now")


def _take_the_clock() -> None:
    """Python's own would crash the call without a word."""
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"):
        setattr(time, name, _no_clock)


_replace_types()
_take_the_clock()
_exported = exported.Exported(exported.find(author)())


def _answer(stage: str, *given: Any) -> Any:
    try:
        with log.heard():
            return _exported.call(stage, *given)
    except exported.NoAnswer as reason:
        raise Err(str(reason)) from reason


class Describe:
    def describe(self) -> contract.Info:
        with log.heard():
            return _exported.describe()


class Configure:
    def validate_settings(self, text: str) -> list[contract.Finding]:
        with log.heard():
            return _exported.validate_settings(text)


class Validate:
    def validate(self, *given: Any) -> list[contract.Finding]:
        return _answer("validate", *given)


class Transform:
    def transform(self, *given: Any) -> contract.Transformed:
        return _answer("transform", *given)


class Plan:
    def plan(self, *given: Any) -> list[contract.Step]:
        return _answer("plan", *given)


class Review:
    def review(self, *given: Any) -> contract.Reviewed:
        return _answer("review", *given)
