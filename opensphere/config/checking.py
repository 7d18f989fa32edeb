"""A merged config held against the signatures, before anything is built."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from opensphere.config.reading import Config
from opensphere.config.registry import (
    BACKBONES,
    CLASSIFIER_CHOICES,
    DATASETS,
    FACTS,
    HEADS,
    OPTIMIZERS,
    PAIR_HEADS,
    SCHEDULERS,
)
from opensphere.config.schema import arguments, coerce, known_keys, one_of, typed
from opensphere.dataset.augment import Augment, written_out
from opensphere.engine.settings import Corruption, DataLoader, HoldOut, Parallel, Project, Subset
from opensphere.error import UserError


def check_train(config: Config, origin: str = "config") -> Config:
    """Hold a merged training config against the signatures and fill in what it leaves open.

    Args:
        config: what `load` gives.
        origin: the name that errors begin with.

    Returns:
        The resolved config: defaults written out, sizes carried from the training set to the backbone and the
        validation sets, `project.max_iters` settled.

    Raises:
        UserError: names the key, and the nearest known one.
    """
    config = copy.deepcopy(config)
    known_keys(config, ("project", "data", "parallel", "model"), origin, required=("data", "model"))
    data, model = config["data"], config["model"]
    resolved: Config = {
        "project": arguments(config.get("project"), Project, f"{origin}: project"),
        "data": {},
        "parallel": arguments(config.get("parallel"), Parallel, f"{origin}: parallel"),
        "model": {},
    }
    known_keys(data, ("train", "val"), f"{origin}: data", required=("train",))
    known = ("dataset", "dataloader", "augment", "subset", "corruption")
    known_keys(data["train"], known, f"{origin}: data.train", required=("dataset",))
    where = f"{origin}: data.train.augment"
    train = resolved["data"]["train"] = {
        "dataset": typed(data["train"]["dataset"], DATASETS, f"{origin}: data.train.dataset"),
        "dataloader": arguments(data["train"].get("dataloader"), DataLoader, f"{origin}: data.train.dataloader"),
        "augment": arguments(written_out(data["train"].get("augment"), where), Augment, where),
        "subset": arguments(data["train"].get("subset"), Subset, f"{origin}: data.train.subset"),
        "corruption": arguments(data["train"].get("corruption"), Corruption, f"{origin}: data.train.corruption"),
    }
    image_size = train["dataset"].get("image_size")
    resolved["data"]["val"] = _val_block(data.get("val"), view_of(train["dataset"]), f"{origin}: data.val")

    known_keys(model, ("backbone", "head"), f"{origin}: model", required=("backbone", "head"))
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
    if resolved["project"]["seed"] < 0:
        raise UserError(f"{origin}: project.seed: 0 or more, got {resolved['project']['seed']}")
    _settle_length(resolved, origin)
    return resolved


def check_test(config: Config, origin: str = "config") -> Config:
    """Hold a merged test config against the signatures; only its `data.test` (or `data.val`) is needed.

    Raises:
        UserError: names the key, and the nearest known one.
    """
    config = copy.deepcopy(config)
    known_keys(config, ("project", "data", "parallel", "model"), origin, required=("data",))
    data = config["data"]
    known_keys(data, ("train", "val", "test"), f"{origin}: data")
    part = "test" if data.get("test") else "val"
    sets = data.get(part)
    if not sets or not isinstance(sets, list):
        raise UserError(f"{origin}: data.test names no data set; list them as config/test/combined.yml does")
    project = arguments(config.get("project"), Project, f"{origin}: project")
    if "precision" not in (config.get("project") or {}):
        project["precision"] = "fp32"  # a published table should not depend on what was faster that day
    return {
        "project": project,
        "data": {"test": _set_blocks(sets, f"{origin}: data.{part}")},
        "parallel": arguments(config.get("parallel"), Parallel, f"{origin}: parallel"),
    }


def _val_block(block: Any, view: Config, where: str) -> Any:
    if not block:
        return []
    if isinstance(block, dict):
        block = {key: value for key, value in block.items() if key != "dataset"}  # from `base`, meant for listed sets
        known_keys(block, ("holdout", "dataloader"), where)
        return {
            "holdout": arguments(block["holdout"], HoldOut, f"{where}.holdout"),
            "dataloader": arguments(block.get("dataloader"), DataLoader, f"{where}.dataloader"),
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
    """A data set's block that follows `view` where it says nothing else.

    Raises:
        UserError: the network saw a crop, and the set's type knows none.
    """
    if view.get("crop") and "crop" not in dataset:
        raise UserError(
            f"{dataset.get('name', 'data')}: the network was trained on the crop {view['crop']}, which a "
            f"{dataset['type']} cannot follow: it would see other faces than it knows"
        )
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
    known_keys(block, ("dataset", "dataloader"), where, required=("dataset",))
    checked = typed(block["dataset"], DATASETS, f"{where}.dataset")
    if "image_size" in checked and "image_size" not in block["dataset"]:
        checked["image_size"] = None
    loader = arguments(block.get("dataloader"), DataLoader, f"{where}.dataloader")
    return {"dataset": checked, "dataloader": loader}


def _module_block(block: Any, part: str, registry: Mapping[str, Callable], where: str) -> Config:
    known = ["net", "optimizer", "scheduler", "clip_grad_norm", "pretrained"] + ["classifier"] * (part == "head")
    known_keys(block, known, where, required=("net",))
    noted = FACTS if part == "head" else ()
    checked: Config = {"net": typed(block["net"], registry, f"{where}.net", facts=noted, noted=noted)}
    name = checked["net"]["type"]
    if getattr(registry[name], "learns", True):  # else an optimizer that `base` brings is for the backbone alone
        known_keys(block, known, where, required=("optimizer",))
        checked |= _update_block(block, where)
    checked["clip_grad_norm"] = coerce(block.get("clip_grad_norm", 1e5), float, f"{where}.clip_grad_norm")
    if block.get("pretrained"):
        checked["pretrained"] = coerce(block["pretrained"], str, f"{where}.pretrained")
    if part == "head":
        checked["classifier"] = classifier_block(block.get("classifier", "auto"), f"{where}.classifier", name)
    return checked


def _update_block(block: Config, where: str) -> Config:
    optimizer = typed(block["optimizer"], OPTIMIZERS, f"{where}.optimizer", fill=False, facts=("params",))
    checked: Config = {"optimizer": optimizer}
    if block.get("scheduler"):
        given = ("optimizer", "T_max", "total_steps")
        checked["scheduler"] = typed(block["scheduler"], SCHEDULERS, f"{where}.scheduler", fill=False, facts=given)
        if "milestones" in checked["scheduler"]:  # torch's own annotation cannot be read at run time
            steps = coerce(checked["scheduler"]["milestones"], list[int], f"{where}.scheduler.milestones")
            checked["scheduler"]["milestones"] = steps
    return checked


def classifier_block(block: Any, where: str, head: str) -> Config:
    """How the head meets its classes: a name alone, or `type` with options such as `memory`."""
    block = "auto" if block is None else block
    if isinstance(block, str):
        block = {"type": one_of(block, CLASSIFIER_CHOICES, where)}
    checked = typed(block, CLASSIFIER_CHOICES, where, facts=("head", *FACTS))
    if head in PAIR_HEADS and checked["type"] not in ("auto", "none"):
        raise UserError(f"{where}: {head} compares pairs, it has no classes for {checked['type']}: leave the key out")
    if head not in PAIR_HEADS and checked["type"] == "none":
        raise UserError(f"{where}: none is for losses on pairs ({', '.join(PAIR_HEADS)}); {head} needs its classes")
    return {"type": "none"} if head in PAIR_HEADS else checked


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


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)
