import numpy as np
import pytest
from scipy.io import loadmat

from opensphere.dataset.blufr import BLUFRDataset
from opensphere.error import UserError
from tests.dataset.blufr_fixture import write_blufr
from tests.shared import shared


def open_set(folder, **arguments):
    return BLUFRDataset("BLUFR", folder / "images", folder / "blufr.mat", **arguments)


def refusal(folder, **arguments) -> str:
    with pytest.raises(UserError) as caught:
        open_set(folder, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(("nested", "suffix"), [(True, ".jpg"), (True, ".png"), (False, ".jpg"), (False, ".bmp")])
def test_the_images_and_the_trials(tmp_path, nested, suffix):
    listed = write_blufr(tmp_path, nested=nested, suffix=suffix)
    dataset = open_set(tmp_path, image_size=20)
    names = [cell[:-4] for cell in listed["imageList"].ravel()]
    folders = [name.rpartition("_")[0] + "/" if nested else "" for name in names]
    paths = [folder + name + suffix for folder, name in zip(folders, names, strict=True)]
    assert [dataset.path(index) for index in range(len(dataset))] == paths
    assert dataset.read(len(names) - 1).shape == (20, 20, 3)
    assert dataset.labels.tolist() == [label // 10 for label in listed["labels"].ravel().tolist()]
    assert dataset.persons is dataset.labels and dataset.dropped == [] and dataset.metrics == []
    assert len(dataset.trials) == 3
    for number, trial in enumerate(dataset.trials):
        for part, key in ((trial.test, "testIndex"), (trial.gallery, "galIndex"), (trial.probe, "probIndex")):
            assert part.tolist() == [index - 1 for index in listed[key][number, 0].ravel().tolist()]


def test_a_missing_image_is_left_out_when_asked_for(tmp_path):
    listed = write_blufr(tmp_path)
    whole = open_set(tmp_path)
    gone = int(whole.trials[0].gallery[1])
    name = listed["imageList"][gone, 0][:-4]
    (tmp_path / "images" / whole.path(gone)).unlink()
    assert refusal(tmp_path) == (
        f"blufr.mat: imageList {gone + 1}: images/{whole.path(gone)}: the file does not exist; check data_dir, or "
        f"leave out of the trials what is missing: drop_missing: [{name}]"
    )
    for given in (name, name + ".jpg"):
        dataset = open_set(tmp_path, drop_missing=[given])
        assert len(dataset) == len(whole) - 1 and dataset.dropped == [name]
        for trial, before in zip(dataset.trials, whole.trials, strict=True):
            for part in ("test", "gallery", "probe"):
                paths = [dataset.path(index) for index in getattr(trial, part)]
                assert paths == [whole.path(index) for index in getattr(before, part) if index != gone]
        people = {dataset.path(index)[:8]: label for index, label in enumerate(dataset.labels)}
        assert len(people) == len(set(people.values())) == dataset.labels.max() + 1


def test_what_is_there_is_not_left_out(tmp_path):
    listed = write_blufr(tmp_path)
    dataset = open_set(tmp_path, drop_missing=[listed["imageList"][2, 0]])
    assert dataset.dropped == [] and len(dataset) == len(listed["imageList"])


def test_many_missing_images_are_another_matter(tmp_path):
    listed = write_blufr(tmp_path, people=20)
    images = sorted((tmp_path / "images").rglob("*.jpg"))
    for image in images[1:25]:
        image.unlink()
    message = refusal(tmp_path)
    assert f"nor do 23 more of {len(listed['imageList'])}; check data_dir" in message and "drop" not in message
    images[0].unlink()
    for image in images[25:]:
        image.unlink()
    assert "blufr.mat: imageList 1: images/Per_Son0/Per_Son0_0001.jpg: the file does not exist, nor do" in refusal(
        tmp_path
    )


def column(*values):
    return np.array(values)[:, None]


def cell(*values):
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"galIndex": None}, "has no variable galIndex"),
        ({"labels": column(1, 2)}, "2 labels for 21 images of imageList"),
        ({"testIndex": cell(column(1, 2))}, "1 testIndex, 3 galIndex, 3 probIndex; one of each a trial"),
        ({"galIndex": cell(column(1), column(0), column(1))}, "galIndex of trial 2: an index is not in 1..21"),
        ({"galIndex": cell(column(1), column(2), column(22))}, "galIndex of trial 3: an index is not in 1..21"),
        ({"galIndex": cell(column(1), column(2, 2), column(3))}, "galIndex of trial 2: an image is named twice"),
        ({"probIndex": cell(np.empty((0, 1)), column(2), column(3))}, "probIndex of trial 1: there are no images"),
        ({"testIndex": column(1, 2)}, "testIndex is no cell array"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, changes, words):
    write_blufr(tmp_path, **changes)
    message = refusal(tmp_path)
    assert message.startswith("blufr.mat: ") and words in message


def test_arguments_that_cannot_be(tmp_path):
    write_blufr(tmp_path)
    assert refusal(tmp_path, drop_missing=["Nobody_0001"]) == (
        "drop_missing: 'Nobody_0001' is no image of blufr.mat; give names as Anna_Lee_0007"
    )
    assert "drop_missing: 'Per_Son0_0001' is not a list" in refusal(tmp_path, drop_missing="Per_Son0_0001")
    with pytest.raises(UserError, match="there is no such folder; set data_dir"):
        BLUFRDataset("BLUFR", tmp_path / "none", tmp_path / "blufr.mat")


@pytest.mark.slow
def test_the_real_file():
    config, images = shared("protocols/blufr_lfw_config.mat"), shared("faces/lfw/images")
    with pytest.raises(UserError, match=r"Betsy_Coffin_0001\.jpg: the file does not exist; .*: \[Betsy_Coffin_0001\]"):
        BLUFRDataset("BLUFR", images, config)
    dataset = BLUFRDataset("BLUFR", images, config, drop_missing=["Betsy_Coffin_0001"])
    assert len(dataset) == 13232 and len(np.unique(dataset.labels)) == 5748 and len(dataset.trials) == 10
    listed = loadmat(config)
    for index in (0, 1181, 5000, 13231):  # each image is that of its label
        assert dataset.path(index).split("/")[0] == dataset.path(index).split("/")[1][:-9]
    for number, trial in enumerate(dataset.trials):
        dropped = int(np.count_nonzero(listed["testIndex"][number, 0] == 1182))
        assert len(trial.test) == listed["testIndex"][number, 0].size - dropped
        assert len(trial.gallery) == len(np.unique(dataset.labels[trial.gallery])) == 1000
        others = dataset.labels[trial.probe][~np.isin(dataset.labels[trial.probe], dataset.labels[trial.gallery])]
        assert len(np.unique(others)) == 3249 - dropped
        count = np.bincount(dataset.labels[trial.test])
        pairs = len(trial.test) * (len(trial.test) - 1) // 2 - int((count * (count - 1) // 2).sum())
        assert 44e6 < pairs < 53e6
