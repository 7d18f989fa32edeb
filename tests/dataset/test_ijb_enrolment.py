"""Galleries and probes: the fast way reads what the csv module reads, or leaves a table to it."""

import numpy as np
import pytest

from opensphere.dataset import ijb_enrolment, ijb_lists
from opensphere.dataset.ijb_enrolment import read_enrolments
from opensphere.error import UserError

IDS = np.array([2, 3, 5, 7, 11])


def read(folder, galleries, probe):
    """Galleries, all together, and probes as pairs of an id and a name; and whom each template shows."""
    paths = [str(folder / f"g{number}.csv") for number in range(len(galleries))]
    for path, text in zip([*paths, folder / "p.csv"], [*galleries, probe], strict=True):
        with open(path, "w", newline="", encoding="utf-8") as file:
            file.write(text)
    (folder / "templates.txt").write_text("read before")
    found = read_enrolments(paths, str(folder / "p.csv"), str(folder / "templates.txt"), IDS)
    parts = [*found.galleries, found.gallery, found.probe]
    assert all(part.template.dtype == np.int64 and part.person.dtype.kind == "U" for part in parts)
    return [
        list(zip(IDS[part.template].tolist(), part.person.tolist(), strict=True)) for part in parts
    ], found.person.tolist()


PLAIN = (["T,S,F\n2,bo,1.jpg\n2,bo,2.jpg\n5,al,3.jpg\n", "T,S\n3,cy\n2,bo\n"], "T,S\n7,cy\n7,cy\n11,bo\n")
READ = (
    [
        [(2, "bo"), (5, "al")],
        [(3, "cy"), (2, "bo")],
        [(2, "bo"), (5, "al"), (3, "cy")],
        [(7, "cy"), (11, "bo")],
    ],
    [1, 2, 0, 2, 1],
)


def test_a_worked_example(tmp_path, monkeypatch):
    monkeypatch.setattr(ijb_enrolment, "_heads", None)
    assert read(tmp_path, *PLAIN) == READ


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\n\n").replace("\n\n", "\n", 1),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
        lambda text: "\ufeff" + text,
        lambda text: text.replace("bo", '"bo"'),
        lambda text: text.replace("bo,", " bo ,"),
        lambda text: text.replace("2,bo", " 2 ,bo"),
        lambda text: text.replace("T,S", '"a\nheader",é', 1),
    ],
)
def test_tables_in_any_dress(tmp_path, change):
    galleries, probe = PLAIN
    assert read(tmp_path, [change(text) for text in galleries], change(probe)) == READ


def test_names_of_all_letters_and_with_commas(tmp_path):
    parts, person = read(tmp_path, ['T,S\n2,"Zoë, the first"\n3,Ångström\n'], "T,S\n5,Ångström\n")
    assert parts[1] == [(2, "Zoë, the first"), (3, "Ångström")] and parts[2] == [(5, "Ångström")]
    assert person == [0, 1, 1, -1, -1]


def test_a_probe_that_is_enrolled_too_is_of_the_person_of_the_gallery(tmp_path):
    parts, person = read(tmp_path, ["T,S\n2,al\n3,bo\n"], "T,S\n2,bo\n")
    assert parts[2] == [(2, "bo")] and person == [0, 1, -1, -1, -1]


@pytest.mark.parametrize(
    ("galleries", "probe", "words"),
    [
        (["T,S\n2,al\n2,bo\n"], "T,S\n3,al\n", r"g0\.csv:3: template 2 is of person al elsewhere"),
        (["T,S\n2,al\n", "T,S\n3,cy\n\n2,bo\n"], "T,S\n3,al\n", r"g1\.csv:4: template 2 is of person al elsewhere"),
        (["T,S\n2,al\n"], "T,S\n3,al\n4,al\n", r"p\.csv:3: template 4 has no images; check template_path"),
        (["T,S\n2,al\n3\n"], "T,S\n3,al\n", r"g0\.csv:3: should begin with a template's number and a person"),
        (["T,S\n2,al\n"], "T,S\n3,al\n5.0,al\n", r"p\.csv:3: should begin"),
        (["T,S\n2,al\n"], "T,S\n3,bo\n5,cy\n7,al\n", r"p\.csv: person bo and 1 more in no gallery"),
        (["T,S\n", "T,S\n"], "T,S\n3,bo\n", r"g0\.csv, .*g1\.csv: no templates; after a header"),
        (["T,S\n2,al\n"], "", r"p\.csv: no templates"),
    ],
)
def test_errors_name_file_and_line(tmp_path, galleries, probe, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, galleries, probe)


def test_files_that_are_no_tables(tmp_path):
    read(tmp_path, *PLAIN)
    (tmp_path / "g1.csv").write_bytes(b"T,S\n2,\xff\n")
    paths = [str(tmp_path / "g0.csv"), str(tmp_path / "g1.csv")]
    others = (str(tmp_path / "p.csv"), str(tmp_path / "templates.txt"), IDS)
    with pytest.raises(UserError, match=r"g1\.csv: is no table of comma-separated UTF-8 text"):
        read_enrolments(paths, *others)
    (tmp_path / "g1.csv").unlink()
    with pytest.raises(UserError, match=r"g1\.csv: cannot be read"):
        read_enrolments(paths, *others)


def test_what_was_kept_does_no_harm(tmp_path, monkeypatch):
    """Arrays beside the lists, of the right sources but by someone else, are not believed."""
    monkeypatch.setattr(ijb_lists, "_LARGE", 0)
    assert read(tmp_path, *PLAIN) == READ
    kept = tmp_path / "p.csv.index.npz"
    with np.load(kept) as file:
        good = {name: file[name] for name in file.files if name not in ("about", "layout")}
    paths = [str(tmp_path / "g0.csv"), str(tmp_path / "g1.csv")]
    others = (str(tmp_path / "p.csv"), str(tmp_path / "templates.txt"))
    for name, bad in (
        ("template", good["template"] + 4),
        ("template", good["template"] - 3),
        ("person", good["person"] + 1),
        ("person", good["person"] - 1),
        ("person", good["person"][1:]),
        ("bounds", good["bounds"][:-1]),
        ("bounds", good["bounds"][[0, 2, 1, 3]]),
        ("bounds", good["bounds"] + 1),
        ("ends", good["ends"] + 1),
        ("text", good["text"].astype(np.int64)),
    ):
        kept.unlink()
        sources = [others[0], *paths, others[1]]
        ijb_lists.kept_index(kept, sources, "ijb enrolments 1", lambda name=name, bad=bad: good | {name: bad})
        found = read_enrolments(paths, *others, IDS)
        assert found.person.tolist() == READ[1], name
