"""YAML to checked objects, by name.

`load` reads a file, `check_train` and `check_test` hold it against constructors' signatures before anything is built,
and the `build_*` functions make the objects. A new loss, network or data set needs no line here: it is known once the
`__init__.py` of its folder names it.
"""

from opensphere.config.building import (
    build_backbone,
    build_dataset,
    build_head,
    build_optimizer,
    build_scheduler,
    check_net,
    settings,
)
from opensphere.config.checking import check_test, check_train, view_of, with_view
from opensphere.config.reading import Config, dump, load, load_plain, merge, parse_override, put

__all__ = [
    "Config",
    "build_backbone",
    "build_dataset",
    "build_head",
    "build_optimizer",
    "build_scheduler",
    "check_net",
    "check_test",
    "check_train",
    "dump",
    "load",
    "load_plain",
    "merge",
    "parse_override",
    "put",
    "settings",
    "view_of",
    "with_view",
]
