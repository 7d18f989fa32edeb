"""`opensphere reproduce`: train a config anew, test it, and say whether it reaches what was recorded for it.

A seed that was recorded must repeat its numbers on the same kind of machine. Any other run is held against seeds that
are not its own.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from opensphere import config as cfg
from opensphere import protocol, storage
from opensphere.command import test, train
from opensphere.command.screen import Rows, make_console, print_table, table_text
from opensphere.compare import expectation
from opensphere.compare.expectation import Expectation, Judgement, Values, judge
from opensphere.engine.folder import given_text, versions
from opensphere.engine.parallel import World, launch, launched
from opensphere.error import UserError
from opensphere.metric.estimate import CONFIDENCE
from opensphere.report.columns import main_column

RESAMPLES = 1000  # of the people, for the intervals of the test's own table
MISSED = 1  # the exit status when what was recorded is not reached
_TEST = "data.test."  # overrides of the test config begin so


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `reproduce`."""
    parser.add_argument("config", metavar="CONFIG", help="the training config, such as config/papers/ArcFace/small.yml")
    parser.add_argument("--proj_dir", metavar="DIR", help="the folder that will hold the run's own folder (project)")
    parser.add_argument("--seed", metavar="N", type=int, help="of the training (the config's); a new one is the test")
    parser.add_argument("--test", metavar="FILE", help="the test config, where nothing is recorded yet")
    parser.add_argument("--record", action="store_true", help="keep what this run reaches beside the config")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as data.train.dataset.data_dir=DIR")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status: 0 if the numbers are as recorded, else 1.

    Raises:
        UserError: config, expectation, data or machine do not allow it.
    """
    if launched():
        raise UserError("reproduce starts its processes by itself: run it without torchrun")
    test.check_resampling(RESAMPLES, arguments.seed or 0)
    console = make_console()
    source = Path(arguments.config)
    if source.name.endswith(expectation.SUFFIX):
        raise UserError(f"{source}: is what was recorded of a config; give the config itself")
    own = cfg.load(source)
    path = expectation.path_of(source)
    recorded = expectation.read_expectation(path) if path.is_file() else None
    origin = _test_config(arguments.test, recorded, path)
    overrides = list(arguments.overrides)
    changed = _changed(overrides)
    if changed and arguments.record:
        raise UserError(f"{changed}: --record keeps what {source} reaches as it is: write the change into a config")
    resolved = cfg.check_test(cfg.load(origin, [text for text in overrides if text.startswith(_TEST)]), origin)
    settings = expectation.fingerprint(own, cfg.load(origin))
    machine = expectation.machine_kind(versions())
    _check_recorded(recorded, path, settings, machine if arguments.record else None)
    of_training = _of_training(overrides, arguments)
    training = cfg.check_train(cfg.load(source, of_training), str(source))
    _check_data(training, resolved)

    folder, seed = _train(training, given_text(source, of_training), str(source)), training["project"]["seed"]
    if folder is None:
        console.print("stopped: nothing is judged or recorded; the same command begins anew", markup=False)
        return train.INTERRUPTED
    _, parallel = cfg.settings(resolved)
    launch(test.worker, parallel, resolved, [folder], RESAMPLES)
    values = read_values(folder, [str(block["dataset"]["name"]) for block in resolved["data"]["test"]])
    if arguments.record:
        empty = Expectation(origin, settings, machine, [], [], {})
        recorded = (recorded or empty).added(seed, versions()["git"], values)
        expectation.write_expectation(path, recorded)
        console.print(f"recorded: seed {seed} in {path}, which has {len(recorded.seeds)}", markup=False, soft_wrap=True)
        return 0
    if recorded is None:
        console.print(
            f"nothing is recorded for {source}: run this with --record, for three seeds (--seed 0, 1, 2) or more; "
            f"{path} will then say what to expect",
            markup=False, soft_wrap=True,
        )  # fmt: skip
        return 0
    if expectation.columns_of(values) != expectation.columns_of(recorded.values):
        raise UserError(f"{path}: has other columns than the test; delete it and record it anew")
    name, place = f"{source}, seed {seed}", folder / "reproduction.txt"
    before = recorded.of_seed(seed)
    if before is not None and not changed and recorded.machine == machine:
        return show_repetition(console, recorded, before, values, seed, name, place)
    notes = [f"{changed}: this is not the training that was recorded"] if changed else []
    notes += [f"recorded on {recorded.machine}; this is {machine}"] if recorded.machine != machine else []
    notes += [f"seed {seed} was recorded too: it is left out of what is expected"] if before is not None else []
    return show(console, recorded.without(seed), values, name, notes, place)


def _test_config(given: str | None, recorded: Expectation | None, path: Path) -> str:
    if recorded is None and given is None:
        raise UserError(f"{path}: is not there: name a test config, such as --test config/test/faces.yml")
    if recorded is not None and given is not None and Path(given) != Path(recorded.test):
        raise UserError(f"--test {given}: {path} was recorded with {recorded.test}; leave --test out")
    return given or recorded.test  # type: ignore[union-attr]


def _changed(overrides: Sequence[str]) -> str | None:
    """The first override that changes what is learnt or measured, not only where its data are."""
    keys = [text.partition("=")[0] for text in overrides]
    free = tuple(f"project.{key}" for key in expectation.FREE)
    return next((key for key in keys if not key.endswith(train.RESUMABLE_ENDS) and not key.startswith(free)), None)


def _check_recorded(recorded: Expectation | None, path: Path, settings: str, machine: str | None) -> None:
    """Raises UserError if a run could not be held against what is recorded, or (with `machine`) not join it."""
    if recorded is None:
        return
    if recorded.settings != settings:
        raise UserError(f"{path}: the config or {recorded.test} has changed since: delete it and record it anew")
    if machine is not None and recorded.machine != machine:
        raise UserError(
            f"{path}: was recorded on another kind of machine ({recorded.machine}; this is {machine}): "
            "delete it and record it anew"
        )


def _of_training(overrides: list[str], arguments: argparse.Namespace) -> list[str]:
    own = [text for text in overrides if not text.startswith(_TEST)]
    own += [f"project.proj_dir={json.dumps(arguments.proj_dir)}"] * bool(arguments.proj_dir)
    return own + [f"project.seed={arguments.seed}"] * (arguments.seed is not None)


def _check_data(training: cfg.Config, resolved: cfg.Config) -> None:
    """Raises UserError if a list or a test set is not there or cannot be used: now, not after the training."""
    blocks = {"data.train.dataset": training["data"]["train"]["dataset"]}
    for part, found in (("val", training["data"]["val"]), ("test", resolved["data"]["test"])):
        if isinstance(found, list):
            blocks |= {f"data.{part}.{number}.dataset": block["dataset"] for number, block in enumerate(found)}
    for key, block in blocks.items():
        path = block.get("ann_path")
        if isinstance(path, str) and not Path(path).exists():
            raise UserError(
                f"{path}: is not there: fetch the data as the README beside the config says, or name your own with "
                f"{key}.data_dir=DIR {key}.ann_path=FILE"
            )
    view = cfg.view_of(blocks["data.train.dataset"])
    for block in resolved["data"]["test"]:
        protocol.check(cfg.build_dataset(cfg.with_view(block["dataset"], view)))


def _train(resolved: cfg.Config, given: str, origin: str) -> Path | None:
    """Train; returns the run folder, None if the training was stopped."""
    _, parallel = cfg.settings(resolved)
    with tempfile.TemporaryDirectory() as place:
        answer = Path(place) / "folder"
        launch(_worker, parallel, resolved, given, origin, answer)
        return Path(answer.read_text(encoding="utf-8")) if answer.is_file() else None


def _worker(world: World, resolved: cfg.Config, given: str, origin: str, answer: Path) -> None:
    """One process of the training; the first writes the run folder to `answer`, which reaches us from any process."""
    outcome = train.worker(world, resolved, given, origin, None)
    if world.rank == 0 and outcome.finished:
        storage.write_text(answer, str(outcome.folder))


def read_values(folder: Path, names: Sequence[str]) -> Values:
    """The last row, the average over checkpoints, of each set's table in a run folder; without standard errors."""
    found: Values = {}
    for name in names:
        row = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["rows"][-1]
        numbers = {key: float("nan") if value is None else value for key, value in row.items() if key != "Iter"}
        found[name] = {key: value for key, value in numbers.items() if not key.endswith(" SE")}
    return found


def show(console: Console, recorded: Expectation, values: Values, name: str, remarks: Sequence[str], path: Path) -> int:
    """Print what this run reached beside what other seeds let expect; write it to `path`; returns the exit status."""
    judged = {
        (name, column): judge(recorded.values[name][column], value)
        for name, columns in values.items()
        for column, value in columns.items()
    }
    seeds = ", ".join(map(str, recorded.seeds))
    title = f"{name}: this run beside those recorded (seeds {seeds or 'none'})"
    rows: Rows = [_row(*place, values[place[0]][place[1]], one) for place, one in judged.items()]
    notes = [
        f"expected: {CONFIDENCE:.0%} of further trainings on the same test people, by the spread of the seeds",
        *dict.fromkeys(f"–  {place[1]}: {one.why}" for place, one in judged.items() if one.why),
        *remarks,
    ]
    mains = [(name, main_column(columns) or "") for name, columns in values.items()]
    found = {
        verdict: [f"{column} on {name}" for name, column in mains if judged[name, column].verdict == verdict]
        for verdict in ("outside", "cannot be said", "inside")
    }
    others = sum(one.verdict == "outside" for place, one in judged.items() if place not in mains)
    if others:
        notes.append(f"{others} of {len(judged) - len(mains)} further columns outside; one in twenty is, by chance")
    said = {"outside": "not as recorded", "cannot be said": "cannot be said", "inside": "as recorded"}
    notes += [f"{said[verdict]}: {', '.join(columns)}" for verdict, columns in found.items() if columns]
    _say(console, title, rows, notes, path)
    return 0 if len(found["inside"]) == len(mains) else MISSED


def show_repetition(
    console: Console, recorded: Expectation, before: Values, values: Values, seed: int, name: str, path: Path
) -> int:
    """Print what this run reached beside the recorded run of its seed; write it to `path`; returns the exit status."""
    rows: Rows = [
        {
            "set": place,
            "column": column,
            "this run": _spelled(value, expectation.DIGITS),
            "recorded": _spelled(before[place][column], expectation.DIGITS),
        }
        for place, columns in values.items()
        for column, value in columns.items()
    ]
    gap, where = expectation.largest_difference(before, values)
    new = next(number for number in range(len(recorded.seeds) + 1) if number not in recorded.seeds)
    notes = [f"a recorded seed must repeat its numbers; whether others reach them, --seed {new} says, which is new"]
    if gap:
        apart = "one of them has no value" if gap != gap else f"{gap:.2g} apart"
        revision = recorded.commits[recorded.seeds.index(seed)] or "a revision that is not known"
        notes.append(
            f"not repeated: {where}: {apart}; code ({revision} then), a library, the data or a processor of the same "
            "name is another now"
        )
    else:
        notes.append("repeated exactly: every value is the same as recorded")
    _say(console, f"{name}: this run beside the recorded one of this seed", rows, notes, path)
    return MISSED if gap else 0


def _say(console: Console, title: str, rows: Rows, notes: Sequence[str], path: Path) -> None:
    print_table(console, title, rows)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    storage.write_text(path, "\n".join([table_text(title, rows), *notes]) + "\n")


def _row(name: str, column: str, value: float, one: Judgement) -> dict[str, str]:
    interval = f"{_spelled(one.low)} to {_spelled(one.high)}" if one.low == one.low else "–"
    numbers = {"this run": _spelled(value), "mean of seeds": _spelled(one.mean), "expected": interval}
    return {"set": name, "column": column, **numbers, "verdict": one.verdict}


def _spelled(number: float, digits: int = 2) -> str:
    return "–" if number != number else f"{number:.{digits}f}"
