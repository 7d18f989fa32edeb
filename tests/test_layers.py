"""The layers of the package: a file imports from lower layers or its own folder, never from above or beside."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "opensphere"

LAYERS = {
    "error": 0,
    "storage": 0,
    "memory": 0,
    "cores": 0,
    "interrupt": 0,
    "sphere": 0,
    "geometry": 0,
    "collective": 0,
    "model.head": 1,
    "model.backbone": 1,
    "dataset": 1,
    "metric": 1,
    "classifier": 2,
    "inspection": 2,
    "protocol": 2,
    "engine": 3,
    "report": 3,
    "config": 4,
    "compare": 5,
    "command": 6,
}
# within layer 0, the two that the others of the layer may use
GROUND = {"error", "storage"}


def part_of(module: str) -> str | None:
    """The part of the package that a dotted module name belongs to; None outside it."""
    if not module.startswith("opensphere."):
        return None
    rest = module.removeprefix("opensphere.")
    return next((part for part in LAYERS if rest == part or rest.startswith(part + ".")), None)


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files() -> list[Path]:
    return sorted(
        path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem not in ("__init__", "__main__")
    )


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", files(), ids=module_name)
def test_imports_point_downwards(path: Path) -> None:
    own = part_of(module_name(path))
    if own is None:
        assert module_name(path) == "opensphere.model", f"{path} belongs to no layer: name it in LAYERS"
        return
    for name in imports(path):
        other = part_of(name)
        if other is None or other == own or other in GROUND:
            continue
        assert LAYERS[other] < LAYERS[own], (
            f"{module_name(path)} (layer {LAYERS[own]}) imports {name} (layer {LAYERS[other]})"
        )


def test_process_groups_have_two_doors() -> None:
    users = {
        module_name(path) for path in files() if any(name.startswith("torch.distributed") for name in imports(path))
    }
    assert users <= {"opensphere.collective", "opensphere.engine.parallel"}


def test_files_and_functions_stay_readable() -> None:
    for path in files():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 400, f"{path} has {len(lines)} lines"
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 80, f"{path}: {node.name} has {length} lines"


@pytest.mark.parametrize("name", ["utils", "common", "misc", "helpers"])
def test_no_drawer_for_everything(name: str) -> None:
    assert not list(ROOT.rglob(f"{name}.py")) and not list(ROOT.rglob(name))
