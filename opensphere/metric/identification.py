"""Search of probes in a gallery, 1:N. All rates are shares, not per cent."""

import math

import numpy as np

_BLOCK = 1 << 22  # scores held at once: 16 MiB in float32


class Search:
    """The scores of each probe against a gallery that holds its person, reduced block by block to what metrics need.

    A score is the product of two features: the cosine, for features of unit length. If a person has several gallery
    entries, the best one counts.

    Args:
        probe: (P, D), gallery: (G, D): features.
        probe_person: (P,), gallery_person: (G,): whom each shows.
        most_impostors: how many of the highest impostor scores to keep.

    Attributes:
        genuine: (P,), the score of each probe with its own person.
        rank: (P,) int64, one more than the number of impostor entries that score as high or higher. A tie counts
            against the probe: features that are all the same find nobody.
        impostors: the highest scores, descending, over all pairs of a probe and another person's gallery entry.

    Raises:
        ValueError: a probe's person is not in the gallery, or a score is not a number.
    """

    def __init__(
        self,
        probe: np.ndarray,
        probe_person: np.ndarray,
        gallery: np.ndarray,
        gallery_person: np.ndarray,
        most_impostors: int = 0,
    ):
        if not len(probe):
            raise ValueError("there are no probes")
        missing = ~np.isin(probe_person, gallery_person)
        if missing.any():
            raise ValueError(f"{int(missing.sum())} of {len(probe)} probes show people who are not in the gallery")
        genuine, rank, impostors = [], [], np.empty(0, np.result_type(probe, gallery))
        step = max(1, _BLOCK // len(gallery))
        for start in range(0, len(probe), step):
            scores = probe[start : start + step] @ gallery.T
            if np.isnan(scores).any():
                raise ValueError("scores are not numbers; check the features")
            own = probe_person[start : start + step, None] == gallery_person
            best = np.where(own, scores, -np.inf).max(axis=1)
            scores[own] = -np.inf
            genuine.append(best)
            rank.append(1 + np.sum((scores >= best[:, None]) & ~own, axis=1))
            impostors = _highest(np.concatenate([impostors, scores[~own]]), most_impostors)
        self.genuine = np.concatenate(genuine)
        self.rank = np.concatenate(rank)
        self.impostors = np.sort(impostors)[::-1]

    def top(self, k: int) -> float:
        """The share of probes whose own person is among the k best entries: rank-k identification rate."""
        return float(np.mean(self.rank <= k))

    def seed_tpir(self, fpir: float) -> float:
        """The share of probes that score above a threshold with their own person, as OpenSphere reads TPIR at FPIR.

        The threshold is the impostor score number ceil(FPIR x probes) from the top over all pairs of a probe and a
        gallery entry of somebody else. It is not the TPIR of the standards, whose FPIR is the share of searches for
        people outside the gallery that return anybody.

        Raises:
            ValueError: FPIR is not in (0, 1], or so many impostor scores were not kept or do not exist.
        """
        if not 0 < fpir <= 1:
            raise ValueError(f"FPIR {fpir} is not above 0 and at most 1")
        number = impostors_needed(fpir, len(self.rank))
        if number > len(self.impostors):
            raise ValueError(f"FPIR {fpir} needs {number} impostor scores; there are {len(self.impostors)}")
        return float(np.mean(self.genuine > self.impostors[number - 1]))


def impostors_needed(fpir: float, probes: int) -> int:
    """How many of the highest impostor scores `Search` must keep for `seed_tpir` at an FPIR."""
    return math.ceil(fpir * probes)


def _highest(scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` highest scores, in no order; all of them if there are no more."""
    if not 0 < count < len(scores):
        return scores[:count]
    return np.partition(scores, len(scores) - count)[len(scores) - count :]
