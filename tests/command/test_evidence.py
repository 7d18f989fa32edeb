"""What a test keeps for the page, of sets of each kind."""

from types import SimpleNamespace

import numpy as np
import pytest

from opensphere.command import evidence as command
from opensphere.command.evidence import write_evidence
from opensphere.dataset.blufr import BLUFRDataset
from opensphere.dataset.distractors import DistractorSet
from opensphere.dataset.ijb import IJBDataset
from opensphere.dataset.pair import PairDataset
from opensphere.metric import evidence
from opensphere.metric.attempts import Attempts
from opensphere.protocol.ijb import templates_of
from tests.dataset.blufr_fixture import write_blufr
from tests.dataset.ijb_fixture import write_ijb
from tests.dataset.pictures import picture, save


def features_of(persons: np.ndarray, noise: float = 0.7) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(int(persons.max()) + 2, 8))
    return (centres[persons] + noise * rng.normal(size=(len(persons), 8))).astype(np.float32)


def cosines(features: np.ndarray) -> np.ndarray:
    x = features / np.linalg.norm(features, axis=1, keepdims=True)
    return x @ x.T


def nearest(cos: np.ndarray, persons: np.ndarray, allowed: np.ndarray | None = None) -> dict[frozenset, float]:
    """The best score of each two known people."""
    best: dict[frozenset, float] = {}
    for i in range(len(persons)):
        for j in range(i):
            if min(persons[i], persons[j]) < 0 or persons[i] == persons[j] or not (allowed is None or allowed[i, j]):
                continue
            key = frozenset((int(persons[i]), int(persons[j])))
            best[key] = max(best.get(key, -2.0), float(cos[i, j]))
    return best


def assert_alike(found: evidence.Arrays, best: dict[frozenset, float], persons: np.ndarray | None = None) -> None:
    expected = sorted(best.values(), reverse=True)[:12]
    np.testing.assert_allclose(found["alike_scores"], expected, rtol=1e-5)
    named = [frozenset(row) for row in found["alike_person"].tolist()]
    assert len(set(named)) == len(expected)
    assert [best[row] for row in named] == pytest.approx(expected, rel=1e-5)
    if persons is not None:
        np.testing.assert_array_equal(persons[found["alike"]], found["alike_person"])
    assert set(found["alike"].ravel()) <= set(found["image"]) and len(found["image"]) == len(found["pixels"])


def write_named_pairs(tmp_path, people: int = 7) -> PairDataset:
    """LFW's folders, four images a person of whom the list pairs two; its few impostor pairs are of neighbours."""
    for person in range(people):
        for number in range(4):
            save(tmp_path / "images" / f"p{person}" / f"p{person}_{number}.png", 4 * person + number)
    lines = [f"1 p{n}/p{n}_0.png p{n}/p{n}_1.png" for n in range(people)]
    lines += [f"0 p{n}/p{n}_2.png p{(n + 1) % people}/p{(n + 1) % people}_3.png" for n in range(people)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    return PairDataset("named", tmp_path / "images", tmp_path / "pairs.txt", image_size=24)


def test_people_known_by_name_are_compared_beyond_the_list(tmp_path) -> None:
    dataset = write_named_pairs(tmp_path)
    features = features_of(dataset.persons)
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    assert found["alike_images"] == len(dataset) == 28
    assert_alike(found, nearest(cosines(features), dataset.persons), dataset.persons)


@pytest.mark.parametrize("few", [False, True])
def test_people_known_by_their_pairs_are_not(tmp_path, monkeypatch, few: bool) -> None:
    """Two images that no pair joins may show one person; of many images, too, the list's pairs are all."""
    dataset = write_named_pairs(tmp_path)
    monkeypatch.setattr(command, "FEW", 10 if few else 1000)
    if not few:
        dataset.persons = np.arange(28)
        dataset.persons[dataset.pairs[dataset.is_same, 1]] = dataset.persons[dataset.pairs[dataset.is_same, 0]]
    features = features_of(dataset.persons)
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    listed = np.zeros((28, 28), bool)
    for i, j in dataset.pairs[~dataset.is_same]:
        listed[i, j] = listed[j, i] = True
    assert found["alike_images"] == 0
    assert_alike(found, nearest(cosines(features), dataset.persons, listed), dataset.persons)


def test_evidence_of_templates(tmp_path) -> None:
    small = write_ijb(tmp_path, people=25, probes=60, pictures=True, seed=1)
    dataset = IJBDataset("ijb", small.data_dir, small.meta_dir, image_size=32)
    features = features_of(dataset.persons[dataset.template])
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    cos = cosines(templates_of(dataset, features))
    scores = cos[tuple(dataset.template_pairs.T)]
    assert (found["genuines"], found["impostors"]) == (dataset.is_same.sum(), (~dataset.is_same).sum())
    middle = len(found["thresholds"]) // 2
    accepted = scores >= found["thresholds"][middle] - 1e-6
    assert found["true_accepts"][middle] == (accepted & dataset.is_same).sum()
    assert found["hard_impostor_scores"][0] == pytest.approx(scores[~dataset.is_same].max(), rel=1e-5)
    of_images = dataset.persons[dataset.template]
    listed = np.zeros(cos.shape, bool)
    listed[tuple(dataset.template_pairs.T)] = listed[tuple(dataset.template_pairs[:, ::-1].T)] = True
    assert_alike(found, nearest(cos, dataset.persons, listed), of_images)
    one, other = found["hard_genuine"][0]
    assert of_images[one] == of_images[other] and found["image_name"][0].endswith(".png")


def test_features_of_some_people_are_those_of_templates(tmp_path) -> None:
    small = write_ijb(tmp_path, people=25, probes=60, pictures=True, seed=1)
    dataset = IJBDataset("ijb", small.data_dir, small.meta_dir, image_size=32)
    features = features_of(dataset.persons[dataset.template])
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    templates = templates_of(dataset, features)
    counts = np.bincount(dataset.persons)
    people = np.unique(found["sample_person"])
    assert len(people) == 12 and min(counts[people]) >= np.sort(counts)[-12]
    expected = np.concatenate([templates[dataset.persons == person] for person in people])
    np.testing.assert_array_equal(found["sample"], expected)
    np.testing.assert_allclose(np.linalg.norm(found["sample"], axis=1), 1, rtol=1e-5)


def test_the_searches_of_templates(tmp_path) -> None:
    small = write_ijb(tmp_path, people=25, probes=60, pictures=True, seed=1)
    dataset = IJBDataset("ijb", small.data_dir, small.meta_dir, image_size=32)
    features = features_of(dataset.persons[dataset.template], noise=1.2)
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    cos = cosines(templates_of(dataset, features))
    probe, places = dataset.probe, []
    for row, person in zip(cos[probe.template], probe.person, strict=True):
        own = dataset.gallery.person == person
        entries = row[dataset.gallery.template]
        places.append(1 + np.sum(entries[~own] >= entries[own].max()))
    np.testing.assert_allclose(found["cmc"], [np.mean(np.array(places) <= k) for k in found["ranks"]])
    assert 0.3 < found["cmc"][0] < 1 == found["cmc"][-1]
    assert found["tpir"][-1] <= 1 and np.all(np.diff(found["tpir"]) >= 0) and len(found["fpir"]) > 5


def test_searches_of_templates_that_somebody_else_wins(tmp_path) -> None:
    """By the lists of 1:N over all galleries together; each template stands as its first image."""
    small = write_ijb(tmp_path, people=25, probes=60, pictures=True, seed=1)
    dataset = IJBDataset("ijb", small.data_dir, small.meta_dir, image_size=32)
    features = features_of(dataset.persons[dataset.template], noise=1.6)
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    cos, gallery, lost = cosines(templates_of(dataset, features)), dataset.gallery, []
    for probe, person in zip(dataset.probe.template, dataset.probe.person, strict=True):
        own, others = gallery.template[gallery.person == person], gallery.template[gallery.person != person]
        mate, wrong = (max(some, key=lambda entry: cos[probe, entry]) for some in (own, others))
        if cos[probe, wrong] >= cos[probe, mate]:
            lost.append((cos[probe, wrong], cos[probe, mate], (probe, wrong, mate)))
    lost.sort(reverse=True)
    assert len(lost) > 12 and len(found["hard_search"]) == 12
    images = [[int(np.flatnonzero(dataset.template == one)[0]) for one in row] for _, _, row in lost[:12]]
    assert found["hard_search"].tolist() == images
    np.testing.assert_allclose(found["hard_search_scores"], [row[:2] for row in lost[:12]], rtol=1e-5)
    assert set(found["hard_search"].ravel()) <= set(found["image"])


def test_templates_without_searches(tmp_path) -> None:
    small = write_ijb(tmp_path, people=12, probes=30, pictures=True)
    for suffix in ("_1N_gallery_G1.csv", "_1N_gallery_G2.csv", "_1N_probe_mixed.csv"):
        small.file(suffix).unlink()
    dataset = IJBDataset("ijb", small.data_dir, small.meta_dir, image_size=32)
    found = evidence.read(write_evidence(tmp_path, dataset, features_of(dataset.persons[dataset.template]), 1))
    assert not {"cmc", "tpir", "hard_search"} & set(found) and found["genuines"] == dataset.is_same.sum()


def test_evidence_of_trials(tmp_path) -> None:
    write_blufr(tmp_path, people=14)
    dataset = BLUFRDataset("blufr", tmp_path / "images", tmp_path / "blufr.mat", image_size=24)
    persons, features = dataset.labels, features_of(dataset.labels)
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    cos = cosines(features)
    pairs = [(i, j) for trial in dataset.trials for place, i in enumerate(trial.test) for j in trial.test[:place]]
    same = np.array([persons[i] == persons[j] for i, j in pairs])
    assert (found["genuines"], found["impostors"]) == (same.sum(), (~same).sum())
    scores = np.array([cos[pair] for pair in pairs])
    assert found["hard_genuine_scores"][0] == pytest.approx(scores[same].min(), rel=1e-5)
    assert_alike(found, nearest(cos, persons), persons)
    first = []
    for trial in dataset.trials:
        ranks = []
        for probe in trial.probe:
            own = persons[trial.gallery] == persons[probe]
            if own.any():
                entries = cos[probe, trial.gallery]
                ranks.append(1 + np.sum(entries[~own] >= entries[own].max()))
        first.append(np.mean(np.array(ranks) == 1))
    assert found["cmc"][0] == pytest.approx(np.mean(first)) and len(found["tpir"]) == len(found["fpir"])
    assert set(found["sample_person"]) <= set(persons)


def test_evidence_among_distractors(tmp_path, monkeypatch) -> None:
    for number in range(24):
        save(tmp_path / "people" / f"p{number // 4}" / f"{number}.png", number)
    for number in range(9):
        save(tmp_path / "strangers" / f"{number}.png", 100 + number)
    dataset = DistractorSet("many", tmp_path / "people", tmp_path / "strangers", image_size=24)
    features = features_of(dataset.persons)
    cos = cosines(features)
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    assert (found["genuines"], found["impostors"]) == (36, 24 * 9)
    assert found["hard_impostor_scores"][0] == pytest.approx(cos[:24, 24:].max(), rel=1e-5)
    assert_alike(found, nearest(cos, dataset.persons), dataset.persons)
    assert found["alike_images"] == 24 and found["sample_person"].min() == 0
    monkeypatch.setattr(command, "MOST_SCORES", 24 * 5)
    few = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    assert few["impostors"] == 24 * 5
    assert few["hard_impostor_scores"][0] == pytest.approx(cos[:24][:, dataset.distractors[:5]].max(), rel=1e-5)


def test_look_alikes_of_searches_are_people_who_are_known(tmp_path, monkeypatch) -> None:
    persons = np.concatenate([np.arange(30) // 3, np.full(10, -1)])
    features = features_of(persons)
    searched = SimpleNamespace(
        name="tiny", persons=persons, gallery_index=np.arange(1, 40, 2), probe_index=np.arange(0, 30, 2),
        image=picture, path=lambda index: f"{index}.jpg",
    )  # fmt: skip
    found = evidence.read(write_evidence(tmp_path, searched, features, 1))
    assert found["alike_images"] == 30
    assert_alike(found, nearest(cosines(features), persons), persons)
    monkeypatch.setattr(command, "FEW", 20)
    drawn = evidence.read(write_evidence(tmp_path, searched, features, 1))
    again = evidence.read(write_evidence(tmp_path, searched, features, 1))
    assert drawn["alike_images"] == 20 and len(np.unique(drawn["alike"])) <= 20
    np.testing.assert_array_equal(drawn["alike"], again["alike"])
    np.testing.assert_array_equal(persons[drawn["alike"]], drawn["alike_person"])


def searched_set(noise: float, people: int = 30, strangers: int = 40):
    """A gallery of two images a person and of strangers, and two probes a person."""
    persons = np.concatenate([np.repeat(np.arange(people), 4), np.full(strangers, -1)])
    probe = np.flatnonzero((np.arange(len(persons)) % 4 < 2) & (persons >= 0))
    features = features_of(persons, noise)
    dataset = SimpleNamespace(
        name="tiny", persons=persons, gallery_index=np.setdiff1d(np.arange(len(persons)), probe)[::-1],
        probe_index=probe, image=picture, path=lambda index: f"{index}.jpg",
    )  # fmt: skip
    return features, dataset


def test_searches_that_somebody_else_wins(tmp_path) -> None:
    features, dataset = searched_set(1.3)
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    cos, persons, lost = cosines(features), dataset.persons, []
    for probe in dataset.probe_index:
        own = [entry for entry in dataset.gallery_index if persons[entry] == persons[probe]]
        others = [entry for entry in dataset.gallery_index if persons[entry] != persons[probe]]
        mate, wrong = (max(some, key=lambda entry: cos[probe, entry]) for some in (own, others))
        if cos[probe, wrong] >= cos[probe, mate]:
            lost.append((cos[probe, wrong], cos[probe, mate], (probe, wrong, mate)))
    lost.sort(reverse=True)
    assert len(lost) > 12 and len(found["hard_search"]) == 12
    assert found["hard_search"].tolist() == [list(map(int, images)) for _, _, images in lost[:12]]
    np.testing.assert_allclose(found["hard_search_scores"], [row[:2] for row in lost[:12]], rtol=1e-5)
    assert any(persons[wrong] < 0 for _, wrong, _ in found["hard_search"])  # strangers among them
    assert set(found["hard_search"].ravel()) <= set(found["image"])
    assert found["cmc"][0] == pytest.approx(1 - len(lost) / len(dataset.probe_index))


def test_where_nobody_else_wins_no_search_is_named(tmp_path) -> None:
    features, dataset = searched_set(0.01)
    found = evidence.read(write_evidence(tmp_path, dataset, features, 1))
    assert found["hard_search"].shape == (0, 3) and found["hard_search_scores"].shape == (0, 2)


def test_searches_without_strangers_have_no_open_set_curve() -> None:
    none = Attempts(np.array([0.5]), np.zeros(1, int), np.empty(0), np.empty((0, 1), int), 0)
    assert command._open_set([none]) == {} == command._open_set([])
