"""The module that componentize-py is given: it finds the author's policy in the module `policy`, and exports it.

It exists only while a component is made. The bindings that componentize-py generates are hidden here: each of their types
is replaced by the one of `contract.py` before the first value is made, so that authors see one set of types, in tests and
in the component.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import policy as author
import wit_world.imports
from componentize_py_types import Err

from . import contract, exported, policy

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


def _policy() -> exported.Exported:
    found = [
        each
        for each in vars(author).values()
        if isinstance(each, type) and issubclass(each, policy.Policy) and each.__module__ == author.__name__
    ]
    if len(found) != 1:
        raise SystemExit(f"policy.py must define one class derived from Policy, and defines {len(found)}")
    return exported.Exported(found[0]())


_replace_types()
_exported = _policy()


def _answer(stage: str, *given: Any) -> Any:
    try:
        return _exported.call(stage, *given)
    except exported.NoAnswer as reason:
        raise Err(str(reason)) from reason


class Describe:
    def describe(self) -> contract.Info:
        return _exported.describe()


class Configure:
    def validate_settings(self, text: str) -> list[contract.Finding]:
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
