"""The facts of each image."""

import os

import cv2
import numpy as np
import pytest

from opensphere.inspection import scan as states
from opensphere.inspection.header import KINDS
from opensphere.inspection.scan import STATES, look_of, pictures, scan, what_ails
from tests.inspection.shelf import Shelf, encode, jpeg, scene

WHOLE = jpeg(scene(0, 96))
MOST = WHOLE[: len(WHOLE) * 3 // 4]
CASES = {
    "fine": WHOLE,
    "doubtful": WHOLE[:-2] + bytes(100) + b"\xff\xd9",
    "damaged": MOST + b"\xff\xd9",
    "unreadable": b"<html>not found</html>",
    "truncated": MOST,
    "empty": b"",
    "missing": None,
}


@pytest.mark.parametrize("pixels", [True, False])
def test_what_becomes_of_an_image(pixels: bool, capfd: pytest.CaptureFixture) -> None:
    facts = scan(Shelf(list(CASES.values())), pixels=pixels, threads=2)
    if pixels:
        assert [STATES[state] for state in facts.state] == list(CASES)
        assert facts.read.tolist() == [True] * 3 + [False] * 4
    else:  # the headers are whole
        assert [STATES[state] for state in facts.state] == ["fine"] * 3 + ["unreadable", "fine", "empty", "missing"]
    assert facts.size.tolist() == [len(data or b"") for data in CASES.values()]
    assert capfd.readouterr().err == ""  # where the decoder has complained


def test_one_damaged_image_among_many_is_found_by_many_threads() -> None:
    images = [jpeg(scene(seed)) for seed in range(8)] * 40
    images[100] = CASES["damaged"]
    facts = scan(Shelf(images), threads=8)
    assert np.flatnonzero(facts.state).tolist() == [100] and facts.state[100] == states.DAMAGED


def test_other_words_of_the_process_are_passed_on(capfd: pytest.CaptureFixture) -> None:
    class Talking(Shelf):
        def data(self, index: int) -> bytes:
            os.write(2, b"a word of somebody else\n")
            return super().data(index)

    scan(Talking([CASES["damaged"]]))
    assert capfd.readouterr().err == 2 * "a word of somebody else\n"


def test_facts() -> None:
    grey = np.repeat(scene(0)[:, :, :1], 3, axis=2)
    flat = np.full((20, 20, 3), 90, np.uint8)
    images = [
        encode(scene(0)[:40, :30]),
        jpeg(grey),
        encode(grey[:, :, 0], ".bmp"),
        jpeg(flat),
        encode(scene(0), ".tiff"),
    ]
    facts = scan(Shelf(images))
    assert [KINDS[kind] for kind in facts.kind] == ["png", "jpeg", "bmp", "jpeg", "tiff"]
    assert facts.height.tolist() == [40, 48, 48, 20, 48] and facts.width.tolist() == [30, 48, 48, 20, 48]
    assert facts.grey.tolist() == [False, True, True, True, False]
    assert facts.blank.tolist() == [False, False, False, True, False]
    assert len(np.unique(facts.digest, axis=0)) == 5
    by_header = scan(Shelf(images), pixels=False)
    for name in ("kind", "height", "width", "size", "digest"):
        assert np.array_equal(getattr(by_header, name), getattr(facts, name))


def test_some_images_and_their_number(capfd: pytest.CaptureFixture) -> None:
    reader = Shelf([encode(scene(seed, 16)) for seed in range(5)] * 100)
    told: list[tuple[int, int]] = []
    facts = scan(reader, np.arange(0, 500, 2), progress=lambda done, total: told.append((done, total)))
    assert len(facts) == 250 and np.array_equal(facts.digest[:5], scan(reader).digest[:10:2])
    assert told[-1] == (250, 250) and [done for done, _ in told] == sorted(done for done, _ in told)


def test_an_error_of_ours_ends_the_scan() -> None:
    class Faulty(Shelf):
        def data(self, index: int) -> bytes:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scan(Faulty([b""] * 200))


def test_a_look_survives_being_saved_anew() -> None:
    def look(image: np.ndarray) -> int:
        small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
        return int(look_of(small))

    one = scene(0, 112)
    changed = [cv2.imdecode(np.frombuffer(jpeg(one, 50), np.uint8), cv2.IMREAD_COLOR_RGB), cv2.resize(one, (80, 80))]
    assert all((look(one) ^ look(image)).bit_count() <= 4 for image in [*changed, (one * 0.8).astype(np.uint8)])
    assert min((look(one) ^ look(scene(seed, 112))).bit_count() for seed in range(1, 20)) > 12


def test_pictures_and_words() -> None:
    reader = Shelf([*CASES.values()])
    found = pictures(reader, np.arange(7), (20, 30))
    assert [image is None for image in found] == [False] * 3 + [True] * 4 and found[0].shape == (20, 30, 3)
    assert [bool(what_ails(reader, index)) for index in range(7)] == [False] * 3 + [True] * 4
    assert what_ails(reader, 4) == "shelf: image 4: the image is cut short; download or extract it again"
    many = pictures(Shelf([encode(scene(0, 8))] * 100), np.arange(100))
    assert len(many) == 100 and all(image is not None for image in many)
