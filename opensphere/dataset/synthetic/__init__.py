"""Built-in faces: made-up people, rendered from numbers."""

from opensphere.dataset.synthetic.faces import UNSEEN, SyntheticFaces, SyntheticPairs, sheet, write_folder
from opensphere.dataset.synthetic.picture import render

__all__ = ["UNSEEN", "SyntheticFaces", "SyntheticPairs", "render", "sheet", "write_folder"]
