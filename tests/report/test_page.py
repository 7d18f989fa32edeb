import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from opensphere.report import page
from opensphere.report.results import read_results
from opensphere.report.thrift import THRIFTS
from tests.report.material import (
    change_study,
    write_comparison,
    write_data,
    write_evidence,
    write_run,
    write_study,
    write_table,
)

EVIL = "<script>alert(1)</script>"
_VOID = {"meta", "link", "img", "input", "line", "br", "hr"}


class Tree(HTMLParser):
    """What a page consists of; a tag that is closed by another is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "script":
            self.scripts.append("")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif not self.open or self.open[-1] != "style":
            self.text += data


def read(folders, refresh: int = 0) -> tuple[str, Tree]:
    results = read_results(folders)
    html = page.render(results, page.build(results), refresh)
    tree = Tree()
    tree.feed(html)
    tree.close()
    assert tree.open == []
    return html, tree


@pytest.fixture(autouse=True)
def without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about our part of the page; the library is five million letters."""
    monkeypatch.setattr(page, "_plotly", lambda: "library()")


def full(tmp_path) -> list:
    folders = [write_run(tmp_path / name, head) for name, head in (("a", "ArcFace"), ("b", "CosFace"))]
    for folder, accuracy in zip(folders, (96.0, 94.0), strict=True):
        write_table(folder, accuracy)
        write_evidence(folder)
        write_data(folder)
    write_comparison(*folders, 2.0, 0.01)
    return folders


def test_a_full_page_is_sound(tmp_path) -> None:
    html, tree = read(full(tmp_path))
    assert len(tree.ids) == len(set(tree.ids))
    links = [str(found["href"])[1:] for tag, found in tree.tags if tag == "a"]
    assert links == ["test-1", "trained", "data", "training", "sphere", "files"] and set(links) <= set(tree.ids)
    figures = {figure["name"] for figure in json.loads(tree.scripts[0])["figures"]}
    places = [found["data-figure"] for _, found in tree.tags if "data-figure" in found]
    assert set(places) == figures and len(places) == len(figures)
    for word in ("ArcFace is best", "Results on pairs", "not finished", "Hardest pairs", "What was trained"):
        assert (word in tree.text) == (word != "not finished")
    for word in (
        "What ArcFace, CosFace learned from.",
        "45 images of 3 people",
        "label noise",
        "Searches that end with",
    ):
        assert tree.text.count(word) == (2 if word.startswith("Searches") else 1)
    images = [found for tag, found in tree.tags if tag == "img" and str(found["alt"]).endswith("/0.jpg")]
    assert len(images) == 1 and str(images[0]["src"]).startswith("data:image/jpeg;base64,")


def test_a_page_asks_for_nothing(tmp_path) -> None:
    html, tree = read(full(tmp_path))
    for tag, found in tree.tags:
        for key in ("src", "href"):
            target = found.get(key)
            assert target is None or target.startswith(("data:", "#")), (tag, found)
    policy = [found["content"] for tag, found in tree.tags if found.get("http-equiv") == "Content-Security-Policy"]
    assert policy and str(policy[0]).startswith("default-src 'none'")
    assert not re.search(r"@import|url\(", html)


def test_names_are_text(tmp_path) -> None:
    folders = full(tmp_path / EVIL.replace("/", "_"))
    for folder, name in zip(folders, (EVIL, "</script><b>"), strict=True):
        path = folder / "config.yml"
        path.write_text(path.read_text().replace("ArcFace", name).replace("CosFace", name).replace("faces", EVIL))
        write_evidence(folder, image=f'{EVIL}" onload="alert(1)/1.jpg')
        evil = {key: np.array([f'{EVIL}" onload="alert(2)'] * 2) for key in ("remarks", "person", "picture_name")}
        write_data(folder, (1, 1), name=f"</script>{EVIL}", **evil)
        content = json.loads((folder / "pairs.json").read_text())
        (folder / "pairs.json").write_text(json.dumps({**content, "dataset": EVIL}))
        with open(folder / "metrics.jsonl", "a") as file:
            row = {"kind": "val", "iter": 60, "set": EVIL, EVIL: 1.0}
            warning = {"kind": "warning", "iter": 5, "text": EVIL}
            file.write(json.dumps(row) + "\n" + json.dumps(warning) + "\n")
    html, tree = read(folders)
    assert len(tree.scripts) == 3  # ours: figures, library, page
    assert EVIL not in html and EVIL in tree.text
    assert not [found for _, found in tree.tags if any(key.startswith("on") for key in found)]
    data = json.loads(tree.scripts[0])
    assert data["runs"][0]["label"].startswith(EVIL)
    drawn = json.dumps(data["figures"])
    assert "&lt;script&gt;" in drawn
    for figure in data["figures"]:
        assert all("<script" not in trace.get("name", "") for trace in figure["data"]), figure["name"]


def test_reasons_stand_below_dashes_and_the_best_is_bold(tmp_path) -> None:
    html, tree = read(full(tmp_path))
    assert "TPR@FPR=1e-6: FPR 1e-6 of 300 impostor pairs is less than one pair" in tree.text
    assert re.findall(r"<b>([\d.]+)</b>", html)[:2] == ["96.00", "4.00"]
    assert "[95.00, 97.00]" in tree.text and "1,000 resamples of the people" in tree.text


def test_a_page_says_what_is_missing(tmp_path) -> None:
    folder = write_run(tmp_path / "run", done=20)
    _, tree = read([folder])
    assert "is not finished: 11 of 60" in tree.text and "has not been tested yet" in tree.text
    write_table(folder, 90.0)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yml").write_text("model: {}\n")
    write_table(other, 91.0)
    _, tree = read([folder, other])
    assert "pairs_evidence.npz is not there" in tree.text and "no training curves" in tree.text
    assert "No comparison: test the runs in one call" in tree.text


def test_a_run_that_noted_nothing_has_no_part_on_its_data(tmp_path) -> None:
    _, tree = read([write_run(tmp_path / "run")])
    assert "data" not in tree.ids and "Some of the images" not in tree.text
    assert "Nothing on the training data of ArcFace: there is no training_data.npz." in tree.text
    assert "All that a page can show was found" not in tree.text
    _, tree = read(full(tmp_path))
    assert "All that a page can show was found" in tree.text and "Nothing on the training data" not in tree.text


def test_a_study_whose_runs_noted_nothing_says_so(tmp_path) -> None:
    write_study(tmp_path)
    assert "Nothing on the training data of Losses: there is no training_data.npz." in read([tmp_path])[1].text
    run = next(tmp_path.glob("runs/*"))
    (run / "training_data.npz").write_text("nothing")
    tree = read([tmp_path])[1]
    assert f"{run.relative_to(tmp_path)}: training_data.npz: is damaged" in tree.text
    assert "Nothing on the training data" not in tree.text


def test_commands_in_the_first_sentences_look_like_commands(tmp_path) -> None:
    html, tree = read([write_run(tmp_path / "run", "Odd`<i>`Name", done=20)])
    assert "<code>opensphere test</code>" in html and "`opensphere" not in tree.text
    assert "<i>" not in html and "<code>&lt;i&gt;</code>Name" in html


def test_a_summary_alone_is_a_page(tmp_path) -> None:
    rows = [
        {"model": "raw pixels", "ACC10": 61.1, "ACC10 SE": 0.5},
        {"model": "ArcFace", "ACC10": 97.9, "ACC10 SE": 0.2},
    ]
    (tmp_path / "result.json").write_text(json.dumps({"rows": rows}))
    _, tree = read([tmp_path])
    assert "raw pixels" in tree.text and "± 0.20" in tree.text


def check_places(html: str, tree: Tree) -> None:
    """Places, figures and links of a page fit one another."""
    assert len(tree.ids) == len(set(tree.ids))
    links = {str(found["href"])[1:] for tag, found in tree.tags if tag == "a" and str(found["href"]).startswith("#")}
    assert links <= set(tree.ids)
    figures = [figure["name"] for figure in json.loads(tree.scripts[0])["figures"]]
    assert sorted(figures) == sorted(found["data-figure"] for _, found in tree.tags if "data-figure" in found)


def test_a_page_of_a_study_is_sound(tmp_path) -> None:
    write_study(tmp_path, values=(0, 0.2), evidence_of=True)
    write_data(tmp_path / "runs" / "0-0-0")
    write_data(tmp_path / "runs" / "1-0-0", (9, 10))
    html, tree = read([tmp_path])
    check_places(html, tree)
    assert "What CocoLoss, share 0, seed 0 learned from; what is varied is data.share." in tree.text
    assert "study-1-data" in tree.ids and "45 images of 3 people" in tree.text and "19 images" not in tree.text
    for word in ("Losses", "A margin helps.", "Fewer people.", "What the grids chose", "a machine", "base: base.yml"):
        assert word in tree.text
    assert "Trainings without a result" not in tree.text and "What was trained" not in tree.text
    assert [entry["label"] for entry in json.loads(tree.scripts[0])["runs"]] == ["CocoLoss", "CosFace", "ArcFace"]
    links = [str(found["href"]) for tag, found in tree.tags if tag == "a"]
    assert [link for link in links if not link.startswith("#")] == ["https://example.org/paper"]


def test_a_study_beside_runs_has_colours_of_its_own(tmp_path) -> None:
    write_study(tmp_path / "one")
    write_study(tmp_path / "two")
    write_run(tmp_path / "run")
    html, tree = read([tmp_path])
    check_places(html, tree)
    labels = [entry["label"] for entry in json.loads(tree.scripts[0])["runs"]]
    assert (
        labels[0] == "ArcFace" and labels[1:4] == ["one: CocoLoss", "one: CosFace", "one: ArcFace"] and len(labels) == 7
    )
    figures = {one["name"]: one for one in json.loads(tree.scripts[0])["figures"]}
    assert {trace["meta"]["run"] for trace in figures["seeds-two-unseen-acc10-0"]["data"]} == {4, 5, 6}


@pytest.mark.parametrize("content", ["{", "{}", '{"arms": ["a"], "settings": [{}]}'])
def test_a_damaged_study_is_a_page(tmp_path, content: str) -> None:
    (tmp_path / "study.json").write_text(content)
    html, tree = read([tmp_path])
    check_places(html, tree)
    assert "study.json" in tree.text and (content == "{" or "study.json has no list of `seeds`" in tree.text)


def test_names_of_a_study_are_text(tmp_path) -> None:
    write_study(tmp_path, arms=(EVIL, "</script><b>", "c"), values=(EVIL, "x"))

    def spoil(content) -> None:
        content.update(title=EVIL, claim=EVIL, cut=EVIL, paper="javascript:alert(1)", machine=EVIL)
        content["runs"][0].update(status=EVIL, why=EVIL)
        content["chosen"][0].update(values={EVIL: EVIL})
        content["differences"][0].update(why=EVIL, verdict=EVIL)

    change_study(tmp_path, spoil)
    html, tree = read([tmp_path])
    assert len(tree.scripts) == 3 and EVIL not in html and EVIL in tree.text
    assert not [found for tag, found in tree.tags if tag == "a" and not str(found["href"]).startswith("#")]
    for figure in json.loads(tree.scripts[0])["figures"]:
        drawn = json.dumps([figure["data"], figure["layout"]])
        assert "<script" not in drawn and "<b>" not in drawn, figure["name"]


def test_a_page_grows_smaller_until_it_fits(tmp_path) -> None:
    results = read_results(full(tmp_path))
    for run in results.runs:  # pictures as large as those that tests keep
        run.evidence["pairs"]["pixels"] = run.evidence["pairs"]["pixels"].repeat(3, axis=1).repeat(3, axis=2)
    sizes = [len(page.render(results, page.build(results, one), 0, one).encode()) for one in THRIFTS]
    for step in (1, 3):
        html, _ = page.fit(results, limit=sizes[step])
        assert ("<img" in html) == (step == 1)
        assert len(html.encode()) == sizes[step] and (THRIFTS[step].said or "A head sorts.") in html
    assert "To stay below" not in page.fit(results, limit=sizes[0])[0]
    limit = sizes[-1] - 10_000
    html, _ = page.fit(results, limit=limit)
    assert len(html.encode()) <= limit
    tree = Tree()
    tree.feed(html)
    check_places(html, tree)
    assert "Left out to keep this page small" in tree.text and "ArcFace is best" in tree.text


def test_long_names_of_pictures_do_not_make_a_page_too_large(tmp_path) -> None:
    """Hardest pairs without pictures are names, each of which may be as long as a path can be."""
    folders = full(tmp_path)
    for folder in folders:
        write_evidence(folder, image="a_folder/" * 440 + "1.jpg")
        write_data(folder, range(1, 9), picture_name=np.array(["a_folder/" * 440] * 15))
    html, _ = page.fit(read_results(folders), limit=300_000)
    assert len(html.encode()) <= 300_000 and "a_folder" not in html
    assert "no hardest pairs" in html and "36 images of 8 people" in html and "Images of each person" in html


def test_a_watched_page_loads_itself_anew(tmp_path) -> None:
    folder = write_run(tmp_path / "run", done=20)
    assert 'http-equiv="refresh" content="10"' in read([folder], refresh=10)[0]
    assert 'http-equiv="refresh"' not in read([folder])[0]


def test_embedded_json_cannot_end_its_element() -> None:
    content = {"a": "</script><!--<script>", "b": "&amp; \u2028 é"}
    text = page.embed(content)
    assert not set("<>&\u2028") & set(text) and json.loads(text) == content
