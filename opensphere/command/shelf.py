"""Data that several runs share: each set is built once, and what it keeps in memory is kept once."""

import json
from typing import Any

from opensphere import config as cfg


class Shelf:
    """Data sets by the blocks that describe them."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def build(self, block: cfg.Config) -> Any:
        """The set of a block; one that was built before is given again. Raises UserError as `config.build_dataset`."""
        key = json.dumps(block, sort_keys=True)
        if key not in self._kept:
            self._kept[key] = cfg.build_dataset(block)
        return self._kept[key]
