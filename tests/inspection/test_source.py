"""What a path holds."""

from pathlib import Path

import pytest

from opensphere.error import UserError
from opensphere.inspection.source import open_source
from tests.dataset.pictures import save
from tests.shared import shared


def write(folder: Path) -> None:
    for path in ("Anna/Anna_0001.png", "Anna/Anna_0002.png", "Bo/Bo_0001.png"):
        save(folder / path, len(path))


def test_people_of_a_folder_and_of_a_list(tmp_path: Path) -> None:
    write(tmp_path / "faces")
    folder = open_source(tmp_path / "faces")
    assert (folder.name, len(folder), folder.person(2), folder.pairs) == ("faces", 3, "Bo", None)
    (tmp_path / "faces/list.txt").write_text("Bo/Bo_0001.png Bob\nAnna/Anna_0001.png Ann\n")
    for source in (
        open_source(tmp_path / "faces/list.txt"),
        open_source(tmp_path / "faces", tmp_path / "faces/list.txt"),
    ):
        assert source.reader.names == ["Ann", "Bob"] and source.person(0) == "Bob"


def test_lists_of_pairs(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "ours.txt").write_text("1 Anna/Anna_0001.png Anna/Anna_0002.png\n0 Bo/Bo_0001.png Anna/Anna_0002.png\n")
    (tmp_path / "lfw.txt").write_text("1\nAnna\t1\t2\nBo\t1\tAnna\t2\n")
    for name in ("ours.txt", "lfw.txt"):
        source = open_source(tmp_path, tmp_path / name)
        assert source.pairs is not None and source.is_same is not None and source.reader.root == str(tmp_path / name)
        assert source.pairs.tolist() == [[0, 1], [2, 1]] and source.is_same.tolist() == [True, False]
        assert list(map(source.person, range(3))) == ["Anna", "Anna", "Bo"]
    assert len(open_source(tmp_path / "ours.txt")) == 3


def test_pairs_whose_paths_name_nobody(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", 0), save(tmp_path / "b/1.png", 1)
    (tmp_path / "pairs.txt").write_text("0 a/1.png b/1.png\n")
    source = open_source(tmp_path, tmp_path / "pairs.txt")
    assert source.labels is None and source.person(0) == ""


def test_a_bin_file() -> None:
    source = open_source(shared("goldens/insightface_small_lfw.bin"))
    assert len(source) == 20 and source.pairs is not None and source.pairs.shape == (10, 2) and source.labels is None


@pytest.mark.parametrize("line", ["0\t3.000000\ta/1.jpg", "1\t/faces/a/1.jpg\t3", "5\t1\t2\t1.5\ta/1.jpg"])
def test_the_list_of_records(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.lst").write_text(line + "\n")
    (tmp_path / "a.REC").write_bytes(b"")
    for words in ([tmp_path / "a.lst"], [tmp_path, tmp_path / "a.lst"]):
        with pytest.raises(UserError, match=r"a\.lst: its lines are of the images in .*a\.REC; name .*a\.REC$"):
            open_source(*words)


def test_a_list_of_pairs_beside_records(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", 0), save(tmp_path / "b/1.png", 1)
    (tmp_path / "a.lst").write_text("0\ta/1.png\tb/1.png\n")
    (tmp_path / "a.rec").write_bytes(b"")
    assert open_source(tmp_path / "a.lst").pairs is not None


def test_a_list_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.txt").write_text("0 a b\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match=r"list\.txt: .*Permission denied"):
        open_source(tmp_path / "list.txt")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file or folder"):
        open_source(tmp_path / "none")
    (tmp_path / "list.txt").write_bytes(b"\0\1\2")
    with pytest.raises(UserError):
        open_source(tmp_path, tmp_path / "list.txt")
    with pytest.raises(UserError):
        open_source(tmp_path, tmp_path / "none.txt")
