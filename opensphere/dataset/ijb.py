"""IJB-B and IJB-C: templates of a person's images, compared one to one and searched one to many."""

import os
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from opensphere.dataset.ijb_enrolment import Enrolment, read_enrolments
from opensphere.dataset.ijb_lists import MetaFiles, Source, read_images, read_pairs, read_quality
from opensphere.dataset.image_set import ImageSet, decode, parse_metrics
from opensphere.dataset.reader.files import FileReader, check_folder
from opensphere.error import UserError
from opensphere.geometry import align

FUSION = ("norm", "faceness", "quality")


class IJBDataset(ImageSet):
    """The loosely cropped images of IJB-B (Whitelam et al. 2017) or IJB-C (Maze et al. 2018), aligned as they are read,
    with the templates that they belong to.

    The lists are found in `meta_dir` by the ends of their names; a list given by its key is used instead. The set may
    lack the lists of 1:N, all of them. What was read of large lists is kept beside them for the next time.

    The feature of a template is made of those of its images as `metric.template` says. OpenSphere's way, the default,
    is to average features as long as the network makes them, weighted by faceness, with their mirror images added.

    Args:
        name: for tables and file names.
        data_dir: the folder of the loosely cropped images.
        meta_dir: the folder of the lists.
        metrics: names of what to report; all if not given.
        landmark_path: `*_name_5pts_score.txt`: image, five points as x y, faceness a line.
        template_path: `*_face_tid_mid.txt`: image, template, medium a line, in the same order.
        pair_path: `*_template_pair_label.txt`: template, template, 1 (same person) or 0 a line.
        gallery_paths: `*_1N_gallery_*.csv`: after a header, template, person and more a line; one or several.
        probe_path: `*_1N_probe_mixed.csv`: the same.
        fusion: what the images of a template count by: any of norm (the length of the feature), faceness, quality;
            [] for the plain mean of unit features.
        media_average: whether the images of one medium, such as the frames of a video, count together as one.
        mirror: whether the feature of the mirror image is added to that of the image.
        quality_path: image, quality a line, with `quality` in fusion; at least all images of the set, in any order.
        image_size: side length, or [height, width].
        test_mode: images are given as they are; kept for configs that say so.

    Attributes:
        points: (N, 5, 2) float32, the landmarks of each image.
        faceness: (N,) float32.
        quality: (N,) float32, or None without a quality_path.
        weight: (N,) float32, the faceness and quality that an image counts by, multiplied; the norm is not in it.
        template: (N,) int32, the template of each image, from 0 to T - 1 in order of their ids.
        media: (N,) int64, the medium of each image, as listed.
        template_ids: (T,) int64.
        template_pairs: (P, 2) int32, templates.
        is_same: (P,) bool.
        galleries: an `Enrolment` for each list of a gallery, those alone that name somebody; () without 1:N.
        gallery, probe: `Enrolment`: all galleries together, and the probes; None without 1:N.
        persons: (T,) int64 from 0 without gaps, whom each template shows: as the lists of 1:N say, else templates that
            genuine pairs join are of one person.
        fusion, media_average, mirror: as given.
        metrics: empty for all.

    Raises:
        UserError: a list is missing or cannot be used (naming the line), the first image does not exist, or an argument
            is none of what it may be.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        meta_dir: str | os.PathLike,
        metrics: str | Sequence[str] | None = None,
        landmark_path: str | os.PathLike | None = None,
        template_path: str | os.PathLike | None = None,
        pair_path: str | os.PathLike | None = None,
        gallery_paths: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
        probe_path: str | os.PathLike | None = None,
        fusion: str | Sequence[str] = ("norm", "faceness"),
        media_average: bool = True,
        mirror: bool = True,
        quality_path: str | os.PathLike | None = None,
        image_size: int | Sequence[int] = 112,
        test_mode: bool = True,
    ):
        super().__init__(name, image_size)
        self.test_mode = test_mode
        self.metrics = parse_metrics(metrics)
        self.fusion = parse_fusion(fusion, quality_path is not None)
        self.media_average = _parse_flag("media_average", media_average)
        self.mirror = _parse_flag("mirror", mirror)
        folder = check_folder(data_dir)
        meta = MetaFiles(meta_dir)
        landmark_list = _given("landmark_path", landmark_path or meta.one("*_name_5pts_score.txt", "landmark_path"))
        template_list = _given("template_path", template_path or meta.one("*_face_tid_mid.txt", "template_path"))
        pair_list = _given("pair_path", pair_path or meta.one("*_template_pair_label.txt", "pair_path"))
        galleries, probe = _search_lists(meta, gallery_paths, probe_path)
        images = read_images(landmark_list, template_list)
        self.reader = FileReader(folder, images.paths, Source(landmark_list))
        self.reader.check_first()
        self.points, self.faceness, self.media = images.points, images.faceness, images.media
        self.template, self.template_ids = images.template, images.template_ids
        self.quality = (
            None if quality_path is None else read_quality(_given("quality_path", quality_path), images.paths)
        )
        self.template_pairs, self.is_same = read_pairs(pair_list, template_list, self.template_ids)
        self.galleries: tuple[Enrolment, ...] = ()
        self.gallery = self.probe = self._listed = None
        if probe is not None:
            found = read_enrolments(galleries, probe, template_list, self.template_ids)
            self.galleries, self.gallery, self.probe = found.galleries, found.gallery, found.probe
            self._listed = found.person

    @cached_property
    def persons(self) -> np.ndarray:
        return find_persons(len(self.template_ids), self.template_pairs, self.is_same, self._listed)

    @property
    def weight(self) -> np.ndarray:
        weight = self.faceness if "faceness" in self.fusion else np.ones(len(self), np.float32)
        return weight if self.quality is None else weight * self.quality  # which is there only where fusion names it

    def read(self, index: int) -> np.ndarray:
        image = decode(self.reader.data(index), lambda: self.reader.where(index))
        try:
            return align(image, self.points[index], self.image_size)
        except UserError as error:
            raise UserError(f"{self.reader.where(index)}: {error}") from None

    def image_facts(self) -> np.ndarray:
        return self.points.reshape(len(self), -1)


def parse_fusion(fusion: str | Sequence[str], has_quality: bool) -> tuple[str, ...]:
    """What images count by. Raises UserError for anything that they cannot count by."""
    names = (fusion,) if isinstance(fusion, str) else tuple(fusion) if isinstance(fusion, list | tuple) else (fusion,)
    unknown = [name for name in names if name not in FUSION]
    if unknown:
        raise UserError(f"fusion: {unknown[0]!r} is not known; known are {', '.join(FUSION)}, and [] for a plain mean")
    if len(set(names)) < len(names):
        raise UserError(f"fusion: {', '.join(names)}: give each name once")
    if "quality" in names and not has_quality:
        raise UserError("fusion: quality needs quality_path, a list of an image and its quality a line")
    if has_quality and "quality" not in names:
        raise UserError("quality_path is given, but fusion does not name quality; add it, or leave out quality_path")
    return names


def _parse_flag(key: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{key}: {value!r} is neither true nor false")
    return value


def _given(key: str, path: str | os.PathLike) -> str:
    """The path of a list. Raises UserError that names its key where there is none."""
    if not os.path.exists(path):
        raise UserError(f"{os.fspath(path)}: there is no such list; check {key}")
    return os.fspath(path)


def _search_lists(
    meta: MetaFiles,
    gallery_paths: str | os.PathLike | Sequence[str | os.PathLike] | None,
    probe_path: str | os.PathLike | None,
) -> tuple[list[str], str | None]:
    """The lists of galleries and that of probes; none at all where there is no 1:N."""
    named = [gallery_paths] if isinstance(gallery_paths, str | os.PathLike) else gallery_paths
    galleries = [_given("gallery_paths", path) for path in named or meta.all("*_1N_gallery_*.csv")]
    probes = [_given("probe_path", path) for path in ([probe_path] if probe_path else meta.all("*_1N_probe_mixed.csv"))]
    if bool(galleries) != bool(probes) or len(probes) > 1:
        found = ", ".join(galleries + probes) or "nothing"
        raise UserError(
            f"{meta.folder}: 1:N needs galleries and one list of probes, but there is {found}; "
            f"give gallery_paths and probe_path"
        )
    return galleries, probes[0] if probes else None


def find_persons(templates: int, pairs: np.ndarray, is_same: np.ndarray, listed: np.ndarray | None) -> np.ndarray:
    """(T,) int64 from 0 without gaps: whom each template shows.

    Where a list tells, it is right, and pairs that contradict it count for nothing. Other templates are of the person
    to whom genuine pairs join them, directly or over others that no list names; if to several, of the first of these.

    Args:
        templates: T.
        pairs: (P, 2) int, is_same: (P,) bool.
        listed: (T,) int, numbers of people from 0 without gaps, -1 where no list tells; None: no list.
    """
    listed = np.full(templates, -1) if listed is None else listed
    people = int(listed.max(initial=-1)) + 1
    if listed.min(initial=0) >= 0:
        return listed.astype(np.int64)
    genuine = pairs[is_same].astype(np.int64)
    unlisted = listed[genuine] < 0
    rows, columns = genuine[unlisted.all(axis=1)].T
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(templates, templates))
    count, part = connected_components(graph, directed=False)
    person = np.full(count, people)
    ends = unlisted[:, 0] != unlisted[:, 1]
    np.minimum.at(person, part[genuine[ends][unlisted[ends]]], listed[genuine[ends][~unlisted[ends]]])
    strangers = np.setdiff1d(part[listed < 0], np.flatnonzero(person < people))
    person[strangers] = people + np.arange(len(strangers))
    return np.where(listed >= 0, listed, person[part]).astype(np.int64)
