import shutil

import numpy as np
import pytest

from opensphere.dataset import ijb
from opensphere.dataset.ijb import IJBDataset, read_integers
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


def table(path, chunk, monkeypatch):
    monkeypatch.setattr(ijb, "_CHUNK", chunk)
    pieces = list(read_integers(path, ("a", "b", "c")))
    return np.concatenate(pieces).tolist() if pieces else []


@pytest.mark.parametrize("chunk", [1, 10, 37, 1 << 24])
@pytest.mark.parametrize("blank", [" ", "\t", "  ", " \t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\n\n"])
def test_integers_in_any_dress(tmp_path, monkeypatch, chunk, blank, end):
    rng = np.random.default_rng(0)
    rows = rng.integers(-(10**6), 10**6, (40, 3)).tolist()
    rows[7] = [2**63 - 1, 0, -1]
    if blank == " \t":  # a TAB makes the blank a part of the field, which int() forgives
        rows = rows[:5]
    text = end.join(blank.join(map(str, row)) for row in rows)
    (tmp_path / "list.txt").write_bytes((text + end).encode())
    assert table(tmp_path / "list.txt", chunk, monkeypatch) == rows
    (tmp_path / "list.txt").write_bytes(text.encode())
    assert table(tmp_path / "list.txt", chunk, monkeypatch) == rows


@pytest.mark.parametrize(
    "bad",
    ["1 2", "1 2 3 4", "1 2 x", "1 2 3x", "1 2 3.0", "1, 2, 3", "1 2 ", " 1 2", f"1 2 {2**63}", "a b c", "1 2 \0"],
)
@pytest.mark.parametrize("chunk", [1, 20, 1 << 24])
def test_integers_of_a_bad_line(tmp_path, monkeypatch, bad, chunk):
    # the line after makes up for a field too few or too many
    lines = ["1 2 3", "", "4 5 6", bad, "7 8 9 10" if len(bad.split()) < 3 else "7 8", "1 1 1"]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"list\.txt:4: .* should be whole numbers: a b c"):
        table(tmp_path / "list.txt", chunk, monkeypatch)
    (tmp_path / "list.txt").write_text("\n".join(line for line in lines if line) + "\n")
    with pytest.raises(UserError, match=r"list\.txt:3: .* should be whole numbers: a b c"):
        table(tmp_path / "list.txt", chunk, monkeypatch)


def test_the_line_of_a_wrong_label_in_a_later_chunk(small, monkeypatch):
    monkeypatch.setattr(ijb, "_CHUNK", 30)
    small.edit("_template_pair_label.txt", 4, "")
    assert len(open_set(small).is_same) == len(small.pairs) - 1
    small.edit("_template_pair_label.txt", 11, "3 13 5")
    assert "template_pair_label.txt:11: label 5" in refusal(small)
    with pytest.raises(UserError, match="cannot be read"):
        list(read_integers(small.meta_dir, ("a",)))


@pytest.mark.parametrize("text", ["1 2 3\n4 5 6 7 8 9\n", "1 2 3\n4\n5\n6\n", "1 2 3\n4 5\n6 7 8 9\n"])
def test_the_right_number_of_numbers_on_the_wrong_lines(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UserError, match=r"list\.txt:2: .* should be whole numbers: a b c"):
        list(read_integers(tmp_path / "list.txt", ("a", "b", "c")))
