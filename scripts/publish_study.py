"""Put what a study found into the documentation: its numbers as JSON, its tables between two marks of docs/results.md.

    python scripts/publish_study.py project/compare/label_noise

The sentences around the tables are written by hand, after reading them.
"""

import argparse
import json
import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from opensphere import storage
from opensphere.command.main import guarded
from opensphere.compare import writing
from opensphere.compare.notes import revisions
from opensphere.error import UserError

PAGE, NUMBERS = Path("docs/results.md"), Path("docs/results")


def publish(folder: Path, page: Path = PAGE, numbers: Path = NUMBERS) -> int:
    """Write `<numbers>/<study>.json`, and the study's tables into the page; returns the exit status.

    Raises:
        UserError: the folder holds no study, or the page has no place for it.
    """
    try:
        study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: holds no study that can be read ({error}); run opensphere compare first") from None
    study = reduced(study)
    text = replaced(page.read_text(encoding="utf-8"), study["study"], block(study), str(page))
    storage.write_text(numbers / f"{study['study']}.json", json_text(study))
    storage.write_text(page, text)
    print(f"{study['study']}: {page} and {numbers / study['study']}.json")
    return 0


def reduced(study: dict[str, Any]) -> dict[str, Any]:
    """A study without every pair of arms in other columns than the metric, with four digits behind the point."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: short(child) for key, child in value.items()}
        if isinstance(value, list):
            return [short(child) for child in value]
        return round(value, 4) if isinstance(value, float) and math.isfinite(value) and abs(value) > 1 else value

    rows = [row for row in study["differences"] if row["family"] == "baseline" or row["column"] == study["metric"]]
    return short({**study, "differences": rows})


def json_text(study: dict[str, Any]) -> str:
    """JSON with a line for each row of its lists."""
    parts = []
    for key, value in study.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f"{json.dumps(key)}: [\n  {rows}\n ]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def block(study: dict[str, Any]) -> str:
    """The claim, the tables of a study, and what made them."""
    made = [run for run in study["runs"] if run["status"] in ("finished", "diverged")]
    torches = ", ".join(dict.fromkeys(str(entry.get("torch")) for entry in study["versions"]))
    time = timedelta(seconds=round(study["seconds"]))
    paper = f" (<{study['paper']}>)" if study["paper"] else ""
    seeds = "one seed" if len(study["seeds"]) == 1 else f"{len(study['seeds'])} seeds"
    about = f"{len(made)} runs over {seeds} in {time} h on {study['machine']}, torch {torches}"
    about += f", revision {', '.join(revisions(study['versions']))}; "
    about += f"all numbers: [{study['study']}.json](results/{study['study']}.json)"
    tables = writing.markdown_tables(study)
    notes = writing.markdown_list(writing.particulars(study)) + f"- {about}\n"
    return f"*{study['claim']}*{paper}\n\nMade smaller here: {study['cut']}\n\n{tables}\n{notes}"


def replaced(page: str, study: str, text: str, where: str) -> str:
    """The page with another text between the marks of a study.

    Raises:
        UserError: there are no such marks.
    """
    begin, end = f"<!-- begin {study} -->\n", f"<!-- end {study} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"{where}: has no place for {study}: write {begin.strip()} and {end} where its tables belong")
    return f"{before}{begin}{text}{end}{after}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help="of a study")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: max(publish(folder) for folder in arguments.folders)))
