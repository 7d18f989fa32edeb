"""The settings blocks of a config that are not constructors of something else: their fields are their YAML keys."""

from dataclasses import dataclass, field
from typing import Literal

TRAIN_HEADERS = ("Iter", "Loss", "bkb_grad", "head_grad", "Mag_mean", "Mag_std")


@dataclass
class TrainLog:
    """`project.train_log`: every iteration goes to the file, an average of `screen_intvl` iterations to the screen.

    `headers` is accepted for OpenSphere's configs; the columns are always these.
    """

    path: str = "train.log"
    screen_intvl: int = 100
    headers: list[str] = field(default_factory=lambda: list(TRAIN_HEADERS))


@dataclass
class ValLog:
    """`project.val_log`. `headers` is accepted for OpenSphere's configs; the columns are the data sets' metrics."""

    path: str = "val.log"
    screen_intvl: int = 1
    headers: list[str] = field(default_factory=list)


@dataclass
class Project:
    """`project`: where a run is written, how long it lasts, what repeats while it goes on.

    Attributes:
        proj_dir: the folder that holds the run folders.
        model_dir: the folder of the weights inside a run folder.
        cfg_fname: the name of the resolved config inside a run folder.
        train_log, val_log: the two logs.
        val_intvl: validate every so many updates (and at the end).
        save_iters: write the weights after so many updates, and at the end.
        checkpoint_intvl: renew the checkpoint that a resume starts from every so many updates; None means `val_intvl`.
        max_iters: the number of updates; None means the largest scheduler milestone.
        seed: fixes initial weights, order of the images and augmentation.
        precision: arithmetic of the backbone; `auto` takes bf16 where a measured product says that it is faster.
    """

    proj_dir: str = "project"
    model_dir: str = "models"
    cfg_fname: str = "config.yml"
    train_log: TrainLog = field(default_factory=TrainLog)
    val_log: ValLog = field(default_factory=ValLog)
    val_intvl: int = 2000
    save_iters: list[int] | None = None
    checkpoint_intvl: int | None = None
    max_iters: int | None = None
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"


@dataclass
class Parallel:
    """`parallel`: which devices, how many processes, how they speak.

    Attributes:
        backend: of torch.distributed; None means nccl on GPUs, gloo on the CPU.
        dist_url: where the processes of one machine meet; None or a port of 0 means a free port.
        device_ids: GPUs among those of CUDA_VISIBLE_DEVICES; None means all.
        processes: number of CPU processes, where there is no GPU.
        sync_bn: share BatchNorm's statistics between the ranks (GPUs only); without it they are each rank's own.
        world_size: written by OpenSphere's trainer; ignored.
    """

    backend: str | None = None
    dist_url: str | None = None
    device_ids: list[int] | int | None = None
    processes: int | None = None
    sync_bn: bool = False
    world_size: int | None = None


@dataclass
class DataLoader:
    """`dataloader`: `batch_size` is that of all processes together.

    Attributes:
        images_per_person: in training, how many images of each person a batch holds, for losses on pairs; None: as
            they come.
        balance: in training, how far people are made equally frequent: 0 as their images are, 1 all alike; a person
            with n images comes in proportion to n^(1 - balance).
        num_workers: threads that read and decode, at most one a core; the result does not depend on it.
        max_broken: the share of the training images that may be impossible to read; another image of the same person
            takes the place of each. A set that is decoded into memory must be whole.
    """

    type: Literal["DataLoader"] = "DataLoader"
    batch_size: int = 512
    shuffle: bool = True
    drop_last: bool = True
    num_workers: int = 8
    pin_memory: bool = False
    images_per_person: int | None = None
    balance: float = 0.0
    max_broken: float = 0.01


@dataclass
class Subset:
    """`data.train.subset`: which people and images are trained on, after people were held out.

    Attributes:
        min_images: leave people with fewer out.
        people: draw so many of the others; None: all.
        max_images: draw so many images of each; None: all.
        seed: of the drawing; with one seed, less is part of more.
    """

    min_images: int = 1
    people: int | None = None
    max_images: int | None = None
    seed: int = 0


@dataclass
class Corruption:
    """`data.train.corruption`: damage done to the training set on purpose, after all else was chosen.

    Attributes:
        noise: wrong labels: `uniform`, drawn from all people, as the SphereFace2 paper does; `lookalike`, of a person
            who looks alike.
        share: of the labels, in 0..1.
        centers: for `lookalike`, a .npy file with a row for each person of the whole set, in the order of their names:
            the mean feature, as `opensphere data check --model` writes it.
        neighbours: how many people count as looking alike.
        exponent: a long tail: person k of those with most images keeps a share of (k + 1)^-exponent of the largest
            number; None: everybody keeps all.
        seed: of all that is drawn.
    """

    noise: Literal["uniform", "lookalike"] = "uniform"
    share: float = 0.0
    centers: str | None = None
    neighbours: int = 5
    exponent: float | None = None
    seed: int = 0


@dataclass
class HoldOut:
    """`val: {holdout: ...}`: people of the training list kept apart, and pairs of their images. None: by its size."""

    people: int | None = None
    pairs: int | None = None
    folds: int | None = 10
    seed: int = 0
    metrics: list[str] | None = None
