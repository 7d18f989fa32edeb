"""Images that are there twice."""

import cv2
import numpy as np
import pytest

from opensphere.inspection.duplicates import SAME, bits, confirm, groups_of, near
from opensphere.inspection.scan import scan
from opensphere.inspection.source import open_source
from tests.inspection.shelf import Shelf, encode, jpeg, scene
from tests.shared import shared


def crowd(count: int, seed: int, kinds: int = 40, flips: int = 6) -> np.ndarray:
    """Looks in clusters, as those of real pictures are."""
    random = np.random.default_rng(seed)
    looks = random.integers(0, 1 << 64, kinds, np.uint64)[random.integers(0, kinds, count)]
    for _ in range(flips):
        flip = np.uint64(1) << random.integers(0, 64, count).astype(np.uint64)
        looks ^= np.where(random.random(count) < 0.5, flip, 0).astype(np.uint64)
    return looks


def by_comparing_all(looks: np.ndarray, radius: int) -> set[tuple[int, int]]:
    distance = bits(looks[:, None] ^ looks)
    rows, columns = np.nonzero(np.triu(distance <= radius, 1))
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


def test_bits() -> None:
    values = np.random.default_rng(0).integers(0, 1 << 64, 1000, np.uint64)
    values[:2] = 0, (1 << 64) - 1
    assert bits(values).tolist() == [int(value).bit_count() for value in values]


def test_groups() -> None:
    digest = np.random.default_rng(0).integers(0, 3, (200, 2)).astype(np.uint64)
    first = groups_of(digest)
    for index in range(200):
        assert first[index] == np.flatnonzero(np.all(digest == digest[index], axis=1))[0]
    assert len(groups_of(digest[:0])) == 0


@pytest.mark.parametrize("radius", range(6))
def test_near_finds_what_comparing_all_finds(radius: int) -> None:
    looks = np.unique(crowd(500, radius))
    pairs, whole = near(looks, radius)
    assert whole and pairs.tolist() == sorted(map(list, by_comparing_all(looks, radius)))


def test_equal_looks_are_all_compared_while_they_are_few() -> None:
    looks = crowd(300, 0, kinds=100, flips=1)
    assert np.unique(looks, return_counts=True)[1].max() in range(2, 9)
    pairs, _ = near(looks, 2)
    assert set(map(tuple, pairs.tolist())) == by_comparing_all(looks, 2)


def test_a_crowd_of_one_look_is_a_chain_and_a_star() -> None:
    looks = np.full(1000, 5, np.uint64)
    pairs, whole = near(looks)
    assert whole and set(map(tuple, pairs.tolist())) == {(i, i + 1) for i in range(999)} | {
        (0, i) for i in range(1, 1000)
    }


def test_a_search_that_takes_too_long_ends() -> None:
    looks = np.unique(crowd(600, 0, kinds=1, flips=8))
    pairs, whole = near(looks, 4, most=1000)
    assert not whole and len(pairs) < len(by_comparing_all(looks, 4))
    assert len(near(looks[:1])[0]) == len(near(looks[:0])[0]) == 0


def test_pictures_saved_anew_are_told_from_others() -> None:
    one = scene(0, 112)
    others = [jpeg(scene(seed, 112)) for seed in (1, 2)]
    anew = [
        jpeg(one, 40),
        encode(cv2.resize(one, (90, 90))),
        encode((one * 0.8).astype(np.uint8)),
        encode(one[:, :, 0]),
    ]
    reader = Shelf([encode(one), *anew, *others, b""])
    pairs = np.array([(0, index) for index in range(1, 8)])
    told: list[int] = []
    scores = confirm((reader, reader), pairs, lambda done, total: told.append(done))
    assert np.all(scores[:3] > 0.99) and np.all(scores[3:] < SAME) and scores[-1] == 0 and told == [7]
    assert confirm((Shelf(others), reader), np.array([[0, 5], [1, 5]]))[0] > 0.999
    assert len(confirm((reader, reader), pairs[:0])) == 0


@pytest.mark.slow
def test_the_faces_of_lfw_that_are_there_under_two_names() -> None:
    """Each of the pairs is one photograph, as the eye sees at once."""
    source = open_source(shared("faces/lfw/images"), shared("faces/lfw/lfw_all_ann.txt"))
    facts = scan(source.reader)
    pairs, whole = near(facts.look)
    assert whole and len(pairs) < 100
    pairs = pairs[confirm((source.reader, source.reader), pairs) >= SAME]
    names = {tuple(map(source.person, pair)) for pair in pairs.tolist()}
    assert {pair for pair in names if pair[0] != pair[1]} == {
        ("Andrew_Caldecott", "Andrew_Gilligan"),
        ("Bart_Hendricks", "Ricky_Ray"),
        ("Carlos_Beltran", "Raul_Ibanez"),
        ("Emmy_Rossum", "Eva_Amurri"),
        ("Gabrielle_Rose", "Martha_Bowen"),
    }
