"""Objects from checked blocks, given the facts that only a run knows: the number of people, the size of the images."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from opensphere.classifier import CLASSIFIERS
from opensphere.config.checking import classifier_block, with_view
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
from opensphere.config.schema import one_of, typed
from opensphere.engine.settings import Parallel, Project, TrainLog, ValLog
from opensphere.error import UserError


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
    typed(net, BACKBONES, where)


def build_backbone(type: str, **params: Any) -> torch.nn.Module:
    """A backbone by name.

    Raises:
        UserError: an unknown name or argument.
    """
    return _build(typed({"type": type, **params}, BACKBONES, "backbone"), BACKBONES)


def build_head(
    type: str, *, feat_dim: int, num_class: int, classifier: str | Config | None = None, **params: Any
) -> torch.nn.Module:
    """A loss with its class matrix, as one module: `loss = module(features, labels)`.

    Args:
        type: the name of a head, such as "SphereFace".
        feat_dim: D, the length of a feature.
        num_class: C, the number of people.
        classifier: how the head meets its classes, such as "chunked" or {"type": "chunked", "memory": 500}. None:
            "plain", or "none" for a loss on pairs.
        params: the arguments of the head, such as s=30., m=1.5.

    Returns:
        A module that maps features (B, D) and labels (B,) to a scalar loss; its matrix is `module.w`, (D, C), unless
        the loss is on pairs.

    Raises:
        UserError: an unknown name or argument, or a value that the head refuses.
    """
    if not isinstance(feat_dim, int) or not isinstance(num_class, int) or feat_dim < 1 or num_class < 1:
        raise UserError(f"head: feat_dim and num_class are counts, got {feat_dim!r} and {num_class!r}")
    one_of(type, HEADS, "head.type")
    classifier = classifier or ("none" if type in PAIR_HEADS else "plain")
    block = classifier_block(classifier, "head: classifier", type)
    if block["type"] == "auto":
        raise UserError(f"head: classifier auto needs a run that knows the batch; name one of {', '.join(CLASSIFIERS)}")
    head = _build(
        typed({"type": type, **params}, HEADS, "head", facts=FACTS), HEADS, num_class=num_class, feat_dim=feat_dim
    )
    return _build(block, CLASSIFIER_CHOICES, head, feat_dim, num_class)


def build_optimizer(block: Config, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """An optimizer of torch.optim over `parameters`. Raises UserError for values that it refuses."""
    return _build_torch(block, OPTIMIZERS, list(parameters), "optimizer")


def build_scheduler(block: Config | None, optimizer: torch.optim.Optimizer) -> Any:
    """A scheduler of torch.optim.lr_scheduler, stepped once an iteration; None where no block is given."""
    return _build_torch(block, SCHEDULERS, optimizer, "scheduler") if block else None


def settings(resolved: Config) -> tuple[Project, Parallel]:
    """The `project` and `parallel` blocks of a resolved config as objects."""
    project = dict(resolved["project"])
    logs = {"train_log": TrainLog(**project["train_log"]), "val_log": ValLog(**project["val_log"])}
    return Project(**{**project, **logs}), Parallel(**resolved["parallel"])
