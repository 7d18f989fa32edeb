"""Numbers of long lists: the fast way gives what Python gives, or leaves a list to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opensphere.dataset import numbers
from opensphere.dataset.numbers import nth_line, read_integers, read_named
from opensphere.error import UserError


def table(path, chunk, monkeypatch):
    monkeypatch.setattr(numbers, "_PIECE", chunk)
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


@pytest.mark.parametrize("text", ["1 2 3\n4 5 6 7 8 9\n", "1 2 3\n4\n5\n6\n", "1 2 3\n4 5\n6 7 8 9\n"])
def test_the_right_number_of_numbers_on_the_wrong_lines(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UserError, match=r"list\.txt:2: .* should be whole numbers: a b c"):
        list(read_integers(tmp_path / "list.txt", ("a", "b", "c")))


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        list(read_integers(tmp_path, ("a",)))
    assert read_named(tmp_path, 1, np.int64) is None and read_named(tmp_path / "none.txt", 1, np.int64) is None


@given(st.lists(st.tuples(*[st.integers(0, 10**16 - 1)] * 2), min_size=1, max_size=20))
def test_plain_numbers_of_any_length_are_read_fast(rows):
    text = "".join(f"{left} {right}\n" for left, right in rows)
    assert numbers._plain_integers(text.encode(), 2).tolist() == [list(row) for row in rows]


@pytest.mark.parametrize("bad", ["-1", "1.0", "1e3", "x", "", "12345678901234567", "1_0", "+1", "\u0661"])
def test_what_is_no_plain_number_is_left_to_python(tmp_path, bad):
    (tmp_path / "list.txt").write_text(f"a 1 2\nb {bad} 2\nc 1 2\n", encoding="utf-8")
    assert read_named(tmp_path / "list.txt", 2, np.int64) is None
    assert numbers._plain_integers(f"1 2\n{bad} 2\n".encode(), 2) is None


DECIMALS = st.one_of(
    st.decimals(0, 10**6, places=3).map(str),
    st.decimals(0, 1, places=8).map(str),
    st.decimals(0, 9, places=14).map(str),
    st.decimals(-1000, 1000, places=3).map(str),
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["1e-5", "5.", ".5", "-0.0", "nan", "inf", "007.50", "0.123456789012345678"]),
)
NAMES = st.text("abc123./_-~", min_size=1, max_size=30)


@given(
    rows=st.lists(st.tuples(NAMES, DECIMALS, DECIMALS), min_size=1, max_size=12), piece=st.sampled_from([1, 40, 999])
)
def test_decimals_are_those_of_python(tmp_path_factory, rows, piece):
    path = tmp_path_factory.getbasetemp() / "decimals.txt"
    path.write_text("".join(" ".join(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "_PIECE", piece)
        names, found = read_named(path, 2, np.float64)
    assert list(names) == [name for name, *_ in rows]
    np.testing.assert_array_equal(found, [[float(left), float(right)] for _, left, right in rows])


def test_the_plainest_decimals_need_no_slower_reader(monkeypatch):
    monkeypatch.setattr(numbers, "_decimals", None)
    *_, found = numbers._plain_named(b"1.jpg 46.060 0.99996662\nx/2.5 100.0 0.00000001\n", 2, np.float64)
    assert found.tolist() == [[46.06, 0.99996662], [100.0, 1e-8]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("piece", [1, 8, 1 << 17])
def test_named_numbers_in_any_dress(tmp_path, monkeypatch, end, piece):
    monkeypatch.setattr(numbers, "_PIECE", piece)
    rows = [(f"img/{number}.jpg", 10**number % 9973, 7 * number) for number in range(9)]
    text = end.join(" ".join(map(str, row)) for row in rows)
    for start, stop in (("", ""), ("", end), ("\ufeff", end), ("", 3 * end)):
        (tmp_path / "list.txt").write_bytes((start + text + stop).encode())
        if piece == 1 and len(stop) > len(end):
            continue  # blank lines that fill pieces of their own are not of the plainest kind
        names, found = read_named(tmp_path / "list.txt", 2, np.int64)
        assert list(names) == [row[0] for row in rows] and found.tolist() == [list(row[1:]) for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a 1\n\nb 2\n",
        "a  1\nb 2\n",
        " a 1\n",
        "a\t1\n",
        "a b 1\n",
        "\u00e9 1\n",
        "a 1 2\n",
        "a\n",
        "a\x00 1\n",
    ],
)
def test_lists_of_another_kind_are_left_to_python(tmp_path, text):
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    for dtype in (np.int64, np.float64):
        assert read_named(tmp_path / "list.txt", 1, dtype) is None


@pytest.mark.parametrize("text", ["a 1.5.3 2\n", "a 1-2 3\n", "a 1.5.3 \n", "a 1 2x\n", "a 0x10 2\n"])
def test_decimals_of_another_kind_are_left_to_python(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    assert read_named(tmp_path / "list.txt", 2, np.float64) is None


def test_the_line_of_an_item(tmp_path):
    (tmp_path / "list.txt").write_text("a\n\n \t\nb\nc\n\n")
    assert [nth_line(tmp_path / "list.txt", item) for item in range(3)] == [1, 4, 5]
    with pytest.raises(IndexError):
        nth_line(tmp_path / "list.txt", 3)
