import numpy as np
import pytest

from opensphere.dataset.reader import Reader, open_reader
from opensphere.dataset.reader.joined import Joined
from tests.dataset.pictures import save


class Unsure(Reader):
    def __len__(self):
        return 1


def test_readers_one_after_another(tmp_path):
    for part, count in (("0", 12), ("1", 11)):
        for number in range(count):
            save(tmp_path / part / f"{number:02d}.png", number)
    readers = [open_reader(tmp_path / part, people=False) for part in "01"]
    joined = Joined([*readers, readers[0]])
    assert len(joined) == 12 + 11 + 12
    for index in range(35):
        reader, item = (readers * 2)[0 if index < 12 else 1 if index < 23 else 2], index
        item -= 0 if index < 12 else 12 if index < 23 else 23
        assert joined.path(index) == reader.path(item) and joined.where(index) == reader.where(item)
        assert joined.data(index) == reader.data(item)
    indices = np.array([30, 3, 14, 22])
    parts = [readers[0].keys(np.array([7, 3])), readers[1].keys(np.array([2, 10]))]
    np.testing.assert_array_equal(joined.keys(indices), np.concatenate(parts))
    assert Joined([readers[0], Unsure()]).keys(indices[:1]) is None
    with pytest.raises(IndexError):
        joined.path(35)
