"""docs/results.md shows what the studies' own numbers say."""

import json
import runpy
from pathlib import Path

import pytest

from opensphere.error import UserError

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = runpy.run_path(str(ROOT / "scripts/publish_study.py"))
NUMBERS = sorted((ROOT / "docs/results").glob("*.json"))


@pytest.mark.parametrize("path", NUMBERS, ids=lambda path: path.stem)
def test_the_page_shows_the_numbers(path: Path) -> None:
    study = json.loads(path.read_text(encoding="utf-8"))
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert study["study"] == path.stem and (ROOT / f"config/compare/{path.stem}.yml").is_file()
    assert SCRIPT["block"](study) in page
    assert SCRIPT["reduced"](study) == study


def test_every_study_has_a_place_on_the_page() -> None:
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    for path in (ROOT / "config/compare").glob("*.yml"):
        assert SCRIPT["replaced"](page, path.stem, "", "page")


def test_a_page_without_a_place() -> None:
    with pytest.raises(UserError, match="page: has no place for faces: write <!-- begin faces --> and"):
        SCRIPT["replaced"]("<!-- begin faces -->\n", "faces", "", "page")
    page = "a\n<!-- begin faces -->\nold\n<!-- end faces -->\nb\n"
    assert SCRIPT["replaced"](page, "faces", "new\n", "page") == page.replace("old", "new")
