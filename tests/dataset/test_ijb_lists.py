"""What is kept of the lists of IJB: the same as what was read, and nothing that could do harm."""

import os

import numpy as np
import pytest

from opensphere.dataset import ijb_enrolment, ijb_lists, numbers
from opensphere.dataset.annotation import Texts
from opensphere.dataset.ijb import IJBDataset
from opensphere.dataset.ijb_lists import read_images, read_pairs, read_quality
from opensphere.error import UserError
from tests.dataset.ijb_fixture import SmallIJB, write_ijb, write_meta

ARRAYS = ("points", "faceness", "template", "media", "template_ids", "template_pairs", "is_same", "persons")


@pytest.fixture
def small(tmp_path, monkeypatch) -> SmallIJB:
    """Of lists that are small, and still kept."""
    monkeypatch.setattr(ijb_lists, "_LARGE", 0)
    return write_ijb(tmp_path)


def open_set(small) -> IJBDataset:
    return IJBDataset("IJB-X", small.data_dir, small.meta_dir)


def contents(dataset) -> list:
    parts = [*dataset.galleries, dataset.gallery, dataset.probe]
    arrays = [getattr(dataset, name) for name in ARRAYS]
    arrays += [array for part in parts for array in (part.template, part.person)]
    return [[dataset.path(n) for n in range(len(dataset))], *((a.dtype.kind, a.shape, a.tolist()) for a in arrays)]


def refuse_to_read(monkeypatch):
    def refuse(*_):
        raise AssertionError("read once more")

    for module, name in (
        (ijb_lists, "_build_images"),
        (ijb_lists, "_build_pairs"),
        (ijb_enrolment, "_build_enrolments"),
    ):
        monkeypatch.setattr(module, name, refuse)


def test_a_second_opening_takes_what_was_kept(small, monkeypatch):
    first = contents(open_set(small))
    assert len(list(small.meta_dir.glob("*.index.npz"))) == 3
    refuse_to_read(monkeypatch)
    assert contents(open_set(small)) == first
    with pytest.raises(UserError, match=r"_name_5pts_score\.txt:2: .*/2\.png: the file does not exist"):
        open_set(small).read(1)


@pytest.mark.parametrize(
    ("suffix", "read"),
    [
        ("_name_5pts_score.txt", ["images"]),
        ("_face_tid_mid.txt", ["images", "pairs", "enrolments"]),
        ("_template_pair_label.txt", ["pairs"]),
        ("_1N_gallery_G2.csv", ["enrolments"]),
        ("_1N_probe_mixed.csv", ["enrolments"]),
    ],
)
def test_a_list_that_changes_is_read_again(small, monkeypatch, suffix, read):
    open_set(small)
    os.utime(small.file(suffix), ns=(1, 1))
    again = []
    for module, name in ((ijb_lists, "images"), (ijb_lists, "pairs"), (ijb_enrolment, "enrolments")):
        build = getattr(module, f"_build_{name}")
        monkeypatch.setattr(
            module, f"_build_{name}", lambda *a, build=build, name=name: again.append(name) or build(*a)
        )
    open_set(small)
    assert again == read


def test_small_lists_are_not_kept(small, monkeypatch):
    monkeypatch.setattr(ijb_lists, "_LARGE", 1 << 20)
    open_set(small)
    assert not list(small.meta_dir.glob("*.npz"))


@pytest.mark.parametrize("change", ["blank line", "tab", "space", "one digit more", "ids beyond the table", "negative"])
def test_lists_of_other_kinds_are_read_as_well(small, monkeypatch, change):
    """What the fast way leaves to the slow one, or to the search for ids, is read the same."""
    monkeypatch.setattr(ijb_lists, "_LARGE", 1 << 20)
    expected = contents(open_set(small))
    if change in ("ids beyond the table", "negative"):
        far = {t: t + 2**40 if change != "negative" else t - 100 for t in small.person_of}
        small.images = [(p, x, f, far[t], m) for p, x, f, t, m in small.images]
        small.pairs = [(far[a], far[b], label) for a, b, label in small.pairs]
        small.person_of = {far[t]: person for t, person in small.person_of.items()}
        small.galleries = [[far[t] for t in part] for part in small.galleries]
        small.probes = [far[t] for t in small.probes]
        write_meta(small)
        found = contents(open_set(small))
        ids = 1 + ARRAYS.index("template_ids")
        assert found[ids][2] == sorted(far.values())
        found[ids] = expected[ids]
        assert found == expected
        small.edit("_template_pair_label.txt", 2, f"{next(iter(far.values()))} {2**50} 1")
        with pytest.raises(UserError, match=f"label.txt:2: template {2**50} has no images"):
            open_set(small)
        return
    for suffix in ("_name_5pts_score.txt", "_face_tid_mid.txt", "_template_pair_label.txt"):
        lines = small.file(suffix).read_text().splitlines()
        if change == "blank line":
            lines.insert(2, "")
        elif change == "tab":
            lines[2] = lines[2].replace(" ", "\t")
        elif change == "space":
            lines[2] = lines[2].replace(" ", "  ")
        else:
            fields = lines[2].split()
            lines[2] = " ".join([*fields[:-1], "0" * 17 + fields[-1]])
        small.file(suffix).write_text("\n".join(lines) + "\n")
    dataset = open_set(small)
    assert contents(dataset) == expected
    line = 4 if change == "blank line" else 3
    with pytest.raises(UserError, match=rf"_name_5pts_score\.txt:{line}: .*/3\.png: the file does not exist"):
        dataset.read(2)


def test_the_line_of_an_image_of_a_list_that_is_gone(small):
    dataset = open_set(small)
    small.file("_name_5pts_score.txt").unlink()
    with pytest.raises(UserError, match=r"_name_5pts_score\.txt: .*/2\.png: the file does not exist"):
        dataset.read(1)


def test_a_template_list_in_another_order_names_the_line(small):
    lines = small.file("_face_tid_mid.txt").read_text().splitlines()
    small.file("_face_tid_mid.txt").write_text("\n".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(UserError, match=r"_face_tid_mid\.txt:1: image 2\.png; .* has another or none here"):
        open_set(small)


def test_numbers_beyond_those_of_the_points_are_refused(small):
    small.edit("_name_5pts_score.txt", 2, "2.png " + "1e39 " * 10 + "0.5")
    with pytest.raises(UserError, match=r"_name_5pts_score\.txt:2: a number is not finite"):
        open_set(small)


def test_what_was_kept_does_no_harm(small):
    """Arrays beside the lists, of the right sources but by someone else."""
    dataset = open_set(small)
    (path,) = small.meta_dir.glob("*_name_5pts_score.txt.index.npz")
    with np.load(path) as kept:
        good = {name: kept[name] for name in kept.files if name not in ("about", "layout")}
    assert ijb_lists._images_fit(good)
    template, ids = good["template"], good["template_ids"]
    for name, bad in (
        ("template", template - 1),
        ("template", template + 1),
        ("template", template.astype(np.int64)),
        ("template", template[1:]),
        ("template_ids", ids[::-1]),
        ("template_ids", np.append(ids, ids[-1] + 1)),
        ("points", good["points"][:, :4]),
        ("media", good["media"][:-1]),
        ("faceness", good["faceness"][:-1]),
        ("ends", good["ends"] + 1),
        ("ends", good["ends"][::-1]),
    ):
        assert not ijb_lists._images_fit(good | {name: bad}), name
    assert not ijb_lists._images_fit({"template": template})
    count = len(dataset.template_ids)
    for pairs, is_same in (
        (np.full((3, 2), count, np.int32), np.ones(3, bool)),
        (np.full((3, 2), -1, np.int32), np.ones(3, bool)),
        (np.zeros((3, 2), np.int32), np.full(3, 2, np.uint8).view(bool)),
        (np.zeros((3, 2), np.int32), np.ones(2, bool)),
        (np.zeros((3, 1), np.int32), np.ones(3, bool)),
    ):
        found, _ = _pairs_when_kept(small, dataset, {"pairs": pairs, "is_same": is_same})
        np.testing.assert_array_equal(found, dataset.template_pairs)


def _pairs_when_kept(small, dataset, arrays):
    """The pairs of a set beside whose list these arrays are kept."""
    path, templates = str(small.file("_template_pair_label.txt")), str(small.file("_face_tid_mid.txt"))
    for kept in small.meta_dir.glob("*_pair_label.txt.index.npz"):
        kept.unlink()
    ijb_lists.kept_index(f"{path}.index.npz", [path, templates], "ijb pairs 1", lambda: arrays)
    return read_pairs(path, templates, dataset.template_ids)


def test_pairs_of_many_pieces(small, monkeypatch):
    expected = contents(open_set(small))
    for kept in small.meta_dir.glob("*.npz"):
        kept.unlink()
    monkeypatch.setattr(numbers, "_PIECE", 25)
    assert contents(open_set(small)) == expected
    images = read_images(str(small.file("_name_5pts_score.txt")), str(small.file("_face_tid_mid.txt")))
    assert list(images.paths) == [path for path, *_ in small.images]


# ----------------------------------------------------------------------------------------------------------- quality


def quality(tmp_path, text, paths=("a.png", "b.png", "c.png")):
    (tmp_path / "q.txt").write_text(text)
    return read_quality(str(tmp_path / "q.txt"), Texts(paths)).tolist()


def test_quality_in_the_same_order_or_by_name(tmp_path):
    assert quality(tmp_path, "a.png 1\nb.png 0.5\nc.png 2e1\n") == [1, 0.5, 20]
    assert quality(tmp_path, "c.png 20\nmore.png 7\na.png 1\n\nb.png 0.5\n") == [1, 0.5, 20]
    assert quality(tmp_path, "b.png 2\na.png 1\n", ("a.png", "b.png", "a.png")) == [1, 2, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.png 1\nb.png -1\nc.png 1\n", r"q\.txt:2: a quality of -1; it should be finite and not negative"),
        ("a.png 1\nb.png nan\nc.png 1\n", r"q\.txt:2: a quality of nan"),
        ("a.png 1\n\nb.png 1e39\nc.png 1\n", r"q\.txt:3: a quality of inf"),
        ("a.png 1\nb.png good\nc.png 1\n", r"q\.txt:2: 'good' should be a number, the quality"),
        ("a.png 1\nb.png\nc.png 1\n", r"q\.txt:2: 1 fields where image quality is expected"),
        ("a.png 1\nc.png 1\n", r"q\.txt: image b\.png has no line"),
        ("a.png 1\nb.png 1\na.png 2\nc.png 1\n", r"q\.txt:1: image a\.png comes again below"),
        ("", r"q\.txt: the list is empty"),
    ],
)
def test_quality_that_cannot_be_used(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        quality(tmp_path, text)
