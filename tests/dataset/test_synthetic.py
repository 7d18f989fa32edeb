import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from opensphere.dataset import ClassDataset, SyntheticFaces, SyntheticPairs
from opensphere.dataset.synthetic import UNSEEN, album, render, sheet, write_folder
from opensphere.dataset.synthetic.beard import paint_beard
from opensphere.dataset.synthetic.canvas import Canvas, curve, mirrored
from opensphere.dataset.synthetic.person import BEARDS, HAIR_STYLES, draw_person, generator
from opensphere.dataset.synthetic.portrait import portrait
from opensphere.dataset.synthetic.shot import draw_shot
from opensphere.error import UserError

SIZE = 48


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(a.astype(float) - b).mean())


# the pictures


def test_a_picture_is_rgb_bytes_of_the_size_asked_for():
    for size, shape in ((SIZE, (SIZE, SIZE, 3)), ((112, 96), (112, 96, 3)), ((50, 75), (50, 75, 3))):
        picture = render(0, 1, 2, size)
        assert picture.shape == shape and picture.dtype == np.uint8 and picture.flags.c_contiguous
        assert picture.std() > 8


def test_a_wider_picture_shows_more_at_the_sides_and_the_same_in_the_middle():
    wide, square = render(0, 4, 1, (64, 96), nuisance=0), render(0, 4, 1, 64, nuisance=0)
    assert distance(wide[16:56, 32:64], square[16:56, 16:48]) < 1.0


def test_a_larger_picture_shows_the_same():
    small, large = render(0, 5, 0, 64, nuisance=0), render(0, 5, 0, 128, nuisance=0)
    assert distance(cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA), small) < 9
    assert distance(cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA), render(0, 6, 0, 64, nuisance=0)) > 18


def test_pictures_do_not_depend_on_the_order_in_which_they_are_made():
    wanted = [(person, image) for person in (7, 8, 9) for image in range(4)]
    portrait.cache_clear()
    forth = {at: render(3, *at, SIZE) for at in wanted}
    portrait.cache_clear()
    back = {at: render(3, *at, SIZE) for at in reversed(wanted)}
    for at in wanted:
        np.testing.assert_array_equal(forth[at], back[at])


@pytest.mark.slow
def test_a_fresh_process_makes_the_same_pictures():
    code = """
import hashlib
from opensphere.dataset.synthetic import render
pictures = b"".join(render(5, person, image, 48).tobytes() for person in (11, 3) for image in (6, 0))
print(hashlib.sha256(pictures).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pictures = {(person, image): render(5, person, image, 48) for image in (0, 6) for person in (3, 11)}
    ours = b"".join(pictures[person, image].tobytes() for person in (11, 3) for image in (6, 0))
    assert done.stdout.strip() == hashlib.sha256(ours).hexdigest()


def test_people_pictures_and_worlds_differ():
    passport = [render(0, person, 0, SIZE, nuisance=0) for person in range(12)]
    for a in range(12):
        for b in range(a):
            assert distance(passport[a][8:, 8:40], passport[b][8:, 8:40]) > 5
    pictures = [render(0, 0, image, SIZE) for image in range(12)]
    assert min(distance(pictures[a], pictures[b]) for a in range(12) for b in range(a)) > 8
    assert distance(render(0, 0, 0, SIZE, nuisance=0), render(1, 0, 0, SIZE, nuisance=0)) > 8


def test_one_person_looks_more_alike_than_two_once_the_nuisance_is_off():
    centre = (slice(12, 44), slice(12, 36))
    pictures = np.array([[render(2, p, i, SIZE, nuisance=0)[centre] for i in range(3)] for p in range(8)], float)
    within = max(distance(pictures[p, 0], pictures[p, i]) for p in range(8) for i in (1, 2))
    between = min(distance(pictures[p, 0], pictures[q, 0]) for p in range(8) for q in range(p))
    assert within < between


def test_nuisance_grows_with_its_strength():
    spread = []
    for nuisance in (0.0, 0.5, 1.0, 2.0):
        pictures = np.stack([render(0, 2, image, SIZE, nuisance) for image in range(30)])
        spread.append(pictures[:, 14:40, 14:34].astype(float).std(axis=0).mean())
    assert spread[0] < 3 and all(low < high for low, high in zip(spread, spread[1:], strict=False))


# the people


def test_numbers_of_a_person_do_not_depend_on_the_picture_and_streams_do_not_meet():
    assert draw_person(0, 3).cheek == draw_person(0, 3).cheek != draw_person(0, 4).cheek
    assert draw_shot(0, 3, 0, 1.0).yaw != draw_shot(0, 3, 1, 1.0).yaw
    firsts = {generator(seed, *path).random() for seed in (0, 1) for path in ((1, 0), (2, 0), (2, 0, 1), (2, 1, 0))}
    assert len(firsts) == 8


def test_every_style_of_hair_and_beard_occurs_and_people_are_within_nature():
    people = [draw_person(0, number) for number in range(600)]
    assert {person.hair_style for person in people} == set(HAIR_STYLES)
    assert {person.beard for person in people} == set(BEARDS)
    lightness = np.array([person.skin.mean() for person in people])
    assert lightness.min() < 85 and lightness.max() > 200
    for person in people:
        assert person.skin[0] > person.skin[1] > person.skin[2]  # no green, no blue skin
        assert person.crown_y < person.hairline_y < person.brow_y < 0 < person.nose_y < person.mouth_y < person.chin_y
        assert person.chin < person.jaw < person.cheek and person.mouth_width < person.jaw
        assert abs(person.eye_x) - person.eye_width > 0


def test_nobody_gets_a_negative_number():
    for numbers in ((-1, 0, 0), (0, -1, 0), (0, 0, -1)):
        with pytest.raises(UserError, match="negative"):
            render(*numbers, SIZE)


# the controls


def of_whom(**wanted):
    """The first person with these values."""
    return next(n for n in range(500) if all(getattr(draw_person(0, n), key) == value for key, value in wanted.items()))


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_without_hair_the_head_is_bare(style):
    number = of_whom(hair_style=style, beard="none")
    shorn, usual = (portrait(0, number, 1.0, hair, True).canvas.image for hair in (False, True))
    if style == "bald":
        np.testing.assert_array_equal(shorn, usual)
        return
    person = draw_person(0, number)
    column, crown = usual.shape[1] // 2, round((person.crown_y + 80 + 5) * 1.25)
    scalp, hair = shorn[crown, column, :3].astype(float), usual[crown, column, :3].astype(float)
    assert shorn[..., 3].sum() <= usual[..., 3].sum()  # hair covers more than the head
    assert np.abs(scalp / scalp.sum() - person.skin / person.skin.sum()).max() < 0.05
    assert np.abs(scalp - hair).max() > 12
    bare = render(0, number, 0, SIZE, nuisance=0, hair=False)
    assert distance(bare, render(0, number, 0, SIZE, nuisance=0)) > 2


@pytest.mark.parametrize("beard", BEARDS)
def test_without_hair_there_is_no_beard(beard):
    person = draw_person(0, of_whom(beard=beard))
    canvas = Canvas(1.25)
    canvas.fill(person.skin, np.array([(-60.0, -60), (60, -60), (60, 80), (-60, 80)]))
    before = canvas.image.copy()
    paint_beard(canvas, person, np.random.default_rng(0))
    assert (distance(before, canvas.image) > 0.05) == (beard != "none")
    number = of_whom(beard=beard, hair_style="bald") if beard in ("none", "full") else None
    if number is not None:
        shorn, usual = (portrait(0, number, 1.0, hair, True).canvas.image for hair in (False, True))
        assert np.array_equal(shorn, usual) == (beard == "none")


def test_without_marks_there_are_no_moles_and_freckles():
    marked = next(n for n in range(100) if len(draw_person(0, n).marks) > 2)
    plain = next(n for n in range(100) if not len(draw_person(0, n).marks) and not len(draw_person(0, n).freckles))
    for number, differ in ((marked, True), (plain, False)):
        with_marks, without = (render(0, number, 0, 112, hair=False, marks=marks) for marks in (True, False))
        assert np.any(with_marks != without) == differ


def test_controls_change_the_person_and_nothing_else_of_the_picture():
    usual, bare = render(0, 14, 3, 112), render(0, 14, 3, 112, hair=False, marks=False)
    corner = (slice(0, 12), slice(0, 12))
    np.testing.assert_array_equal(usual[corner], bare[corner])


# the sheet to paint on


def test_curves_pass_through_their_points():
    points = np.array([(0.0, 0.0), (3.0, 1.0), (4.0, 5.0), (0.0, 7.0)])
    path, ring = curve(points, per=6), curve(points, closed=True, per=6)
    np.testing.assert_allclose(path[::6], points, atol=1e-12)
    np.testing.assert_allclose(ring[::6], points, atol=1e-12)
    assert len(path) == 19 and len(ring) == 24
    np.testing.assert_allclose(mirrored([(0, 0), (2, 1), (0, 3)]), [(0, 0), (2, 1), (0, 3), (-2, 1)])


def test_paint_is_premultiplied_and_placed_in_face_units():
    canvas = Canvas(2.0)
    canvas.fill(np.array([200.0, 100, 50]), np.array([(-10.0, -10), (10, -10), (10, 10), (-10, 10)]))
    painted = canvas.image[..., 3] > 127
    rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
    assert abs(rows[0] - 140) <= 1 and abs(rows[-1] - 179) <= 1  # 2 (80 - 10) and 2 (80 + 10) - 1
    assert abs(columns[0] - 128) <= 1 and abs(columns[-1] - 167) <= 1
    share = canvas.image[..., 3:].astype(float) / 255
    np.testing.assert_allclose(canvas.image[..., :3], share * [200, 100, 50], atol=1.5)


# the sets


def test_a_set_numbers_people_and_pictures():
    faces = SyntheticFaces(people=3, images=4, first_person=7, image_size=SIZE)
    assert len(faces) == 12 and faces.num_class == 3 and faces.image_size == (SIZE, SIZE)
    assert faces.names == ["person_000007", "person_000008", "person_000009"]
    assert faces.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and faces.labels.dtype == np.int64
    np.testing.assert_array_equal(faces.read(5), render(0, 8, 1, SIZE))
    image, index = faces[5]
    assert index == 5 and image.dtype == torch.uint8
    np.testing.assert_array_equal(image.numpy(), render(0, 8, 1, SIZE))


def test_in_memory_or_not_and_one_by_one_or_many_the_pictures_are_the_same():
    kept = SyntheticFaces(people=4, images=3, image_size=SIZE, seed=9)
    made = SyntheticFaces(people=4, images=3, image_size=SIZE, seed=9, in_memory=False)
    assert kept.in_memory and not made.in_memory
    order = [11, 0, 5, 5]
    for (a, i), (b, j), wanted in zip(map(kept.__getitem__, order), map(made.__getitem__, order), order, strict=True):
        assert i == j == wanted and torch.equal(a, b) and torch.equal(a, kept[wanted][0])


def test_loading_reports_progress_and_is_shared_within_the_process():
    calls = []
    first = SyntheticFaces(people=3, images=2, image_size=SIZE, seed=21)
    first.load(lambda done, total: calls.append((done, total)))
    assert calls == [(2, 6), (4, 6), (6, 6)]
    second = SyntheticFaces("another name", people=3, images=2, image_size=SIZE, seed=21)
    second.load(lambda done, total: pytest.fail("rendered twice"))
    assert second.load().data_ptr() == first.load().data_ptr()
    assert SyntheticFaces(people=3, images=2, image_size=SIZE, seed=22).load().data_ptr() != first.load().data_ptr()


def test_what_is_read_is_a_copy():
    faces = SyntheticFaces(people=1, images=2, image_size=SIZE)
    before = faces.read(0)
    faces.read(0)[:] = 0
    np.testing.assert_array_equal(faces.read(0), before)


@pytest.mark.slow
def test_worker_processes_render_the_same_and_leave_random_numbers_alone(monkeypatch):
    monkeypatch.setattr(album, "usable_cores", lambda: 2)
    monkeypatch.setattr(album, "_WORTH_WORKERS", 1)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    pixels = SyntheticFaces(people=5, images=4, image_size=32, seed=31).load()
    assert torch.equal(torch.rand(1), expected)
    for index in range(20):
        np.testing.assert_array_equal(pixels[index].numpy(), render(31, index // 4, index % 4, 32))


def test_pairs_are_balanced_and_of_people_who_are_not_in_training():
    pairs = SyntheticPairs(people=20, images=4, pairs=200, folds=5, image_size=SIZE)
    assert len(pairs) == 80 and pairs.pairs.shape == (200, 2) and pairs.metrics == []
    np.testing.assert_array_equal(pairs.persons, np.repeat(np.arange(20), 4))
    left, right = pairs.labels[pairs.pairs].T
    np.testing.assert_array_equal(left == right, pairs.is_same)
    assert np.all(pairs.pairs[:, 0] != pairs.pairs[:, 1])
    assert len({tuple(sorted(pair)) for pair in pairs.pairs.tolist()}) == 200
    for fold in range(5):
        of_fold = pairs.folds == fold
        assert of_fold.sum() == 40 and pairs.is_same[of_fold].sum() == 20
        others = set(pairs.labels[pairs.pairs[~of_fold]].ravel())
        assert not others & set(pairs.labels[pairs.pairs[of_fold]].ravel())
    np.testing.assert_array_equal(pairs.read(4), render(0, UNSEEN + 1, 0, SIZE))
    assert pairs.faces.names[0] not in SyntheticFaces(people=2000, images=1).names


@pytest.mark.parametrize(
    "key, value",
    [("people", 0), ("images", 0), ("people", 2.5), ("seed", -1), ("first_person", -3), ("nuisance", -0.1),
     ("nuisance", "strong"), ("image_size", 0)],
)  # fmt: skip
def test_wrong_values_are_named(key, value):
    with pytest.raises(UserError, match=key):
        SyntheticFaces(**{"people": 2, "images": 2, key: value})


def test_an_index_outside_the_set_is_an_error():
    with pytest.raises(IndexError):
        SyntheticFaces(people=2, images=2, in_memory=False, image_size=SIZE).read(4)


# files


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_folder_of_the_pictures_reads_back_as_a_class_set(tmp_path, suffix):
    faces = SyntheticFaces(people=3, images=2, image_size=SIZE)
    calls = []
    path = write_folder(faces, tmp_path / "faces", suffix, lambda done, total: calls.append((done, total)))
    assert path == tmp_path / "faces" / "list.txt" and calls == [(2, 6), (4, 6), (6, 6)]
    assert path.read_text().splitlines()[0] == f"person_000000/0000{suffix} person_000000"
    files = ClassDataset("files", tmp_path / "faces", path, image_size=SIZE)
    assert files.names == faces.names and files.labels.tolist() == faces.labels.tolist()
    for index in range(6):
        assert distance(files.read(index), faces.read(index)) <= (0 if suffix == ".png" else 4)


def test_a_folder_in_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(UserError, match="gif"):
        write_folder(SyntheticFaces(people=1, images=1, image_size=SIZE), tmp_path, ".gif")


def test_a_sheet_has_a_person_a_row():
    faces = SyntheticFaces(people=3, images=4, image_size=SIZE)
    page = sheet(faces, people=2, images=3)
    assert page.shape == (2 * SIZE, 3 * SIZE, 3) and page.dtype == np.uint8
    np.testing.assert_array_equal(page[SIZE:, SIZE : 2 * SIZE], faces.read(5))
    assert sheet(faces, people=9, images=9).shape == (3 * SIZE, 4 * SIZE, 3)
