"""Tar files: what Python's tarfile writes is found where it says; what is damaged or has no place here is refused."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import random
import tarfile
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.dataset.reader import tar
from opensphere.dataset.reader.tar import END, Tar, TarFiles, clean, filling, header
from opensphere.error import UserError

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def packed(members, format=tarfile.USTAR_FORMAT, **options) -> bytes:
    """A tar file of (name, data) pairs, of (name, None) for folders, or of TarInfo."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format, **options) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.type = tarfile.DIRTYPE if member[1] is None else tarfile.REGTYPE
            info.size = len(member[1] or b"")
            archive.addfile(info, io.BytesIO(member[1] or b""))
    return file.getvalue()


def opened(data: bytes, size=None) -> Tar:
    def read(at, count):
        assert 0 <= at and count <= 1 << 20  # a lie in the file must not make us read a lot
        return data[at : at + count]

    return Tar(read, "x.tar", len(data) if size is None else size)


def contents(data: bytes) -> list[tuple[str, bytes]]:
    return [(member.name, data[member.data : member.data + member.size]) for member in opened(data)]


def patched(block: bytes, at: int, field: bytes) -> bytes:
    """A header with a field replaced and the checksum made right."""
    block = block[:at] + field + block[at + len(field) :]
    return block[:148] + b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:])) + block[156:]


def member(name: str = "a.jpg", data: bytes = b"image", at: int = 0, field: bytes = b"") -> bytes:
    return patched(header(name, len(data)), at, field) + data + filling(len(data))


LONG = "folder/" * 30 + "ä face.jpg"


@pytest.mark.parametrize("format", FORMATS)
def test_what_tarfile_writes(format):
    members = [("./", None), ("./anna/", None), ("./anna/1.jpg", b"x" * 700), ("b.jpg", b""), ("c" * 100, b"1" * 512)]
    members += [("folder/" * 20 + "p.jpg", b"prefix"), ("naïve 名前.jpg", b"2")]
    if format != tarfile.USTAR_FORMAT:
        members += [(LONG, b"3"), ("d/" * 900 + "e.jpg", b"4"), (LONG, b"5")]
    data = packed(members, format)
    assert contents(data) == [(clean(name), content) for name, content in members if content is not None]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [info for info in archive if info.isreg()]
    assert [(info.offset, info.offset_data) for info in files] == [(m.start, m.data) for m in opened(data)]


name = st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1), min_size=1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(name.map("/".join), st.binary(max_size=1100))), st.sampled_from(FORMATS[1:]))
def test_any_names_and_data(members, format):
    members = [(f"f/{path}e", data) for path, data in members if ".." not in path.split("/")]
    assert contents(packed(members, format)) == [(clean(path), data) for path, data in members]


def test_our_headers_are_those_of_tarfile():
    info = tarfile.TarInfo("000000001.jpg")
    info.size = 12345
    assert header(info.name, info.size) == info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("format", FORMATS[1:])
def test_members_beyond_eight_gigabytes(format):
    info = tarfile.TarInfo("large.bin")
    info.size = 10 << 30
    front, after = info.tobuf(format), member("a.jpg")
    end = len(front) + info.size

    def read(at, count):
        return after[at - end : at - end + count] if at >= end else front[at : at + count]

    found = list(Tar(read, "x.tar", end + len(after)))
    assert [(m.name, m.start, m.size) for m in found] == [("large.bin", 0, info.size), ("a.jpg", end, 5)]


def test_ends_that_are_fine():
    whole = member("a.jpg") + member("b.jpg", b"12")
    for end in (END + bytes(9216), END, bytes(512), bytes(100), b""):
        assert [name for name, _ in contents(whole + end)] == ["a.jpg", "b.jpg"]
    assert contents(whole[:-510])[1] == ("b.jpg", b"12")  # without what fills the last block


def test_what_old_programs_wrote():
    folder = member("anna/", b"", 156, b"\0" + bytes(355))  # no type, no magic
    assert contents(folder + member("anna/1.jpg", b"x", 156, b"\0" + bytes(355))) == [("anna/1.jpg", b"x")]
    block = header("x", 0)
    name = "é.jpg".encode()
    block = name + block[len(name) :]
    signed = sum(byte - 256 * (byte > 127) for byte in block[:148] + block[156:]) + 256
    assert contents(block[:148] + b"%06o\0 " % signed + block[156:]) == [("é.jpg", b"")]
    assert contents(member(data=b"", at=124, field=bytes(12))) == [("a.jpg", b"")]
    gnu = patched(patched(header("a.jpg", 0), 257, b"ustar  \0"), 345, b"14621467163")  # a time, no prefix
    assert contents(gnu) == [("a.jpg", b"")]
    assert contents(packed([("a.jpg", b"1")], tarfile.PAX_FORMAT, pax_headers={"comment": "a commit"}))


def special(kind, linkname=""):
    info = tarfile.TarInfo("anna/1.jpg")
    info.type, info.linkname = kind, linkname
    return packed([info], tarfile.GNU_FORMAT)


PAX = packed([(LONG, b"3")], tarfile.PAX_FORMAT)
GNU = packed([(LONG, b"3")], tarfile.GNU_FORMAT)
WHOLE = member("a.jpg") + END


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    return member("pax", records, 156, kind) + member() + END


BAD = {
    "hard link": (special(tarfile.LNKTYPE, "etc"), "byte 0: 'anna/1.jpg' is a hard link; pack the images themselves"),
    "symbolic link": (special(tarfile.SYMTYPE, "/etc/passwd"), "'anna/1.jpg' is a symbolic link"),
    "long link": (special(tarfile.SYMTYPE, "x" * 200), "is a link with a long name"),
    "device": (special(tarfile.CHRTYPE), "is a device"),
    "pipe": (special(tarfile.FIFOTYPE), "is a pipe"),
    "sparse": (member(at=156, field=b"S"), "is a sparse file"),
    "pax sparse": (pax(b"22 GNU.sparse.major=1\n"), "a sparse file; pack the files anew without --sparse"),
    "unknown": (member(at=156, field=b"V"), "'a.jpg' is a member of type b'V'"),
    "absolute": (member("/etc/x.jpg"), "byte 0: '/etc/x.jpg' is no path within a data set"),
    "leads out": (member() + member("a/../../x.jpg"), "byte 1024: 'a/../../x.jpg' is no path"),
    "absolute in pax": (pax(b"15 path=/a.jpg\n"), "byte 0: '/a.jpg' is no path"),
    "no name": (member(""), "'' is no path"),
    "checksum": (member()[:10] + b"!" + member()[11:], "byte 0: no tar header, or a damaged one"),
    "text": (b"This is no tar file.\n" * 100, "byte 0: no tar header"),
    "size garbage": (member(at=124, field=b"0000000zz05\0"), r"byte 0: a header whose size .*zz05.* is no number"),
    "size signed": (member(at=124, field=b"-0000000005\0"), "is no number"),
    "size negative": (member(at=124, field=b"\xff" * 12), "is no number"),
    "size huge": (member(at=124, field=b"\x80" + b"\xff" * 11), r"'a.jpg' has \d+ bytes of data, of which 512 are"),
    "size beyond": (member(at=124, field=b"00000002001\0"), "has 1025 bytes of data, of which 512 are there; copy"),
    "pax size": (pax(b"11 size=-5\n"), "has the size b'-5', which is no number"),
    "pax size huge": (pax(b"27 size=999999999999999999\n"), "has 999999999999999999 bytes"),
    "pax length": (pax(b"99 path=b.jpg\n"), "byte 512: a damaged pax header"),
    "pax without length": (pax(b"path=b.jpg\n"), "a damaged pax header"),
    "pax length zero": (pax(b"0 path=b.jpg\n"), "a damaged pax header"),
    "pax without equals": (pax(b"9 path-b\n"), "a damaged pax header"),
    "pax too large": (member("pax", b"1" * 65537, 156, b"x"), "a long name or pax header of 65537 bytes"),
    "pax twice": (member("pax", b"", 156, b"x") + pax(b""), "is a member of type b'x'"),
    "pax for all": (pax(b"14 path=b.jpg\n", b"g"), "a global pax header that names or measures members"),
    "long name too large": (member("L", b"1" * 70000, 156, b"L"), "of 70000 bytes, more than 65536"),
    "long name alone": (member("L", LONG.encode(), 156, b"L") + END, "byte 0: a long name or pax header without"),
    "cut in a long name": (GNU[:600], "byte 512: the file ends within a long name or pax header"),
    "cut in pax": (PAX[:600], "byte 512: the file ends within a long name or pax header"),
    "cut in a header": ((member() + member())[:1300], "byte 1024: the file ends within a header"),
    "cut in data": (member(data=bytes(999))[:1200], "byte 0: 'a.jpg' has 999 bytes of data, of which 688 are there"),
    "empty": (b"", "the file is empty; copy or download"),
    "joined": (WHOLE + WHOLE, "byte 1536: more follows the end of the archive; keep archives apart"),
    "joined later": (WHOLE + bytes(9216) + WHOLE, "more follows the end of the archive"),
    "gzip": (gzip.compress(WHOLE), "it is compressed, .* unpack it with gunzip first"),
    "bzip2": (bz2.compress(WHOLE), "bunzip2"),
    "xz": (lzma.compress(WHOLE), "unxz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + WHOLE, "unzstd"),
}


@pytest.mark.parametrize("data, message", BAD.values(), ids=BAD)
def test_bad_files_are_named_with_the_place(data, message):
    with pytest.raises(UserError, match=f"^x.tar: .*{message}") as caught:
        list(opened(data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path, cleaned",
    [("a/b", "a/b"), ("./a", "a"), ("a//b/./c/", "a/b/c"), ("..a/b..", "..a/b.."), (".", ""), ("./", "")]
    + [(path, None) for path in ("/a", "..", "../a", "a/..", "a/../b", "a\0b")],
)
def test_clean_paths(path, cleaned):
    assert clean(path) == cleaned


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Seven files, of which three are held open."""
    monkeypatch.setattr(tar, "_SLOTS", 3)
    for number in range(7):
        (tmp_path / f"{number}.tar").write_bytes(bytes([number]) * 1000)
    return TarFiles([str(tmp_path / f"{number}.tar") for number in range(7)])


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not list open files")
def test_few_files_are_open(files):
    before = open_files()
    files = TarFiles(files.paths)
    for turn in range(3):
        for number in range(7):
            assert files.read(number, 10 * turn, 5) == bytes([number]) * 5
    assert open_files() == before + 3
    del files
    assert open_files() == before


def test_threads_share_files(files):
    wrong = []

    def work(seed):
        chance = random.Random(seed)
        for _ in range(300):
            number = chance.randrange(7)
            if files.read(number, chance.randrange(900), 100) != bytes([number]) * 100:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_files_go_to_another_process(files):
    files.read(1, 0, 1)
    assert pickle.loads(pickle.dumps(files)).read(1, 0, 3) == b"\1\1\1"


def test_files_that_cannot_be_read(files, tmp_path):
    with pytest.raises(UserError, match="^the file ends within it; copy or download it again"):
        files.read(0, 990, 11)
    (tmp_path / "0.tar").write_bytes(b"other")
    assert files.read(0, 0, 1)  # still open
    files = pickle.loads(pickle.dumps(files))
    with pytest.raises(UserError, match="^the file has changed since it was first looked at"):
        files.read(0, 0, 1)
    (tmp_path / "1.tar").unlink()
    with pytest.raises(UserError, match=r"1\.tar: cannot be opened: No such file"):
        files.tar(1)
    with pytest.raises(UserError, match="it is no file"):
        TarFiles([str(tmp_path)])
    with pytest.raises(UserError, match=r"1\.tar: cannot be read: No such file"):
        TarFiles([str(tmp_path / "1.tar")])
