import numpy as np
import pytest
from scipy.io import savemat

from opensphere.dataset.matlab import MatFile
from opensphere.error import UserError


def cells(*values) -> np.ndarray:
    """A cell array, (n, 1)."""
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


def column(*values) -> np.ndarray:
    return np.array(values, np.uint16)[:, None]


def written(tmp_path, **variables) -> str:
    savemat(tmp_path / "protocol.mat", variables)
    return str(tmp_path / "protocol.mat")


def test_what_matlab_holds(tmp_path):
    path = written(
        tmp_path,
        names=cells("b.jpg", "a 1.jpg", " c "),
        rows=np.array(["ab", "cd"]),
        row=np.array(["x.jpg", "y.jpg"], object),
        numbers=np.array([[3.0], [70000.0]]),
        lists=cells(column(5, 6, 7), np.array([[1.0, 2.0]]), np.empty((0, 0))),
    )
    mat = MatFile(path, ("names", "rows", "row", "numbers", "lists"))
    assert mat.texts("names") == ["b.jpg", "a 1.jpg", "c"] and mat.texts("rows") == ["ab", "cd"]
    assert mat.texts("row") == ["x.jpg", "y.jpg"]
    assert mat.integers("numbers").tolist() == [3, 70000] and mat.integers("numbers").dtype == np.int64
    assert [index.tolist() for index in mat.lists("lists")] == [[5, 6, 7], [1, 2], []]


@pytest.mark.parametrize(
    ("read", "value", "words"),
    [
        ("texts", cells("a", 3), "key: element 2 is no text"),
        ("texts", cells("a", ""), "key: element 2 is no text"),
        ("texts", np.array([1, 2]), "key is no cell array"),
        ("lists", np.array([1, 2]), "key is no cell array"),
        ("lists", cells(column(1), "b"), "key: element 2 should be whole numbers"),
        ("integers", np.array([1.5]), "key should be whole numbers"),
        ("integers", np.array([np.nan]), "key should be whole numbers"),
        ("integers", np.array([1e30]), "key should be whole numbers"),
        ("integers", cells("a"), "key should be whole numbers"),
    ],
)
def test_what_should_be_something_else(tmp_path, read, value, words):
    path = written(tmp_path, key=value)
    with pytest.raises(UserError) as caught:
        getattr(MatFile(path, ("key",)), read)("key")
    assert str(caught.value) == f"{path}: {words}"


def test_files_that_are_none(tmp_path):
    path = written(tmp_path, key=cells("a"))
    with pytest.raises(UserError, match="protocol.mat: has no variable names; it should hold key, names"):
        MatFile(path, ("key", "names"))
    with pytest.raises(UserError, match="other.mat: there is no such file"):
        MatFile(tmp_path / "other.mat", ("key",))
    whole = (tmp_path / "protocol.mat").read_bytes()
    damaged = {"text": b"imageList labels " * 20, "empty": b"", "cut": whole[: len(whole) // 2 + 20]}
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: not a MATLAB file that can be read"):
            MatFile(tmp_path / name, ("key",))
    version_7_3 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512)
    (tmp_path / "new").write_bytes(version_7_3)
    with pytest.raises(UserError, match="new: a MATLAB file of version 7.3, which cannot be read; save it with -v7"):
        MatFile(tmp_path / "new", ("key",))
