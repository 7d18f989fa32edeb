"""What each classifier costs in memory and messages, and the one that `auto` chooses."""

from dataclasses import dataclass

import torch

from opensphere.classifier.blocks import Walk
from opensphere.classifier.chunked import ChunkedClassifier
from opensphere.classifier.shard import Shard
from opensphere.model.head.head import Head

# Numbers batch x classes that plain autograd holds at its peak, forward and backward: cosines, scores, logits, their
# exponentials, and the gradients of these. Where all of them are few, blocks would gain nothing.
PLAIN_COPIES = 6
PLAIN_LIMIT = 64e6  # bytes


@dataclass(frozen=True)
class Cost:
    """What a rank needs for its classes and one batch, in bytes.

    Attributes:
        classes: how many it holds.
        weights: their centres.
        gradient: of the same size, or 0 where the update is fused into the backward pass.
        momentum: of the same size.
        working: scores, kept blocks and temporaries.
        sent: what it hands to collectives in a step.
    """

    classes: int
    weights: int
    gradient: int
    momentum: int
    working: int
    sent: int

    @property
    def total(self) -> int:
        """All memory together."""
        return self.weights + self.gradient + self.momentum + self.working


def cost_of(
    kind: str,
    num_class: int,
    feat_dim: int,
    batch: int,
    world_size: int = 1,
    memory: float = 300.0,
    fused: bool = False,
    device: str = "cpu",
) -> Cost:
    """What the first of `world_size` ranks needs, in float32, under a softmax head with one centre a class and SGD.

    The sizes are asked of the classes that allocate, which are made here without memory of their own.

    Args:
        kind: "plain", "chunked", "sharded" or "sampled".
        batch: B, rows of all ranks together.
        memory, fused: as `ChunkedClassifier`.
        device: the type of device that would do the work.
    """
    split = kind in ("sharded", "sampled")
    shard = Shard.of_rank(num_class, 0, world_size) if split else Shard(0, num_class)
    with torch.device("meta"):
        w = ChunkedClassifier(Head(), feat_dim, num_class, shard=shard).w
        u = torch.empty(batch, feat_dim)
    weights = w.numel() * w.element_size()
    if kind == "plain":
        working = PLAIN_COPIES * batch * num_class * u.element_size()
    else:
        blocks = Walk.blocks_kept(u, shard.count, int(memory * 1e6), device)
        working = Walk.temporaries(u, shard.count, 1, device) + Walk.block_bytes(u, device) * blocks
    sent = Shard.traffic(batch, feat_dim, world_size) if split else 0
    return Cost(shard.count, weights, 0 if fused else weights, weights, working, sent)


def choose(
    num_class: int, feat_dim: int, batch: int, world_size: int, memory: float, available: float | None = None
) -> tuple[str, str]:
    """The classifier that `auto` takes, and why.

    Args:
        available: bytes of memory free on the device; None: not known.

    Returns:
        Its name, and a sentence for the log.
    """
    scores = cost_of("plain", num_class, feat_dim, batch).working
    if world_size > 1:
        kind = "sharded"
        why = f"each of {world_size} processes holds and walks its share of the {num_class:,} classes"
    elif scores <= PLAIN_LIMIT:
        kind = "plain"
        why = f"the scores of {batch:,} rows and {num_class:,} classes take {_size(scores)} in all"
    else:
        kind = "chunked"
        why = f"plain would take {_size(scores)} for scores, blocks take at most {memory:,.0f} MB"
    cost = cost_of(kind, num_class, feat_dim, batch, world_size, memory)
    if available is not None and cost.total > available:
        why += (
            f"; weights, gradient and momentum take {_size(cost.weights + cost.gradient + cost.momentum)}, but "
            f"{_size(available)} are free: fused: true spares the gradient, more processes share the classes"
        )
    return kind, f"classifier {kind}: {why}"


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"
