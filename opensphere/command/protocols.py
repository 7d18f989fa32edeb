"""The test configs of known protocols, and of a folder of one's own, without a file."""

import copy
import difflib
import os
from pathlib import Path

from opensphere.config import Config
from opensphere.error import UserError

_LOADER = {
    "type": "DataLoader", "batch_size": 512, "shuffle": False, "drop_last": False, "num_workers": 8, "pin_memory": False
}  # fmt: skip
_VAL, _TEST = "data/val", "data/test"


def _pairs(name: str, *lists: str, **more: None) -> tuple[Config, tuple[str, ...]]:
    """A list of pairs, and where else it may be, below the folder of the images."""
    block = {"type": "PairDataset", "name": name, "data_dir": _VAL, "ann_path": f"{_VAL}/{lists[0]}"}
    return {**block, **more, "test_mode": True}, lists


def _ijb(name: str) -> tuple[Config, tuple[str, ...]]:
    folder = f"{_TEST}/{name}"
    places = {"data_dir": f"{folder}/loose_crop", "meta_dir": f"{folder}/meta"}
    return {"type": "IJBDataset", "name": name, **places, "test_mode": True}, ()


# Each as in config/test: the data set's block, and names of its list below the images' folder, best first.
_SETS: dict[str, tuple[Config, tuple[str, ...]]] = {
    "lfw": _pairs("LFW", "lfw_ann.txt", "pairs.txt"),
    "agedb": _pairs("AgeDB-30", "agedb_30_ann.txt"),
    "calfw": _pairs("CA-LFW", "calfw_ann.txt"),
    "cplfw": _pairs("CP-LFW", "cplfw_ann.txt"),
    "cfp-ff": _pairs("CFP-FF", "cfp_ff_ann.txt", "Protocol/Split/FF"),
    "cfp-fp": _pairs("CFP-FP", "cfp_fp_ann.txt", "Protocol/Split/FP"),
    "combined": _pairs("combined", "combined_ann.txt", folds=None),
    "ijbb": _ijb("IJB-B"),
    "ijbc": _ijb("IJB-C"),
    "blufr": (
        {
            "type": "BLUFRDataset",
            "name": "BLUFR",
            "data_dir": f"{_VAL}/lfw",
            "config_path": f"{_VAL}/blufr_lfw_config.mat",
            "test_mode": True,
        },
        ("blufr_lfw_config.mat",),
    ),
    "tinyface": (
        {"type": "TinyFaceDataset", "name": "TinyFace", "data_dir": f"{_TEST}/tinyface/Testing_Set", "test_mode": True},
        (),
    ),
    "rfw": ({"type": "RFWDataset", "name": "RFW", "data_dir": f"{_TEST}/rfw", "test_mode": True}, ()),
}
NAMES = tuple(_SETS)
_LIST_KEYS = {"PairDataset": "ann_path", "BLUFRDataset": "config_path"}
_META = ("IJBDataset", "TinyFaceDataset")


def blocks(name: str, data_dir: str | None = None, ann_path: str | None = None, meta_dir: str | None = None) -> Config:
    """The config of a protocol, as a file of config/test holds it.

    Args:
        name: one of `NAMES`.
        data_dir: where the images are. The list is then looked for in that folder and beside it, and IJB's lists in the
            folder meta beside it. A `.bin` file of pairs has its own.
        ann_path: the list of pairs; of BLUFR, its .mat file.
        meta_dir: the folder of lists of IJB or TinyFace.

    Raises:
        UserError: an unknown name, or the protocol has no such list or folder.
    """
    if name not in _SETS:
        close = difflib.get_close_matches(name.lower(), NAMES, n=1)
        hint = f", did you mean {close[0]}?" if close else ""
        raise UserError(f"--protocol {name}: unknown{hint}; known: {', '.join(NAMES)}")
    block, lists = copy.deepcopy(_SETS[name])
    kind = block["type"]
    if ann_path and kind not in _LIST_KEYS:
        raise UserError(f"--ann_path {ann_path}: {name} has no such list; leave it out")
    if meta_dir and kind not in _META:
        raise UserError(f"--meta_dir {meta_dir}: {name} has no such folder; leave it out")
    if data_dir:
        block["data_dir"] = data_dir
        if kind == "IJBDataset":
            block["meta_dir"] = os.path.join(os.path.dirname(os.path.normpath(data_dir)), "meta")
        elif kind == "PairDataset" and data_dir.lower().endswith(".bin"):
            del block["ann_path"]
        elif kind in _LIST_KEYS:
            block[_LIST_KEYS[kind]] = _find_list(data_dir, lists)
    if ann_path:
        block[_LIST_KEYS[kind]] = ann_path
    if meta_dir:
        block["meta_dir"] = meta_dir
    return _config(block)


def folder(path: str, pairs: int | None = None, seed: int = 0) -> Config:
    """The config of pairs drawn from a folder of people.

    Args:
        path: the folder, or what else `ClassDataset` takes.
        pairs: how many; None: as many as there are, at most 6,000.
        seed: fixes the draw.
    """
    place = Path(os.path.abspath(path))
    name = place.name if place.is_dir() else place.stem
    return _config({"type": "FolderPairs", "name": name, "data_dir": path, "pairs": pairs, "seed": seed})


def _config(block: Config) -> Config:
    return {"data": {"base": {"dataloader": dict(_LOADER)}, "test": [{"dataset": block}]}}


def _find_list(data_dir: str, lists: tuple[str, ...]) -> str:
    """The first list that is there, in the folder of the images or beside it; else where it should be."""
    beside = os.path.dirname(os.path.normpath(data_dir))
    places = [os.path.join(place, name) for name in lists for place in (data_dir, beside)]
    return next((place for place in places if os.path.exists(place)), places[0])
