import numpy as np
import pytest

from opensphere.report.results import read_results
from opensphere.report.training_data import FILE, read_training_data
from tests.dataset.pictures import encode, picture
from tests.report.material import write_data, write_run, write_study


def test_what_was_noted_is_read(tmp_path) -> None:
    write_data(tmp_path, (2, 3, 3, 40))
    found = read_training_data(tmp_path / FILE)
    assert (found.name, found.images, found.people) == ("faces", 48, 4)
    assert (found.counts, found.holders) == ((2, 3, 40), (1, 2, 1))
    assert [(one.name, one.images, len(one.pictures)) for one in found.some] == [
        ("person 0", 2, 2), ("person 1", 3, 2), ("person 2", 3, 2), ("person 3", 40, 2),
    ]  # fmt: skip
    assert found.some[1].pictures[0][0] == "1/2.jpg" and found.some[1].pictures[0][1].startswith(b"\xff\xd8")
    assert found.remarks == ("label noise, uniform: 3 of 45 labels changed",)
    write_data(tmp_path, (2, 3, 3, 40))
    assert read_training_data(tmp_path / FILE) == found
    write_data(tmp_path, (2, 3, 3, 40), remarks=np.array(["another"]))
    assert read_training_data(tmp_path / FILE) != found


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": [2, 3]},
        {"counts": [3, 2, 40]},
        {"counts": [0, 3, 40]},
        {"counts": [], "holders": []},
        {"holders": [1.0, 1.0, 1.0]},
        {"images": [45]},
        {"images": -1},
        {"name": 3},
        {"person": ["one"]},
        {"jpeg": np.zeros(9, np.int64)},
        {"jpeg_end": [1]},
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changes) -> None:
    write_data(tmp_path, **changes)
    with pytest.raises(ValueError, match="training_data.npz: says nothing of training data"):
        read_training_data(tmp_path / FILE)


def test_damaged_files_and_pickles_are_refused(tmp_path) -> None:
    path = tmp_path / FILE
    write_data(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="is damaged"):
        read_training_data(path)
    write_data(tmp_path, remarks=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="is damaged"):
        read_training_data(path)
    np.savez(path, name="faces")
    with pytest.raises(ValueError, match="is damaged"):
        read_training_data(path)


def test_pictures_that_are_none_or_too_large_are_left_out(tmp_path) -> None:
    parts = [encode(picture(0), ".jpg"), encode(picture(0, 97, 20), ".jpg"), encode(picture(0)), b"nothing", b""]
    ends = np.cumsum([len(part) for part in parts])
    write_data(
        tmp_path, (5,), picture_person=np.zeros(5, int), picture_name=["a", "b", "c", "d", "e"], jpeg_end=ends,
        jpeg=np.frombuffer(b"".join(parts), np.uint8),
    )  # fmt: skip
    assert read_training_data(tmp_path / FILE).some[0].pictures == (("a", parts[0]),)


def test_names_of_files_may_be_no_text(tmp_path) -> None:
    write_data(tmp_path, (1,), picture_name=np.array(["\udce9.jpg"]), person=np.array(["\udce9"]))
    (person,) = read_training_data(tmp_path / FILE).some
    assert person.name == "?" and person.pictures[0][0] == "?.jpg"


def test_runs_and_studies_have_what_was_noted(tmp_path) -> None:
    run, other = write_run(tmp_path / "a"), write_run(tmp_path / "b", "CosFace")
    write_data(run)
    (other / FILE).write_bytes(b"nothing")
    one, two = read_results([run, other]).runs
    assert one.data is not None and one.data.images == 45 and one.problems == []
    assert two.data is None and two.problems == [f"{FILE}: is damaged, or says nothing of training data (ValueError)."]
    write_study(tmp_path / "study", values=(0, 0.2))
    (tmp_path / "study/runs/0-0-0" / FILE).write_bytes(b"nothing")
    write_data(tmp_path / "study/runs/1-1-2")
    write_data(tmp_path / "study/runs/0-1-0", (7,))
    (study,) = read_results([tmp_path / "study"]).studies
    ((label, data),) = study.data  # of the first in the study's order
    assert label == "CocoLoss, share 0.2, seed 0" and data.images == 7 and FILE in study.problems[0]
