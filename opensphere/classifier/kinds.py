"""The classifiers that a config may name, each with the options that it has."""

from opensphere import collective
from opensphere.classifier.chunked import ChunkedClassifier
from opensphere.classifier.plain import PlainClassifier
from opensphere.classifier.shard import Shard
from opensphere.model.head.head import Head


def plain(head: Head, feat_dim: int, num_class: int) -> PlainClassifier:
    """All classes and all scores at once, by plain autograd."""
    return PlainClassifier(head, feat_dim, num_class)


def chunked(head: Head, feat_dim: int, num_class: int, memory: float = 300.0, fused: bool = False) -> ChunkedClassifier:
    """All classes, a block at a time; `memory` in megabytes, and `fused`, as `ChunkedClassifier`."""
    return ChunkedClassifier(head, feat_dim, num_class, memory, fused)


def sharded(head: Head, feat_dim: int, num_class: int, memory: float = 300.0, fused: bool = False) -> ChunkedClassifier:
    """Each rank holds and walks a range of the classes, as `ChunkedClassifier` does.

    Ranks exchange features, labels and a few sums a row: bytes that do not depend on the number of classes. Alone, a
    process holds them all. Arguments as `ChunkedClassifier`; the memory is that of each rank.
    """
    return ChunkedClassifier(head, feat_dim, num_class, memory, fused, _shard(num_class))


def sampled(
    head: Head,
    feat_dim: int,
    num_class: int,
    rate: float = 0.1,
    reweight: bool = True,
    memory: float = 300.0,
    fused: bool = False,
) -> ChunkedClassifier:
    """Partial FC (An et al. 2022): as `sharded`, but a step visits the batch's classes and a random choice of others.

    In testing, and at a rate of 1, all classes count. Unless the update is fused, classes that were not drawn have a
    gradient of zero, and move on with their momentum; fused, they stay where they are.

    Args:
        rate: the share of the other classes of a rank that it visits, above 0 and at most 1.
        reweight: in a one-vs-all head, count each drawn class (C - P) / (S - P) times, P classes being the batch's and
            S visited, so that the sum is right on average. A softmax head has no such weights.
    """
    return ChunkedClassifier(head, feat_dim, num_class, memory, fused, _shard(num_class), rate, reweight)


def _shard(num_class: int) -> Shard:
    return Shard.of_rank(num_class, collective.rank(), collective.world_size())
