"""Requests to stop a training."""

import os
import signal

import pytest

from opensphere.engine import loop
from opensphere.engine.loop import Interrupt


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_request_that_comes_twice_at_once_is_one(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    with Interrupt() as interrupt:
        for after, number in ((0.0, first), (0.0, signal.SIGTERM), (1.9, signal.SIGTERM)):  # its parent was told too
            monkeypatch.setattr(loop.time, "monotonic", lambda now=100.0 + after: now)
            os.kill(os.getpid(), number)
            assert interrupt.asked
        monkeypatch.setattr(loop.time, "monotonic", lambda: 102.1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_stops_at_once(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    monkeypatch.setattr(loop.time, "monotonic", lambda: 100.0)
    with Interrupt() as interrupt:
        os.kill(os.getpid(), first)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
