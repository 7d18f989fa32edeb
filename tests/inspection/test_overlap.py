"""From facts to findings."""

import cv2
import numpy as np
import pytest

from opensphere.inspection.finding import CATALOGUE, SEVERITIES, Finding, ordered, unfit
from opensphere.inspection.overlap import Twins, of_images, of_names, of_people, of_twins
from opensphere.inspection.scan import scan
from opensphere.inspection.source import Source
from tests.inspection.shelf import Shelf, jpeg, scene, source

FACES = [jpeg(scene(seed, 64)) for seed in range(6)]
ANEW = [jpeg(scene(seed, 64), 60) for seed in range(6)]


def counts(findings: list[Finding]) -> dict[str, int]:
    return {finding.name: finding.count for finding in findings if finding.count}


def twins(left: Source, right: Source | None = None) -> list[Finding]:
    other = None if right is None else (right, scan(right.reader))
    return of_twins(left, Twins((left, scan(left.reader)), other))


def named(findings: list[Finding], name: str) -> Finding:
    (finding,) = (finding for finding in findings if finding.name == name)
    return finding


def test_what_ails_images() -> None:
    flat, tiny = np.full((64, 64, 3), 7, np.uint8), cv2.resize(scene(0), (30, 60))
    grey = np.repeat(scene(0, 64)[:, :, :1], 3, axis=2)
    images = [FACES[0], b"", None, b"x", FACES[1][:-100], jpeg(flat), jpeg(tiny), jpeg(grey)]
    found = of_images(scan(Shelf(images)), tiny=40)
    assert counts(found) == {
        "empty": 1, "missing": 1, "unreadable": 1, "truncated": 1, "blank": 1, "tiny": 1, "grey": 1, "sizes": 2,
    }  # fmt: skip
    assert [named(found, name).images.tolist() for name in ("empty", "blank", "tiny", "grey")] == [[1], [5], [6], [7]]


def test_what_ails_people() -> None:
    found = of_people(source(FACES[:5], ["Bo", "bo", "Cleo", "Cleo", "Dan"]))
    assert counts(found) == {"single": 3, "spelling": 1}
    assert counts(of_people(source(FACES))) == {"no-people": 6}
    assert counts(of_people(source(FACES[:2], ["Bo", "Bo"]))) == {"few-people": 1}


def test_images_that_are_there_twice() -> None:
    images = [FACES[0], FACES[0], ANEW[0], FACES[1], FACES[2], FACES[2], ANEW[3], FACES[3]]
    found = twins(source(images, ["a", "a", "a", "b", "b", "c", "d", "e"]))
    assert counts(found) == {"duplicate": 1, "look": 1, "two-people": 1, "two-people-look": 1}
    assert named(found, "two-people").images.tolist() == [[4, 5]]
    assert named(found, "two-people-look").images.tolist() == [[6, 7]]
    assert named(found, "look").images.tolist() == [[0, 2]]


def test_images_that_are_in_the_other_set() -> None:
    left = source([FACES[0], FACES[0], FACES[1], FACES[2], b"", b""], list("aabcde"))
    right = source([FACES[5], FACES[5], ANEW[1], FACES[0], FACES[0], b""])
    found = twins(left, right)
    assert counts(found) == {"duplicate": 1, "overlap-file": 2, "overlap-look": 1}
    assert named(found, "overlap-file").images.tolist() == [[0, 3], [1, 3]]
    assert named(found, "overlap-look").images.tolist() == [[2, 2]] and named(found, "overlap-look").across


def test_pairs_that_contradict_what_they_show() -> None:
    faces = Source(Shelf([FACES[0], FACES[0], ANEW[1], FACES[1], FACES[2], FACES[2]]), "pairs")
    faces.pairs, faces.is_same = np.array([[1, 0], [2, 3], [4, 5]]), np.array([False, False, True])
    found = twins(faces)
    assert counts(found) == {"two-people": 1, "two-people-look": 1}  # an image may stand in several pairs


def test_names_that_are_in_both_sets() -> None:
    left, right = source(FACES[:4], ["Bo", "Bo", "Cleo", "7"]), source(FACES[:3], ["bo", "7", "Dan"])
    found = of_names(left, right)
    assert counts(found) == {"overlap-name": 1, "overlap-number": 1}
    name = named(found, "overlap-name")
    assert name.images.tolist() == [1, 2] or name.images.tolist() == [0, 1]
    assert name.across and "2 images" in name.text and of_names(left, source(FACES)) == []


def test_order_and_verdict() -> None:
    found = [
        Finding("grey", 3),
        Finding("tiny", 1),
        Finding("truncated", 2),
        Finding("empty", 0),
        Finding("two-people", 1),
    ]
    assert [finding.name for finding in ordered(found)] == ["truncated", "two-people", "tiny", "grey"]
    assert [finding.name for finding in unfit(found)] == ["truncated", "two-people"]
    assert [finding.name for finding in unfit(found, ["truncated"])] == ["two-people"]
    order = [SEVERITIES.index(severity) for severity, _ in CATALOGUE.values()]
    assert order == sorted(order)


@pytest.mark.parametrize("images", [[], [b""], [FACES[0]]])
def test_next_to_nothing(images: list[bytes]) -> None:
    assert counts(twins(source(images))) == counts(twins(source(images), source(images[:0]))) == {}
