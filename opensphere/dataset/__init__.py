"""Sets of face images. `__all__` is the list of the types that a config may name."""

from opensphere.dataset.blufr import BLUFRDataset
from opensphere.dataset.class_set import ClassDataset
from opensphere.dataset.distractors import DistractorSet
from opensphere.dataset.folder_pairs import FolderPairs
from opensphere.dataset.ijb import IJBDataset
from opensphere.dataset.item import ItemDataset
from opensphere.dataset.pair import PairDataset
from opensphere.dataset.rfw import RFWDataset
from opensphere.dataset.synthetic import SyntheticFaces, SyntheticPairs
from opensphere.dataset.tinyface import TinyFaceDataset

__all__ = [
    "BLUFRDataset",
    "ClassDataset",
    "DistractorSet",
    "FolderPairs",
    "IJBDataset",
    "ItemDataset",
    "PairDataset",
    "RFWDataset",
    "SyntheticFaces",
    "SyntheticPairs",
    "TinyFaceDataset",
]
