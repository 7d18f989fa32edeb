"""Names of metrics, as a config asks for them, and the columns of a table that they stand for."""

from collections.abc import Mapping, Sequence

import numpy as np

from opensphere.error import UserError


def expand(asked: Sequence[str], known: Mapping[str, Sequence[str]], where: str) -> list[str]:
    """The columns of metrics, each once, in the order asked for.

    Args:
        asked: names of `known`; or `RATE=x`, with x above 0 and at most 1, where the columns of RATE look like that.
        known: the columns that each name stands for.
        where: what to call the set in an error.

    Raises:
        UserError: a name is not known; the message tells which are.
    """
    columns: dict[str, None] = {}
    rates = [name for name, family in known.items() if family[0].startswith(f"{name}=")]
    for name in asked:
        if name in known:
            columns.update(dict.fromkeys(known[name]))
        elif name.partition("=")[0] in rates and _is_rate(name):
            columns[name] = None
        else:
            names = ", ".join([*known, *(f"{rate}=x (0 < x <= 1)" for rate in rates)])
            raise UserError(f"{where}: metrics: {name!r} is not known; known are {names}")
    return list(columns)


def check_kinds(is_same: np.ndarray, where: str) -> None:
    """Raises UserError if there are no genuine or no impostor pairs: then nothing can be told apart."""
    genuine = np.count_nonzero(is_same)
    if genuine in (0, len(is_same)):
        raise UserError(f"{where}: there are no {'impostor' if genuine else 'genuine'} pairs; check the labels")


def rate(column: str) -> float:
    """The x of a column `RATE=x`."""
    return float(column.partition("=")[2])


def _is_rate(column: str) -> bool:
    try:
        return 0 < rate(column) <= 1
    except ValueError:
        return False
