"""`opensphere data check`: what makes a set unfit to train on."""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from opensphere import storage
from opensphere.command import data_faces, data_report
from opensphere.command.data_info import reporter
from opensphere.command.screen import bar, make_console, opening
from opensphere.error import UserError
from opensphere.inspection.finding import Finding, ordered, unfit
from opensphere.inspection.overlap import Side, Twins, of_images, of_names, of_people, of_twins
from opensphere.inspection.scan import scan
from opensphere.inspection.source import Source, open_source


def check(arguments: argparse.Namespace) -> int:
    """Carry out the verb; returns the exit status: 0 fit, 1 not fit.

    Raises:
        UserError: the data or the model cannot be read, or the report cannot be written.
    """
    console = make_console()
    if arguments.list2 and not arguments.against:
        raise UserError("check: --list2 belongs to --against, which is missing")
    if arguments.model:
        data_faces.read_run(Path(arguments.model))  # before the work, not after it
    left = _scanned(arguments.path, arguments.list, console)
    right = _scanned(arguments.against, arguments.list2, console) if arguments.against else None
    with bar(console) as progress:
        twins = Twins(left, right, reporter(progress, "compare pictures"))
    found = [*of_images(left[1], arguments.tiny), *of_people(left[0]), *of_twins(left[0], twins)]
    if right is not None:
        found += of_names(left[0], right[0])
    report: dict = {}
    if arguments.model:
        faces = data_faces.Faces(arguments.model, arguments.batch, console)
        found += faces.inspect(left, right)
        report["model"] = faces.report
    findings = ordered(found)
    wrong = unfit(findings, arguments.allow)
    data_report.show(console, left[0], right[0] if right else None, findings, arguments.allow)
    if arguments.model and faces.summary:
        console.print(faces.summary, markup=False, soft_wrap=True)
    if arguments.out:
        data_report.write(Path(arguments.out), arguments, left[0], right[0] if right else None, findings, report)
        also = "lists beside it"
        if arguments.model and faces.centers is not None:
            with storage.atomic_path(Path(arguments.out) / "centers.npy") as part, open(part, "wb") as file:
                np.save(file, faces.centers)
            also += ", centers.npy: the mean face of each person"
        console.print(f"written: {Path(arguments.out) / 'check.json'}, {also}", markup=False, soft_wrap=True)
    console.print(_verdict(left[0], findings, wrong), markup=False, soft_wrap=True)
    return 1 if wrong else 0


def _scanned(path: str, ann_path: str | None, console: Console) -> Side:
    with opening(console):
        source = open_source(path, ann_path)
    with bar(console) as progress:
        facts = scan(source.reader, progress=reporter(progress, f"decode {source.name}"))
    return source, facts


def _verdict(source: Source, findings: list[Finding], wrong: list[Finding]) -> str:
    fit = "fit to train on" if source.pairs is None else "fit to test on"
    if not wrong:
        warnings = ", ".join(finding.name for finding in findings if finding.severity == "warning")
        return fit + (f", with warnings: {warnings}" if warnings else "")
    names = ", ".join(f"{finding.name} ({finding.count:,})" for finding in wrong)
    return f"not {fit}: {names}; --allow NAME passes over one"
