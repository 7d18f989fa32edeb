import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.dataset import ClassDataset, ItemDataset
from opensphere.dataset.reader import files, open_reader
from opensphere.error import UserError
from tests.dataset.pictures import picture, save
from tests.shared import shared


def test_people_are_the_first_folders(tmp_path):
    for number, path in enumerate(["b/2.png", "a b/x/1.jpg", "b/1.png", "a b/0.jpeg", ".cache/1.png", "stray.png"]):
        save(tmp_path / path, number)
    (tmp_path / "empty").mkdir()
    dataset = ClassDataset("faces", tmp_path, image_size=24)
    assert dataset.names == ["a b", "b"] and dataset.num_class == 2
    assert [dataset.path(index) for index in range(len(dataset))] == ["a b/0.jpeg", "a b/x/1.jpg", "b/1.png", "b/2.png"]
    assert dataset.labels.tolist() == [0, 0, 1, 1] and dataset.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.read(3), picture(0))


def test_names_are_sorted_as_in_a_list(tmp_path):
    """ "a-b" sorts before "a/": comparing whole paths would mix people up."""
    for path in ("a/1.png", "a-b/1.png", "a/z/1.png", "B/1.png", "é/1.png"):
        save(tmp_path / path, 1)
    dataset = ClassDataset("faces", tmp_path)
    assert dataset.names == sorted(["a", "a-b", "B", "é"])
    assert [dataset.path(index).split("/")[0] for index in range(5)] == [dataset.names[k] for k in dataset.labels]


def test_helpful_errors(tmp_path):
    with pytest.raises(UserError, match="there is no such file or folder"):
        ClassDataset("faces", tmp_path / "none")
    with pytest.raises(UserError, match="no images found; it should hold a folder of images for each person"):
        ClassDataset("faces", tmp_path)
    save(tmp_path / "1.png", 1)
    with pytest.raises(UserError, match="its 1 images lie in it directly; put each person's images in a folder"):
        ClassDataset("faces", tmp_path)
    save(tmp_path / "images/anna/1.png", 1)
    save(tmp_path / "images/bo/1.png", 1)
    with pytest.raises(UserError, match=rf"one folder only, 'images'; .*set data_dir to {tmp_path}/images$"):
        ClassDataset("faces", tmp_path)
    assert ClassDataset("faces", tmp_path / "images").names == ["anna", "bo"]


def test_a_broken_image_is_named(tmp_path):
    save(tmp_path / "a/1.png", 1).write_bytes(b"")
    with pytest.raises(UserError, match=rf"^{tmp_path}/a/1\.png: the file is empty"):
        ClassDataset("faces", tmp_path).read(0)


def test_the_folder_of_cfp():
    dataset = ClassDataset("CFP", shared("faces/cfp/images"))
    assert (len(dataset), dataset.num_class) == (7000, 500)
    assert dataset.path(0) == "001/frontal/01.jpg"


def test_errors_of_images_name_line_and_file(tmp_path):
    save(tmp_path / "a.png", 1)
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    (tmp_path / "l.txt").write_bytes(b"a.png\n\ncut.png\ngone.png\n")
    items = ItemDataset("items", tmp_path, tmp_path / "l.txt", image_size=24)
    np.testing.assert_array_equal(items.read(0), picture(1))
    with pytest.raises(UserError, match=rf"l\.txt:3: {tmp_path}/cut\.png: the image is cut short"):
        items.read(1)
    with pytest.raises(UserError, match=rf"l\.txt:4: {tmp_path}/gone\.png: the file does not exist"):
        items.read(2)


FIELD = st.text(st.sampled_from("ab/.é\t \r\u2028\x00"), min_size=0, max_size=4)


@given(st.lists(st.lists(FIELD, min_size=1, max_size=3).map(" ".join), max_size=6), st.booleans(), st.integers(1, 40))
def test_lists_are_read_as_by_lines(tmp_path_factory, rows, ends, piece):
    """The quick way through a list finds what the careful one does, wherever its pieces are cut, or gives up."""
    path = tmp_path_factory.mktemp("lists") / "l.txt"
    path.write_bytes(("\n".join(rows) + "\n" * ends).encode())
    lines = files.Lines(path, ("path", "name"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_PIECE", piece)
        try:
            paths, labels, names = files._read_plain(lines)
        except files._NotPlainError:
            return
    count = lines.count
    careful = list(lines)
    assert list(paths) == [image.decode() for image, _ in careful] and count == len(careful)
    assert [names[label] for label in labels] == [person.decode() for _, person in careful]
    assert names == sorted(set(names))


@pytest.mark.long
@settings(max_examples=10_000, deadline=None)
@given(st.binary(max_size=60) | st.text(st.sampled_from("ab/ \t\n\r\x00é"), max_size=40).map(str.encode))
def test_no_list_does_harm(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.txt"
    path.write_bytes(content)
    try:
        reader = files.read_list(path.parent, path)
    except UserError:
        return
    assert len(reader.labels) == len(reader) and reader.labels.max() < len(reader.names)


def test_the_quick_way_is_taken_and_kept(tmp_path, monkeypatch):
    path = tmp_path / "l.txt"
    path.write_text("".join(f"p{n % 3}/{n}.jpg p{n % 3}\n" for n in range(100)))
    monkeypatch.setattr(files, "_LARGE", 100)
    save(tmp_path / "p0/0.jpg", 1)
    first = files.read_list(tmp_path, path)
    assert (tmp_path / "l.txt.index.npz").is_file()
    monkeypatch.setattr(files, "_pack", None)
    again = files.read_list(tmp_path, path)
    for reader in (first, again):
        assert reader.path(99) == "p0/99.jpg" and reader.labels.tolist() == [n % 3 for n in range(100)]
        assert reader.names == ["p0", "p1", "p2"] and reader.where(4).startswith(f"{path}:5: ")
    monkeypatch.undo()
    path.write_text("p0/0.jpg p9\n" * 10)
    monkeypatch.setattr(files, "_LARGE", 100)
    assert files.read_list(tmp_path, path).names == ["p9"]


def test_a_folder_that_may_be_two_things(tmp_path):
    save(tmp_path / "people/anna/1.png", 1)
    (tmp_path / "people/old.tar").write_bytes(b"")
    with pytest.raises(UserError, match="it holds old.tar and folders of images; name .*people/old.tar, or a folder"):
        open_reader(tmp_path / "people")
    (tmp_path / "people/old.tar").unlink()
    (tmp_path / "people/x.tar").mkdir()
    assert open_reader(tmp_path / "people").names == ["anna"]
    (tmp_path / "shards/train").mkdir(parents=True)
    (tmp_path / "shards/train/a.tar").write_bytes(b"")
    with pytest.raises(UserError, match="no images found; .* or name .*shards/train, which holds a.tar"):
        open_reader(tmp_path / "shards")


def test_a_kept_list_of_another_kind_is_read_anew(tmp_path, monkeypatch):
    path = tmp_path / "l.txt"
    path.write_text("a/1.png a\n" * 40)
    save(tmp_path / "a/1.png", 1)
    monkeypatch.setattr(files, "_LARGE", 100)
    real = files._pack
    for damage in (lambda found: found.pop("names"), lambda found: found.update(labels=found["labels"].astype(float))):
        monkeypatch.setattr(files, "_pack", lambda *a, damage=damage: (found := real(*a), damage(found))[0])
        with contextlib.suppress(KeyError):
            files.read_list(tmp_path, path)
        monkeypatch.setattr(files, "_pack", real)
        assert files.read_list(tmp_path, path).labels.dtype == np.int64
        (tmp_path / "l.txt.index.npz").unlink()


def test_what_a_path_holds(tmp_path):
    save(tmp_path / "people/anna/1.png", 1)
    (tmp_path / "people.txt").write_text("people/anna/1.png anna\n")
    assert open_reader(tmp_path / "people").path(0) == "anna/1.png"
    assert open_reader(tmp_path / "people.txt").names == ["anna"]
    assert open_reader(tmp_path / "people", people=False).labels is None
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"x.zip: no kind of data that is known by its name; name a folder of people"):
        open_reader(tmp_path / "x.zip")
    with pytest.raises(UserError, match="nowhere: there is no such file or folder"):
        open_reader(tmp_path / "nowhere")
