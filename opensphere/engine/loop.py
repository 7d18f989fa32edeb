"""The training loop: a step, and what happens beside it, one line each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from opensphere import collective
from opensphere.dataset.augment import Augment
from opensphere.dataset.loader import TrainBatches, train_sampler
from opensphere.dataset.sampler import Plan
from opensphere.engine import checkpoint
from opensphere.engine.record import Record
from opensphere.engine.run import Run, train_step
from opensphere.engine.settings import DataLoader, Project
from opensphere.error import UserError
from opensphere.interrupt import Requests

_LOOK_INTERVAL = 10  # steps between two looks at the other ranks, each a small message

Validate = Callable[[Run], dict[str, dict[str, float]]]


def batches_of(run: Run, dataset: Any, loader: DataLoader, augment: Augment, project: Project) -> TrainBatches:
    """The batches of this rank from the next update to the last.

    Raises:
        UserError: the batch is larger than the data or cannot be shared, or the run is past its end already.
    """
    if run.step > project.max_iters:  # type: ignore[operator]
        raise UserError(f"project.max_iters is {project.max_iters}, but the run has {run.step} updates already")
    rank, size = run.world.rank, run.world.size
    plan = Plan(loader.batch_size, loader.shuffle, loader.drop_last, run.seed, rank, size, run.step, project.max_iters)
    return TrainBatches(
        dataset,
        train_sampler(dataset, plan, loader.images_per_person, loader.balance),
        loader.num_workers,
        loader.pin_memory and run.world.device.type == "cuda",
        loader.max_broken,
        augment.on_read,
    )


def train(
    run: Run,
    dataset: Any,
    stream: TrainBatches,
    augment: Augment,
    project: Project,
    folder: Path,
    validate: Validate,
    record: Record,
) -> bool:
    """Train until `project.max_iters` updates are done, or until somebody interrupts.

    Weights named N hold exactly N updates; validation at N comes before update N + 1.

    Returns:
        True when training reached its end, False when it was interrupted (the checkpoint holds what was done).
    """
    labels = torch.from_numpy(np.ascontiguousarray(dataset.labels))
    batches = iter(stream)
    models = folder / Path(project.model_dir).name
    run.backbone.train()
    run.classifier.train()

    def leave_if_alone(at_once: bool) -> None:
        # One of several ranks hears late, after its wait for the others, when the first request may seem a second one;
        # they end together, or whoever started them ends them.
        if at_once and run.world.size == 1:
            raise KeyboardInterrupt

    with Requests(leave_if_alone) as requests:
        while True:
            done = run.step == project.max_iters
            stop = _asked_anywhere(requests, run)
            if done or stop or (run.step % project.checkpoint_intvl == 0 and run.step > 0):  # type: ignore[operator]
                record.flush()  # a loss that is not finite ends the run here, before it could be saved
                if done or stop:
                    record.report()
                checkpoint.save_checkpoint(run, folder)
                for news in collective.gather_objects(stream.broken.news) if run.world.size > 1 else ():
                    record.tell(list(news))
                stream.broken.news.clear()
            if done or run.step in (project.save_iters or []):
                record.flush()
                checkpoint.save_weights(run, models)
            if stop and not done:
                return False
            if done or (run.step % project.val_intvl == 0 and run.step > 0):
                record.flush()
                with record.pause():
                    record.validation(run.step, validate(run))
            if done:
                return True
            torch.manual_seed(_step_seed(run))  # dropout depends on (seed, step, rank), not on what ran before
            images, index = _next(batches, run, folder, record)
            if run.world.size == 1:
                record.tell(stream.broken.news)
            batch = augment(images.to(run.world.device, non_blocking=True), index, run.seed, stream.round(run.step))
            record.step(train_step(run, batch, labels[index]))


def _next(batches: Iterator, run: Run, folder: Path, record: Record) -> tuple[torch.Tensor, torch.Tensor]:
    """The next batch; where too many images cannot be read, what was learnt is saved before the run ends."""
    try:
        with record.wait():
            return next(batches)
    except UserError:
        if run.world.size == 1 and run.step:  # others wait in their step, and cannot bring their part
            record.flush()
            checkpoint.save_checkpoint(run, folder)
            record.note(f"saved after update {run.step}: mend the data, then go on with --resume {folder}")
        raise


def _step_seed(run: Run) -> int:
    return int(np.random.SeedSequence((run.seed, run.step, run.world.rank)).generate_state(1, np.uint64)[0] >> 1)


def _asked_anywhere(requests: Requests, run: Run) -> bool:
    """Whether to stop now: the same answer on every rank."""
    if run.world.size == 1:
        return requests.asked
    if run.step % _LOOK_INTERVAL:
        return False
    return bool(collective.maximum(torch.tensor(float(requests.asked), device=run.world.device)).item())
