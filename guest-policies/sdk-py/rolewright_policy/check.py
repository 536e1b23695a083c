"""Looks over what a policy returns before it crosses into the host: the canonical ABI would answer a wrong type with a
crash that names nothing. It walks the types of `contract.py` by their hints, and checks shapes only; what values mean is
the host's business."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Union


class WrongType(Exception):
    """The place, what belongs there, and what is there."""


class _Wrong(Exception):
    """On its way up; each level adds to the place, so that a place costs nothing where nothing is wrong."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.place: list[str] = []


def _must_be(words: str, found: Any) -> _Wrong:
    shown = repr(found)
    shown = f"{shown[:80]}…" if len(shown) > 80 else shown
    return _Wrong(f"must be {words}, and is {shown if found is None else f'{type(found).__name__} {shown}'}")


def _named(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


Look = Callable[[Any], None]
# A look at a value; what belongs there, in words; and types of which every value is fine, so that none needs a look.
_Checker = tuple[Look, str, frozenset[type]]
_known: dict[Any, _Checker] = {}


def _plain(wanted: type, words: str) -> _Checker:
    def look(value: Any) -> None:
        if not isinstance(value, wanted):
            raise _must_be(words, value)

    return look, words, frozenset([wanted])


def _whole(within: range) -> _Checker:
    words = f"a whole number from {within.start} to {within.stop - 1}"

    def look(value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value not in within:
            raise _must_be(words, value)

    return look, words, frozenset()


def _list(of: Any) -> _Checker:
    words = f"a list of {getattr(of, '__name__', of)}"
    look_at, _, fine = _checker(of)

    def look(value: Any) -> None:
        if not isinstance(value, list):
            raise _must_be(words, value)
        for index, entry in enumerate(value):
            if type(entry) not in fine:
                try:
                    look_at(entry)
                except _Wrong as wrong:
                    wrong.place.append(f"[{index}]")
                    raise

    return look, words, frozenset()


def _either(of: tuple[Any, ...]) -> _Checker:
    """One of several classes, or None, told apart by what they are."""
    options = [(each, *_checker(each)) for each in of]
    looks = {kind: look for kind, look, _, _ in options}
    words = " or ".join(words for _, _, words, _ in options)
    rest = next((look for kind, look, _, _ in options if not dataclasses.is_dataclass(kind) and kind is not types.NoneType), None)

    def look(value: Any) -> None:
        look_at = looks.get(type(value), rest)
        if look_at is None:
            raise _must_be(words, value)
        look_at(value)

    return look, words, frozenset().union(*(fine for _, _, _, fine in options))


def _record(of: type) -> _Checker:
    words = _named(of)
    parts: list[tuple[str, Look, frozenset[type]]] = []

    def look(value: Any) -> None:
        if not isinstance(value, of):
            raise _must_be(words, value)
        for name, look_at, fine in parts:
            part = getattr(value, name)
            if type(part) not in fine:
                try:
                    look_at(part)
                except _Wrong as wrong:
                    wrong.place.append(f".{name}")
                    raise

    hints = typing.get_type_hints(of, include_extras=True)
    for field in dataclasses.fields(of):
        look_at, _, fine = _checker(hints[field.name])
        parts.append((field.name, look_at, fine))
    return look, words, frozenset()


def _make(hint: Any) -> _Checker:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _whole(arguments[1])
    if origin is list:
        return _list(arguments[0])
    if origin in (Union, types.UnionType):
        return _either(arguments)
    if dataclasses.is_dataclass(hint):
        return _record(hint)
    if hint is types.NoneType:
        return _plain(hint, "None")
    if hint is str:
        return _plain(str, "a string")
    if hint is bool:
        return _plain(bool, "True or False")
    if issubclass(hint, enum.Enum):
        return _plain(hint, _named(hint))
    raise TypeError(f"the contract has no {hint}")


def _checker(hint: Any) -> _Checker:
    if hint not in _known:
        _known[hint] = _make(hint)
    return _known[hint]


# Names that the expressions below are written with: of types, and of the functions that they are compiled to.
_names: dict[str, Any] = {}


def _name(of: Any) -> str:
    name = f"_{id(of)}"
    _names[name] = of
    return name


@functools.cache
def _function(of: Any) -> str:
    """The name of a function that tells whether a value is exactly as the hint says."""
    text = f"type(v) is {_name(of)}"
    hints = typing.get_type_hints(of, include_extras=True)
    for field in dataclasses.fields(of):
        text += f" and ({_expression(hints[field.name], f'v.{field.name}')})"
    return _name(eval(f"lambda v: {text}", _names))


def _expression(hint: Any, v: str) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        within = arguments[1]
        return f"type({v}) is int and {within.start} <= {v} < {within.stop}"
    if origin is list:
        return f"type({v}) is list and (not {v} or all([{_expression(arguments[0], 'each')} for each in {v}]))"
    if origin in (Union, types.UnionType):
        if all(dataclasses.is_dataclass(each) for each in arguments):
            cases = _name({each: _names[_function(each)] for each in arguments})
            return f"type({v}) in {cases} and {cases}[type({v})]({v})"
        some = [each for each in arguments if each is not types.NoneType]
        return f"{v} is None or ({_expression(Union[tuple(some)], v)})"
    if dataclasses.is_dataclass(hint):
        return f"{_function(hint)}({v})"
    return f"type({v}) is {_name(hint)}"


def of(hint: Any) -> Callable[[Any, str], None]:
    """A check that raises a `WrongType` which says where in a value something is not as the hint says.

    A spec may have thousands of roles, with a dozen values or more in each, and a call has only so much fuel. So what is
    looked at first is one expression for each type, compiled; only what does not pass is walked along, to say where.
    """
    look, _, _ = _checker(hint)
    is_exact = eval(f"lambda v: {_expression(hint, 'v')}", _names)

    def check(value: Any, place: str) -> None:
        if is_exact(value):
            return
        try:
            look(value)
        except _Wrong as wrong:
            raise WrongType(f"{place}{''.join(reversed(wrong.place))} {wrong.words}") from None

    return check
