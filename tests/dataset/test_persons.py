import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.dataset.annotation import Texts
from opensphere.dataset.persons import find_persons, identical, joined, numbered
from opensphere.dataset.reader.files import FileReader
from opensphere.dataset.reader.reader import Reader


class Bytes(Reader):
    """Images of given bytes, without paths."""

    def __init__(self, data):
        self.contents = data

    def __len__(self):
        return len(self.contents)

    def data(self, index):
        return self.contents[index]


def persons_of(tmp_path, rows, write=None):
    """Of a list of (label, path, path): each path with its person. Files are written if `write` is given."""
    paths = list(dict.fromkeys(path for row in rows for path in row[1:]))
    for path in paths if write else []:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(write.get(path, path.encode()))
    reader = FileReader(tmp_path, Texts(paths))
    pairs = np.array([[paths.index(path) for path in row[1:]] for row in rows])
    found = find_persons(reader, pairs, np.array([row[0] == 1 for row in rows]))
    assert found.shape == (len(paths),) and found.dtype == np.int64
    assert set(found.tolist()) == set(range(found.max() + 1))
    return dict(zip(paths, found.tolist(), strict=True))


def groups(persons):
    """The partition, whatever the numbers."""
    return {frozenset(path for path in persons if persons[path] == person) for person in persons.values()}


@pytest.mark.parametrize("folder", ["", "images/", "a/b/c/"])
def test_folders_are_people(tmp_path, folder):
    rows = [(1, "Anna/1.jpg", "Anna/2.jpg"), (0, "Anna/3.jpg", "Bert/1.jpg"), (0, "Carl/1.jpg", "Bert/2.jpg")]
    rows = [(label, folder + one, folder + other) for label, one, other in rows]
    persons = persons_of(tmp_path, rows)  # without any file: nothing is read
    assert len(set(persons.values())) == 3
    assert all((persons[one] == persons[other]) == (one.rpartition("/")[0] == other.rpartition("/")[0])
               for one in persons for other in persons)  # fmt: skip


def test_the_person_is_above_poses(tmp_path):
    rows = [(1, "001/frontal/01.jpg", "001/profile/01.jpg"), (0, "001/frontal/02.jpg", "002/frontal/01.jpg")]
    assert len(set(persons_of(tmp_path, rows).values())) == 2


def test_names_with_numbers_are_people(tmp_path):
    rows = [(1, "all/Anna_0001.jpg", "all/Anna_0002.jpg"), (0, "all/Bert_0001.jpg", "all/Anna_0009.jpg")]
    persons = persons_of(tmp_path, rows)
    assert persons["all/Anna_0009.jpg"] == persons["all/Anna_0001.jpg"] != persons["all/Bert_0001.jpg"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([(1, "x/1.jpg", "x/2.jpg"), (0, "x/3.jpg", "x/1.jpg")], "an impostor pair in one folder"),
        ([(1, "x/1.jpg", "y/2.jpg"), (0, "z/3.jpg", "x/1.jpg")], "a genuine pair in two folders"),
        ([(1, "same/1.jpg", "same/2.jpg"), (0, "diff/3.jpg", "same/1.jpg"), (0, "diff/3.jpg", "diff/4.jpg")], "kinds"),
    ],
)
def test_where_paths_contradict_labels_genuine_pairs_join(tmp_path, rows, why):
    persons = persons_of(tmp_path, rows, {"-": b""})
    joint = {frozenset(row[1:]) for row in rows if row[0] == 1}
    rest = set(persons) - set().union(*joint)
    assert groups(persons) == joint | {frozenset([path]) for path in rest}, why


def test_folders_of_one_kind_of_pairs_prove_nothing(tmp_path):
    rows = [(1, "same/1.jpg", "same/2.jpg"), (1, "same/3.jpg", "same/4.jpg"), (0, "diff/1.jpg", "diff/2.jpg")]
    assert len(set(persons_of(tmp_path, rows, {"-": b""}).values())) == 4


def test_lists_in_one_are_looked_at_one_by_one(tmp_path):
    rows = [
        (1, "lfw/Anna/1.jpg", "lfw/Anna/2.jpg"),
        (0, "lfw/Anna/3.jpg", "lfw/Bert/1.jpg"),
        (1, "age/1.jpg", "age/2.jpg"),
        (0, "age/3.jpg", "age/4.jpg"),
    ]
    persons = persons_of(tmp_path, rows, {"-": b""})
    assert groups(persons) == {
        frozenset(["lfw/Anna/1.jpg", "lfw/Anna/2.jpg", "lfw/Anna/3.jpg"]),
        frozenset(["lfw/Bert/1.jpg"]),
        frozenset(["age/1.jpg", "age/2.jpg"]),
        frozenset(["age/3.jpg"]),
        frozenset(["age/4.jpg"]),
    }


def test_files_of_the_same_bytes_are_one_image(tmp_path):
    rows = [(1, "1.jpg", "2.jpg"), (0, "3.jpg", "4.jpg"), (1, "5.jpg", "4.jpg")]
    persons = persons_of(tmp_path, rows, {"2.jpg": b"one", "4.jpg": b"one"})
    assert groups(persons) == {frozenset(["1.jpg", "2.jpg", "4.jpg", "5.jpg"]), frozenset(["3.jpg"])}


def test_images_without_paths(tmp_path):
    reader = Bytes([b"a", b"b", b"b", b"c", b"d", b"e"])
    pairs, is_same = np.arange(6).reshape(-1, 2), np.array([True, True, False])
    assert find_persons(reader, pairs, is_same).tolist() == [0, 0, 0, 0, 1, 2]
    assert identical(reader, [2, 0, 1]).tolist() == [0, 1, 0]


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.booleans()), max_size=15))
def test_joined_against_merging_sets(size, triples):
    triples = [(a % size, b % size, same) for a, b, same in triples]
    pairs = np.array([t[:2] for t in triples], np.int64).reshape(-1, 2)
    person = list(range(size))
    for a, b, same in triples:
        if same:
            person = [person[a] if p == person[b] else p for p in person]
    found = joined(pairs, np.array([t[2] for t in triples], bool), np.arange(size))
    assert numbered(found.tolist()).tolist() == numbered(person).tolist()
    assert set(found.tolist()) == set(range(len(set(person))))


def test_numbers_in_order_of_appearance():
    assert numbered(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2] and numbered([]).tolist() == []
