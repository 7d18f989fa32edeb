"""What a training writes for people and for programs: the logs, metrics.jsonl, TensorBoard events, the bar."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from opensphere import storage
from opensphere.engine.convergence import Convergence
from opensphere.engine.run import StepResult
from opensphere.engine.settings import Project
from opensphere.error import Diverged, UserError

_WAITING = 0.2  # a share of the time that is worth a word


class _Lasting:
    """An output whose end is no error: what its reader, or a terminal that was closed, does not take is not shown.

    A training is asked to stop by the very event that closes its terminal or ends the `tee` behind it, and has yet to
    save.
    """

    def __init__(self, file: TextIO):
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        with self._unharmed():
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with self._unharmed():
            self._file.flush()

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            storage.write_nowhere(self._file)


class Record:
    """The record of one training; ranks other than the first keep none, but watch the loss all the same.

    Args:
        folder: the run folder; None writes nothing and shows nothing.
        project: names and intervals of the logs, and the length of the training.
        batch_size: images of one update, over all ranks.
        start: updates already done, where a run is resumed.
        title: of the bar.
        overflows: gradients may overflow without harm, as under fp16.
        convergence: looks at the numbers of each report.
        quiet: only the bar on the screen, and no lines: one of many runs.
    """

    def __init__(
        self,
        folder: Path | None,
        project: Project,
        batch_size: int,
        start: int = 0,
        title: str = "train",
        overflows: bool = False,
        convergence: Convergence | None = None,
        quiet: bool = False,
    ):
        self.folder = folder
        self.project = project
        self.batch_size = batch_size
        self.overflows = overflows
        self.convergence = convergence
        self.quiet = quiet
        self.console = Console(file=_Lasting(sys.stdout))  # type: ignore[arg-type]
        self.waiting: list[tuple[int, StepResult]] = []
        self.unreported: list[dict[str, float]] = []
        self.next = start
        self.since, self.seconds = time.perf_counter(), 0.0  # when the clock was started, and what it had before
        self.total_seconds = 0.0
        self.waited, self.told_of_waiting = 0.0, False
        self.files: dict[str, TextIO] = {}
        self.events: Any = None
        self.bar: Progress | None = None
        self.train_log = self.val_log = ""
        if folder is None:
            return
        before = _drop_after(folder / "metrics.jsonl", start)
        if convergence:
            convergence.recall(before)
        # the name alone: OpenSphere's resolved configs have the path of their own run before it
        self.train_log, self.val_log = Path(project.train_log.path).name, Path(project.val_log.path).name
        for name in (self.train_log, self.val_log, "metrics.jsonl"):
            self.files[name] = _open(folder / name)
        self.events = _tensorboard(folder, start)
        if self.console.is_terminal:
            self.bar = _bar(self.console)
            self.main_task = self.bar.add_task(title, total=project.max_iters, completed=start, rate="", loss="")
            self.bar.start()

    def step(self, result: StepResult) -> None:
        """Take note of one update; the numbers are read from the device only every `screen_intvl` updates."""
        index = self.waiting[-1][0] + 1 if self.waiting else self.next
        self.waiting.append((index, result))
        if self.bar:
            self.bar.advance(self.main_task)
        if index % self.project.train_log.screen_intvl == 0:
            self.flush()
            self.report()

    def flush(self) -> None:
        """Write what is waiting, a line an update.

        Raises:
            Diverged: a loss was not finite; says at which update and under which learning rate.
        """
        began = time.perf_counter()
        rows = [(index, _numbers(result)) for index, result in self.waiting]
        self.waiting = []
        self.waited -= time.perf_counter() - began  # what a GPU had left to do then, it did not wait for before
        for index, row in rows:
            self._write(self.train_log, f"[DEBUG] {_stamp()}, Iter: {index}, {_spell(row)}")
            self.unreported.append(row)
            if self.convergence:
                self.convergence.add(row)
            self.next = index + 1
        for index, row in rows:
            self._require_finite(index, row)

    def report(self) -> None:
        """Write the average of the updates since the last report, to the log, to metrics.jsonl and on the screen."""
        rows, self.unreported = self.unreported, []
        if not rows:
            return
        now = time.perf_counter()
        self.seconds += now - self.since
        self.total_seconds += self.seconds
        rate = len(rows) * self.batch_size / max(self.seconds, 1e-9)
        waiting = max(0.0, self.waited) / max(self.seconds, 1e-9)
        self.since, self.seconds, self.waited = now, 0.0, 0.0
        index = self.next - 1
        mean = {key: _mean([row[key] for row in rows]) for key in rows[0]}
        line = f"{_stamp()}, Iter: {index}, {_spell(mean)}"
        self._write(self.train_log, f"[INFO] {line}")
        speed = {"images_per_second": round(rate, 1), "waiting": round(waiting, 3)}
        self._line({"kind": "train", "iter": index, **mean, **speed})
        if self.bar:
            self.bar.update(self.main_task, rate=f"{rate:,.0f} images/s", loss=f"loss {mean['Loss']:.4f}")
            self.say(line)
        else:
            left = ((self.project.max_iters or 0) - self.next) * self.batch_size / max(rate, 1e-9)
            self.say(f"{line}, {rate:,.0f} images/s, {_clock(left)} left")
        for about, text in self.convergence.report() if self.convergence else ():
            self._write(self.train_log, f"[WARNING] {_stamp()}, Iter: {index}, {text}")
            self._line({"kind": "warning", "iter": index, "about": about, "text": text})
            self.say(f"warning: {text}")
        if waiting > _WAITING and not self.told_of_waiting:
            self.note(
                f"{waiting:.0%} of the time went into waiting for images: more threads (dataloader.num_workers), "
                "in_memory: true, or a faster disk would help"
            )
        self.told_of_waiting = waiting > _WAITING

    def _require_finite(self, index: int, row: dict[str, float]) -> None:
        # Under fp16 the scaler meets overflowing gradients as a matter of course, and skips their update.
        watched = ("Loss",) if self.overflows else ("Loss", "bkb_grad", "head_grad")
        bad = next((name for name in watched if not math.isfinite(row[name])), None)
        if bad:
            what = "loss" if bad == "Loss" else f"gradient norm {bad}"
            cure = "a smaller learning rate, a warm-up, or clip_grad_norm (such as 5)"
            raise Diverged(
                f"the {what} was {row[bad]} at iteration {index} with lr {row['lr']:g}: training stops; the last "
                f"checkpoint is intact. Try {self.convergence.cure('explosion') if self.convergence else cure}"
            )

    def validation(self, step: int, results: dict[str, dict[str, float]]) -> None:
        """Write the metrics of each validation set after `step` updates."""
        for name, metrics in results.items():
            numbers = ", ".join(f"{key}: {value:.4f}" for key, value in metrics.items())
            self._write(self.val_log, f"[INFO] {_stamp()}, Iter: {step}, {name}, {numbers}")
            self._line({"kind": "val", "iter": step, "set": name, **metrics})
            if (
                step % (self.project.val_intvl * self.project.val_log.screen_intvl) == 0
                or step == self.project.max_iters
            ):
                self.say(f"Iter: {step}, {name}: " + ", ".join(f"{key} {value:.2f}" for key, value in metrics.items()))

    def sphere(self, step: int, energy: float, nearest: float) -> None:
        """Write how classes spread after `step` updates, as `metric.energy.Spread` has it, for programs alone."""
        self._line({"kind": "sphere", "iter": step, "energy": energy, "nearest": nearest})

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Leave the time inside out of the images per second: it does not go into training."""
        self.seconds += time.perf_counter() - self.since
        try:
            yield
        finally:
            self.since = time.perf_counter()

    @contextmanager
    def wait(self) -> Iterator[None]:
        """While the run has no images to go on with."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Callable[[int], None] | None]:
        """A second bar while it lasts, as for a validation; gives the function that advances it, or None."""
        if self.bar is None:
            yield None
            return
        task = self.bar.add_task(title, total=total, rate="", loss="")
        try:
            yield lambda count: self.bar.advance(task, count) if self.bar else None
        finally:
            self.bar.remove_task(task)

    def say(self, text: str) -> None:
        """A line on the screen, above the bar."""
        if self.folder is not None and not self.quiet:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line in train.log and on the screen."""
        self._write(self.train_log, f"[INFO] {_stamp()}, {text}")
        self.say(text)

    def tell(self, news: list[str]) -> None:
        """Note what others have to tell, and take it from them."""
        while news:
            self.note(f"warning: {news.pop(0)}")

    def close(self) -> None:
        """Stop the bar and close the files."""
        if self.bar:
            self.bar.stop()
        for file in self.files.values():
            with suppress(OSError):  # of a disk that is full: it has been told
                file.close()
        self.files = {}
        if self.events:
            self.events.close()

    def _write(self, name: str, line: str) -> None:
        if self.folder is None:
            return
        try:
            self.files[name].write(line + "\n")
            self.files[name].flush()
        except OSError as error:
            raise UserError(f"{self.folder / name}: cannot be written: {error.strerror}") from error

    def _line(self, values: dict[str, Any]) -> None:
        values = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}
        values["time"] = _stamp()
        self._write("metrics.jsonl", json.dumps(values, ensure_ascii=False))
        if self.events:
            prefix = f"{values['kind']}/{values['set']}" if "set" in values else values["kind"]
            for key, value in values.items():
                if isinstance(value, int | float) and key != "iter":
                    self.events.add_scalar(f"{prefix}/{key}", value, values["iter"])


def _numbers(result: StepResult) -> dict[str, float]:
    magnitude = result.magnitude
    return {
        "Loss": result.loss.item(),
        "bkb_grad": result.norms["backbone"].item(),
        "head_grad": result.norms["head"].item(),
        "Mag_mean": magnitude.mean().item(),
        "Mag_std": magnitude.std(unbiased=False).item(),
        "lr": result.lr,
    }


def _mean(values: list[float]) -> float:
    """The mean of the finite ones: under fp16 a gradient may overflow now and then."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _spell(row: dict[str, float]) -> str:
    return ", ".join(f"{key}: {value:.4g}" if key == "lr" else f"{key}: {value:.4f}" for key, value in row.items())


def _stamp() -> str:
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[loss]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "a", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def _drop_after(path: Path, start: int) -> list[dict[str, Any]]:
    """On resuming, forget lines of updates that are about to be done again; returns the others."""
    if not path.exists():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:  # a line cut short when the process was killed
            continue
        if values["iter"] < start:
            kept.append(values)
    storage.write_text(path, "".join(json.dumps(values, ensure_ascii=False) + "\n" for values in kept))
    return kept


def _tensorboard(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # an extra
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start)
