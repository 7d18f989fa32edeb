import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opensphere.dataset.annotation import Lines, Texts, find_images, split, write_list
from opensphere.error import UserError
from tests.dataset.pictures import save

PAIR = ("path", "name")


def read(path, fields=PAIR, more=False):
    lines = Lines(path, fields, more)
    return [[field.decode() for field in row] for row in lines]


def write(path, data: bytes):
    path.write_bytes(data)
    return path


def test_white_space_or_tabs(tmp_path):
    path = write(tmp_path / "l.txt", b"a/1.jpg  anna\n b.jpg\tbo\nwith space.jpg\tBo Li\nc.jpg ann\n")
    assert read(path) == [["a/1.jpg", "anna"], [" b.jpg", "bo"], ["with space.jpg", "Bo Li"], ["c.jpg", "ann"]]


def test_mark_blank_lines_and_windows_line_ends(tmp_path):
    text = "\ufeff\r\na.jpg anna\r\n\r\n  \t \r\nß ö.jpg\tJosé Ω\r\nlast.jpg x"
    path = write(tmp_path / "l.txt", text.encode())
    lines = Lines(path, PAIR)
    rows = list(lines)
    assert rows == [[b"a.jpg", b"anna"], ["ß ö.jpg".encode(), "José Ω".encode()], [b"last.jpg", b"x"]]
    assert [lines.where(item) for item in range(3)] == [f"{path}:{line}" for line in (2, 5, 6)]


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "the list is empty; each line should be: path name"),
        (b"\n \r\n", "the list is empty"),
        (b"\xef\xbb\xbf", "the list is empty"),
        (b"a b\n\nc\n", ":3: 1 fields where path name is expected"),
        (b"a b\nmy face.jpg anna\n", ":2: 3 fields where path name is expected; put TABs"),
        (b"a\tb\tc\n", ":1: 3 fields where path name is expected$"),
        (b"\ta\n", ":1: an empty field"),
        (b"a b\n\xe9.jpg b\n", ":2: not UTF-8"),
        ("a b\nc d\n".encode("utf-16"), ":1: not UTF-8"),
        (b"a\0 b\n", ":1: not UTF-8"),
    ],
)
def test_bad_lists_are_named_with_the_line(tmp_path, data, message):
    path = write(tmp_path / "bad.txt", data)
    with pytest.raises(UserError, match=f"^{path}.*{message}"):
        read(path)


def test_missing_list(tmp_path):
    with pytest.raises(UserError, match="there is no such list"):
        read(tmp_path / "none.txt")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path)


def test_more_fields_can_be_allowed(tmp_path):
    path = write(tmp_path / "l.txt", b"a.jpg\nb.jpg x y\n")
    assert read(path, ("path",), more=True) == [["a.jpg"], ["b.jpg", "x", "y"]]


def test_a_list_can_be_read_twice(tmp_path):
    lines = Lines(write(tmp_path / "l.txt", b"\na b\n\nc d\n"), PAIR)
    assert list(lines) == list(lines)
    assert lines.count == 2 and lines.where(1).endswith(":4")


field = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\t\r\n\0\ufeff"), min_size=1).filter(
    lambda text: text.strip() != ""
)


@given(st.lists(st.lists(field, min_size=1, max_size=3), min_size=1))
def test_what_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("list") / "l.txt"
    assert write_list(path, rows) == len(rows)
    assert [[part.decode() for part in split(line)] for line in path.read_bytes().split(b"\n")[:-1]] == rows


def test_tabs_only_where_needed(tmp_path):
    write_list(tmp_path / "l.txt", iter([("a.jpg", "anna"), ("b c.jpg", "bo"), ("d e.jpg",)]))
    assert (tmp_path / "l.txt").read_bytes() == b"a.jpg anna\nb c.jpg\tbo\nd e.jpg\t\n"


@pytest.mark.parametrize("wrong", ["", "a\tb", "a\nb", "\ufeffa"])
def test_a_field_that_cannot_be_written_leaves_nothing(tmp_path, wrong):
    with pytest.raises(UserError, match="cannot stand in a list"):
        write_list(tmp_path / "l.txt", [("fine", "x"), (wrong, "x")])
    with pytest.raises(UserError, match="not valid text"):
        write_list(tmp_path / "l.txt", [("\udcff", "x")])
    assert os.listdir(tmp_path) == []


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)))))
def test_texts_are_a_sequence(texts):
    packed = Texts(texts)
    assert list(packed) == texts and len(packed) == len(texts)
    assert packed[1:] == texts[1:]
    if texts:
        assert packed[-1] == texts[-1] and packed[np.int64(0)] == texts[0]
    with pytest.raises(IndexError):
        packed[len(texts)]


def test_find_images(tmp_path):
    for name in ("b/2.JPG", "b/10.jpg", "a/x/1.png", "a/b.bmp", ".hidden/1.jpg", "a/.1.jpg", "top.webp"):
        save(tmp_path / name.lower(), 1)
    (tmp_path / "b/2.jpg").rename(tmp_path / "b/2.JPG")
    (tmp_path / "a/notes.txt").write_text("no image")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "b")
    found = list(find_images(tmp_path))
    assert found == ["top.webp", "a/b.bmp", "a/x/1.png", "b/10.jpg", "b/2.JPG", "link/10.jpg", "link/2.JPG"]
