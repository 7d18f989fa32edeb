"""Read a study file; refuse what could not be done as it is written."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

from opensphere import config as cfg
from opensphere.compare.plan import Arm, Change, Plan, Setting, Tune
from opensphere.config.schema import arguments, known_keys, nearest
from opensphere.error import UserError

_KEYS = (
    "title",
    "claim",
    "paper",
    "cut",
    "base",
    "overrides",
    "test",
    "heads",
    "vary",
    "seeds",
    "baseline",
    "metric",
    "tune",
)
_NET, _SEED = "model.head.net", "project.seed"
_TEST = "data.test."  # overrides of test configs begin so


def read_plan(path: Path, overrides: Sequence[str] = (), least: int = 2) -> Plan:
    """Read a study file.

    Args:
        path: of the file.
        overrides: `key=value` for the base config, after the file's own; those that begin with `data.test.N` are for
            set N of the test configs, counted from 0 over all of them.
        least: how many arms it must have.

    Raises:
        UserError: names the key that is missing, unknown or cannot be used.
    """
    given = cfg.load_plain(path)
    known_keys(given, _KEYS, str(path), required=("base", "test"))
    heads = _listed(given.get("heads"), f"{path}: heads")
    arms = [read_arm(entry, f"{path}: heads.{i}") for i, entry in enumerate(heads)]
    vary = _values(given.get("vary"), f"{path}: vary")
    texts = [*map(str, _listed(given.get("overrides"), f"{path}: overrides")), *overrides]
    of_test = [text for text in texts if text.startswith(_TEST)]
    shared = [cfg.parse_override(text) for text in texts if text not in of_test]
    _refuse_lost(arms, vary, shared, path)
    base = cfg.load_plain(_file(given["base"], f"{path}: base"))
    for change in shared:
        cfg.put(base, *change)
    arms, settings = _arms_and_settings(arms, vary)
    names = [arm.name for arm in arms]
    _check_names(names, least, path)
    baseline = str(given.get("baseline", names[0]))
    if baseline not in names:
        raise UserError(
            f"{path}: baseline: {baseline} is none of the arms{nearest(baseline, names)}: {', '.join(names)}"
        )
    said = {key: " ".join(str(given.get(key) or "").split()) for key in ("title", "claim", "paper", "cut")}
    return Plan(
        name=path.stem,
        **{**said, "title": said["title"] or path.stem},
        base=base,
        origin=str(given["base"]),
        test=_test(given["test"], of_test, path),
        arms=arms,
        settings=settings,
        vary=list(vary),
        seeds=_seeds(given.get("seeds", 1), path),
        baseline=baseline,
        metric=_column(given.get("metric", ""), f"{path}: metric"),
        tune=_tune(given.get("tune"), f"{path}: tune"),
    )


def read_arm(entry: Any, where: str) -> Arm:
    """A head of a study: a net alone, `{type: ArcFace, m: 0.3}`, or as `net` beside `name`, `overrides` and `grid`.

    Raises:
        UserError: it is neither.
    """
    block = entry if isinstance(entry, dict) and "net" in entry else {"net": entry}
    known_keys(block, ("net", "name", "overrides", "grid"), where)
    net = block["net"]
    if not isinstance(net, dict) or "type" not in net:
        raise UserError(
            f"{where}: give a net such as {{type: ArcFace}}, alone or as net beside name, overrides and grid"
        )
    name = str(block.get("name", net["type"]))
    if not name.strip():
        raise UserError(f"{where}.name: it is empty; tables need a name, or leave the key out")
    overrides = _listed(block.get("overrides"), f"{where}.overrides")
    changes = [(_NET, net), *(cfg.parse_override(str(text)) for text in overrides)]
    return Arm(name, tuple(changes), _values(block.get("grid"), f"{where}.grid"))


def full_key(key: Any) -> str:
    """A dotted key; one without a dot is an argument of the head."""
    return str(key) if "." in str(key) else f"{_NET}.{key}"


def spell(value: Any) -> str:
    """A value as people read it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _values(block: Any, where: str) -> dict[str, list[Any]]:
    """The lists of values of `vary` or of a grid, by dotted key."""
    block = {} if block is None else block
    if not isinstance(block, dict) or not all(isinstance(values, list) and values for values in block.values()):
        raise UserError(f"{where}: give a list of values for each key, such as {{m: [0.1, 0.2]}}")
    for key, values in block.items():
        said = [spell(value) for value in values]
        if twice := next((text for text in said if said.count(text) > 1), None):
            raise UserError(f"{where}: {key}: {twice} is listed twice; name each value once")
        if _meet(full_key(key), _SEED):
            raise UserError(f"{where}: {key}: runs have the seeds that `seeds` names; take it out")
    for one, other in combinations(block, 2):
        if _meet(full_key(one), full_key(other)):
            raise UserError(f"{where}: {one} and {other} set the same thing; leave one of them")
    return {full_key(key): values for key, values in block.items()}


def _refuse_lost(arms: Sequence[Arm], vary: dict[str, list[Any]], shared: Sequence[Change], path: Path) -> None:
    """Raises UserError if something that was asked for would be lost, since something else is put in its place."""
    if arms and (key := next((key for key in vary if _above(key, f"{_NET}.type")), None)):
        raise UserError(
            f"{path}: vary: {key} would put one net in the place of all heads; list the nets under heads, or leave "
            "heads out"
        )
    for number, arm in enumerate(arms):
        where = f"{path}: heads.{number}"
        for key, varied in product(arm.grid, vary):
            if _meet(key, varied):
                raise UserError(f"{where}.grid: {key}: vary sets {varied}; leave one of the two")
        own = arm.changes[1:]  # beside the net, which names the values that grids and vary replace
        _refuse_replaced(own, {**dict.fromkeys(vary, "vary"), **dict.fromkeys(arm.grid, "its grid")}, where)
    _refuse_replaced(shared, {**dict.fromkeys(vary, "vary"), **({_NET: "heads"} if arms else {})}, str(path))


def _refuse_replaced(changes: Sequence[Change], by: dict[str, str], where: str) -> None:
    """Raises UserError if one of some overrides is replaced later; `by` says by what, for each key."""
    dot = "." if ": " in where else ": "
    for change, key in product(changes, [*by, _SEED]):
        if _sets(change, key):
            later = f"{by[key]} sets {key}" if key in by else "runs have the seeds that `seeds` names"
            raise UserError(f"{where}{dot}overrides: {change[0]}: {later}; take it out")


def _above(key: str, other: str) -> bool:
    """Whether a dotted key is another one, or holds it."""
    return f"{other}.".startswith(f"{key}.")


def _meet(one: str, other: str) -> bool:
    """Whether two dotted keys set the same thing, or one a part of the other."""
    return _above(one, other) or _above(other, one)


def _sets(change: Change, key: str) -> bool:
    """Whether a change says what the value of a dotted key is, or of a part of it."""
    name, value = change
    if _above(key, name):
        return True
    if not _above(name, key):
        return False
    for part in key.removeprefix(f"{name}.").split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _arms_and_settings(arms: list[Arm], vary: dict[str, list[Any]]) -> tuple[list[Arm], list[Setting]]:
    settings = [
        Setting(", ".join(f"{key.rpartition('.')[2]} {spell(value)}" for key, value in point), point)
        for point in (tuple(zip(vary, values, strict=True)) for values in product(*vary.values()))
    ]
    if len(arms) > 1 or not vary:
        return arms, settings
    first = arms[0] if arms else Arm("", ())  # one head under several values: these are what is compared
    named = [replace(first, name=setting.name, changes=(*first.changes, *setting.changes)) for setting in settings]
    return named, [Setting()]


def _check_names(names: Sequence[str], least: int, path: Path) -> None:
    if len(names) < least:
        wanted = "two or more are needed, or one and `vary`" if least > 1 else "one or more is needed"
        raise UserError(f"{path}: heads: {wanted}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(
            f"{path}: heads: two are called {twice}; give them a name, as {{name: ..., net: {{type: ...}}}}"
        )


def _test(given: Any, overrides: Sequence[str], path: Path) -> cfg.Config:
    """One resolved test config with the sets of all files."""
    files = [_file(file, f"{path}: test") for file in (given if isinstance(given, list) else [given])]
    if not files:
        raise UserError(f"{path}: test: name a test config, or several")
    asked = {0: list(overrides)} if len(files) == 1 else _by_file(overrides, files, path)
    first, *others = [cfg.check_test(cfg.load(file, asked.get(i, [])), file) for i, file in enumerate(files)]
    first["data"]["test"] += [block for other in others for block in other["data"]["test"]]
    names = [str(block["dataset"]["name"]) for block in first["data"]["test"]]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{path}: test: two sets are called {twice}; give one of them another name")
    return first


def _by_file(overrides: Sequence[str], files: Sequence[str], path: Path) -> dict[int, list[str]]:
    """The overrides for each of several test configs: they count the sets of all, a file counts its own."""
    places = [(i, number) for i, file in enumerate(files) for number in range(_count_sets(file))] if overrides else []
    asked: dict[int, list[str]] = {}
    for text in overrides:
        key, equals, value = text.removeprefix(_TEST).partition("=")
        number, dot, rest = key.partition(".")
        if not number.isdecimal() or int(number) >= len(places):
            raise UserError(
                f"{path}: test: {text}: with several files a set is named by its number among all {len(places)}, "
                f"counted from {_TEST}0"
            )
        i, own = places[int(number)]
        asked.setdefault(i, []).append(f"{_TEST}{own}{dot}{rest}{equals}{value}")
    return asked


def _count_sets(file: str) -> int:
    data = cfg.load(file).get("data")
    sets = (data.get("test") or data.get("val")) if isinstance(data, dict) else None
    return len(sets) if isinstance(sets, list) else 0


def _file(value: Any, where: str) -> str:
    """The path of a config that is there."""
    if not Path(str(value)).exists():
        raise UserError(f"{where}: there is no {value}; paths are relative to where the command runs, {Path.cwd()}")
    return str(value)


def _tune(block: Any, where: str) -> Tune:
    tune = Tune(**arguments(block, Tune, where))
    if not 0 < tune.length <= 1:
        raise UserError(f"{where}.length: a share of the updates in (0, 1], got {tune.length:g}")
    _column(tune.metric, f"{where}.metric")
    return tune


def _column(value: Any, where: str) -> str:
    """The column that verdicts or grids go by."""
    name = str(value)
    if name.endswith(" SE"):
        raise UserError(f"{where}: {name} says how sure {name[:-3]} is, not which run is better; name {name[:-3]}")
    return name


def _listed(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list | None):
        raise UserError(f"{where}: expected a list, got {value!r}")
    return value or []


def _seeds(value: Any, path: Path) -> list[int]:
    seeds = list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value
    whole = isinstance(seeds, list) and all(isinstance(seed, int) and seed >= 0 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"{path}: seeds: give their number, or a list of different ones, got {value!r}")
    return seeds
