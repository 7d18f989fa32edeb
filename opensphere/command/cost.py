"""`opensphere train --dry-run`: what a training would cost."""

import torch
from rich.console import Console

from opensphere import config as cfg
from opensphere.classifier.choice import PLAIN_COPIES, cost_of
from opensphere.classifier.pairs import Pairs
from opensphere.command.build import build_run, build_sets
from opensphere.dataset.loader import train_sampler
from opensphere.dataset.sampler import Plan
from opensphere.engine.parallel import World
from opensphere.error import UserError
from opensphere.model.backbone.cost import count

MEBI = 2**20


def print_cost(resolved: cfg.Config, origin: str) -> None:
    """Build everything, then print the resolved config, parameters, FLOPs an image, and an estimate of the memory.

    Where the training list is not there yet, the number of people is taken from `model.head.net.num_class`.
    """
    console = Console(soft_wrap=True, highlight=False)
    num_class = resolved["model"]["head"]["net"].get("num_class")
    sets = None
    try:
        sets = build_sets(resolved, origin)
        data = f"{len(sets.train):,} images of {sets.train.num_class:,} people"
        num_class = sets.train.num_class
    except UserError as error:
        if num_class is None:
            raise UserError(f"{error} (without the data, give model.head.net.num_class=COUNT to --dry-run)") from error
        data = f"not here ({error}); {num_class:,} people as given"
    if sets:  # what a training would refuse at once is refused here too
        loader = sets.loader
        plan = Plan(loader.batch_size, loader.shuffle, loader.drop_last)
        train_sampler(sets.train, plan, loader.images_per_person, loader.balance)
    run = build_run(resolved, num_class, World(0, 1, torch.device("cpu")), origin)
    cost = count(run.bare_backbone)
    head = sum(parameter.numel() for parameter in run.classifier.parameters())
    batch = resolved["data"]["train"]["dataloader"]["batch_size"]
    weights = 3 * 4 * (cost.parameters + head)  # weight, gradient, one momentum
    if isinstance(run.classifier, Pairs):
        weights += 4 * sum(buffer.numel() for buffer in run.classifier.buffers())
        weights += 4 * cost.parameters if run.encoder else 0
        scores = PLAIN_COPIES * 4 * batch * run.classifier.head.compared(batch)
    else:
        block = resolved["model"]["head"]["classifier"]
        options = {key: block[key] for key in ("memory", "fused") if key in block}
        feat_dim = resolved["model"]["head"]["net"]["feat_dim"]
        classes = cost_of(block["type"], num_class, feat_dim, batch, **options)
        weights -= classes.weights - classes.gradient
        scores = classes.working
    activations = cost.activation_bytes * batch
    console.print(cfg.dump(resolved), markup=False)
    total = (weights + scores + activations) / MEBI
    split = f"{weights / MEBI:,.0f} weights with gradients and momentum, {activations / MEBI:,.0f} activations in fp32"
    rows = {
        "data": data,
        "backbone": f"{cost.parameters:,} parameters, {cost.flops / 1e9:.3f} GFLOPs an image (forward)",
        "head": f"{head:,} parameters",
        "training": f"{resolved['project']['max_iters']:,} updates of {batch:,} images",
        "work": f"{3 * cost.flops * batch * resolved['project']['max_iters'] / 1e15:,.2f} PFLOPs in all",
        "memory": f"about {total:,.0f} MiB if one device takes the whole batch: {split}, {scores / MEBI:,.0f} scores",
    }
    if run.remark:
        rows["classes"] = run.remark
    for name, text in rows.items():
        console.print(f"{name:10} {text}", markup=False)
