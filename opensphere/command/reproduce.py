"""`opensphere reproduce`: train a config anew, test it, and say whether it reaches what was recorded for it."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from opensphere import config as cfg
from opensphere import storage
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
    parser.add_argument("--seed", metavar="N", type=int, help="of the training (the config's)")
    parser.add_argument("--test", metavar="FILE", help="the test config, where nothing is recorded yet")
    parser.add_argument("--record", action="store_true", help="keep what this run reaches beside the config")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as data.train.dataset.data_dir=DIR")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status: 0 if the main column of every set is inside, else 1.

    Raises:
        UserError: config, expectation, data or machine do not allow it.
    """
    if launched():
        raise UserError("reproduce starts its processes by itself: run it without torchrun")
    console = make_console()
    source = Path(arguments.config)
    path = expectation.path_of(source)
    recorded = expectation.read_expectation(path) if path.is_file() else None
    origin = _test_config(arguments.test, recorded, path)
    overrides = list(arguments.overrides)
    changed = _changed(overrides)
    if changed and arguments.record:
        raise UserError(f"{changed}: --record keeps what {source} reaches as it is: write the change into a config")
    resolved = cfg.check_test(cfg.load(origin, [text for text in overrides if text.startswith(_TEST)]), origin)
    settings = expectation.fingerprint(cfg.load(source), cfg.load(origin))
    machine = expectation.machine_kind(versions())
    _check_recorded(recorded, path, settings, machine if arguments.record else None)

    folder, seed = _train(source, overrides, arguments)
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
    notes = [f"{changed}: this is not the training that was recorded"] if changed else []
    notes += _same_seed(recorded, values, seed, machine)
    return show(console, recorded, values, f"{source}, seed {seed}", notes, folder / "reproduction.txt")


def _test_config(given: str | None, recorded: Expectation | None, path: Path) -> str:
    if recorded is None and given is None:
        raise UserError(f"{path}: is not there: name a test config, such as --test config/test/faces.yml")
    if recorded is not None and given is not None and Path(given) != Path(recorded.test):
        raise UserError(f"--test {given}: {path} was recorded with {recorded.test}; leave --test out")
    return given or recorded.test  # type: ignore[union-attr]


def _changed(overrides: Sequence[str]) -> str | None:
    """The first override that changes what is learnt or measured, not only where its data are."""
    keys = [text.partition("=")[0] for text in overrides]
    return next((key for key in keys if not key.endswith(train.RESUMABLE_ENDS)), None)


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


def _train(source: Path, overrides: list[str], arguments: argparse.Namespace) -> tuple[Path, int]:
    """Train; returns the run folder and the seed. Leaves with the status of an interruption if it was stopped."""
    own = [text for text in overrides if not text.startswith(_TEST)]
    own += [f"project.proj_dir={json.dumps(arguments.proj_dir)}"] * bool(arguments.proj_dir)
    own += [f"project.seed={arguments.seed}"] * (arguments.seed is not None)
    resolved = cfg.check_train(cfg.load(source, own), str(source))
    _, parallel = cfg.settings(resolved)
    with tempfile.TemporaryDirectory() as place:
        answer = Path(place) / "folder"
        launch(_worker, parallel, resolved, given_text(source, own), str(source), answer)
        if not answer.is_file():
            raise SystemExit(train.INTERRUPTED)
        return Path(answer.read_text(encoding="utf-8")), resolved["project"]["seed"]


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
    """Print what this run reached beside what was expected, and write it to `path`; returns the exit status."""
    judged = {
        (name, column): judge(recorded.values[name][column], value)
        for name, columns in values.items()
        for column, value in columns.items()
    }
    seeds = ", ".join(map(str, recorded.seeds))
    title = f"{name}: this run beside those recorded (seeds {seeds})"
    rows: Rows = [_row(*place, values[place[0]][place[1]], one) for place, one in judged.items()]
    notes = [
        f"expected: {CONFIDENCE:.0%} of further trainings on the same test people, by the spread of the seeds",
        *dict.fromkeys(f"–  {place[1]}: {one.why}" for place, one in judged.items() if one.why),
        *remarks,
    ]
    mains = [(name, main_column(columns) or "") for name, columns in values.items()]
    missed = [f"{column} on {name}" for name, column in mains if judged[name, column].verdict != "inside"]
    others = sum(one.verdict == "outside" for place, one in judged.items() if place not in mains)
    if others:
        notes.append(f"{others} of {len(judged) - len(mains)} further columns outside; one in twenty is, by chance")
    said = ", ".join(f"{column} on {name}" for name, column in mains)
    notes.append(f"not as recorded: {', '.join(missed)}" if missed else f"as recorded: {said}")
    print_table(console, title, rows)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    storage.write_text(path, "\n".join([table_text(title, rows), *notes]) + "\n")
    return MISSED if missed else 0


def _row(name: str, column: str, value: float, one: Judgement) -> dict[str, str]:
    def spelled(number: float) -> str:
        return "–" if number != number else f"{number:.2f}"

    interval = f"{spelled(one.low)} to {spelled(one.high)}" if one.low == one.low else "–"
    numbers = {"this run": spelled(value), "mean of seeds": spelled(one.mean), "expected": interval}
    return {"set": name, "column": column, **numbers, "verdict": one.verdict}


def _same_seed(recorded: Expectation, values: Values, seed: int, machine: str) -> list[str]:
    """What is to say of the recorded run of the same seed, which should be repeated where rounding is the same."""
    notes = [] if recorded.machine == machine else [f"recorded on {recorded.machine}; this is {machine}"]
    before = recorded.of_seed(seed)
    if before is None:
        return notes
    gap, where = expectation.largest_difference(before, values)
    if not gap:
        return [*notes, f"seed {seed} again: every value is the same as recorded"]
    return [*notes, f"seed {seed} again: at most {gap:.2g} from what is recorded ({where})"]
