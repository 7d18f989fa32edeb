"""A constructor's signature as the schema of its block: its argument names are the keys, its annotations the types, its
defaults the defaults."""

import collections.abc
import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opensphere.config.reading import Config
from opensphere.error import UserError


def typed(
    block: Any,
    registry: Mapping[str, Callable],
    where: str,
    fill: bool = True,
    facts: Sequence[str] = (),
    noted: Sequence[str] = (),
) -> Config:
    if not isinstance(block, dict) or "type" not in block:
        raise UserError(f"{where}: says no type; known types: {', '.join(registry)}")
    name = one_of(block["type"], registry, f"{where}.type")
    rest = {key: value for key, value in block.items() if key != "type"}
    return {"type": name, **arguments(rest, registry[name], where, fill, facts, noted)}


def arguments(
    block: Any,
    constructor: Callable,
    where: str,
    fill: bool = True,
    facts: Sequence[str] = (),
    noted: Sequence[str] = (),
) -> Config:
    """The checked arguments of a constructor.

    Args:
        fill: write out its defaults too, as plain YAML values.
        facts: arguments that the run supplies; the block need not have them.
        noted: facts that the block may hold even if the constructor does not take them.
    """
    block = {} if block is None else block
    if not isinstance(block, dict):
        raise UserError(f"{where}: expected a mapping of keys, got {block!r}")
    parameters = inspect.signature(constructor).parameters
    hints = _hints(constructor)
    # objects, which cannot stand in YAML, and what only a run knows
    positional = ("params", "optimizer", "head", "feat_dim", "num_class")
    known = [name for name in parameters if name not in positional and name not in noted]
    checked: Config = {}
    for key, value in block.items():
        if key in noted:
            checked[key] = coerce(value, int, f"{where}.{key}")  # it is held against this run's own when it starts
            continue
        if key not in known:
            name = getattr(constructor, "__name__", "it")
            raise UserError(
                f"{where}.{key}: {name} has no such key{nearest(str(key), known)}; its keys: {', '.join(known)}"
            )
        checked[key] = coerce(value, hints.get(key, Any), f"{where}.{key}")
    for name, parameter in parameters.items():
        if name in checked or name in facts:
            continue
        if parameter.default is inspect.Parameter.empty:
            nested = dataclasses.is_dataclass(constructor)
            default = _default(constructor, name) if nested else inspect.Parameter.empty
            if default is inspect.Parameter.empty:
                raise UserError(f"{where}.{name}: this key is needed")
        if fill:
            default = _default(constructor, name) if dataclasses.is_dataclass(constructor) else parameter.default
            checked[name] = _plain(default)
    return checked


def _default(constructor: Any, name: str) -> Any:
    field = next(field for field in dataclasses.fields(constructor) if field.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default


def _plain(value: Any) -> Any:
    """A default as YAML can hold it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return list(value) if isinstance(value, tuple) else value


def _hints(constructor: Callable) -> dict[str, Any]:
    target = constructor.__init__ if inspect.isclass(constructor) else constructor
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):  # annotations of other projects that name what is not imported: no check then
        return {}


_LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)


def coerce(value: Any, hint: Any, where: str) -> Any:
    """Hold a YAML value against an annotation. `1e-4` is text to YAML 1.1; where a float is due it counts as one."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for member in inner:
            try:
                return coerce(value, member, where)
            except UserError:
                continue
        raise UserError(f"{where}: expected {_spell(hint)}, got {value!r}")
    if origin is typing.Literal:
        return one_of(value, inner, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return arguments(value, hint, where)
    if hint is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise UserError(f"{where}: expected a number, got {value!r}") from None
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if origin in _LISTS or hint in _LISTS:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: expected a list, got {value!r}")
        members = inner if origin is tuple and Ellipsis not in inner else (inner[:1] or (Any,)) * len(value)
        if len(members) != len(value):
            raise UserError(f"{where}: expected a list of {len(members)}, got {value!r}")
        return [
            coerce(item, member, f"{where}.{i}") for i, (item, member) in enumerate(zip(value, members, strict=True))
        ]
    accepted = {bool: (bool,), int: (int,), float: (int, float), str: (str,), type(None): (type(None),), dict: (dict,)}
    if hint in accepted and (
        not isinstance(value, accepted[hint]) or (isinstance(value, bool) and hint in (int, float))
    ):
        raise UserError(f"{where}: expected {_spell(hint)}, got {value!r}")
    return float(value) if hint is float else value


def _spell(hint: Any) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", str: "text", type(None): "null"}
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_spell(member) for member in typing.get_args(hint))
    return names.get(hint) or str(hint).replace("typing.", "")


def one_of(name: Any, known: Iterable, where: str) -> Any:
    if name not in (choices := list(known)):
        raise UserError(
            f"{where}: unknown {name!r}{nearest(str(name), choices)}; known: {', '.join(map(str, choices))}"
        )
    return name


def known_keys(block: Any, known: Sequence[str], where: str, required: Sequence[str] = ()) -> None:
    if not isinstance(block, dict):
        raise UserError(f"{where}: expected a mapping with the keys {', '.join(known)}, got {block!r}")
    dot = "." if ": " in where else ": "  # `where` is the file alone, or the file and a path of keys
    for key in block:
        if key not in known:
            raise UserError(f"{where}{dot}{key}: no such key{nearest(str(key), known)}; known: {', '.join(known)}")
    for key in required:
        if block.get(key) is None:
            raise UserError(f"{where}{dot}{key}: this block is needed")


def nearest(name: str, known: Iterable) -> str:
    lowered = {str(choice).lower(): str(choice) for choice in known}
    match = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f", did you mean {lowered[match[0]]}?" if match else ""
