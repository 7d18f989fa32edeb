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
        num_workers: decoding processes per rank, at most one a core; the result does not depend on it.
    """

    type: Literal["DataLoader"] = "DataLoader"
    batch_size: int = 512
    shuffle: bool = True
    drop_last: bool = True
    num_workers: int = 8
    pin_memory: bool = False
    images_per_person: int | None = None


@dataclass
class HoldOut:
    """`val: {holdout: ...}`: people of the training list kept apart, and pairs of their images. None: by its size."""

    people: int | None = None
    pairs: int | None = None
    folds: int | None = 10
    seed: int = 0
    metrics: list[str] | None = None
