import pickle
import shutil

import numpy as np
import pytest

from opensphere.dataset import ijb_lists, numbers
from opensphere.dataset.ijb import IJBDataset, find_persons
from opensphere.error import UserError
from opensphere.geometry import align
from tests.dataset.ijb_fixture import SmallIJB, write_ijb, write_meta
from tests.dataset.pictures import picture


@pytest.fixture
def small(tmp_path) -> SmallIJB:
    return write_ijb(tmp_path)


def open_set(small, **arguments):
    return IJBDataset("IJB-X", small.data_dir, small.meta_dir, **arguments)


def refusal(small, **arguments) -> str:
    with pytest.raises(UserError) as caught:
        open_set(small, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(small.meta_dir), "meta").replace(str(small.data_dir), "data")


def test_the_lists_are_read(small):
    dataset = open_set(small)
    assert len(dataset) == len(small.images) and dataset.name == "IJB-X" and dataset.metrics == []
    for index, (path, points, faceness, template, medium) in enumerate(small.images):
        assert dataset.path(index) == path
        np.testing.assert_allclose(dataset.points[index], points, rtol=1e-6)
        assert dataset.faceness[index] == pytest.approx(faceness)
        assert dataset.template_ids[dataset.template[index]] == template and dataset.media[index] == medium
    assert dataset.template_ids.tolist() == sorted(small.person_of)
    assert dataset.template_ids[dataset.template_pairs].tolist() == [[a, b] for a, b, _ in small.pairs]
    assert dataset.is_same.tolist() == [bool(label) for *_, label in small.pairs]


def test_galleries_are_merged_and_repeated_templates_count_once(small):
    dataset = open_set(small)
    assert dataset.template_ids[dataset.gallery.template].tolist() == small.galleries[0] + small.galleries[1]
    assert dataset.template_ids[dataset.probe.template].tolist() == small.probes
    for part in (dataset.gallery, dataset.probe):
        persons = [str(small.person_of[t]) for t in dataset.template_ids[part.template].tolist()]
        assert part.person.tolist() == persons


@pytest.mark.parametrize("size", [112, 64, [112, 96]])
def test_images_are_aligned_as_they_are_read(tmp_path, size):
    small = write_ijb(tmp_path, people=3, probes=2, pictures=True)
    dataset = open_set(small, image_size=size)
    for index in range(len(dataset)):
        image = dataset.read(index)
        assert image.shape == (*dataset.image_size, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
        np.testing.assert_array_equal(image, align(picture(index, 56, 50), dataset.points[index], dataset.image_size))
    tensor, index = dataset[1]
    assert index == 1 and tensor.shape == (*dataset.image_size, 3)


def test_errors_of_reading_name_the_line(small):
    dataset = open_set(small)
    with pytest.raises(UserError, match=r"_name_5pts_score\.txt:2: .*/2\.png: the file does not exist"):
        dataset.read(1)
    small.edit("_name_5pts_score.txt", 1, "1.png " + "7 " * 10 + "0.5")
    with pytest.raises(UserError, match=r"_name_5pts_score\.txt:1: .*the points lie in one place"):
        open_set(small).read(0)
    (small.data_dir / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"_name_5pts_score\.txt:1: .*1\.png: not an image"):
        dataset.read(0)
    (small.data_dir / "1.png").unlink()
    assert "5pts_score.txt:1: data/1.png: the file does not exist; check data_dir" in refusal(small)


def test_lists_are_found_by_the_ends_of_their_names(small):
    for suffix in ("_name_5pts_score_retina.txt", "_1N_probe_mixed.txt"):
        small.file(suffix).write_text("other lists that lie about\n")
    (small.meta_dir / "._ijbx_face_tid_mid.txt").write_text("what a Mac leaves behind\n")
    assert len(open_set(small)) == len(small.images)
    shutil.copy(small.file("_face_tid_mid.txt"), small.meta_dir / "old_face_tid_mid.txt")
    assert refusal(small) == (
        "meta: several fit *_face_tid_mid.txt (ijbx_face_tid_mid.txt, old_face_tid_mid.txt); give template_path"
    )
    assert len(open_set(small, template_path=small.file("_face_tid_mid.txt"))) == len(small.images)
    small.file("_template_pair_label.txt").unlink()
    small.file("_name_5pts_score.txt").rename(small.meta_dir / "points.txt")
    assert refusal(small) == "meta: there is no *_name_5pts_score.txt; give landmark_path"
    shutil.rmtree(small.meta_dir)
    assert refusal(small) == "meta: there is no such folder; set meta_dir to the folder that holds the lists"


def test_keys_name_lists_elsewhere(small, tmp_path):
    expected = open_set(small)
    elsewhere, keys = tmp_path / "elsewhere", {}
    elsewhere.mkdir()
    for number, path in enumerate(sorted(small.meta_dir.iterdir())):
        path.rename(elsewhere / f"{number}.txt")
        keys[path.name] = elsewhere / f"{number}.txt"
    dataset = open_set(
        small,
        landmark_path=keys["ijbx_name_5pts_score.txt"],
        template_path=keys["ijbx_face_tid_mid.txt"],
        pair_path=keys["ijbx_template_pair_label.txt"],
        gallery_paths=[keys["ijbx_1N_gallery_G1.csv"], keys["ijbx_1N_gallery_G2.csv"]],
        probe_path=keys["ijbx_1N_probe_mixed.csv"],
    )
    np.testing.assert_array_equal(dataset.template_pairs, expected.template_pairs)
    np.testing.assert_array_equal(dataset.gallery.template, expected.gallery.template)
    np.testing.assert_array_equal(dataset.probe.person, expected.probe.person)


@pytest.mark.parametrize("key", ["landmark_path", "template_path", "pair_path", "gallery_paths", "probe_path"])
def test_a_list_that_is_not_there(small, key):
    assert refusal(small, **{key: "none.txt"}) == f"none.txt: there is no such list; check {key}"


def test_one_gallery_may_be_named_alone(small):
    small.probes = [t for t in small.probes if small.person_of[t] < 4]
    write_meta(small)
    dataset = open_set(small, gallery_paths=small.file("_1N_gallery_G1.csv"))
    assert dataset.template_ids[dataset.gallery.template].tolist() == small.galleries[0]
    assert len(dataset.galleries) == 1


def test_a_set_travels_to_other_processes(small, monkeypatch):
    monkeypatch.setattr(ijb_lists, "_LARGE", 0)
    for dataset in (open_set(small), open_set(small)):
        again = pickle.loads(pickle.dumps(dataset))
        assert again.path(3) == dataset.path(3)
        np.testing.assert_array_equal(again.template_pairs, dataset.template_pairs)


def test_a_set_may_have_no_search(small):
    small.file("_1N_probe_mixed.csv").unlink()
    assert "1:N needs galleries and one list of probes, but there is meta/ijbx_1N_gallery_G1.csv" in refusal(small)
    small.file("_1N_gallery_G1.csv").unlink()
    small.file("_1N_gallery_G2.csv").unlink()
    dataset = open_set(small)
    assert dataset.gallery is None and dataset.probe is None and len(dataset.template_pairs) == len(small.pairs)


@pytest.mark.parametrize(
    ("suffix", "line", "text", "words"),
    [
        ("_name_5pts_score.txt", 3, "3.png 1 2 3", "score.txt:3: 4 fields where image x1 y1 x2"),
        ("_name_5pts_score.txt", 3, "3.png " + "1 2 " * 5 + "high", "score.txt:3: '1 2 1 2 1 2 1 2 1 2 high' should"),
        ("_name_5pts_score.txt", 3, "3.png " + "1 2 " * 5 + "nan", "score.txt:3: a number is not finite"),
        ("_face_tid_mid.txt", 3, "4.png 3 100", "mid.txt:3: image 4.png; meta/ijbx_name_5pts_score.txt has another"),
        ("_face_tid_mid.txt", 3, "3.png x 100", "mid.txt:3: template and medium should be whole numbers"),
        ("_face_tid_mid.txt", 3, f"3.png 3 {2**63}", "mid.txt:3: template and medium should be whole numbers"),
        ("_face_tid_mid.txt", 3, "3.png 3", "mid.txt:3: 2 fields where image template medium is expected"),
        ("_face_tid_mid.txt", 3, "", "mid.txt:4: image 4.png"),
        ("_template_pair_label.txt", 3, "3 13 2", "label.txt:3: label 2; it should be 1"),
        ("_template_pair_label.txt", 3, "3 4 1", "label.txt:3: template 4 has no images; check template_path"),
        ("_template_pair_label.txt", 3, "9999 3 1", "label.txt:3: template 9999 has no images"),
        ("_template_pair_label.txt", 3, "3 13", "label.txt:3: '3 13' should be whole numbers: template template label"),
        ("_template_pair_label.txt", 3, "3 13 1.0", "label.txt:3: '3 13 1.0' should be whole numbers"),
        ("_1N_gallery_G2.csv", 3, "x,1,a", "G2.csv:3: should begin with a template's number and a person"),
        ("_1N_gallery_G2.csv", 3, "3", "G2.csv:3: should begin"),
        ("_1N_gallery_G2.csv", 3, "4,1,a", "G2.csv:3: template 4 has no images"),
        ("_1N_probe_mixed.csv", 2, "{probe},77,a", "template {probe} is of person"),
    ],
)
def test_errors_name_file_and_line(small, suffix, line, text, words):
    if "{probe}" in text:  # of a template with several lines
        probe = next(t for t in small.probes if t % 3)
        line = 3 + small.file(suffix).read_text().splitlines()[1:].index(
            f"{probe},{small.person_of[probe]},img/{probe}_0.jpg,0,1.5,,"
        )
        text, words = text.format(probe=probe), f"mixed.csv:{line}: " + words.format(probe=probe)
    small.edit(suffix, line, text)
    assert words in refusal(small)


def test_lists_must_agree(small):
    path = small.file("_face_tid_mid.txt")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]))
    assert f"face_tid_mid.txt: {len(lines) - 1} images, but meta/ijbx_name_5pts_score.txt has {len(lines)}" in refusal(
        small
    )
    path.write_text("\n".join([*lines, "more.png 3 100"]))
    assert f"face_tid_mid.txt:{len(lines) + 1}: image more.png" in refusal(small)
    write_meta(small)
    small.file("_1N_gallery_G1.csv").unlink()
    assert "in no gallery; name all galleries in gallery_paths" in refusal(small)
    small.file("_1N_gallery_G2.csv").write_text("TEMPLATE_ID,SUBJECT_ID\n")
    assert "G2.csv: no templates; after a header each line should be: template,person" in refusal(small)
    write_meta(small)
    small.file("_template_pair_label.txt").write_text("\n")
    assert "template_pair_label.txt: the list is empty" in refusal(small)
    small.file("_template_pair_label.txt").write_bytes(b"\xff\xfe3\x00 \x00")
    assert "template_pair_label.txt:1: " in refusal(small)


def test_the_line_of_a_wrong_label_in_a_later_chunk(small, monkeypatch):
    monkeypatch.setattr(numbers, "_PIECE", 30)
    small.edit("_template_pair_label.txt", 4, "")
    assert len(open_set(small).is_same) == len(small.pairs) - 1
    small.edit("_template_pair_label.txt", 11, "3 13 5")
    assert "template_pair_label.txt:11: label 5" in refusal(small)


def test_each_gallery_alone(small):
    dataset = open_set(small)
    assert [dataset.template_ids[part.template].tolist() for part in dataset.galleries] == small.galleries
    for part, templates in zip(dataset.galleries, small.galleries, strict=True):
        assert part.person.tolist() == [str(small.person_of[t]) for t in templates]
    small.file("_1N_gallery_G2.csv").write_text("TEMPLATE_ID,SUBJECT_ID\n")
    small.probes = [t for t in small.probes if small.person_of[t] < 4]
    small.galleries[1] = []
    write_meta(small)
    assert len(open_set(small).galleries) == 1  # a list that names nobody is no gallery
    for path in small.meta_dir.glob("*.csv"):
        path.unlink()
    assert open_set(small).galleries == ()


def test_a_template_of_two_galleries_counts_once_in_both_together(small):
    first, second = small.galleries
    small.galleries = [first, [first[2], *second, first[0]]]
    write_meta(small)
    dataset = open_set(small)
    assert dataset.template_ids[dataset.gallery.template].tolist() == first + second
    assert [len(part.template) for part in dataset.galleries] == [4, 6]


def slow_persons(templates, pairs, listed):
    """Whom templates show, by following genuine pairs step by step."""
    person = dict(listed)
    for known in sorted(set(listed.values())):  # the first person reaches a template before the others
        reached = {t for t in listed if listed[t] == known}
        while True:
            more = {
                b
                for pair in pairs
                for a, b in (pair[:2], pair[1::-1])
                if pair[2] and a in reached and b not in reached and b not in listed
            }
            if not more:
                break
            reached |= more
        for t in reached:
            person.setdefault(t, known)
    for start in templates:
        if start not in person:
            reached = {start}
            while more := {
                b for p in pairs for a, b in (p[:2], p[1::-1]) if p[2] and a in reached and b not in reached
            }:
                reached |= more
            person |= dict.fromkeys(reached, f"unlisted {min(reached)}")
    return person


def same_partition(found, expected):
    pairs = set(zip(found, expected, strict=True))
    return len(pairs) == len(set(found)) == len(set(expected))


def test_persons_are_those_of_the_lists(small):
    dataset = open_set(small)
    persons = dataset.persons
    assert persons.dtype == np.int64 and sorted(set(persons.tolist())) == list(range(8))
    names = sorted(str(n) for n in range(8))
    assert [names[n] for n in persons.tolist()] == [str(small.person_of[t]) for t in dataset.template_ids.tolist()]
    small.pairs = [(a, b, 1 - label) for a, b, label in small.pairs]  # labels that lie about listed people
    write_meta(small)
    np.testing.assert_array_equal(open_set(small).persons, persons)


@pytest.mark.parametrize("seed", range(8))
def test_persons_that_lists_leave_out(seed):
    rng = np.random.default_rng(seed)
    pairs = np.array([(a, b) for a in range(24) for b in range(a) if rng.random() < 0.12])
    is_same = rng.random(len(pairs)) < 0.4
    listed = np.full(24, -1)
    known = rng.choice(24, 9, replace=False) if seed else np.arange(0)
    listed[known] = np.concatenate([np.arange(5), rng.integers(0, 5, 4)]) if seed else 0
    found = find_persons(24, pairs.astype(np.int32), is_same, listed if seed else None)
    rows = [(*pair, same) for pair, same in zip(pairs.tolist(), is_same.tolist(), strict=True)]
    expected = slow_persons(range(24), rows, {t: listed[t] for t in known.tolist()})
    assert same_partition(found.tolist(), [expected[t] for t in range(24)])
    assert sorted(set(found.tolist())) == list(range(found.max() + 1)) and found.dtype == np.int64
    np.testing.assert_array_equal(found[known], listed[known])


def test_without_search_genuine_pairs_tell_the_persons(small):
    for path in small.meta_dir.glob("*.csv"):
        path.unlink()
    dataset = open_set(small)
    expected = slow_persons(small.person_of, small.pairs, {})
    assert same_partition(dataset.persons.tolist(), [expected[t] for t in dataset.template_ids.tolist()])


def test_what_images_count_by(small, tmp_path):
    dataset = open_set(small)
    assert (dataset.fusion, dataset.media_average, dataset.mirror) == (("norm", "faceness"), True, True)
    assert dataset.quality is None
    np.testing.assert_array_equal(dataset.weight, dataset.faceness)
    np.testing.assert_array_equal(open_set(small, fusion=[]).weight, np.ones(len(dataset), np.float32))
    np.testing.assert_array_equal(open_set(small, fusion="norm").weight, np.ones(len(dataset), np.float32))
    quality = np.linspace(0, 3, len(dataset)).astype(np.float32)
    (tmp_path / "q.txt").write_text(
        "".join(f"{image[0]} {q}\n" for image, q in zip(small.images, quality.tolist(), strict=True))
    )
    both = open_set(small, fusion=["quality", "faceness"], quality_path=tmp_path / "q.txt", mirror=False)
    np.testing.assert_array_equal(both.quality, quality)
    np.testing.assert_array_equal(both.weight, dataset.faceness * quality)
    assert both.mirror is False and both.fusion == ("quality", "faceness")
    alone = open_set(small, fusion=["quality"], quality_path=tmp_path / "q.txt", media_average=False)
    np.testing.assert_array_equal(alone.weight, quality)
    assert alone.media_average is False


def test_arguments_that_cannot_be(small, tmp_path):
    (tmp_path / "q.txt").write_text("1.png 1\n")
    for words, arguments in {
        "fusion: 'size' is not known; known are norm, faceness, quality, and [] for a plain mean": {"fusion": ["size"]},
        "fusion: None is not known": {"fusion": None},
        "fusion: norm, norm: give each name once": {"fusion": ["norm", "norm"]},
        "fusion: quality needs quality_path": {"fusion": ["quality"]},
        "but fusion does not name quality": {"quality_path": tmp_path / "q.txt"},
        "media_average: 1 is neither true nor false": {"media_average": 1},
        "mirror: 'yes' is neither true nor false": {"mirror": "yes"},
        "q.txt: image 2.png has no line; the list": {"fusion": ["quality"], "quality_path": tmp_path / "q.txt"},
    }.items():
        assert words in refusal(small, **arguments)


def test_keys_tell_the_points_of_an_image(small):
    for path, *_ in small.images:
        (small.data_dir / path).write_bytes(b"")
    before = open_set(small).keys()
    assert before.shape == (len(small.images), 16)
    path, points, faceness, template, medium = small.images[2]
    small.images[2] = (path, points + 1, faceness, template, medium)
    write_meta(small)
    changed = (open_set(small).keys() != before).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [2]
