"""Files of verification pairs: what InsightFace wrote, what is no such file, and what is left of a damaged one."""

import os
import pickle
import pickletools
import random
import struct
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opensphere.dataset.reader.pickled import PickledPairs, write_bin
from opensphere.error import UserError
from tests.shared import shared

IMAGES = [b"\xff\xd8" + bytes(range(10 * index, 256)) + b"\n'\\\xff\xd9" for index in range(6)]
SAME = [True, False, True]


def save(tmp_path, data):
    path = tmp_path / "pairs.bin"
    path.unlink(missing_ok=True)  # a new file is written faster than an old one is emptied
    path.write_bytes(data)
    return path


def holds(path, images=IMAGES, same=SAME):
    reader = PickledPairs(path)
    assert len(reader) == len(images) and [reader.data(index) for index in range(len(reader))] == images
    assert reader.is_same.tolist() == same and reader.is_same.dtype == bool
    assert reader.pairs.tolist() == [[2 * pair, 2 * pair + 1] for pair in range(len(same))]


def arrays(shape=(-1,)):
    return [np.frombuffer(image, np.uint8).copy().reshape(shape) for image in IMAGES]


def test_a_genuine_file():
    path = shared("goldens/insightface_small_lfw.bin")
    reader = PickledPairs(path)
    with open(path, "rb") as file:
        images, same = pickle.load(file, encoding="bytes")
    assert [reader.data(index) for index in range(20)] == [image.tobytes() for image in images]
    assert reader.is_same.tolist() == same and reader.pairs.shape == (10, 2)
    assert reader.path(7) == "000007.jpg" and reader.where(7) == f"{path}: image 7"
    assert reader.root == str(path) and reader.labels is None and len(reader.names) == 0


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_and_kind_of_list(tmp_path, protocol):
    for images, same in (
        (IMAGES, SAME),
        (tuple(IMAGES), [1, 0, 1]),
        (arrays(), list(np.array(SAME))),
        (arrays((-1, 1)), np.array(SAME)),
        (arrays(), np.array([1, 0, 1], ">i4")),
    ):
        holds(save(tmp_path, pickle.dumps([images, same], protocol)))


def test_names_of_numpy_before_version_2(tmp_path):
    for protocol in (2, 3):
        data = pickle.dumps((arrays(), list(np.array(SAME))), protocol)
        holds(save(tmp_path, data.replace(b"numpy._core.", b"numpy.core.")))


def python2(protocol):
    """What `cPickle.dump((images, same), file, protocol)` of Python 2 writes."""
    if protocol == 0:
        image = [b"S" + repr(image)[1:].encode() + b"\n" for image in IMAGES]
        return b"((l" + b"a".join([b"", *image])[1:] + b"a(lI01\naI00\naI1\nat."
    assert len(IMAGES[0]) > 255 > len(IMAGES[-1])
    image = [b"U" + bytes([len(i)]) + i if len(i) < 256 else b"T" + struct.pack("<i", len(i)) + i for i in IMAGES]
    if protocol == 1:
        return b"(](" + b"".join(image) + b"e](I01\nI00\nK\1et."
    return b"\x80\2](" + b"".join(image) + b"e](\x88\x89K\1e\x86."


@pytest.mark.parametrize("protocol", range(3))
def test_files_of_python_2(tmp_path, protocol):
    data = python2(protocol)
    assert pickle.loads(data, encoding="bytes") == (IMAGES, [True, False, 1])
    holds(save(tmp_path, data))


def test_what_is_written_is_what_insightface_reads(tmp_path):
    path = tmp_path / "new" / "pairs.bin"
    images = [bytes([index % 251]) * (1 + index % 300) for index in range(2004)]
    same = [index % 3 == 0 for index in range(1002)]
    assert write_bin(path, (memoryview(image) for image in images), np.array(same)) == 2004
    with open(path, "rb") as file:
        assert pickle.load(file, encoding="bytes") == (images, same)
    holds(path, images, same)


def test_writing_whole_or_not_at_all(tmp_path):
    path = tmp_path / "pairs.bin"
    for images, same, message in (
        (IMAGES[:5], SAME, "5 images for 3 pairs; give two"),
        ([], [], "0 images for 0 pairs"),
        ([b"a", b""], [True], "image 1 is empty"),
    ):
        with pytest.raises(UserError, match=rf"pairs\.bin: {message}"):
            write_bin(path, images, same)
    assert list(tmp_path.iterdir()) == []
    write_bin(path, IMAGES, SAME)
    with pytest.raises(UserError):
        write_bin(path, IMAGES, SAME[1:])
    holds(path)


def test_the_suffix_is_that_of_the_image(tmp_path):
    images = [b"\x89PNG\r\n", b"BM12", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8\xff"]
    write_bin(tmp_path / "pairs.bin", images, [True, True])
    reader = PickledPairs(tmp_path / "pairs.bin")
    assert [reader.path(index) for index in range(4)] == ["000000.png", "000001.bmp", "000002.webp", "000003.jpg"]


def test_a_reader_travels_and_is_shared(tmp_path):
    path = tmp_path / "pairs.bin"
    write_bin(path, IMAGES, SAME)
    reader = PickledPairs(path)
    wrong = []

    def look():
        wrong.extend(index for index in range(6) if reader.data(index) != IMAGES[index])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = pickle.loads(pickle.dumps(reader))
    assert not wrong and again.data(5) == IMAGES[5] and again.is_same.tolist() == SAME
    for index in (-1, 6):
        with pytest.raises(IndexError):
            reader.data(index)
    os.truncate(path, 20)
    with pytest.raises(UserError, match=r"pairs\.bin: image 5: the file became shorter"):
        reader.data(5)


class Anything:
    pass


@pytest.mark.parametrize(
    "value, message",
    [
        ((IMAGES[:5], SAME), "an odd number of images, 5 images where 3 labels of pairs need 6"),
        ((IMAGES[:4], SAME), "4 images where 3 labels of pairs need 6"),
        (([], []), "holds no pairs"),
        ((IMAGES, [1, 0], SAME), r"a tuple of 3, not \(images, is_same\)"),
        ((IMAGES, SAME + [2]), "the label of pair 3 is 2, not 0 or 1"),
        ((IMAGES, np.array([0, 1, 7])), "the label of pair 2 is 7, not 0 or 1"),
        ((IMAGES, [True, "yes"]), "the label of pair 1 is a text"),
        ((IMAGES, [True, b"yes"]), "the label of pair 1 is 3 bytes"),
        ((IMAGES, [True, None]), "the label of pair 1 is None"),
        ((IMAGES, 3), "3 where a list of labels"),
        ((IMAGES, np.ones((2, 2), bool)), r"an array of type \|b1 and shape \(2, 2\) where a label"),
        ((IMAGES[0], SAME), "263 bytes where a list of images"),
        (([*IMAGES[:5], "text"], SAME), "image 5 is a text, not an encoded image"),
        (([*IMAGES[:5], b""], SAME), "image 5 is empty"),
        (
            ([*IMAGES[:5], np.zeros((4, 4, 3), np.uint8)], SAME),
            r"image 5 is an array of type \|u1 and shape \(4, 4, 3\)",
        ),
        (([*IMAGES[:5], np.zeros(9, np.int32)], SAME), "image 5 is an array of type <i4"),
        ({"images": IMAGES}, "asks for EMPTY_DICT"),
        ((IMAGES, [0.5]), "asks for BINFLOAT"),
        ((IMAGES, [1 << 70]), "a number of 9 bytes"),
        ((IMAGES, {1}), "asks for EMPTY_SET"),
        ((np.array(IMAGES, object), SAME), "an array of type 'O8'"),
        ((np.array(["text"]), SAME), "an array of type 'U4'"),
        ((np.zeros(3, [("a", "u1")]), SAME), "an array of type 'V1'"),
        ((IMAGES, Anything()), "asks for (copyreg._reconstructor|tests.dataset.reader.test_pickled.Anything)"),
    ],
)
def test_a_pickle_of_something_else(tmp_path, value, message):
    with pytest.raises(UserError, match=rf"pairs\.bin: .*{message}") as caught:
        PickledPairs(save(tmp_path, pickle.dumps(value, 4)))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_files_that_are_none(tmp_path):
    for data, message in (
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n", "not a pickle"),
        (b"label path path\n", "not a pickle"),
        (b"\x80\x04", "cut short at byte 2"),
        (b"\x80\x04\xfe.", "damaged at byte 2, 254 is no opcode"),
        (b"\x80\x04.", "a value is missing"),
        (b"\x80\x04)(.", "a value is missing"),
        (b"\x80\x04e.", "a mark is missing"),
        (b"\x80\x04h\x07.", "a value to be repeated is missing"),
        (b"\x80\x04)q", "cut short"),
        (b"(S'a", "cut short"),
        (b"(S'a\n.", "a text without quotes"),
        (b"(S\n.", "a text without quotes"),
        (b"(I0x\n.", "a number that is none"),
        (b"(I" + b"1" * 5000 + b"\n.", "a name of 5000 bytes"),
    ):
        with pytest.raises(UserError, match=rf"pairs\.bin: .*{message}"):
            PickledPairs(save(tmp_path, data))
    with pytest.raises(UserError, match=r"none\.bin: there is no such file"):
        PickledPairs(tmp_path / "none.bin")
    with pytest.raises(UserError, match="not a file; name a .bin file"):
        PickledPairs(tmp_path)


def test_every_cut_is_found(tmp_path):
    data = pickle.dumps((arrays(), SAME), 4)
    for length in (1, 2, 10, 40, 200, len(data) // 2, len(data) - 1):
        with pytest.raises(UserError, match="cut short|the file is empty"):
            PickledPairs(save(tmp_path, data[:length]))


def test_bytes_that_are_not_as_python_writes_them(tmp_path):
    for image in (b"S'\\q'\n", b"S'\\x1'\n", b"c_codecs\nencode\n(X\2\0\0\0\xff\xffX\6\0\0\0latin1tR"):
        reader = PickledPairs(save(tmp_path, b"((l" + image + b"a" + image + b"a(lI01\nat."))
        with pytest.raises(UserError, match=r"pairs\.bin: image 1: not written as Python does"):
            reader.data(1)


SEEDS = [pickle.dumps((images, same), 4) for images in (IMAGES, arrays()) for same in (SAME, np.array(SAME))]
SEEDS += [pickle.dumps((arrays(), list(np.array(SAME))), protocol) for protocol in (0, 2, 5)]
SEEDS += [python2(0), python2(2)]
NUMBERS = (0, 1, 0x7F, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)
OPCODES = bytes(ord(opcode.code) for opcode in pickletools.opcodes)


def damaged(chance):
    """A valid file with some bytes, lengths and pieces changed."""
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        if chance.random() < 0.5:  # near a value's head more is at stake than within an image
            at = min(at, chance.randrange(200))
        width, length = chance.choice((1, 4, 8)), chance.randint(1, 300)
        match chance.randrange(7):
            case 0:
                data[at : at + 1] = chance.randbytes(1)
            case 1:
                data[at : at + 1] = bytes(byte ^ 1 << chance.randrange(8) for byte in data[at : at + 1])
            case 2:
                data[at : at + width] = (chance.choice(NUMBERS) % (1 << 8 * width)).to_bytes(width, "little")
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length] * chance.randint(1, 3)
            case 5:
                data[at:at] = bytes([chance.choice(OPCODES)])
            case 6 if chance.random() < 0.3:
                del data[at:]
    return bytes(data)


def survives(path, seed):
    save(path.parent, damaged(random.Random(seed)))
    try:
        reader = PickledPairs(path)
    except UserError as error:
        assert "\n" not in str(error) and str(error).startswith(str(path))
        return
    assert len(reader) == 2 * len(reader.is_same) and reader.is_same.dtype == bool
    for index in range(len(reader)):
        try:
            assert reader.data(index)
        except UserError as error:
            assert str(error).startswith(reader.where(index))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(seed=st.integers(0, 1 << 64))
def test_damaged_files(tmp_path_factory, seed):
    survives(tmp_path_factory.getbasetemp() / "pairs.bin", seed)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(seed=st.integers(0, 1 << 64))
def test_damaged_files_at_length(tmp_path_factory, seed):
    survives(tmp_path_factory.getbasetemp() / "pairs.bin", seed)
