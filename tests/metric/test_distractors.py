import numpy as np
import pytest

from opensphere.metric import distractors
from opensphere.metric.distractors import search_among


def material(seed=0):
    rng = np.random.default_rng(seed)
    persons = rng.permutation(np.repeat([0, 1, 2, 3], [5, 4, 1, 3]))
    probes = rng.integers(-3, 4, (13, 3)).astype(np.float32)
    return probes, persons, rng.integers(-3, 4, (40, 3)).astype(np.float32)


@pytest.mark.parametrize(("rows", "columns"), [(1024, 4096), (3, 7), (1, 1)])
@pytest.mark.parametrize("sizes", [[1, 10, 40], [7], [3, 4, 5, 39]])
def test_searches_in_loops(monkeypatch, rows, columns, sizes):
    monkeypatch.setattr(distractors, "_ROWS", rows)
    monkeypatch.setattr(distractors, "_COLUMNS", columns)
    probes, persons, strangers = material()
    found = search_among(probes, persons, strangers, sizes, 25)
    for number, size in enumerate(sizes):
        hits, searches = 0, 0
        for entry in range(13):  # the person's one image in the gallery
            for probe in range(13):
                if probe != entry and persons[probe] == persons[entry]:
                    own = probes[probe] @ probes[entry]
                    hits += all(probes[probe] @ stranger < own for stranger in strangers[:size])
                    searches += 1
        assert searches == 2 * len(found.pairs) and 0 < hits < searches
        assert found.found(number).sum() == hits
    scores = sorted((float(a @ b) for a in probes for b in strangers), reverse=True)
    assert found.attempts.impostor.tolist() == scores[:25] and found.attempts.impostors == 13 * 40
    limit = scores[int(0.03 * 520)]
    own = [probes[a] @ probes[b] for a in range(13) for b in range(a) if persons[a] == persons[b]]
    assert found.attempts.tpr_at(0.03) == np.mean(np.array(own) > limit)


def test_whose_the_attempts_are():
    probes, persons, strangers = material()
    found = search_among(probes, persons, strangers, [40], 13 * 40)
    for person in range(4):
        of_person = np.sort(found.attempts.impostor[found.attempts.impostor_persons[:, 0] == person])
        np.testing.assert_array_equal(of_person, np.sort((probes[persons == person] @ strangers.T).ravel()))
        pairs = found.attempts.genuine[found.attempts.genuine_person == person]
        assert len(pairs) == np.sum(persons == person) * (np.sum(persons == person) - 1) // 2


@pytest.mark.parametrize("sizes", [[], [0, 3], [5, 5], [10, 5], [41]])
def test_sizes_that_cannot_be(sizes):
    probes, persons, strangers = material()
    with pytest.raises(ValueError, match="do not ascend from 1 to at most 40"):
        search_among(probes, persons, strangers, sizes, 1)


def test_features_that_are_not_finite():
    probes, persons, strangers = material()
    strangers[3] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        search_among(probes, persons, strangers, [40], 1)
