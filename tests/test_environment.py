"""environment.yml, constraints.txt and pyproject.toml say the same."""

import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BENCH = {"pytorch-metric-learning", "tqdm"}  # what only the benchmarks need: not installed with the rest
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())


def ranges(requirements: list[str]) -> dict[str, SpecifierSet]:
    return {canonicalize_name((parsed := Requirement(text)).name): parsed.specifier for text in requirements}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pinned)
    return {canonicalize_name(name): version for name, version in pinned}


def pip_section() -> list[str]:
    return next(entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict))


def test_conda_asks_for_what_pip_asks_for() -> None:
    *requirements, itself = pip_section()
    assert itself == "--editable ."
    assert ranges(requirements) == ranges(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["report"])
    assert len(requirements) == len(ranges(requirements))


def test_conda_makes_an_environment_of_a_python_that_is_allowed() -> None:
    assert ENVIRONMENT["name"] == PROJECT["name"] == "opensphere"
    python = next(entry for entry in ENVIRONMENT["dependencies"] if str(entry).startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))
    assert "pip" in ENVIRONMENT["dependencies"]


@pytest.mark.parametrize("part", ["dependencies", "report", "dev", "bench"])
def test_pins_lie_in_the_ranges(part: str) -> None:
    requirements = PROJECT["dependencies"] if part == "dependencies" else PROJECT["optional-dependencies"][part]
    pinned = pins()
    for name, allowed in ranges(requirements).items():
        assert name in pinned, f"constraints.txt does not pin {name}"
        assert allowed.contains(pinned[name]), f"{name}=={pinned[name]} is not in {allowed}"


def test_pins_fit_any_build_of_torch() -> None:
    assert not [name for name, version in pins().items() if "+" in version]


@pytest.mark.skipif(
    sys.platform != "linux" or torch.version.cuda is not None, reason="other builds of torch need other packages"
)
def test_pins_are_all_that_is_needed_and_nothing_else() -> None:
    """Walks the metadata of what is installed, from the project's own requirements."""
    parts = PROJECT["optional-dependencies"]
    waiting = [Requirement(text) for text in PROJECT["dependencies"] + parts["report"] + parts["dev"]]
    needed: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in needed:
            continue
        try:
            further = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed here")
        needed.add(name)
        for inner in map(Requirement, further):
            asked = requirement.extras or {""}
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in asked):
                waiting.append(inner)
    assert needed == set(pins()) - BENCH
