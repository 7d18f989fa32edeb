"""YAML to checked objects, by name: the only file that looks names up.

The signature of a constructor is the schema of its block: its argument names are the keys, its annotations the types,
its defaults the defaults. `load` reads a file, `check_train` and `check_test` hold it against the signatures before
anything is built, and the `build_*` functions make the objects, given the facts that only a run knows (the number of
people, the size of the images).
"""

import collections.abc
import copy
import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from opensphere import dataset as datasets
from opensphere.classifier import CLASSIFIERS
from opensphere.dataset.augment import Augment
from opensphere.engine.settings import DataLoader, HoldOut, Parallel, Project
from opensphere.error import UserError
from opensphere.model import backbone as backbones
from opensphere.model import head as heads

Config = dict[str, Any]

# Facts of a run: nobody types them. Runs write them into the head's block, as OpenSphere does; there they must agree.
FACTS = ("num_class", "feat_dim")


def _registry(module: types.ModuleType) -> dict[str, Callable]:
    return {name: getattr(module, name) for name in module.__all__}


def _torch_types(module: types.ModuleType, base: type, without: tuple[str, ...]) -> dict[str, Callable]:
    found = {name: value for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, base)}
    hidden = (base.__name__, *without)
    return {name: value for name, value in found.items() if name not in hidden and not name.startswith("_")}


DATASETS = _registry(datasets)
BACKBONES = _registry(backbones)
HEADS = _registry(heads)
# Left out: what a step without arguments cannot drive, and what YAML cannot hold.
OPTIMIZERS = _torch_types(torch.optim, torch.optim.Optimizer, without=("LBFGS", "SparseAdam"))
SCHEDULERS = _torch_types(
    torch.optim.lr_scheduler,
    torch.optim.lr_scheduler.LRScheduler,
    without=("ReduceLROnPlateau", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"),
)


# ---------------------------------------------------------------------------------------------------- reading


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
    config = load_plain(path)
    for override in overrides:
        _override(config, override)
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


def _override(config: Config, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"{override}: an override is written key=value, such as model.head.net.m=0.4")
    try:
        value = yaml.safe_load(text) if text else None
    except yaml.YAMLError as error:
        raise UserError(f"{override}: the value is no valid YAML") from error
    *parents, last = key.split(".")
    node: Any = config
    for name in parents:
        if isinstance(node, list):
            node = node[_list_index(node, name, override)]
        elif isinstance(node, dict):
            node = node[name] if isinstance(node.get(name), dict | list) else node.setdefault(name, {})
            if node is None or not isinstance(node, dict | list):
                raise UserError(f"{override}: {name} is a value, it has no keys of its own")
    if isinstance(node, list):
        node[_list_index(node, last, override)] = value
    else:
        node[last] = value


def _list_index(node: list, name: str, override: str) -> int:
    if not name.isdigit() or int(name) >= len(node):
        raise UserError(f"{override}: {name!r} is no index of a list of {len(node)} (they count from 0)")
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


# ---------------------------------------------------------------------------------------------------- checking


def check_train(config: Config, origin: str = "config") -> Config:
    """Hold a merged training config against the signatures and fill in what it leaves open.

    Args:
        config: what `load` gives.
        origin: the name that errors begin with.

    Returns:
        The resolved config: defaults written out, sizes carried from the training set to the backbone and the
        validation sets, `project.max_iters` and `project.save_iters` settled.

    Raises:
        UserError: names the key, and the nearest known one.
    """
    config = copy.deepcopy(config)
    _known_keys(config, ("project", "data", "parallel", "model"), origin, required=("data", "model"))
    data, model = config["data"], config["model"]
    resolved: Config = {
        "project": _arguments(config.get("project"), Project, f"{origin}: project"),
        "data": {},
        "parallel": _arguments(config.get("parallel"), Parallel, f"{origin}: parallel"),
        "model": {},
    }
    _known_keys(data, ("train", "val"), f"{origin}: data", required=("train",))
    _known_keys(data["train"], ("dataset", "dataloader", "augment"), f"{origin}: data.train", required=("dataset",))
    train = resolved["data"]["train"] = {
        "dataset": _typed(data["train"]["dataset"], DATASETS, f"{origin}: data.train.dataset"),
        "dataloader": _arguments(data["train"].get("dataloader"), DataLoader, f"{origin}: data.train.dataloader"),
        "augment": _arguments(data["train"].get("augment"), Augment, f"{origin}: data.train.augment"),
    }
    image_size = train["dataset"].get("image_size")
    resolved["data"]["val"] = _val_block(data.get("val"), view_of(train["dataset"]), f"{origin}: data.val")

    _known_keys(model, ("backbone", "head"), f"{origin}: model", required=("backbone", "head"))
    for part, registry in (("backbone", BACKBONES), ("head", HEADS)):
        resolved["model"][part] = _module_block(model[part], part, registry, f"{origin}: model.{part}")
    net = resolved["model"]["backbone"]["net"]
    if "input_size" not in (model["backbone"].get("net") or {}):
        net["input_size"] = image_size
    elif image_size is not None and _pair(net["input_size"]) != _pair(image_size):
        raise UserError(
            f"{origin}: model.backbone.net.input_size is {net['input_size']}, but the training images are "
            f"{image_size} (data.train.dataset.image_size)"
        )
    _settle_length(resolved, origin)
    return resolved


def check_test(config: Config, origin: str = "config") -> Config:
    """Hold a merged test config against the signatures; only its `data.test` (or `data.val`) is needed.

    Raises:
        UserError: names the key, and the nearest known one.
    """
    config = copy.deepcopy(config)
    _known_keys(config, ("project", "data", "parallel", "model"), origin, required=("data",))
    data = config["data"]
    _known_keys(data, ("train", "val", "test"), f"{origin}: data")
    part = "test" if data.get("test") else "val"
    sets = data.get(part)
    if not sets or not isinstance(sets, list):
        raise UserError(f"{origin}: data.test names no data set; list them as config/test/combined.yml does")
    project = _arguments(config.get("project"), Project, f"{origin}: project")
    if "precision" not in (config.get("project") or {}):
        project["precision"] = "fp32"  # a published table should not depend on what was faster that day
    return {
        "project": project,
        "data": {"test": _set_blocks(sets, f"{origin}: data.{part}")},
        "parallel": _arguments(config.get("parallel"), Parallel, f"{origin}: parallel"),
    }


def _val_block(block: Any, view: Config, where: str) -> Any:
    if not block:
        return []
    if isinstance(block, dict):
        block = {key: value for key, value in block.items() if key != "dataset"}  # from `base`, meant for listed sets
        _known_keys(block, ("holdout", "dataloader"), where)
        return {
            "holdout": _arguments(block["holdout"], HoldOut, f"{where}.holdout"),
            "dataloader": _arguments(block.get("dataloader"), DataLoader, f"{where}.dataloader"),
        }
    if not isinstance(block, list):
        raise UserError(f"{where}: give a list of data sets, or the word holdout; got {block!r}")
    checked = _set_blocks(block, where)
    for child in checked:
        child["dataset"] = with_view(child["dataset"], view)
    return checked


def view_of(dataset: Config) -> Config:
    """How a training set shows its images, which other images must follow for the network to know what it sees."""
    return {key: dataset[key] for key in ("image_size", "crop") if dataset.get(key) is not None}


def with_view(dataset: Config, view: Config) -> Config:
    """A data set's block that follows `view` where it says nothing else."""
    return {**dataset, **{key: value for key, value in view.items() if key in dataset and dataset[key] is None}}


def _set_blocks(blocks: list, where: str) -> list[Config]:
    checked = [_set_block(block, f"{where}.{i}") for i, block in enumerate(blocks)]
    names = [block["dataset"].get("name") for block in checked]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UserError(
                f"{where}.{i}.dataset.name: {name!r} is the name of another set here, their tables would mix"
            )
    return checked


def _set_block(block: Any, where: str) -> Config:
    """A validation or test set; its image size stays open unless it is named, since the network decides it."""
    _known_keys(block, ("dataset", "dataloader"), where, required=("dataset",))
    checked = _typed(block["dataset"], DATASETS, f"{where}.dataset")
    if "image_size" in checked and "image_size" not in block["dataset"]:
        checked["image_size"] = None
    loader = _arguments(block.get("dataloader"), DataLoader, f"{where}.dataloader")
    return {"dataset": checked, "dataloader": loader}


def _module_block(block: Any, part: str, registry: Mapping[str, Callable], where: str) -> Config:
    known = ["net", "optimizer", "scheduler", "clip_grad_norm", "pretrained"] + ["classifier"] * (part == "head")
    _known_keys(block, known, where, required=("net", "optimizer"))
    noted = FACTS if part == "head" else ()
    checked: Config = {"net": _typed(block["net"], registry, f"{where}.net", facts=noted, noted=noted)}
    checked["optimizer"] = _typed(block["optimizer"], OPTIMIZERS, f"{where}.optimizer", fill=False, facts=("params",))
    if block.get("scheduler"):
        given = ("optimizer", "T_max", "total_steps")
        checked["scheduler"] = _typed(block["scheduler"], SCHEDULERS, f"{where}.scheduler", fill=False, facts=given)
        if "milestones" in checked["scheduler"]:  # torch's own annotation cannot be read at run time
            steps = _coerce(checked["scheduler"]["milestones"], list[int], f"{where}.scheduler.milestones")
            checked["scheduler"]["milestones"] = steps
    checked["clip_grad_norm"] = _coerce(block.get("clip_grad_norm", 1e5), float, f"{where}.clip_grad_norm")
    if block.get("pretrained"):
        checked["pretrained"] = _coerce(block["pretrained"], str, f"{where}.pretrained")
    if part == "head":
        checked["classifier"] = _one_of(block.get("classifier", "plain"), CLASSIFIERS, f"{where}.classifier")
    return checked


def _settle_length(resolved: Config, origin: str) -> None:
    """Training ends at `project.max_iters`, else at the largest milestone; schedules over the whole run are told it."""
    project, model = resolved["project"], resolved["model"]
    schedules = [part["scheduler"] for part in model.values() if "scheduler" in part]
    if project["max_iters"] is None:
        milestones = [step for schedule in schedules for step in schedule.get("milestones", [])]
        if not milestones:
            raise UserError(f"{origin}: project.max_iters must say how long to train: no scheduler has milestones")
        project["max_iters"] = max(milestones)
    counts = {"max_iters": project["max_iters"], "val_intvl": project["val_intvl"]}
    counts |= {f"{log}.screen_intvl": project[log]["screen_intvl"] for log in ("train_log", "val_log")}
    for key, count in counts.items():
        if count < 1:
            raise UserError(f"{origin}: project.{key}: at least 1, got {count}")
    for schedule in schedules:
        whole = {"CosineAnnealingLR": "T_max", "OneCycleLR": "total_steps"}.get(schedule["type"])
        if whole and "epochs" not in schedule:
            schedule.setdefault(whole, project["max_iters"])
    project["checkpoint_intvl"] = project["checkpoint_intvl"] or project["val_intvl"]


def _typed(
    block: Any,
    registry: Mapping[str, Callable],
    where: str,
    fill: bool = True,
    facts: Sequence[str] = (),
    noted: Sequence[str] = (),
) -> Config:
    if not isinstance(block, dict) or "type" not in block:
        raise UserError(f"{where}: says no type; known types: {', '.join(registry)}")
    name = _one_of(block["type"], registry, f"{where}.type")
    rest = {key: value for key, value in block.items() if key != "type"}
    return {"type": name, **_arguments(rest, registry[name], where, fill, facts, noted)}


def _arguments(
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
    positional = ("params", "optimizer")  # objects: they cannot stand in YAML
    known = [name for name in parameters if name not in positional and name not in noted]
    checked: Config = {}
    for key, value in block.items():
        if key in noted:
            checked[key] = _coerce(value, int, f"{where}.{key}")  # it is held against this run's own when it starts
            continue
        if key not in known:
            name = getattr(constructor, "__name__", "it")
            raise UserError(
                f"{where}.{key}: {name} has no such key{_nearest(str(key), known)}; its keys: {', '.join(known)}"
            )
        checked[key] = _coerce(value, hints.get(key, Any), f"{where}.{key}")
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


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """Hold a YAML value against an annotation. `1e-4` is text to YAML 1.1; where a float is due it counts as one."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for member in inner:
            try:
                return _coerce(value, member, where)
            except UserError:
                continue
        raise UserError(f"{where}: expected {_spell(hint)}, got {value!r}")
    if origin is typing.Literal:
        return _one_of(value, inner, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _arguments(value, hint, where)
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
            _coerce(item, member, f"{where}.{i}") for i, (item, member) in enumerate(zip(value, members, strict=True))
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


def _one_of(name: Any, known: Iterable, where: str) -> Any:
    if name not in (choices := list(known)):
        raise UserError(
            f"{where}: unknown {name!r}{_nearest(str(name), choices)}; known: {', '.join(map(str, choices))}"
        )
    return name


def _known_keys(block: Any, known: Sequence[str], where: str, required: Sequence[str] = ()) -> None:
    if not isinstance(block, dict):
        raise UserError(f"{where}: expected a mapping with the keys {', '.join(known)}, got {block!r}")
    dot = "." if ": " in where else ": "  # `where` is the file alone, or the file and a path of keys
    for key in block:
        if key not in known:
            raise UserError(f"{where}{dot}{key}: no such key{_nearest(str(key), known)}; known: {', '.join(known)}")
    for key in required:
        if block.get(key) is None:
            raise UserError(f"{where}{dot}{key}: this block is needed")


def _nearest(name: str, known: Iterable) -> str:
    lowered = {str(choice).lower(): str(choice) for choice in known}
    match = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f", did you mean {lowered[match[0]]}?" if match else ""


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


# ---------------------------------------------------------------------------------------------------- building


def _build(block: Config, registry: Mapping[str, Callable], *positional: Any, **facts: Any) -> Any:
    constructor = registry[block["type"]]
    arguments = {key: value for key, value in block.items() if key != "type" and key not in facts}
    wanted = inspect.signature(constructor).parameters
    return constructor(*positional, **arguments, **{name: fact for name, fact in facts.items() if name in wanted})


def _build_torch(block: Config, registry: Mapping[str, Callable], first: Any, what: str) -> Any:
    try:
        return _build(block, registry, first)
    except (ValueError, TypeError, AssertionError) as error:
        raise UserError(f"{what}: {block['type']} refuses its arguments: {error}") from error


def build_dataset(block: Config) -> Any:
    """A data set from its resolved block."""
    return _build(with_view(block, {"image_size": 112}), DATASETS)


def check_net(net: Config, where: str) -> None:
    """Hold a backbone's block against the signature. Raises UserError that names the key."""
    _typed(net, BACKBONES, where)


def build_backbone(type: str, **params: Any) -> torch.nn.Module:
    """A backbone by name.

    Raises:
        UserError: an unknown name or argument.
    """
    return _build(_typed({"type": type, **params}, BACKBONES, "backbone"), BACKBONES)


def build_head(
    type: str, *, feat_dim: int, num_class: int, classifier: str = "plain", **params: Any
) -> torch.nn.Module:
    """A loss with its class matrix, as one module: `loss = module(features, labels)`.

    Args:
        type: the name of a head, such as "SphereFace".
        feat_dim: D, the length of a feature.
        num_class: C, the number of people.
        classifier: how the head meets its classes, such as "plain".
        params: the arguments of the head, such as s=30., m=1.5.

    Returns:
        A module that maps features (B, D) and labels (B,) to a scalar loss; its matrix is `module.w`, (D, C).

    Raises:
        UserError: an unknown name or argument, or a value that the head refuses.
    """
    if not isinstance(feat_dim, int) or not isinstance(num_class, int) or feat_dim < 1 or num_class < 1:
        raise UserError(f"head: feat_dim and num_class are counts, got {feat_dim!r} and {num_class!r}")
    _one_of(classifier, CLASSIFIERS, "head: classifier")
    head = _build(
        _typed({"type": type, **params}, HEADS, "head", facts=FACTS), HEADS, num_class=num_class, feat_dim=feat_dim
    )
    return CLASSIFIERS[classifier](head, feat_dim, num_class)


def build_optimizer(block: Config, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """An optimizer of torch.optim over `parameters`. Raises UserError for values that it refuses."""
    return _build_torch(block, OPTIMIZERS, list(parameters), "optimizer")


def build_scheduler(block: Config | None, optimizer: torch.optim.Optimizer) -> Any:
    """A scheduler of torch.optim.lr_scheduler, stepped once an iteration; None where no block is given."""
    return _build_torch(block, SCHEDULERS, optimizer, "scheduler") if block else None


def settings(resolved: Config) -> tuple[Project, Parallel]:
    """The `project` and `parallel` blocks of a resolved config as objects."""
    project = dict(resolved["project"])
    hints = _hints(Project)
    for log in ("train_log", "val_log"):
        project[log] = hints[log](**project[log])
    return Project(**project), Parallel(**resolved["parallel"])
