import numpy as np
import pytest

from opensphere.error import UserError
from opensphere.protocol.columns import check_kinds, expand, rate

KNOWN = {"ACC": ["ACC"], "all": ["ACC", "EER"], "TPR@FPR": ["TPR@FPR=1e-4", "TPR@FPR=5e-2"]}


@pytest.mark.parametrize(
    ("asked", "columns"),
    [
        (["ACC"], ["ACC"]),
        (["TPR@FPR", "ACC"], ["TPR@FPR=1e-4", "TPR@FPR=5e-2", "ACC"]),
        (["EER=1"], None),
        (["ACC", "all", "ACC"], ["ACC", "EER"]),
        (["TPR@FPR=5e-2", "TPR@FPR"], ["TPR@FPR=5e-2", "TPR@FPR=1e-4"]),
        (["TPR@FPR=1", "TPR@FPR=0.02"], ["TPR@FPR=1", "TPR@FPR=0.02"]),
        (["TPR@FPR=0"], None),
        (["TPR@FPR=1.01"], None),
        (["TPR@FPR=-1e-3"], None),
        (["TPR@FPR=nan"], None),
        (["TPR@FPR="], None),
        (["TPR@FPR=low"], None),
        (["ACC=0.1"], None),
        (["acc"], None),
        ([""], None),
        ([], []),
    ],
)
def test_names_stand_for_columns(asked, columns):
    if columns is None:
        known = r"known are ACC, all, TPR@FPR, TPR@FPR=x \(0 < x <= 1\)$"
        with pytest.raises(UserError, match=f"^faces: metrics: {asked[0]!r} is not known; {known}"):
            expand(asked, KNOWN, "faces")
    else:
        assert expand(asked, KNOWN, "faces") == columns


def test_rate():
    assert rate("TPR@FPR=5e-3") == 0.005


def test_both_kinds_are_needed():
    check_kinds(np.array([True, False]), "faces")
    for is_same, kind in (([True], "impostor"), ([False, False], "genuine"), ([], "genuine")):
        with pytest.raises(UserError, match=f"^faces: there are no {kind} pairs"):
            check_kinds(np.array(is_same, bool), "faces")
