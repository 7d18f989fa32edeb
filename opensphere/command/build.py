"""From a resolved config to the objects of a training: wiring, no maths."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from opensphere import collective, protocol
from opensphere import config as cfg
from opensphere.classifier import Classifier
from opensphere.classifier.centers import rows_of
from opensphere.classifier.choice import choose
from opensphere.classifier.pairs import Pairs
from opensphere.dataset import corruption, selection, view
from opensphere.dataset.augment import PRESETS, Augment
from opensphere.dataset.holdout import hold_out
from opensphere.engine.checkpoint import load_weights, read_weights
from opensphere.engine.encoder import Encoder
from opensphere.engine.extract import extract
from opensphere.engine.parallel import NAMES, World, choose_precision, free_memory
from opensphere.engine.part import Part
from opensphere.engine.record import Record
from opensphere.engine.run import Run
from opensphere.engine.settings import Corruption, DataLoader, Subset
from opensphere.error import UserError
from opensphere.metric import energy


@dataclass
class Sets:
    """The data of a training: the set to learn from, and those to validate on, each with its loader's settings."""

    train: Any
    loader: DataLoader
    augment: Augment
    val: list[tuple[Any, DataLoader]]
    remarks: list[str] = field(default_factory=list)  # what was done to the training set on purpose


def build_sets(resolved: cfg.Config, origin: str, build: Callable[[cfg.Config], Any] = cfg.build_dataset) -> Sets:
    """The data sets of a resolved training config.

    Args:
        build: makes a data set of its block; another keeps what several trainings share.

    Raises:
        UserError: a list cannot be used, or one class only is there to learn.
    """
    data = resolved["data"]
    train = build(data["train"]["dataset"])
    loader = DataLoader(**data["train"]["dataloader"])
    augment = data["train"]["augment"]
    if data["train"]["dataset"].get("test_mode"):
        augment = PRESETS["none"]  # test_mode: the images as they are
    val: list[tuple[Any, DataLoader]] = []
    if not hasattr(train, "num_class"):
        raise UserError(f"{origin}: data.train.dataset: {data['train']['dataset']['type']} has no people to learn")
    if train.num_class < 2:
        raise UserError(
            f"{origin}: data.train: {train.name} holds {train.num_class} person; training needs two or more"
        )
    if isinstance(data["val"], dict):
        wanted = dict(data["val"]["holdout"])
        metrics = wanted.pop("metrics")
        train, pairs = hold_out(train, **wanted)
        pairs.metrics = metrics or (["ACC10", "ACC10 SE", "ACC"] if wanted["folds"] else ["ACC"])
        val.append((pairs, DataLoader(**data["val"]["dataloader"])))
    else:
        val += [(build(b["dataset"]), DataLoader(**b["dataloader"])) for b in data["val"]]
    try:
        train, remarks = choose_images(train, data["train"])
    except UserError as error:
        raise UserError(f"{origin}: data.train.subset or data.train.corruption: {error}") from None
    if train.num_class < 2:
        raise UserError(
            f"{origin}: data.train: {train.num_class} person is left of {train.name}; two or more are needed"
        )
    for dataset, _ in val:
        protocol.check(dataset)
        if dataset.image_size != train.image_size:
            raise UserError(
                f"{origin}: data.val: {dataset.name} has images of {dataset.image_size}, but training has "
                f"{train.image_size}: leave image_size out"
            )
    return Sets(train, loader, Augment(**augment), val, remarks)


def choose_images(train: Any, block: cfg.Config) -> tuple[Any, list[str]]:
    """What `subset` and `corruption` leave of a set, with the labels that they leave; and what was done.

    Raises:
        UserError: there are not so many, or the centres for look-alikes cannot be used.
    """
    remarks = []
    wanted, damage = Subset(**block["subset"]), Corruption(**block["corruption"])
    if wanted != Subset(seed=wanted.seed):
        before = f"{len(train):,} images of {train.num_class:,} people"
        train = view.Subset(train, selection.select(train.labels, **vars(wanted))[0])
        remarks.append(f"subset: of {before}, {len(train):,} of {train.num_class:,} are left")
    if damage.exponent is not None:
        indices, report = corruption.long_tail(train.labels, damage.exponent, seed=damage.seed)
        train = view.Subset(train, indices)
        most, fewest = report["most"], report["fewest"]
        remarks.append(
            f"long tail: {report['kept']:,} of {report['images']:,} images are left, {most} to {fewest} each"
        )
    if damage.share:
        if damage.noise == "uniform":
            labels, report = corruption.uniform(train.labels, train.num_class, damage.share, damage.seed)
        else:
            centers = corruption.read_centers(damage.centers, getattr(train, "people", np.arange(train.num_class)))
            neighbours = corruption.nearest(centers, min(damage.neighbours, train.num_class - 1))
            labels, report = corruption.lookalike(train.labels, neighbours, damage.share, damage.seed)
        train = view.Subset(train, np.arange(len(train)), labels)
        remarks.append(f"label noise, {damage.noise}: {report['changed']:,} of {report['images']:,} labels changed")
    return train, remarks


def settle_facts(resolved: cfg.Config, num_class: int, feat_dim: int, origin: str) -> None:
    """Write the facts of a run into its config, as OpenSphere does; a config that says otherwise is an error."""
    net = resolved["model"]["head"]["net"]
    for key, fact in (("num_class", num_class), ("feat_dim", feat_dim)):
        if net.get(key, fact) != fact:
            raise UserError(f"{origin}: model.head.net.{key} is {net[key]}, but it is {fact} here: leave the key out")
        net[key] = fact


def settle_classifier(resolved: cfg.Config, num_class: int, feat_dim: int, world: World) -> str | None:
    """Put a classifier in the place of `auto`, in the config too, for a resume. Returns why, if there was a choice."""
    block, loader = resolved["model"]["head"]["classifier"], resolved["data"]["train"]["dataloader"]
    if block["type"] == "none" and loader["images_per_person"] is None:
        return (
            f"{resolved['model']['head']['net']['type']} compares images of one person, which now meet by chance: "
            f"data.train.dataloader.images_per_person puts several into each batch"
        )
    if block["type"] != "auto":
        return None
    batch = loader["batch_size"]
    free = free_memory(world.device)
    if free is not None and world.device.type == "cpu":
        free /= world.size  # the processes of a machine share it
    kind, why = choose(num_class, feat_dim, batch, world.size, block["memory"], free)
    options = {} if kind == "plain" else {"memory": block["memory"], "fused": False}
    resolved["model"]["head"]["classifier"] = {"type": kind, **options}
    return why


def build_run(resolved: cfg.Config, num_class: int, world: World, origin: str) -> Run:
    """Backbone, head and optimizers on this rank's device; the same initial weights for the same seed.

    The backbone is drawn before the head, each from its own generator state: heads under comparison share it.
    """
    project, parallel = cfg.settings(resolved)
    blocks = resolved["model"]
    torch.manual_seed(project.seed)
    backbone = cfg.build_backbone(**blocks["backbone"]["net"])
    torch.manual_seed(project.seed + 1)
    settle_facts(resolved, num_class, backbone.feat_dim, origin)  # type: ignore[arg-type]
    remark = settle_classifier(resolved, num_class, backbone.feat_dim, world)  # type: ignore[arg-type]
    classifier: Any = cfg.build_head(**blocks["head"]["net"], classifier=blocks["head"]["classifier"])
    for module, block in ((backbone, blocks["backbone"]), (classifier, blocks["head"])):
        if block.get("pretrained"):
            load_weights(module, read_weights(block["pretrained"]), block["pretrained"])
    backbone = backbone.to(world.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    classifier = classifier.to(world.device)
    if world.size > 1 and parallel.sync_bn and world.device.type == "cuda":
        backbone = torch.nn.SyncBatchNorm.convert_sync_batchnorm(backbone)
    batch = resolved["data"]["train"]["dataloader"]["batch_size"]
    if isinstance(classifier, Pairs) and classifier.head.compared(batch) < batch:
        raise UserError(
            f"{origin}: model.head.net.bank: {classifier.head.compared(batch)} keys are fewer than the {batch} images "
            "of a batch"
        )
    wants_keys = isinstance(classifier, Pairs) and classifier.head.ema is not None
    encoder = Encoder(backbone, classifier.head.ema) if wants_keys else None
    if world.size > 1:
        ids = [world.device.index] if world.device.type == "cuda" else None
        backbone = DistributedDataParallel(backbone, device_ids=ids)
    # what the first rank measures holds for all, and is written down for a resume
    precision = collective.gather_objects(choose_precision(project.precision, world.device))[0]
    resolved["project"]["precision"] = precision
    parts = {}
    for name, module in (("backbone", backbone), ("head", classifier)):
        optimizer = scheduler = None
        if "optimizer" in blocks[name]:
            optimizer = cfg.build_optimizer(blocks[name]["optimizer"], module.parameters())
            scheduler = cfg.build_scheduler(blocks[name].get("scheduler"), optimizer)
        if name == "head" and blocks["head"]["classifier"].get("fused"):
            if NAMES[precision] == torch.float16:
                raise UserError("model.head.classifier.fused: fp16 scales the loss, which cannot be fused; use bf16")
            classifier.fuse(optimizer)
        parts[name] = Part(module, optimizer, scheduler, blocks[name]["clip_grad_norm"], replicated=name == "head")
    return Run(backbone, classifier, parts, world, NAMES[precision], project.seed, encoder=encoder, remark=remark)


def validator(sets: Sets, record: Record) -> Any:
    """The function that a training calls to validate: metrics by name of the data set, on the first rank.

    Where there are classes, their spread goes into the record as well.
    """

    def validate(run: Run) -> dict[str, dict[str, float]]:
        results = {}
        for buffer in run.bare_backbone.buffers():
            collective.broadcast(buffer)  # BatchNorm's statistics are each rank's own; the first rank's are saved
        for dataset, loader in sets.val:
            batch = max(1, loader.batch_size // run.world.size)
            with record.task(f"validate on {dataset.name}", len(dataset)) as advance:
                features = extract(run.bare_backbone, dataset, run.world, batch, loader.num_workers, run.dtype, advance)
            if run.world.rank == 0:
                results[dataset.name] = protocol.evaluate(dataset, features)
        found = class_spread(run.classifier)
        if found is not None:
            record.sphere(run.step, found.energy, found.nearest)
        return results

    return validate


def class_spread(classifier: Classifier | Pairs) -> energy.Spread | None:
    """How classes spread, of at most `energy.MOST` centres; None for a loss on pairs, and on ranks but the first.

    Call it on every rank: where classes are split, each sends what it holds of the classes that were drawn.
    """
    if isinstance(classifier, Pairs):
        return None
    shard, centers = classifier.shard, classifier.head.centers
    drawn = torch.from_numpy(energy.draw(classifier.num_class, centers))
    here = drawn[(drawn >= shard.first) & (drawn < shard.last)] - shard.first
    points = classifier.w.detach()[:, rows_of(here, centers).to(classifier.w.device)]
    if shard.split:
        points = collective.collect(points)
    return None if collective.rank() else energy.spread(points.mT.cpu().numpy(), centers)
