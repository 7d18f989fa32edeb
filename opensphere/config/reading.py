"""YAML to a merged config: overrides, and `base` under its siblings."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from opensphere.error import UserError

Config = dict[str, Any]


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a config file, apply `key=value` overrides, merge every `base` under its siblings.

    Args:
        path: the YAML file.
        overrides: dotted keys with a YAML value, as `model.head.net.m=0.4` or `data.val.0.dataset.name=LFW`.

    Returns:
        The merged config: nested dicts without `base`; `data.val` and `data.test` as lists of sets, or as
        `{"holdout": {...}}`.

    Raises:
        UserError: the file is missing or no YAML, or an override has no `=`.
    """
    return merge(load_plain(path), overrides)


def merge(config: Config, overrides: Iterable[str] = ()) -> Config:
    """As `load`, from what the file would hold."""
    config = copy.deepcopy(config)
    for override in overrides:
        put(config, *parse_override(override))
    data = config.get("data")
    if isinstance(data, dict) and data.get("val") == "holdout":
        data["val"] = {"holdout": {}}
    merged = _merge_base(config)
    for part in ("val", "test"):
        if isinstance(merged.get("data"), dict) and part in merged["data"]:
            merged["data"][part] = _listed_sets(merged["data"][part])
    return merged


def dump(config: Config) -> str:
    """The YAML text of a config, keys in their given order."""
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)


def load_plain(path: str | Path) -> Config:
    """Read a YAML file that holds a mapping, as it is.

    Raises:
        UserError: the file is missing or no YAML; names the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: this config cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: no valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path}: a config is a mapping of blocks (project, data, model), this file holds none")
    return config


def parse_override(override: str) -> tuple[str, Any]:
    """The dotted key of `key=value`, and the value as YAML reads it.

    Raises:
        UserError: there is no `=`, or the value is no YAML.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"{override}: an override is written key=value, such as model.head.net.m=0.4")
    try:
        return key, yaml.safe_load(text) if text else None
    except yaml.YAMLError as error:
        raise UserError(f"{override}: the value is no valid YAML") from error


def put(config: Config, key: str, value: Any) -> None:
    """Set the value of a dotted key in place; mappings on the way that are not there are made.

    Raises:
        UserError: a part of the key is no index of a list, or a value without keys.
    """
    *parents, last = key.split(".")
    node: Any = config
    for name in parents:
        if isinstance(node, list):
            node = node[_list_index(node, name, key)]
        elif isinstance(node, dict):
            node = node[name] if isinstance(node.get(name), dict | list) else node.setdefault(name, {})
            if node is None or not isinstance(node, dict | list):
                raise UserError(f"{key}: {name} is a value, it has no keys of its own")
    if isinstance(node, list):
        node[_list_index(node, last, key)] = value
    else:
        node[last] = value


def _list_index(node: list, name: str, key: str) -> int:
    if not name.isdigit() or int(name) >= len(node):
        raise UserError(f"{key}: {name!r} is no index of a list of {len(node)} (they count from 0)")
    return int(name)


def _merge_base(node: Any) -> Any:
    """Deep-merge the value of each `base` key under its siblings that are mappings or lists of mappings."""
    if isinstance(node, list):
        return [_merge_base(child) for child in node]
    if not isinstance(node, dict):
        return node
    base = node.get("base")
    merged = {}
    for key, child in node.items():
        if key == "base":
            continue
        if isinstance(base, dict):
            if isinstance(child, dict):
                child = _deep_merge(base, child)
            elif isinstance(child, list):
                child = [_deep_merge(base, item) if isinstance(item, dict) else item for item in child]
        merged[key] = _merge_base(child)
    return merged


def _deep_merge(under: Mapping, over: Mapping) -> dict:
    if "type" in under and "type" in over and under["type"] != over["type"]:
        return copy.deepcopy(dict(over))  # the arguments of one type mean nothing to another
    merged = copy.deepcopy(dict(under))
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _deep_merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def _listed_sets(sets: Any) -> Any:
    """OpenSphere's configs write several sets as a list or as a mapping from names; one set may stand alone."""
    if sets is None:
        return []
    if isinstance(sets, dict) and "holdout" not in sets:
        return [sets] if "dataset" in sets else list(sets.values())
    return sets
