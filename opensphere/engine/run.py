"""What one training touches, and one update of it."""

from dataclasses import dataclass, field

import torch
from torch import nn

from opensphere.classifier import Classifier
from opensphere.classifier.pairs import Pairs
from opensphere.engine.encoder import Encoder
from opensphere.engine.parallel import World
from opensphere.engine.part import Part


@dataclass
class Run:
    """The state of a training.

    Attributes:
        backbone: images (B, 3, H, W) to features (B, D); wrapped by DistributedDataParallel where several ranks train.
        classifier: features and labels to a scalar loss over the global batch.
        parts: what is updated: the backbone, then the head.
        world: this process among those of the run.
        dtype: arithmetic of the backbone; the classifier works in float32.
        seed: fixes initial weights, order and augmentation.
        step: updates done.
        encoder: gives the classifier keys, where its head wants them.
        remark: a sentence for the log on how the run was set up.
    """

    backbone: nn.Module
    classifier: Classifier | Pairs
    parts: dict[str, Part]
    world: World
    dtype: torch.dtype = torch.float32
    seed: int = 0
    step: int = 0
    encoder: Encoder | None = None
    remark: str | None = None
    scaler: torch.amp.GradScaler = field(init=False)

    def __post_init__(self) -> None:
        self.scaler = torch.amp.GradScaler(self.world.device.type, enabled=self.dtype == torch.float16)

    def autocast(self) -> torch.autocast:
        """The context in which the backbone runs."""
        return torch.autocast(self.world.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @property
    def bare_backbone(self) -> nn.Module:
        """The backbone without the wrapper that shares its gradients."""
        return getattr(self.backbone, "module", self.backbone)


@dataclass(frozen=True)
class StepResult:
    """What one update leaves for the log; tensors stay on the device until they are read.

    Attributes:
        loss: scalar, of the global batch.
        magnitude: (B,) norms of this rank's features.
        norms: gradient norms before clipping, by part.
        lr: the learning rate of the update.
    """

    loss: torch.Tensor
    magnitude: torch.Tensor
    norms: dict[str, torch.Tensor]
    lr: float


def train_step(run: Run, images: torch.Tensor, labels: torch.Tensor) -> StepResult:
    """One update of backbone and head; everything it touches is on this page.

    Args:
        images: this rank's share of the batch, (B, 3, H, W), normalised.
        labels: (B,) classes.
    """
    lr = run.parts["backbone"].lr
    with run.autocast():
        features = run.backbone(images)  # (B, D)
        keys = (run.encoder(images).float(),) if run.encoder else ()
    features = features.float()  # margins and losses stay in float32
    loss = run.classifier(features, labels, *keys)  # gathers the global batch
    run.scaler.scale(loss).backward()  # the scaler is idle outside fp16
    norms = {name: part.update(run.scaler) for name, part in run.parts.items()}
    run.scaler.update()
    if run.encoder:
        run.encoder.follow(run.bare_backbone)
    run.step += 1
    return StepResult(loss.detach(), features.detach().norm(dim=1), norms, lr)
