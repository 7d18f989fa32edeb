"""Contact sheets."""

import numpy as np

from opensphere.inspection.sheet import GAP, LINE, MARGIN, Row, ascii_of, draw, shape_of


def test_pictures_stand_where_they_should() -> None:
    red, wide = np.full((10, 10, 3), (200, 0, 0), np.uint8), np.full((5, 20, 3), (0, 0, 200), np.uint8)
    sheet = draw([Row("", [[red, wide], [None]]), Row("", [[wide]])], side=40)
    assert sheet.shape[:2] == shape_of(2, 3, 2, 40) and sheet.dtype == np.uint8
    top = MARGIN + LINE
    assert np.all(sheet[top : top + 40, MARGIN : MARGIN + 40] == (200, 0, 0))
    second = sheet[top : top + 40, MARGIN + 42 : MARGIN + 82]
    assert np.all(second[15:25] == (0, 0, 200)) and np.all(second[:15] == 255)
    cross = sheet[top : top + 40, MARGIN + 84 + GAP : MARGIN + 124 + GAP]
    assert cross[20, 3].tolist() == [225] * 3 and cross[20, 20].mean() < 100
    assert np.all(sheet[:top] == 255)


def test_text_is_written_above_a_row() -> None:
    empty, written = (draw([Row(text, [[np.full((9, 9, 3), 255, np.uint8)]])], side=20) for text in ("", "Anna"))
    assert np.any(empty[: MARGIN + LINE] != written[: MARGIN + LINE])
    assert np.array_equal(draw([Row("x" * 1000, [[None]])]).shape, draw([Row("", [[None]])]).shape)
    assert draw([]).shape[2] == 3


def test_letters_that_can_be_drawn() -> None:
    assert ascii_of("Łódź Ørsted, Émile") == "Lodz Orsted, Emile" and ascii_of("王 a\n\x1b") == "? a??"
