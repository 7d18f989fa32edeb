"""What `opensphere data check` shows and writes of its findings."""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from opensphere import storage
from opensphere.command.data_sheet import PICTURED, join, printable, write_picture
from opensphere.inspection.finding import CATALOGUE, Finding, unfit
from opensphere.inspection.scan import STATES, UNREADABLE, pictures, what_ails
from opensphere.inspection.sheet import Row, draw
from opensphere.inspection.source import Source

EXAMPLES = 3  # of a finding, on the screen
KEPT = 100  # of a finding, in check.json
_ILL = STATES[UNREADABLE:]  # of which the reader or the decoder has something to say
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


class Words:
    """Says in words what a finding is about.

    Args:
        left: the set; right: the other one, if there is one.
    """

    def __init__(self, left: Source, right: Source | None):
        self.left = left
        self.right = right

    def __call__(self, finding: Finding, number: int) -> str:
        """Example `number` of a finding; "" where it has none."""
        if finding.people is not None:
            text = join(self._names(finding, finding.people[number]))
        elif finding.images is None:
            return ""
        elif finding.name in _ILL:
            return printable(what_ails(self.left.reader, int(finding.images[number])))
        else:
            text = join(self._images(finding, finding.images[number]))
        if finding.resembles is not None:
            text += f" looks like {printable(self.left.called(int(finding.resembles[number])))}, not itself"
        return text if finding.scores is None else f"{text}, score {finding.scores[number]:.2f}"

    def fields(self, finding: Finding) -> Iterator[list[str]]:
        """The lines of a finding's list: of images path and name, of pairs of images two paths, of people names."""
        across = self.second(finding)
        if finding.images is not None:
            for image in finding.images.tolist():
                if isinstance(image, list):
                    yield [self.left.reader.path(image[0]), across.reader.path(image[1])]
                else:
                    yield [part for part in (self.left.reader.path(image), self.left.person(image)) if part]
        elif finding.people is not None:
            for person in finding.people.tolist():
                labels = person if isinstance(person, list) else [person]
                sources = (self.left, across)
                yield [sources[side].reader.names[label] for side, label in enumerate(labels)]

    def second(self, finding: Finding) -> Source:
        return self.right if finding.across and self.right is not None else self.left

    def _names(self, finding: Finding, people: np.ndarray) -> list[str]:
        sources = (self.left, self.second(finding))
        return [sources[side].called(int(person)) for side, person in enumerate(np.atleast_1d(people))]

    def _images(self, finding: Finding, images: np.ndarray) -> list[str]:
        sources = (self.left, self.second(finding))
        told = []
        for side, image in enumerate(np.atleast_1d(images).tolist()):
            name, path = sources[side].person(image), sources[side].reader.path(image)
            told.append(f"{path} ({name})" if name and name not in path.split("/") else path)
        return told


def show(console: Console, left: Source, right: Source | None, findings: list[Finding], allowed: list[str]) -> None:
    """Print the findings with their first examples, the gravest first."""
    people = f" of {len(left.reader.names):,} people" if left.labels is not None else ""
    against = f", against {len(right):,} images of {right.reader.root}" if right is not None else ""
    title = f"{left.reader.root}: {len(left):,} images{people}{against}"
    console.print(printable(title), markup=False, soft_wrap=True)
    words = Words(left, right)
    for finding in findings:
        severity = "allowed" if finding.name in allowed else finding.severity
        line = Text(f"\n{severity:<8} ", _STYLES.get(severity, ""))
        line.append(f"{finding.name} ({finding.count:,}): ", "bold").append(finding.text, "default")
        console.print(line, soft_wrap=True)
        for number in range(_examples(finding, EXAMPLES)):
            console.print(f"{'':9}{words(finding, number)}", markup=False, soft_wrap=True)
    console.print()


def write(
    folder: Path,
    arguments: argparse.Namespace,
    left: Source,
    right: Source | None,
    findings: list[Finding],
    report: dict[str, Any],
) -> None:
    """Write check.json, `<finding>.txt` of each finding, and suspects.png of those that are better seen.

    Raises:
        UserError: the folder cannot be written to.
    """
    if (folder / "check.json").is_file():  # of an earlier check, whose lists would mix with these
        for name in (*(f"{name}.txt" for name in CATALOGUE), "suspects.png", "centers.npy"):
            (folder / name).unlink(missing_ok=True)
    words = Words(left, right)
    wrong = unfit(findings, arguments.allow)
    told = []
    for finding in findings:
        examples = [words(finding, number) for number in range(_examples(finding, KEPT))]
        told.append({
            "name": finding.name,
            "severity": finding.severity,
            "allowed": finding.name in arguments.allow,
            "count": finding.count,
            "text": finding.text,
            "examples": [example for example in examples if example],
        })  # fmt: skip
        lines = ["\t".join(fields) for fields in words.fields(finding)]
        if lines:  # not write_list: names that no list can hold are just what may be found
            storage.write_bytes(folder / f"{finding.name}.txt", os.fsencode("\n".join(lines) + "\n"))
    whole = {
        "set": left.reader.root,
        "against": right.reader.root if right is not None else None,
        "images": len(left),
        "people": len(left.reader.names) if left.labels is not None else None,
        "fit": not wrong,
        "why": [finding.name for finding in wrong],
        **report,
        "findings": told,
    }
    storage.write_text(folder / "check.json", json.dumps(whole, indent=2) + "\n")
    rows = _rows(words, findings)
    if rows:
        write_picture(folder / "suspects.png", draw(rows))


def _examples(finding: Finding, most: int) -> int:
    about = finding.images if finding.people is None else finding.people
    return 0 if about is None else min(len(about), most)


def _rows(words: Words, findings: list[Finding]) -> list[Row]:
    """The sheet: pairs of images side by side; of people some images each; strange images beside their name's."""
    rows = []
    for finding in findings:
        if finding.shown is None:
            pairs = finding.images if finding.images is not None and finding.images.ndim == 2 else None
            if pairs is None or finding.severity == "note" or finding.name == "duplicate":
                continue
            groups = [[pair[:1], pair[1:]] for pair in pairs[:PICTURED]]
        else:
            groups = finding.shown[:PICTURED]
        sources = (words.left, words.second(finding))
        for number, parts in enumerate(groups):
            shown = [pictures(sources[min(side, 1)].reader, part) for side, part in enumerate(parts)]
            rows.append(Row(f"{finding.name}: {words(finding, number)}", shown))
    return rows
