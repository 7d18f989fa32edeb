"""How a head meets many classes. `CLASSIFIERS` is the registry: a config names one of them."""

from collections.abc import Callable

from opensphere.classifier.chunked import ChunkedClassifier
from opensphere.classifier.classifier import Classifier
from opensphere.classifier.kinds import chunked, plain, sampled, sharded
from opensphere.classifier.plain import PlainClassifier

CLASSIFIERS: dict[str, Callable[..., Classifier]] = {
    "plain": plain,
    "chunked": chunked,
    "sharded": sharded,
    "sampled": sampled,
}

__all__ = ["CLASSIFIERS", "ChunkedClassifier", "Classifier", "PlainClassifier"]
