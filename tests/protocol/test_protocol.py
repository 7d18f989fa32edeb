from types import SimpleNamespace

import numpy as np
import pytest

from opensphere import protocol
from opensphere.error import UserError
from tests.protocol.test_verification import features_of, pairs_of


def test_a_set_without_pairs_is_refused():
    with pytest.raises(UserError, match="^people: nothing can be measured on SimpleNamespace; give a set of pairs"):
        protocol.check(SimpleNamespace(name="people", labels=np.arange(3)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite(value):
    dataset = pairs_of()
    features = features_of(dataset)
    features[[4, 9], [0, 1]] = value
    with pytest.raises(UserError, match="^faces: the features of 2 of 50 images are not finite"):
        protocol.evaluate(dataset, features)


def test_one_feature_an_image():
    dataset = pairs_of()
    for features in (features_of(dataset)[:-1], features_of(dataset).ravel()):
        with pytest.raises(ValueError, match="for the 50 images of faces"):
            protocol.evaluate(dataset, features)
