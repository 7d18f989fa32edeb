import numpy as np
import pytest
from scipy.io import savemat

from opensphere.dataset.tinyface import TinyFaceDataset
from opensphere.error import UserError
from tests.dataset.pictures import save

GALLERY = ["3_1.jpg", "3_2.jpg", "7_1.jpg", "12_5.jpg"]
PROBE = ["3_9.jpg", "7_2.jpg", "12_1.jpg", "7_8.jpg"]


def cell(names):
    array = np.empty((len(names), 1), object)
    array[:, 0] = names
    return array


def write_lists(folder, gallery=GALLERY, probe=PROBE, **changes):
    """The two lists in the benchmark's form; `changes` replace a variable, or leave it out."""
    for file, kind, names in (("gallery_match", "gallery", gallery), ("probe", "probe", probe)):
        variables = {
            f"{kind}_set": cell(names),
            f"{kind}_ids": np.array([[int(name.split("_")[0])] for name in names], np.uint16),
        }
        variables |= {key: value for key, value in changes.items() if key in variables}
        kept = {key: value for key, value in variables.items() if value is not None}
        savemat(folder / f"{file}_img_ID_pairs.mat", kept)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "Testing_Set"
    names = [f"Gallery_Match/{name}" for name in GALLERY] + [f"Probe/{name}" for name in PROBE]
    for seed, name in enumerate([*names, "Gallery_Distractor/a.jpg", "Gallery_Distractor/sub/99_2.jpg"]):
        save(root / name, seed)
    write_lists(root)
    return root


def refusal(folder, **arguments) -> str:
    with pytest.raises(UserError) as caught:
        TinyFaceDataset("TinyFace", folder, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


def shown(dataset, index):
    """(path, person) of images of the set."""
    return [(dataset.path(one), int(dataset.persons[one])) for one in index]


def test_gallery_probes_and_distractors(folder):
    dataset = TinyFaceDataset("TinyFace", folder, image_size=16)
    assert len(dataset) == 10 and dataset.read(9).shape == (16, 16, 3)
    assert shown(dataset, dataset.gallery_index) == [
        *((f"Gallery_Match/{name}", int(name.split("_")[0])) for name in GALLERY),
        ("Gallery_Distractor/a.jpg", -1),
        ("Gallery_Distractor/sub/99_2.jpg", -1),
    ]
    assert shown(dataset, dataset.probe_index) == [(f"Probe/{name}", int(name.split("_")[0])) for name in PROBE]


def test_the_lists_decide_who_is_shown_and_which_images_count(folder):
    write_lists(folder, gallery=GALLERY[1:], gallery_ids=np.array([[40], [50], [60]]), probe_ids=[40, 50, 60, 50])
    dataset = TinyFaceDataset("TinyFace", folder)
    assert len(dataset) == 9 and dataset.persons[dataset.probe_index].tolist() == [40, 50, 60, 50]
    assert shown(dataset, dataset.gallery_index)[0] == ("Gallery_Match/3_2.jpg", 40)


def test_names_tell_the_people_where_there_are_no_lists(folder):
    before = TinyFaceDataset("TinyFace", folder)
    for path in folder.glob("*.mat"):
        path.unlink()
    dataset = TinyFaceDataset("TinyFace", folder)
    for one, other in ((dataset.gallery_index, before.gallery_index), (dataset.probe_index, before.probe_index)):
        assert sorted(shown(dataset, one)) == sorted(shown(before, other))
    save(folder / "Probe/anna.jpg", 0)
    assert "Probe/anna.jpg: the name does not tell the person, as 17_3.jpg does; set meta_dir" in refusal(folder)


def test_aligned_copies_with_another_suffix(folder, tmp_path):
    aligned = tmp_path / "aligned"
    for path in folder.rglob("*.jpg"):
        save((aligned / path.relative_to(folder)).with_suffix(".png"), 0)
    dataset = TinyFaceDataset("TinyFace", aligned, meta_dir=folder)
    assert shown(dataset, dataset.probe_index)[0] == ("Probe/3_9.png", 3) and len(dataset) == 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"probe_ids": None}, "probe_img_ID_pairs.mat: has no variable probe_ids; it should hold probe_set, probe_ids"),
        ({"gallery_ids": [[3], [3]]}, "gallery_match_img_ID_pairs.mat: 2 gallery_ids for 4 images of gallery_set"),
        ({"probe_ids": [[3], [7], [12], [-4]]}, "probe_ids: element 4 is -4, which is no person"),
        ({"probe": [*PROBE, "7_77.jpg"]}, "probe_set: element 5: there is no 7_77.jpg in Probe; check data_dir"),
        (
            {"probe_ids": [[3], [8], [12], [8]]},
            "probe_img_ID_pairs.mat: Probe/7_2.jpg shows person 8, who is not in the gallery "
            "(gallery_match_img_ID_pairs.mat); so do 2 of 4 probes",
        ),
    ],
)
def test_lists_that_cannot_be_used(folder, changes, words):
    write_lists(folder, **changes)
    assert words in refusal(folder)


def test_folders_that_cannot_be_used(folder, tmp_path):
    (folder / "probe_img_ID_pairs.mat").rename(folder / "probe.mat")
    assert refusal(folder) == (
        "probe_img_ID_pairs.mat: there is no such list; set meta_dir to the folder that holds both"
    )
    assert "gallery_match_img_ID_pairs.mat: there is no such list" in refusal(folder, meta_dir=tmp_path)
    (folder / "gallery_match_img_ID_pairs.mat").unlink()
    for path in (folder / "Gallery_Distractor").rglob("*.jpg"):
        path.unlink()
    assert refusal(folder) == "Gallery_Distractor: no images found; check data_dir"
    assert "Gallery_Match: there is no such folder" in refusal(tmp_path)
