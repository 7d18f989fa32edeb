"""What features tell of labels, on features made for it, on the built-in faces and on LFW."""

from pathlib import Path

import numpy as np
import pytest
import torch

from opensphere.inspection import identity
from opensphere.inspection.identity import People, alike, halves, mixed, one_name, scale_of, wrong_names
from tests.shared import shared

COUNT, IMAGES = 100, 8


def features(
    people: int = COUNT, images: int = IMAGES, seed: int = 0, noise: float = 0.8
) -> tuple[np.ndarray, np.ndarray]:
    """Clusters as those of a good model: centres in all directions, images around them; of any length."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people, 64))
    labels = np.repeat(np.arange(people), images)
    around = centres[labels] + noise * random.normal(size=(len(labels), 64))
    return (around * random.uniform(0.5, 2, (len(labels), 1))).astype(np.float32), labels


def of(found: np.ndarray, labels: np.ndarray) -> People:
    return People.of(found, labels, int(labels.max()) + 1)


def test_centres_and_halves() -> None:
    found, labels = features(5, 3)
    labels[labels == 4] = 3
    people = People.of(found, labels, 6)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    assert people.counts.tolist() == [3, 3, 3, 6, 0, 0] and not people.centres[4:].any()
    mean = unit[labels == 3].sum(axis=0)
    np.testing.assert_allclose(people.centres[3], mean / np.linalg.norm(mean), rtol=1e-5)
    assert halves(people).shape == (4,) and np.all(halves(people) > 0) and len(halves(of(found[:1], labels[:1]))) == 0


def test_the_scale_is_read_from_the_scores_of_the_set() -> None:
    people = of(*features())
    scores = (people.centres @ people.centres.T)[np.triu_indices(COUNT, 1)]
    scale = scale_of(people)
    assert np.mean(scores > scale.two) == pytest.approx(0.01, abs=0.002) and scores.max() < scale.same
    assert scale.useful and scale.known == COUNT and scale.finds >= 0.9 and scale.apart == 1
    assert not scale_of(of(*features(noise=30))).useful and not scale_of(of(*features(5))).useful
    assert scale_of(of(*features(images=1))).known == 0


def test_one_person_under_two_names_is_found() -> None:
    found, labels = features()
    for person in range(6):
        labels[np.flatnonzero(labels == person)[::2]] = COUNT + person
    people = of(found, labels)
    pairs, scores = alike(people.centres, None, scale_of(people).same)
    assert sorted(pairs.tolist()) == [[person, COUNT + person] for person in range(6)]
    assert np.all(np.diff(scores) <= 0)
    together = one_name(labels, pairs, COUNT + 6)
    assert together.max() == COUNT - 1 and np.array_equal(together, np.repeat(np.arange(COUNT), IMAGES))


def test_a_sound_set_gives_no_suspects() -> None:
    people = of(*features())
    assert len(alike(people.centres, None, scale_of(people).same)[0]) == 0
    assert len(mixed(people, scale_of(people))[0]) == 0
    noise = wrong_names(people)
    assert noise.least == 0 and noise.most < 0.01 and noise.compared == COUNT * IMAGES


def test_people_in_two_sets_are_found() -> None:
    found, labels = features()
    first, second = labels < 60, labels >= 56
    odd = np.arange(len(labels)) % 2 == 1
    shared_people = first & second
    left = of(found[first & ~(shared_people & odd)], labels[first & ~(shared_people & odd)])
    right = of(found[second & ~(shared_people & ~odd)], labels[second & ~(shared_people & ~odd)])
    pairs, _ = alike(left.centres, right.centres, scale_of(left, right).same)
    both = [pair for pair in pairs.tolist() if pair[0] == pair[1]]
    assert sorted(both) == [[person, person] for person in range(56, 60)] and len(pairs) <= 5  # one by chance


def test_two_people_under_one_name_are_found() -> None:
    found, labels = features()
    labels[labels >= COUNT - 5] -= 15  # 80 to 84 are joined with 95 to 99
    people = of(found, labels)
    persons, scores, parts = mixed(people, scale_of(people))
    assert sorted(persons.tolist()) == [80, 81, 82, 83, 84] and np.all(np.diff(scores) >= 0)
    for part in parts:
        assert len(part) == IMAGES and len(set(part // IMAGES)) == 1  # all images of one of the two


def test_stray_images_are_not_another_person() -> None:
    found, labels = features()
    labels[50 * IMAGES :: IMAGES] = np.repeat(np.arange(25), 2)  # two each, of two people
    people = of(found, labels)
    assert len(mixed(people, scale_of(people))[0]) == 0


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_wrong_names_are_found_and_estimated_from_below_and_above(share: float) -> None:
    found, right = features()
    random = np.random.default_rng(1)
    labels = np.where(random.random(len(right)) < share, random.integers(0, COUNT, len(right)), right)
    noise = wrong_names(of(found, labels))
    wrong = labels != right
    assert noise.least <= wrong.mean() <= noise.most and noise.most - noise.least < 0.02 + share / 4
    assert np.mean(wrong[noise.images]) > 0.97 and np.all(noise.own < noise.best)
    assert np.mean(noise.others == right[noise.images]) > 0.97


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found, labels = features(30)
    labels[::7] = 0
    people = of(found, labels)
    whole = (alike(people.centres, None, 0.3), scale_of(people), wrong_names(people))
    monkeypatch.setattr(identity, "_BLOCK", 100)
    pairs, scores = alike(people.centres, None, 0.3)
    assert np.array_equal(pairs, whole[0][0]) and np.allclose(scores, whole[0][1])
    assert scale_of(people).same == pytest.approx(whole[1].same, abs=1e-3)
    assert np.array_equal(wrong_names(people).images, whole[2].images)
    monkeypatch.setattr(identity, "_MOST", 10)
    assert np.array_equal(alike(people.centres, None, 0.3)[0], whole[0][0][:10])


def test_steps_add_up() -> None:
    people = of(*features(20))
    told = {"alike": 0, "mixed": 0, "wrong": 0}

    def step(name: str) -> identity.Step:
        return lambda count: told.__setitem__(name, told[name] + count)

    alike(people.centres, None, 0.9, step=step("alike"))
    mixed(people, scale_of(people), step("mixed"))
    wrong_names(people, step=step("wrong"))
    assert told == {"alike": 20, "mixed": 20, "wrong": 160}


def lfw() -> tuple[People, list[str], list[str]]:
    """The people of LFW's pairs by a small published model: people, names, paths."""
    known = np.load(shared("goldens/lfw_embeddings.npz"))
    lines = [line.split() for line in Path(shared("faces/lfw/lfw_ann.txt")).read_text().splitlines()]
    paths = [""] * len(known["embeddings"])
    for (_, one, two), first, second in zip(lines, known["index0"], known["index1"], strict=True):
        paths[first], paths[second] = one, two
    names, labels = np.unique([path.split("/")[0] for path in paths], return_inverse=True)
    return of(known["embeddings"][:, :128] + known["embeddings"][:, 128:], labels), names.tolist(), paths


@pytest.mark.slow
def test_lfw() -> None:
    """All that is found deserves a look: two spellings, a nickname, one photograph, and a pair of twins."""
    people, names, paths = lfw()
    scale = scale_of(people)
    assert scale.useful and 0.7 < scale.same < 0.8 and 0.4 < scale.finds < 0.6
    pairs, _ = alike(people.centres, None, scale.same)
    assert {(names[one], names[two]) for one, two in pairs.tolist()} == {
        ("Joseph_Blatter", "Sepp_Blatter"),
        ("Hasan_Wirayuda", "Hassan_Wirajuda"),
        ("Chyung_Dai-chul", "Dai_Chul_Chyung"),
        ("Gabrielle_Rose", "Martha_Bowen"),
        ("Carolina_Moraes", "Isabela_Moraes"),
    }
    assert [names[person] for person in mixed(people, scale)[0]] == ["Claudia_Pechstein"]
    noise = wrong_names(people)
    assert [(paths[image], names[other]) for image, other in zip(noise.images, noise.others, strict=True)] == [
        ("Cristina_Fernandez/Cristina_Fernandez_0002.jpg", "Cristina_Kirchner")
    ]
    assert noise.least < 0.001 and 0.02 < noise.most < 0.04


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_planted_noise_in_the_built_in_faces(share: float, built_in: tuple[np.ndarray, np.ndarray]) -> None:
    found, right = built_in
    random = np.random.default_rng(0)
    labels = np.where(random.random(len(right)) < share, random.integers(0, right.max() + 1, len(right)), right)
    noise = wrong_names(of(found, labels))
    true = np.mean(labels != right)
    assert true - 0.05 * (share > 0) - 0.02 <= noise.least <= true <= noise.most <= true + 0.05
    if share:
        assert np.mean((labels != right)[noise.images]) > 0.95


@pytest.fixture(scope="module")
def built_in() -> tuple[np.ndarray, np.ndarray]:
    """Features of people whom the model that comes with the project has not seen."""
    from opensphere import config as cfg
    from opensphere.command.test import read_run
    from opensphere.dataset.synthetic import SyntheticFaces
    from opensphere.engine.checkpoint import load_weights, read_weights
    from opensphere.engine.extract import extract
    from opensphere.engine.parallel import World

    net, _, weights = read_run(Path(__file__).resolve().parents[2] / "pretrained/faces_arcface")
    backbone = cfg.build_backbone(**net)
    load_weights(backbone, read_weights(weights[max(weights)]), weights[max(weights)])
    dataset = SyntheticFaces(people=100, images=12, image_size=64, first_person=2000)
    return extract(backbone, dataset, World(0, 1, torch.device("cpu")), 100), dataset.labels
