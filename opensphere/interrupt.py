"""Requests to stop: from the keyboard, from a scheduler, or from a terminal that closes."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not everywhere


class Requests:
    """While it is open, requests to stop are heard, and do not end the process.

    The first asks to stop where that is convenient, a second one to stop at once. What comes soon after the first,
    sooner than anybody presses Ctrl-C again, is the first again: a scheduler tells all processes of a job, and a parent
    that is told passes it on. What this process was started to ignore (under nohup, say) it goes on to ignore.

    One may be opened inside another: the inner one hears, and what it heard the outer one knows, which then says that a
    training that came to its end all the same is to be the last.

    Args:
        heard: called at a request with whether to stop at once.

    Attributes:
        asked: whether a request came.
    """

    SOON, SOON_BY_HAND = 2.0, 0.1  # seconds
    _open: ClassVar[list["Requests"]] = []

    def __init__(self, heard: Callable[[bool], None]) -> None:
        self.asked = False
        self._heard = heard
        self._since = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Requests":
        if threading.current_thread() is threading.main_thread():
            self._open.append(self)
            for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self in self._open:
            self._open.remove(self)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now, again = time.monotonic(), self.asked
        if again and now - self._since <= (self.SOON_BY_HAND if number == signal.SIGINT else self.SOON):
            return
        for one in self._open:
            if not one.asked:
                one.asked, one._since = True, now
        self._heard(again)


def leave(at_once: bool) -> None:
    """Take any request for one to stop at once. Raises KeyboardInterrupt."""
    raise KeyboardInterrupt
