"""`opensphere data info`: people, images, sizes, and what a training would hold in memory."""

import argparse

import numpy as np
from rich.console import Console
from rich.progress import Progress

from opensphere.classifier.choice import choose, cost_of
from opensphere.command.screen import bar, make_console, opening
from opensphere.error import UserError
from opensphere.inspection.duplicates import groups_of
from opensphere.inspection.header import KINDS
from opensphere.inspection.people import histogram
from opensphere.inspection.scan import DAMAGED, EMPTY, MISSING, Facts, scan
from opensphere.inspection.scan import Progress as Report
from opensphere.inspection.source import Source, open_source

ALL = 100_000  # up to so many images every one is looked at
FEATURES, BATCH, MEMORY = 512, 512, 300.0  # of the classifier whose memory is told; MEMORY is the config's default
_WIDTH = 40  # characters of the longest bar


def info(arguments: argparse.Namespace) -> int:
    """Carry out the verb; returns the exit status.

    Raises:
        UserError: the data cannot be read.
    """
    console = make_console()
    with opening(console):
        source = open_source(arguments.path, arguments.list)
    chosen = _sample(len(source), arguments.sample)
    with bar(console) as progress:
        facts = scan(source.reader, chosen, pixels=False, progress=reporter(progress, "read headers"))
    for name, text in rows(source, facts):
        console.print(f"{name:12} {text}", markup=False, soft_wrap=True)
    if source.labels is not None:
        print_histogram(console, np.bincount(source.labels, minlength=len(source.reader.names)))
    return 0


def reporter(progress: Progress, what: str) -> Report:
    """A function to call with the number done and the number in all, which shows them as one more bar."""
    task = progress.add_task(what, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total)


def rows(source: Source, facts: Facts) -> list[tuple[str, str]]:
    """What there is to say, as (name, text)."""
    count, seen = len(source), len(facts)
    some = f" in a sample of {seen:,}" if seen < count else ""
    lines = [("set", source.reader.root), ("images", f"{count:,}")]
    if source.pairs is not None and source.is_same is not None:
        same = int(source.is_same.sum())
        lines.append(("pairs", f"{len(source.pairs):,}: {same:,} of one person, {len(source.pairs) - same:,} of two"))
    if source.labels is not None:
        counts = np.bincount(source.labels, minlength=len(source.reader.names))
        spread = f"{counts.min():,} to {counts.max():,}, median {np.median(counts):,.0f}, mean {counts.mean():,.1f}"
        lines += [("people", f"{len(counts):,}"), ("images each", spread)]
    else:
        lines.append(("people", "nothing says whom the images show"))
    well = facts.state <= DAMAGED
    lines.append(("size", _sizes(facts, well) + some))
    kinds = np.bincount(facts.kind[facts.state < EMPTY], minlength=len(KINDS))
    formats = ", ".join(f"{KINDS[kind]} {number:,}" for kind, number in enumerate(kinds) if number)
    lines.append(("format", (formats or "none") + some))
    lines.append(("grey", f"{int(np.count_nonzero(facts.grey & well)):,} by their headers{some}"))
    ill, missing = int(np.count_nonzero(~well)), int(np.count_nonzero(facts.state == MISSING))
    if ill:
        lines.append(("unreadable", f"{ill:,}{some}, of which {missing:,} missing"))
    there = facts.state < EMPTY
    twice = int(np.count_nonzero(groups_of(facts.digest[there]) != np.arange(int(there.sum()))))
    lines.append(("copies", f"{twice:,} files equal another one" + (some and f"{some}, so more in all")))
    total = int(facts.size.sum())
    about = f"about {amount(total / max(seen, 1) * count)}" if some else amount(total)
    lines.append(("bytes", f"{about}, {total / max(seen, 1):,.0f} an image"))
    if source.labels is not None:
        lines.append(("classes", class_memory(len(source.reader.names))))
    return lines


def class_memory(people: int) -> str:
    """What a class centre for each person takes while training, and the classifier that `auto` would take."""
    cost = cost_of("plain", people, FEATURES, BATCH)
    held = amount(cost.weights + cost.gradient + cost.momentum)
    _, why = choose(people, FEATURES, BATCH, 1, MEMORY)
    return f"{held} for centres of {FEATURES} numbers, their gradient and momentum; batches of {BATCH}: {why}"


def print_histogram(console: Console, counts: np.ndarray) -> None:
    """How many people have how many images, a bar for each power of two."""
    steps = histogram(counts)
    most = max((people for _, _, people in steps), default=0)
    console.print("\nimages of a person", markup=False)
    for least, up_to, people in steps:
        span = f"{least:,}" if least == up_to else f"{least:,} to {up_to:,}"
        length = max(1, round(_WIDTH * people / most)) if people else 0
        console.print(f"{span:>18}  {'█' * length} {people:,}", markup=False)


def amount(count: float) -> str:
    """Bytes in words: 17 bytes, 3.5 MB, 42.0 GB."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f} bytes"


def _sample(count: int, wanted: int | None) -> np.ndarray | None:
    """Which images to look at, ascending; None: all."""
    if wanted is not None and wanted < 0:
        raise UserError(f"--sample {wanted}: give a number of images, or 0 for all")
    wanted = ALL if wanted is None else wanted or count
    if wanted >= count:
        return None
    return np.sort(np.random.default_rng(0).choice(count, wanted, replace=False, shuffle=False))


def _sizes(facts: Facts, well: np.ndarray) -> str:
    """The most frequent sizes, as height x width."""
    sizes, numbers = np.unique(np.stack([facts.height, facts.width], axis=1)[well], axis=0, return_counts=True)
    order = np.argsort(-numbers, kind="stable")
    told = [f"{sizes[at, 0]} x {sizes[at, 1]}" + (f" ({numbers[at]:,})" if len(sizes) > 1 else "") for at in order[:4]]
    if len(sizes) > 4:
        low, high = sizes.min(axis=0), sizes.max(axis=0)
        told.append(f"{len(sizes) - 4:,} more, {low[0]} x {low[1]} to {high[0]} x {high[1]}")
    return ", ".join(told) or "unknown"
