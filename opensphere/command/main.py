"""The installed command `opensphere`, and the one place where errors meant for people are printed."""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType

from opensphere import __version__, storage
from opensphere.error import UserError

ABOUT = {
    "train": "train a model from a config, or resume a run",
    "test": "test one or more run folders",
    "calibrate": "set the thresholds of a run for false match rates, on your own people",
    "verify": "say whether images show one person, by the threshold of a run",
    "compare": "train losses under identical conditions over several seeds, and say which differ",
    "reproduce": "train and test a config, and hold the numbers against those it gave before",
    "report": "write one HTML page of runs, their tests and how they compare",
    "demo": "train three losses on built-in faces under identical conditions and compare them",
    "faces": "write the built-in procedural faces to a folder with a list",
    "data": "look into a set of images, find what is wrong with it, write it in another form",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `opensphere <command> ...`; returns the exit status (2 for input that cannot be used)."""
    parser = argparse.ArgumentParser("opensphere", description="Hyperspherical face recognition.")
    parser.add_argument("--version", action="version", version=f"opensphere {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, about in ABOUT.items():
        commands.add_parser(name, help=about, add_help=False)
    known, rest = parser.parse_known_args(argv)
    return run_command(known.command, rest)


def run_command(name: str, argv: Sequence[str] | None = None) -> int:
    """Run one command with its own arguments."""
    module = _module(name)
    parser = argparse.ArgumentParser(f"opensphere {name}", description=module.__doc__)
    module.add_arguments(parser)
    # overrides may stand anywhere, but for commands that have verbs
    parse = parser.parse_args if hasattr(module, "VERBS") else parser.parse_intermixed_args
    arguments = parse(argv)
    warnings.showwarning = _print_warning
    return guarded(lambda: module.run(arguments))


def guarded(action: Callable[[], int]) -> int:
    """Turn errors meant for people into one line and status 2."""
    try:
        return action()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        storage.write_nowhere(sys.stdout)
        return 1


def _module(name: str) -> ModuleType:
    """The module of a command; imported when asked for, since torch takes seconds to load."""
    from importlib import import_module

    return import_module(f"opensphere.command.{name}")


def _print_warning(message, category, filename, lineno, file=None, line=None) -> None:  # type: ignore[no-untyped-def]
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
