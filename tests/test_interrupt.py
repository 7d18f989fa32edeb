"""Requests to stop: what is one, what is a second, and what was before comes back."""

import os
import signal

import pytest

from opensphere import interrupt
from opensphere.interrupt import Requests, leave

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def send(monkeypatch: pytest.MonkeyPatch, number: int, seconds: float) -> None:
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: 100.0 + seconds)
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("first", SIGNALS)
def test_a_request_that_comes_again_soon_is_the_same(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    heard: list[bool] = []
    with Requests(heard.append) as requests:
        assert not requests.asked
        by_others = ((0.0, signal.SIGTERM), (0.1, signal.SIGINT), (1.9, signal.SIGHUP))  # its parent was told too
        for after, number in ((0.0, first), *by_others):
            send(monkeypatch, number, after)
            assert requests.asked and heard == [False]
        send(monkeypatch, signal.SIGTERM, 2.1)
        assert heard == [False, True]


@pytest.mark.parametrize("first", SIGNALS)
def test_a_second_ctrl_c_is_one(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    heard: list[bool] = []
    with Requests(heard.append):
        send(monkeypatch, first, 0.0)
        send(monkeypatch, signal.SIGINT, 0.2)
    assert heard == [False, True]


def test_what_is_heard_inside_is_known_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bool] = []
    with Requests(leave) as outer:
        with Requests(heard.append) as inner:
            send(monkeypatch, signal.SIGTERM, 0.0)
        assert heard == [False] and inner.asked and outer.asked
        send(monkeypatch, signal.SIGTERM, 1.0)  # the same request
        with Requests(heard.append) as later:
            assert not later.asked
        with pytest.raises(KeyboardInterrupt):
            send(monkeypatch, signal.SIGTERM, 3.0)
    with Requests(heard.append) as other:
        assert not other.asked
    with pytest.raises(KeyboardInterrupt), Requests(leave):
        send(monkeypatch, signal.SIGTERM, 0.0)


def test_handlers_come_back_and_what_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        kept = [signal.getsignal(number) for number in SIGNALS]
        with pytest.raises(KeyboardInterrupt), Requests(lambda at_once: None) as requests:
            send(monkeypatch, signal.SIGHUP, 0.0)
            assert not requests.asked
            raise KeyboardInterrupt
        assert [signal.getsignal(number) for number in SIGNALS] == kept
    finally:
        signal.signal(signal.SIGHUP, before)
