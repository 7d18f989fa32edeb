"""How a head meets many classes. `CLASSIFIERS` is the registry: a config names one of them."""

from opensphere.classifier.classifier import Classifier
from opensphere.classifier.plain import PlainClassifier

CLASSIFIERS: dict[str, type[Classifier]] = {"plain": PlainClassifier}

__all__ = ["CLASSIFIERS", "Classifier", "PlainClassifier"]
