"""What a config may name: the only file that looks names up."""

import types
from collections.abc import Callable

import torch

from opensphere import dataset as datasets
from opensphere.classifier import CLASSIFIERS
from opensphere.classifier.pairs import Pairs
from opensphere.model import backbone as backbones
from opensphere.model import head as heads
from opensphere.model.head.pair import PairHead

# Facts of a run: nobody types them. Runs write them into the head's block, as OpenSphere does; there they must agree.
FACTS = ("num_class", "feat_dim")


def _registry(module: types.ModuleType) -> dict[str, Callable]:
    return {name: getattr(module, name) for name in module.__all__}


def _torch_types(module: types.ModuleType, base: type, without: tuple[str, ...]) -> dict[str, Callable]:
    found = {name: value for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, base)}
    hidden = (base.__name__, *without)
    return {name: value for name, value in found.items() if name not in hidden and not name.startswith("_")}


def auto(memory: float = 300.0) -> None:
    """What the number of people, the batch and the processes call for; `memory` in megabytes, as `chunked`."""


# How a head meets its classes: built as they are, but for `auto`, which gives way to another when a run begins. `none`
# is for losses on pairs, and they for it.
CLASSIFIER_CHOICES: dict[str, Callable] = {"auto": auto, **CLASSIFIERS, "none": Pairs}

DATASETS = _registry(datasets)
BACKBONES = _registry(backbones)
HEADS = _registry(heads)
PAIR_HEADS = {name: head for name, head in vars(heads).items() if name in HEADS and issubclass(head, PairHead)}
# Left out: what a step without arguments cannot drive, and what YAML cannot hold.
OPTIMIZERS = _torch_types(torch.optim, torch.optim.Optimizer, without=("LBFGS", "SparseAdam"))
SCHEDULERS = _torch_types(
    torch.optim.lr_scheduler,
    torch.optim.lr_scheduler.LRScheduler,
    without=("ReduceLROnPlateau", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"),
)
