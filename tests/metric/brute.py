"""The metrics of pairs by plain loops: slow and obvious.

Scores and labels are lists; a pair is accepted from a threshold on. What has a weight is repeated (`repeated`).
"""

import math
from itertools import pairwise


def repeated(values, weight):
    """Each value as often as its weight says."""
    return [value for value, times in zip(values, weight, strict=True) for _ in range(int(times))]


def split(scores, is_same):
    genuine = [score for score, same in zip(scores, is_same, strict=True) if same]
    impostor = [score for score, same in zip(scores, is_same, strict=True) if not same]
    return genuine, impostor


def accepted(scores, threshold):
    return sum(score >= threshold for score in scores)


def points(scores, is_same):
    """(threshold, false accepts, true accepts) of a threshold that accepts nothing and of each distinct score."""
    genuine, impostor = split(scores, is_same)
    thresholds = [math.inf, *sorted(set(scores), reverse=True)]
    return [(threshold, accepted(impostor, threshold), accepted(genuine, threshold)) for threshold in thresholds]


def most(fpr, impostors):
    """How many impostors may be accepted: fpr is meant as the decimal that it prints as."""
    return max(count for count in range(impostors + 1) if count == 0 or count / impostors <= fpr)


def tpr_at(scores, is_same, fpr):
    genuine, impostor = split(scores, is_same)
    allowed = most(fpr, len(impostor))
    return max(true for _, false, true in points(scores, is_same) if false <= allowed) / len(genuine)


def threshold_at(scores, is_same, fpr):
    allowed = most(fpr, len(split(scores, is_same)[1]))
    return min(threshold for threshold, false, _ in points(scores, is_same) if false <= allowed)


def eer(scores, is_same):
    """Where the straight lines between the points meet FPR = 1 - TPR."""
    genuine, impostor = split(scores, is_same)
    rates = [(false / len(impostor), 1 - true / len(genuine)) for _, false, true in points(scores, is_same)]
    for (fmr, fnmr), (next_fmr, next_fnmr) in pairwise(rates):
        before, after = fnmr - fmr, next_fnmr - next_fmr
        if before > 0 >= after - 1e-12:
            return fmr + (next_fmr - fmr) * before / (before - after)
    raise AssertionError("a curve from (0, 0) to (1, 1) crosses the diagonal")


def auc(scores, is_same):
    genuine, impostor = split(scores, is_same)
    return sum((g > i) + 0.5 * (g == i) for g in genuine for i in impostor) / (len(genuine) * len(impostor))


def accuracy(scores, is_same):
    genuine, impostor = split(scores, is_same)
    best = max(true + len(impostor) - false for _, false, true in points(scores, is_same))
    return best / len(scores)


def d_prime(scores, is_same):
    means, variances = [], []
    for side in split(scores, is_same):
        means.append(sum(side) / len(side))
        variances.append(sum((score - means[-1]) ** 2 for score in side) / len(side))
    return (means[0] - means[1]) / math.sqrt(sum(variances) / 2)


def pair_weights(persons, drawn):
    """How often each pair counts when each person is drawn so often."""
    return [drawn[a] if a == b else drawn[a] * drawn[b] for a, b in persons]
