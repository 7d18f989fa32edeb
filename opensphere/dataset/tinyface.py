"""TinyFace (Cheng et al. 2018): small faces of the web, searched in a gallery that is mostly of other people."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from opensphere.dataset.annotation import IMAGE_SUFFIXES, Texts, find_images
from opensphere.dataset.image_set import ImageSet, parse_metrics
from opensphere.dataset.matlab import MatFile
from opensphere.dataset.reader.files import FileReader, check_folder
from opensphere.error import UserError

_GALLERY, _PROBE, _DISTRACTOR = "Gallery_Match", "Probe", "Gallery_Distractor"
_LISTS = {
    _GALLERY: ("gallery_match_img_ID_pairs.mat", "gallery_set", "gallery_ids"),
    _PROBE: ("probe_img_ID_pairs.mat", "probe_set", "probe_ids"),
}
STRANGER = -1  # the person of a distractor: nobody who is searched for


class TinyFaceDataset(ImageSet):
    """The test images of TinyFace: probes, the gallery entries of their people, and distractors in the same gallery.

    Args:
        name: for tables and file names.
        data_dir: the folder Testing_Set, which holds the folders Gallery_Match, Probe and Gallery_Distractor, or a copy
            of it with aligned images, with any suffix that images have.
        meta_dir: the folder of the lists `gallery_match_img_ID_pairs.mat` and `probe_img_ID_pairs.mat`; data_dir if not
            given. Where neither is there, all images of a folder are taken, and their names, such as 17_3.jpg for
            image 3 of person 17, tell whom they show.
        metrics: names of what to report; all if not given.
        image_size: side length, or [height, width].
        crop: [left, top, right, bottom], the part of each image to keep, in pixels of the file; null keeps all.
        in_memory: decode each image once, at the start, and keep it (height x width x 3 bytes each).
        test_mode: images are given as they are; kept for configs that say so.

    Attributes:
        persons: (N,) int64, the number of each image's person, -1 for distractors.
        probe_index: (P,) int64, images of the set.
        gallery_index: (G,) int64, images of the set, those of the probes' people first, then the distractors.

    Raises:
        UserError: a folder or list is missing or cannot be used, an image does not exist, or a probe shows somebody
            who is not in the gallery.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        meta_dir: str | os.PathLike | None = None,
        metrics: str | Sequence[str] | None = None,
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        in_memory: bool = False,
        test_mode: bool = True,
    ):
        super().__init__(name, image_size, in_memory, crop)
        self.test_mode = test_mode
        self.metrics = parse_metrics(metrics)
        folder = check_folder(data_dir)
        lists = _find_lists(folder if meta_dir is None else os.fspath(meta_dir), given=meta_dir is not None)
        gallery, probe = (_part(folder, part, lists) for part in (_GALLERY, _PROBE))
        distractors = [f"{_DISTRACTOR}/{image}" for image in _images(folder, _DISTRACTOR)]
        _check_people(gallery, probe)
        self.persons = np.concatenate([gallery.persons, np.full(len(distractors), STRANGER), probe.persons])
        enrolled = len(gallery.persons) + len(distractors)
        self.gallery_index, self.probe_index = np.arange(enrolled), np.arange(enrolled, len(self.persons))
        self.reader = FileReader(folder, Texts([*gallery.paths, *distractors, *probe.paths]))


@dataclass(frozen=True, eq=False)
class _Part:
    """Images of known people: paths below data_dir, and what says whom each shows."""

    paths: list[str]
    persons: np.ndarray
    source: str


def _find_lists(meta_dir: str, given: bool) -> dict[str, str]:
    """The path of each list; none where there are none and nobody asked for them."""
    paths = {part: os.path.join(meta_dir, file) for part, (file, *_) in _LISTS.items()}
    found = [path for path in paths.values() if os.path.isfile(path)]
    if len(found) < len(paths) and (found or given):
        missing = next(path for path in paths.values() if path not in found)
        raise UserError(f"{missing}: there is no such list; set meta_dir to the folder that holds both")
    return paths if found else {}


def _images(folder: str, part: str) -> list[str]:
    images = list(find_images(check_folder(os.path.join(folder, part))))
    if not images:
        raise UserError(f"{os.path.join(folder, part)}: no images found; check data_dir")
    return images


def _part(folder: str, part: str, lists: dict[str, str]) -> _Part:
    images = _images(folder, part)
    if not lists:
        persons = [_person_in_name(folder, part, image) for image in images]
        return _Part([f"{part}/{image}" for image in images], np.array(persons, np.int64), os.path.join(folder, part))
    path, (_, names_key, persons_key) = lists[part], _LISTS[part]
    mat = MatFile(path, (names_key, persons_key))
    names, numbers = mat.texts(names_key), mat.integers(persons_key)
    if len(names) != len(numbers):
        raise UserError(f"{path}: {len(numbers)} {persons_key} for {len(names)} images of {names_key}")
    negative = np.flatnonzero(numbers < 0)
    if len(negative):
        raise UserError(
            f"{path}: {persons_key}: element {negative[0] + 1} is {numbers[negative[0]]}, which is no person"
        )
    exact, by_stem = set(images), {os.path.splitext(image)[0]: image for image in images}
    paths = []
    for item, name in enumerate(names, 1):
        image = name if name in exact else by_stem.get(_stem(name))
        if image is None:
            where = f"{path}: {names_key}: element {item}"
            raise UserError(f"{where}: there is no {name} in {os.path.join(folder, part)}; check data_dir")
        paths.append(f"{part}/{image}")
    return _Part(paths, numbers, path)


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name


def _person_in_name(folder: str, part: str, image: str) -> int:
    number, underscore, _ = os.path.basename(image).partition("_")
    if not underscore or not number.isdecimal() or len(number) > 18:
        raise UserError(
            f"{os.path.join(folder, part, image)}: the name does not tell the person, as 17_3.jpg does; "
            f"set meta_dir to the folder that holds {_LISTS[part][0]}"
        )
    return int(number)


def _check_people(gallery: _Part, probe: _Part) -> None:
    strange = np.flatnonzero(~np.isin(probe.persons, gallery.persons))
    if len(strange):
        raise UserError(
            f"{probe.source}: {probe.paths[strange[0]]} shows person {probe.persons[strange[0]]}, who is not in the "
            f"gallery ({gallery.source}); so do {len(strange)} of {len(probe.persons)} probes"
        )
