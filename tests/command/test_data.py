"""`opensphere data`: each verb, on built-in faces with faults planted among them."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from opensphere.command import data_write
from opensphere.command.data_info import amount, class_memory
from opensphere.command.main import main
from opensphere.dataset import ClassDataset, PairDataset
from opensphere.dataset.reader import identities, open_reader, record
from opensphere.dataset.synthetic import SyntheticFaces, write_folder
from tests.dataset.pictures import encode, save
from tests.shared import shared

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people with four faces each."""
    folder = tmp_path_factory.mktemp("faces") / "people"
    write_folder(SyntheticFaces(people=6, images=4, image_size=64), folder)
    (folder / "list.txt").unlink()
    return folder


@pytest.fixture
def faces(made: Path, tmp_path: Path) -> Path:
    """A copy of these, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "people"))


def data(*words: str | Path) -> int:
    return main(["data", *map(str, words)])


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, body in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


def picture(seed: int) -> bytes:
    return encode(np.full((8, 8, 3), seed, np.uint8))


def bytes_of(path: Path) -> list[tuple[str, bytes]]:
    reader = open_reader(path)
    return [(reader.path(index), bytes(reader.data(index))) for index in range(len(reader))]


def test_verbs_explain_themselves(capsys: pytest.CaptureFixture) -> None:
    for verb in ("info", "check", "convert", "list", "split", "sheet"):
        with pytest.raises(SystemExit) as stop:
            data(verb, "--help")
        text = capsys.readouterr().out
        assert stop.value.code == 0 and f"opensphere data {verb}" in text and "PATH" in text


@pytest.mark.parametrize("words", [["inform", "x"], ["check", "x", "--allow", "tiny"], ["list", "x"], []])
def test_a_wrong_command_line_has_status_2(words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        data(*words)
    assert stop.value.code == 2


def test_info(faces: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copy(faces / "person_000000/0000.png", faces / "person_000000/0009.png")
    (faces / "person_000001/0001.png").write_bytes(b"")
    assert data("info", faces) == 0
    text = capsys.readouterr().out
    for line in (
        "images       25",
        "people       6",
        "4 to 5, median 4, mean 4.2",
        "64 x 64",
        "png 24",
        "1 files equal",
    ):
        assert line in text
    assert "5 to 8  ████████ 1" in text and "unreadable   1, of which 0 missing" in text
    assert data("info", faces, "--sample", "10") == 0
    assert "in a sample of 10" in capsys.readouterr().out
    assert data("info", faces, "--sample", "-1") == data("info", faces / "none") == 2


def test_what_classes_take() -> None:
    assert amount(17) == "17 bytes" and amount(2.5e9) == "2.5 GB"
    assert "614.4 MB" in class_memory(100_000) and "chunked" in class_memory(100_000) and "plain" in class_memory(10)


def test_a_sound_set_is_fit(faces: Path, capsys: pytest.CaptureFixture) -> None:
    assert data("check", faces) == 0
    assert capsys.readouterr().out.endswith("fit to train on\n")


def test_planted_faults_are_found(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first, third = faces / "person_000000/0000.png", faces / "person_000002/0000.png"
    cut = faces / "person_000001/0001.png"
    cut.write_bytes(cut.read_bytes()[:2000])
    (faces / "person_000001/0002.png").write_bytes(b"")
    (faces / "person_000001/0003.png").write_bytes(b"<html>")
    shutil.copy(first, faces / "person_000003/copy.png")
    cv2.imwrite(str(faces / "person_000004/anew.jpg"), cv2.imread(str(third)), [cv2.IMWRITE_JPEG_QUALITY, 80])
    save(faces / "Person 000005/1.png", 1, 64, 64)
    out = tmp_path / "out"
    assert data("check", faces, "--out", out) == 1
    text = capsys.readouterr().out
    assert "not fit to train on: empty (1), truncated (1), unreadable (1), two-people (1), two-people-look (1)" in text
    report = json.loads((out / "check.json").read_text())
    counts = {finding["name"]: finding["count"] for finding in report["findings"]}
    assert report["fit"] is False and report["why"][0] == "empty" and report["images"] == 27
    assert counts["single"] == counts["spelling"] == 1 and "duplicate" not in counts
    assert (out / "two-people.txt").read_text() == "person_000000/0000.png\tperson_000003/copy.png\n"
    assert (out / "truncated.txt").read_text() == "person_000001/0001.png\tperson_000001\n"
    assert cv2.imread(str(out / "suspects.png")).shape[0] > 200
    (faces / "person_000001/0002.png").unlink()
    assert data("check", faces, "--out", out) == 1 and not (out / "empty.txt").exists()
    allowed = [word for name in report["why"] for word in ("--allow", name)]
    assert data("check", faces, *allowed) == 0
    assert "allowed" in capsys.readouterr().out


def test_overlap_with_the_set_for_tests(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = tmp_path / "other"
    shutil.copytree(faces / "person_000000", other / "Anna")
    shutil.copytree(faces / "person_000001", other / "PERSON-000001")
    assert data("check", faces, "--against", other, "--out", tmp_path / "out") == 1
    text = capsys.readouterr().out
    assert "overlap-name (1), overlap-file (8)" in text and "person_000001 = PERSON-000001" in text
    assert len((tmp_path / "out/overlap-name.txt").read_text().splitlines()) == 4
    (tmp_path / "list.txt").write_text("person_000005/0000.png x\nperson_000004/0000.png y\n")
    assert data("check", faces, "--list", tmp_path / "list.txt", "--against", other) == 0
    assert data("check", faces, "--list2", other) == 2


def test_names_that_are_no_text_are_told_all_the_same(faces: Path, tmp_path: Path) -> None:
    strange = bytes(faces) + b"/\xff\x1b[31m"
    shutil.copytree(bytes(faces) + b"/person_000000", strange)
    assert data("check", faces, "--out", tmp_path / "out") == 1
    assert b"\xff\x1b[31m/0000.png" in (tmp_path / "out/two-people.txt").read_bytes()
    assert json.loads((tmp_path / "out/check.json").read_text())["why"] == ["two-people"]


@pytest.mark.parametrize("dest", ["faces.rec", "faces.tar", "shards"])
def test_there_and_back(dest: str, faces: Path, tmp_path: Path) -> None:
    to = ["--to", "tar"] if dest == "shards" else []
    assert data("convert", faces, tmp_path / "new" / dest, *to) == 0
    assert data("convert", tmp_path / "new" / dest, tmp_path / "back") == 0
    assert bytes_of(tmp_path / "back") == bytes_of(tmp_path / "new" / dest) == bytes_of(faces)
    listed = ClassDataset("back", tmp_path / "back", tmp_path / "back/list.txt")
    assert listed.names == open_reader(faces).names and len(listed) == 24
    assert data("convert", faces, tmp_path / "new" / dest, *to) == 2


def test_nothing_is_overwritten_and_nothing_half_written(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "full/x").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    assert data("convert", faces, tmp_path / "full") == 2
    assert data("convert", faces, tmp_path / "empty") == 0 and (tmp_path / "empty/list.txt").is_file()
    (tmp_path / "a.idx").write_text("")
    assert data("convert", faces, tmp_path / "a.rec") == 2 and not (tmp_path / "a.rec").exists()
    (tmp_path / "list.txt").write_text("person_000000/0000.png a\nperson_000000/none.png a\n")
    before = sorted(tmp_path.iterdir())
    for dest in ("b", "b.rec", "b.tar"):
        assert data("convert", faces, tmp_path / dest, "--list", tmp_path / "list.txt") == 2
    assert sorted(tmp_path.iterdir()) == before


def test_paths_cannot_lead_out_of_the_new_folder(faces: Path, tmp_path: Path) -> None:
    outside = faces / "person_000000/0000.png"
    (faces / "list.txt").write_text(f"{outside} Anna/B\nperson_000000/../person_000001/0000.png Bo\n")
    assert data("convert", faces / "list.txt", tmp_path / "new") == 0
    assert (tmp_path / "new/list.txt").read_text() == "Anna_B/00000000.png Anna/B\nBo/00000001.png Bo\n"
    assert (tmp_path / "new/Anna_B/00000000.png").read_bytes() == outside.read_bytes()
    (faces / "list.txt").write_text(f"{outside} ..\n")
    assert data("convert", faces / "list.txt", tmp_path / "other") == 2 and not (tmp_path / "other").exists()


def test_pairs_become_a_bin_file_and_back(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pairs = "1 person_000000/0000.png person_000000/0001.png\n0 person_000000/0000.png person_000001/0000.png\n"
    (tmp_path / "pairs.txt").write_text(pairs)
    assert data("convert", faces, tmp_path / "p.bin", "--list", tmp_path / "pairs.txt") == 0
    assert data("convert", tmp_path / "p.bin", tmp_path / "p") == 0
    assert (tmp_path / "p/pairs.txt").read_text() == "1 000000.png 000001.png\n0 000002.png 000003.png\n"
    assert data("info", tmp_path / "p.bin") == data("check", tmp_path / "p.bin") == 0
    assert "2: 1 of one person, 1 of two" in capsys.readouterr().out
    assert data("convert", faces, tmp_path / "q.bin") == data("convert", tmp_path / "p.bin", tmp_path / "q.rec") == 2


def test_pairs_that_are_not_kept_are_told(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, picture in (("Anna", "0000"), ("Bo", "0001")):
        save(faces / name / f"{name}_{picture}.png", 1)
    (tmp_path / "pairs.txt").write_text("0 Anna/Anna_0000.png Bo/Bo_0001.png\n")
    for dest in ("p.rec", "p.tar", "p"):
        assert data("convert", faces, tmp_path / dest, "--list", tmp_path / "pairs.txt") == 0
        told = "the 1 pairs are not kept in this form; convert to a folder or a .bin file" in capsys.readouterr().out
        assert told == (dest != "p")


def test_images_of_one_path_do_not_overwrite_each_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "tars").mkdir()
    for number in range(2):
        write_tar(tmp_path / f"tars/{number}.tar", {"0001.jpg": picture(number), "0001.cls": b"%d" % number})
    assert data("convert", tmp_path / "tars", tmp_path / "new") == 0
    (second,) = (tmp_path / "new").rglob("00000001.jpg")
    assert (tmp_path / "new/0001.jpg").read_bytes() == picture(0) and second.read_bytes() == picture(1)
    there, back = ClassDataset("a", tmp_path / "tars"), ClassDataset("b", tmp_path / "new", tmp_path / "new/list.txt")
    assert [bytes(back.reader.data(i)) for i in range(2)] == [bytes(there.reader.data(i)) for i in range(2)]
    assert back.labels.tolist() == there.labels.tolist() == [0, 1]
    write_tar(tmp_path / "tars/2.tar", {"1/00000003.jpg": picture(3), "1/00000003.cls": b"0"})
    write_tar(tmp_path / "tars/3.tar", {"0001.jpg": picture(1), "0001.cls": b"1"})  # becomes 1/00000003.jpg too
    assert data("convert", tmp_path / "tars", tmp_path / "other") == 2 and not (tmp_path / "other").exists()
    assert "is another image's too; give each a path of its own" in capsys.readouterr().err


def test_a_file_that_is_listed_twice_is_written_once(faces: Path, tmp_path: Path) -> None:
    (faces / "list.txt").write_text("person_000000/0000.png a\n" * 2 + "person_000000/0000.png b\n")
    assert data("convert", faces / "list.txt", tmp_path / "new") == 0
    listed = "person_000000/0000.png a\n" * 2 + "b/00000002.png b\n"
    assert (tmp_path / "new/list.txt").read_text() == listed
    assert len(list((tmp_path / "new").rglob("*.png"))) == 2


def test_capitals_are_no_other_file(faces: Path, tmp_path: Path) -> None:
    assert data("convert", faces, tmp_path / "a.REC") == 0 and len(open_reader(tmp_path / "a.REC")) == 24
    for dest in ("a.rec", "a.REC"):
        assert data("convert", faces, tmp_path / dest) == 2
    for end in ("idx", "lst"):
        (tmp_path / f"a.{end}").rename(tmp_path / f"{end}.{end.upper()}")
        assert data("convert", faces, tmp_path / f"{end}.rec") == 2


def test_more_images_than_a_directory_can_tell(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """24 images and 6 people, with record 0, need numbers up to 31."""
    for whole in (31, 32):
        for module in (data_write, identities, record):
            monkeypatch.setattr(module, "WHOLE", whole)
        assert data("convert", faces, tmp_path / f"{whole}.rec") == 0
        assert ("too many for InsightFace's directory" in capsys.readouterr().out) == (whole == 31)
        assert bytes_of(tmp_path / f"{whole}.rec") == bytes_of(faces)


def test_list(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "list.txt"
    assert data("list", faces, "--out", out) == 0
    assert out.read_text().splitlines()[5] == "person_000001/0001.png person_000001"
    assert data("list", faces, "--out", out) == 2
    assert data("list", faces, "--list", out, "--out", tmp_path / "again.txt") == 0
    assert (tmp_path / "again.txt").read_bytes() == out.read_bytes()


def test_split(faces: Path, tmp_path: Path) -> None:
    words = ["--val-people", "0.5", "--pairs", "12", "--folds", "2"]
    assert data("split", faces, "--out", tmp_path / "a", *words) == 0
    train, val = (ClassDataset(name, faces, tmp_path / f"a/{name}.txt") for name in ("train", "val"))
    assert len(train.names) == len(val.names) == 3 and not set(train.names) & set(val.names)
    assert len(train) + len(val) == 24
    pairs = PairDataset("pairs", faces, tmp_path / "a/val_pairs.txt", folds=2)
    assert len(pairs.pairs) == 12 and pairs.is_same.tolist() == ([True] * 3 + [False] * 3) * 2
    for (one, two), same in zip(pairs.pairs.tolist(), pairs.is_same.tolist(), strict=True):
        people = {pairs.path(image).split("/")[0] for image in (one, two)}
        assert len(people) == 2 - same and people <= set(val.names)
    assert data("split", faces, "--out", tmp_path / "b", *words) == 0
    assert data("split", faces, "--out", tmp_path / "c", *words, "--seed", "1") == 0
    texts = [(tmp_path / folder / "val_pairs.txt").read_text() for folder in "abc"]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    "words", [["--val-people", "6"], ["--val-people", "x"], ["--val-people", "2.5"], ["--folds", "1"]]
)
def test_a_split_that_cannot_be(words: list[str], faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert data("split", faces, "--out", tmp_path / "a", *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "data.val" not in error and not (tmp_path / "a").exists()


def test_sheet(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (faces / "person_000001").rename(faces / "王菲")
    assert data("sheet", faces, "--out", tmp_path / "s.png", "--people", "9", "--images", "3", "--side", "32") == 0
    assert "王菲" in capsys.readouterr().out  # the picture has no such letters
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert sheet.shape[0] == 12 + 6 * 54
    assert data("sheet", faces, "--out", tmp_path / "t.png", "--people", "2", "--seed", "3") == 0
    assert (
        data("sheet", faces, "--out", tmp_path / "t.txt") == data("sheet", faces, "--out", "x.png", "--side", "0") == 2
    )
    assert data("sheet", faces, "--out", tmp_path / "u.png", "--people", "9", "--side", "30000") == 2


@pytest.mark.slow
def test_faces_show_what_names_hide(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A person under two names, two under one, and wrong names, found by the model that comes with the project."""
    dataset = SyntheticFaces(people=60, images=8, image_size=64)
    write_folder(dataset, tmp_path / "people")
    rows = [(f"person_{label:06d}/{index % 8:04d}.png", label) for index, label in enumerate(dataset.labels.tolist())]
    for index in range(0, 8, 2):
        rows[index] = (rows[index][0], 100)  # half of the first person under a name of their own
    for index in range(8, 16):
        rows[index] = (rows[index][0], 2)  # the second and the third under one
    for person in (10, 20, 30):
        rows[person * 8] = (rows[person * 8][0], person + 5)
    (tmp_path / "list.txt").write_text("".join(f"{path} person_{label:06d}\n" for path, label in rows))
    words = ["--model", ROOT / "pretrained/faces_arcface", "--out", tmp_path / "out"]
    assert data("check", tmp_path / "people", "--list", tmp_path / "list.txt", *words) == 0
    found = {finding["name"]: finding for finding in json.loads((tmp_path / "out/check.json").read_text())["findings"]}
    assert found["same-person"]["examples"][0].startswith("person_000000 = person_000100")
    assert found["mixed-person"]["examples"][0].startswith("person_000002")
    wrong = " ".join(found["wrong-person"]["examples"])
    assert (
        all(f"person_{person:06d}/0000.png" in wrong for person in (10, 20, 30)) and found["wrong-person"]["count"] <= 5
    )
    report = json.loads((tmp_path / "out/check.json").read_text())
    assert report["model"]["wrong labels"]["least"] <= 5 / 480 and report["model"]["within"]["finds"] > 0.8
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "people/person_000040", other / "Anna")
    for person in range(41, 55):
        shutil.copytree(tmp_path / f"people/person_{person:06d}", other / f"Bo_{person}")
    for path in other.rglob("*.png"):  # not the same pictures byte for byte, nor to the eye
        cv2.imwrite(str(path), np.ascontiguousarray(cv2.imread(str(path))[2:, 2:]))
    words = ["--against", other, "--model", ROOT / "pretrained/faces_arcface"]
    data("check", tmp_path / "people", *words)
    assert "overlap-face (15)" in capsys.readouterr().out


def test_real_pairs_against_real_people(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    small = shared("goldens/insightface_small_lfw.bin")
    people = ("Abel_Pacheco", "Ann_Veneman")
    for person in people:
        shutil.copytree(shared("faces/lfw/images") / person, tmp_path / "people" / person)
    assert data("check", tmp_path / "people", "--against", small) == 1
    assert "Ann_Veneman/Ann_Veneman_0003.jpg = 000018.jpg" in capsys.readouterr().out
