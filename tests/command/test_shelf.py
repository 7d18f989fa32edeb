"""Data that runs share."""

from opensphere.command.shelf import Shelf

FACES = {"type": "SyntheticFaces", "people": 3, "images": 2, "image_size": 32}


def test_a_set_is_built_once() -> None:
    shelf = Shelf()
    first = shelf.build(FACES)
    assert shelf.build(dict(reversed(FACES.items()))) is first
    assert shelf.build({**FACES, "people": 4}) is not first and shelf.build(FACES) is first
