"""Pickles that would run something, fill the memory, or never end, in a machine that believes them."""

import codecs
import copyreg
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from opensphere.dataset.reader import plain_pickle
from opensphere.dataset.reader.pickled import PickledPairs
from opensphere.error import UserError


def save(tmp_path, data):
    path = tmp_path / "pairs.bin"
    path.unlink(missing_ok=True)  # a new file is written faster than an old one is emptied
    path.write_bytes(data)
    return path


class Call:
    """What pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Only so that a call may give what is called next."""


class State:
    """What pickles as an array with a state of the attacker's."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        return np.zeros(0, np.uint8).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


def attacks(mark):
    """Name of what must not be used, and the pickle that uses it to leave `mark` or to break NumPy."""
    command = f"touch {mark}"
    u1, reconstruct = np.dtype("u1"), np.zeros(0).__reduce__()[0]
    yield "system", Call(os.system, command)
    yield "eval", Call(eval, f"open({str(mark)!r}, 'w').close()")
    yield "getattr", Call(Call(getattr, Call(__import__, "os"), "system"), command)
    yield "__import__", Call(__import__, "os")
    yield "_reconstructor", Call(copyreg._reconstructor, Call, object, None)
    yield "matrix", Call(reconstruct, np.matrix, (0,), b"b")
    yield "memmap", Call(np.memmap, str(mark), "u1", "w+", 0, (8,))
    yield "fromfile", Call(np.fromfile, str(mark))
    yield "encode of something else", Call(codecs.encode, "x", "rot13")
    yield "encode of something else", Call(codecs.encode, b"x", "latin1")
    yield "reconstruct of something else", Call(reconstruct, np.dtype, (0,), b"b")
    yield "type 'O8'", State(1, (2,), np.dtype(object), False, [Call(os.system, command)] * 2)
    yield "something else than numbers", State(1, (2,), u1, False, [1, 2])
    yield "something else than numbers", State(1, (2,), u1, False, None)
    yield "(does not fit its 3 bytes|image 0 is an array of type)", State(1, (1 << 40, 1 << 40), u1, False, b"abc")
    yield "(does not fit its 3 bytes|image 0 is an array of type)", State(1, (1 << 62,) * 8, u1, False, b"abc")
    yield "a shape that is none", State(1, (-1,), u1, False, b"abc")
    yield "a shape that is none", State(1, (1,) * 9, u1, False, b"a")
    yield "something else than numbers", State(1, 3, u1, False, b"abc")
    yield "(something else than numbers|DICT)", State(1, (3,), np.dtype("u1", metadata={"a": 1}), False, b"abc")
    yield "type", State(1, (1,), np.dtype([("a", "O")]), False, [1])


def test_nothing_runs(tmp_path):
    mark = tmp_path / "mark"
    for protocol in (0, 2, 4):
        for used, value in attacks(mark):
            data = pickle.dumps(([value, b"image"], [True]), protocol)
            with pytest.raises(UserError, match=rf"pairs\.bin: .*{used}"):
                PickledPairs(save(tmp_path, data))
            assert not mark.exists()
    pickle.loads(pickle.dumps(dict(attacks(mark))["eval"]))
    assert mark.exists()  # the attack is one


def test_calls_by_other_opcodes(tmp_path):
    for data, message in (
        (b"(S'true'\nios\nsystem\n.", "asks for os.system"),
        (b"\x80\x04cos\nsystem\n)\x81.", "asks for os.system"),
        (b"\x80\x04cnumpy\nndarray\n)\x81.", "asks for NEWOBJ"),
        (b"\x80\x04cnumpy\nndarray\n(K\1oR.", "asks for OBJ"),
        (b"\x80\x04cnumpy\nndarray\nK\1\x85R.", "ndarray of something else"),
        (b"\x80\x04\x82\x01.", "asks for EXT1"),
        (b"(Pwhat\n.", "asks for PERSID"),
        (b"\x80\x05\x97.", "asks for NEXT_BUFFER"),
        (b"\x80\x04]}b.", "asks for EMPTY_DICT"),
        (b"\x80\x04])b.", "a change of something that is no array"),
        (b"\x80\x04)]a.", "values added to something that is no list"),
        (b"\x80\x04]K\1R.", "a call of what is no function"),
        (b"\x80\x04cnumpy\ndtype\nX\2\0\0\0O8\x85R.", "an array of type 'O8'"),
        (b"\x80\x04c" + b"a" * 300 + b"\nb\n.", "a name of 300 bytes"),
        (b"\x80\x04cos\x1b[31m\r\nsystem\n.", r"asks for 'os\\x1b\[31m\\r.system'"),
        (b"\x80\x04K\1K\1\x93.", "a text is missing"),
    ):
        with pytest.raises(UserError, match=rf"pairs\.bin: .*{message}") as caught:
            PickledPairs(save(tmp_path, data))
        assert str(caught.value).isprintable()


def bombs():
    """Small files that would take much memory, or go deep, in a machine that believes them."""
    huge = struct.pack("<Q", 1 << 50)
    for opcode in (b"\x8e", b"\x96", b"\x8d"):
        yield b"\x80\x05" + opcode + huge + b"abc."
    for opcode in (b"B", b"X", b"T"):
        yield b"\x80\x05" + opcode + b"\xff\xff\xff\xff" + b"abc."
    yield b"\x80\x04\x8b\xff\xff\xff\x7fabc."  # LONG4
    yield b"\x80\x04)r\xff\xff\xff\xff."  # a place in the memo
    yield b"\x80\x04" + b"]" * 3000 + b"a" * 2999 + b"."  # nested lists
    yield b"\x80\x04)" + b"\x85" * 3000 + b"."  # nested tuples
    yield b"\x80\x04)" + b"\x94h\x00\x86" * 500 + b"."
    yield b"\x80\x04]\x94" + b"(h\0h\0h\0h\0eh\0a" * 500 + b"."  # a list in itself
    doubling = b"".join(b"q" + bytes([level]) + b"h" + bytes([level]) + b"\x86" for level in range(200))
    yield b"\x80\x04](C\1a" + doubling + b"e](\x88e\x86."  # 2 to the power of 200
    array = b"cnumpy\ndtype\nX\2\0\0\0u1\x85Rq\3"
    yield b"\x80\x04](" + array + b"cnumpy.core.numeric\n_frombuffer\n(C\1ah\3J\xff\xff\xff\x7f\x85NtRe](e\x86."


def refused(path):
    """The most memory held, in bytes, while a file is refused."""
    tracemalloc.start()
    try:
        PickledPairs(path)
    except UserError as error:
        assert str(error).startswith(f"{path}: ")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    raise AssertionError("not refused")


def test_bombs_stay_small(tmp_path):
    for number, data in enumerate(bombs()):
        assert refused(save(tmp_path, data)) < 100_000 + 80 * len(data), number


@pytest.mark.slow
@pytest.mark.parametrize("deep", [b"]" * 500_000 + b"a" * 499_999 + b".", b")" + b"\x85" * 500_000 + b"."])
def test_a_depth_at_which_the_interpreter_would_break(tmp_path, deep):
    with pytest.raises(UserError, match="of 1, not"):
        PickledPairs(save(tmp_path, b"\x80\x04" + deep))


def test_a_text_that_is_repeated_is_not_copied(tmp_path):
    text = b"X" + struct.pack("<I", 100_000) + b"a" * 100_000
    call = b"h\0h\1h\2\x86R"
    data = b"\x80\x04](c_codecs\nencode\nq\0" + text + b"q\1X\6\0\0\0latin1q\2\x86R" + call * 1999
    path = save(tmp_path, data + b"e](" + b"\x88" * 1000 + b"e\x86.")
    tracemalloc.start()
    reader = PickledPairs(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000 and len(reader) == 2000 and reader.data(1999) == b"a" * 100_000


def test_the_number_of_entries_is_limited_by_the_size(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_pickle, "_STEPS", 100)
    with pytest.raises(UserError, match="far more entries than its size allows"):
        PickledPairs(save(tmp_path, b"\x80\x04" + b"]" * 200))
    assert len(PickledPairs(save(tmp_path, pickle.dumps(([b"1", b"2"], [True]), 4)))) == 2
