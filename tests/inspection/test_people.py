"""Names, and numbers of images."""

import numpy as np
import pytest

from opensphere.inspection.people import histogram, is_number, shared_names, spelled_alike, spelling


@pytest.mark.parametrize(
    "one, other",
    [
        ("Émile Ångström", "emile_angstrom"),
        ("O'Neal", "oneal"),
        ("Łódź", "Lodz"),
        ("Strauß", "STRAUSS"),
        ("王 菲", "王菲"),
    ],
)
def test_spellings_of_a_name(one: str, other: str) -> None:
    assert spelling(one) == spelling(other)


def test_other_names_stay_others() -> None:
    assert spelling("Ann Lee") != spelling("Anne Lee") and spelling("--") != spelling("..") and spelling("王") != "?"
    assert [is_number(name) for name in ("0042", "n000042", "p7", "0_0_1", "m.0107_f", "Anna", "R2D2", "")] == [
        True, True, True, True, False, False, False, False,
    ]  # fmt: skip


def test_names_spelled_alike() -> None:
    names = ["Anna", "anna", "Bo", "ANNA_", "Cleo"]
    assert spelled_alike(names).tolist() == [[0, 1], [0, 3]] and len(spelled_alike(names[2:])) == 0


def test_names_of_two_sets() -> None:
    proper, counting = shared_names(["Bo", "Cleo", "007", "n12"], ["007", "cléo", "n12", "Dan"])
    assert proper.tolist() == [[1, 1]] and counting.tolist() == [[2, 0], [3, 2]]
    assert [part.shape for part in shared_names(["a"], ["b"])] == [(0, 2), (0, 2)]


def test_histogram() -> None:
    counts = np.array([0, 3, 4, 5, 8, 9, 33])
    assert histogram(counts) == [(3, 4, 2), (5, 8, 2), (9, 16, 1), (17, 32, 0), (33, 64, 1)]
    assert histogram(np.array([1, 1, 2])) == [(1, 1, 2), (2, 2, 1)] and histogram(counts[:1]) == []
