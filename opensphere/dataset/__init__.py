"""Sets of face images. `__all__` is the list of the types that a config may name."""

from opensphere.dataset.class_set import ClassDataset
from opensphere.dataset.ijb import IJBDataset
from opensphere.dataset.item import ItemDataset
from opensphere.dataset.pair import PairDataset
from opensphere.dataset.synthetic import SyntheticFaces, SyntheticPairs

__all__ = [
    "ClassDataset",
    "IJBDataset",
    "ItemDataset",
    "PairDataset",
    "SyntheticFaces",
    "SyntheticPairs",
]
