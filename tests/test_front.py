"""What a visitor sees first: configs under their known paths, licence, citation, banner, links that lead somewhere."""

import re
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from opensphere import config as cfg

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config"
SHORT = ([40_000, 60_000, 70_000], list(range(66_000, 70_001, 1_000)))
NET20, NET64 = {"type": "sfnet20_deprecated"}, {"type": "sfnet64_deprecated"}


def sphereface(s: float = 30, m: float = 1.5) -> dict:
    return {"type": "SphereFace", "s": s, "m": m}


def sphereface2(magn_type: str = "C", m: float = 0.4) -> dict:
    return {"type": "SphereFace2", "magn_type": magn_type, "alpha": 0.7, "r": 40, "m": m, "t": 3, "lw": 10}


ARCFACE, COSFACE = {"type": "ArcFace", "s": 30, "m": 0.5}, {"type": "CosFace", "s": 30, "m": 0.35}
SPHEREFACE_R = {"type": "SphereFaceR_H", "magn_type": "v2", "s": 60, "m": 1.4, "lw": 50}
SPHEREFACE_R_S = {
    "type": "SphereFaceR_S", "magn_type": "v2", "s": 60, "dm": 0.1, "steps": [2000, 4000, 6000, 8000], "t": 0.01,
    "lw": 50,
}  # fmt: skip

# path: (backbone, head, (milestones, saves))
TRAIN: dict[str, tuple[dict, dict, tuple[list[int], list[int]]]] = {
    "train/vggface2_sfnet20_sphereface": (NET20, sphereface(), SHORT),
    "train/vggface2_sfnet20_sphereface2": (
        NET20, sphereface2(), ([50_000, 78_000, 94_000, 100_000], list(range(96_000, 100_001, 1_000))),
    ),
    "train/vggface2_sfnet64_sphereface2": (NET64, sphereface2(), SHORT),
    "train/vggface2_sfnet20_spherefaceplus": (
        NET20, {"type": "SphereFacePlus", "s": 30, "m": 1.5, "lambda_MHE": 0.1}, SHORT,
    ),
    "train/vggface2_sfnet20_spherefacer": (NET20, SPHEREFACE_R, SHORT),
    "train/vggface2_sfnet20_spherefacer_s": (NET20, SPHEREFACE_R_S, SHORT),
    "train/vggface2_sfnet20_gasoftmax": (NET20, {"type": "GAsoftmax", "s": 30, "m": 1.5}, SHORT),
    "train/ms1m_sfnet64bn_sphereface": (
        {"type": "sfnet64", "norm_layer": "BatchNorm2d"}, sphereface(32, 1.7),
        ([100_000, 180_000, 220_000, 240_000], list(range(232_000, 240_001, 2_000))),
    ),
    "train/ms1m_iresnet100_sphereface": (
        {"type": "iresnet100"}, sphereface(32, 1.7),
        ([150_000, 270_000, 320_000, 360_000], list(range(352_000, 360_001, 2_000))),
    ),
    "papers/SphereFace2/sec31/vggface2_sfnet20_arcface": (NET20, ARCFACE, SHORT),
    "papers/SphereFace2/sec31/vggface2_sfnet20_cosface": (NET20, COSFACE, SHORT),
    "papers/SphereFace2/sec31/vggface2_sfnet20_cocoloss": (NET20, {"type": "CocoLoss", "s": 30}, SHORT),
    "papers/SphereFace2/sec31/vggface2_sfnet20_sphereface": (NET20, sphereface(), SHORT),
    "papers/SphereFace2/sec31/vggface2_sfnet20_sphereface2": (NET20, sphereface2(), SHORT),
    "papers/SphereFace2/sec32/vggface2_sfnet64_arcface": (NET64, ARCFACE, SHORT),
    "papers/SphereFace2/sec32/vggface2_sfnet64_cosface": (NET64, COSFACE, SHORT),
    "papers/SphereFace2/sec32/vggface2_sfnet64_sphereface": (NET64, sphereface(), SHORT),
    "papers/SphereFace2/sec32/vggface2_sfnet64_sphereface2": (NET64, sphereface2(), SHORT),
    "papers/SphereFace2/sec33/noisy_vggface2_sfnet20_sphereface2": (NET20, sphereface2(), SHORT),
    "papers/SphereFace2/appendix/vggface2_sfnet20_sphereface2A": (NET20, sphereface2("A", 0.5), SHORT),
    "papers/SphereFace2/appendix/vggface2_sfnet20_sphereface2C": (NET20, sphereface2("C", 0.4), SHORT),
    "papers/SphereFace2/appendix/vggface2_sfnet20_sphereface2M": (NET20, sphereface2("M", 1.7), SHORT),
}  # fmt: skip
VALIDATION = {"LFW": "lfw", "AgeDB-30": "agedb_30", "CA-LFW": "calfw", "CP-LFW": "cplfw"}
PAIRS = {key: {"data_dir": "data/val", "ann_path": f"data/val/{value}_ann.txt"} for key, value in VALIDATION.items()}


def test_there_are_no_other_training_configs() -> None:
    """Beside those of the other papers and the small twins, which are no configs of OpenSphere's."""
    found = [*(CONFIG / "train").rglob("*.y*ml"), *(CONFIG / "papers/SphereFace2").rglob("*.y*ml")]
    names = {path.relative_to(CONFIG).as_posix() for path in found if not path.name.startswith("small.")}
    assert names == {f"{name}.yml" for name in TRAIN}


@pytest.mark.parametrize("name", TRAIN)
def test_training_config(name: str) -> None:
    backbone, head, (milestones, saves) = TRAIN[name]
    config = cfg.load(CONFIG / f"{name}.yml")
    assert config["model"]["backbone"]["net"] == backbone | {"out_channel": 512}
    assert config["model"]["head"]["net"] == head
    for part in ("backbone", "head"):
        module = config["model"][part]
        assert module["optimizer"] == {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
        assert module["scheduler"] == {"type": "MultiStepLR", "milestones": milestones, "gamma": 0.1}
        assert module.get("clip_grad_norm", 1e5) == (5 if name.endswith("gasoftmax") else 1e5)
    ms1m = "ms1m" in name
    assert config["project"]["save_iters"] == saves
    assert config["project"]["val_intvl"] == (5000 if ms1m else 2000)
    data = config["data"]
    assert data["train"]["dataset"] == {
        "type": "ClassDataset",
        "name": "ms1m_refine" if ms1m else "VGGFace2",
        "data_dir": "data/train",
        "ann_path": f"data/train/{'ms1m_refine' if ms1m else 'vggface2'}_train_ann.txt",
        "test_mode": False,
    } | ({"noise_ratio": 0.6, "seed": 10086} if "noisy" in name else {})
    loader = {"type": "DataLoader", "batch_size": 512, "num_workers": 8, "pin_memory": False}
    assert data["train"]["dataloader"] == loader | {"shuffle": True, "drop_last": True}
    assert [block["dataset"] for block in data["val"]] == [
        {"type": "PairDataset", "name": key, "metrics": ["ACC"]} | PAIRS[key] for key in VALIDATION
    ]
    assert all(block["dataloader"] == loader | {"shuffle": False, "drop_last": False} for block in data["val"])


@pytest.mark.parametrize("name", TRAIN)
def test_training_config_fits_the_constructors(name: str) -> None:
    """The keys are arguments, the length of the run is the largest milestone, and the head can be made."""
    resolved = cfg.check_train(cfg.load(CONFIG / f"{name}.yml"), name)
    assert resolved["project"]["max_iters"] == TRAIN[name][2][0][-1]
    assert resolved["project"]["save_iters"] == TRAIN[name][2][1]
    assert cfg.build_head(**resolved["model"]["head"]["net"], feat_dim=4, num_class=3).w.shape == (4, 3)


def test_the_network_with_batch_normalisation_has_it() -> None:
    net = cfg.check_train(cfg.load(CONFIG / "train/ms1m_sfnet64bn_sphereface.yml"))["model"]["backbone"]["net"]
    kinds = [type(module).__name__ for module in cfg.build_backbone(**net | {"width": 0.125}).modules()]
    convolutions = kinds.count("Conv2d")
    assert convolutions > 60 and kinds.count("BatchNorm2d") == convolutions


def test_the_two_feature_normalisations_end_at_one_margin() -> None:
    assert SPHEREFACE_R["m"] == pytest.approx(1 + SPHEREFACE_R_S["dm"] * len(SPHEREFACE_R_S["steps"]))


IJB = {f"IJB-{x}": {"data_dir": f"data/test/IJB-{x}/loose_crop", "meta_dir": f"data/test/IJB-{x}/meta"} for x in "BC"}
COMBINED = {"combined": {"data_dir": "data/val", "ann_path": "data/val/combined_ann.txt", "folds": None}}
TEST: dict[str, dict[str, dict[str, str]]] = {
    "combined": COMBINED,
    "lfw": {"LFW": PAIRS["LFW"]},
    "agedb": {"AgeDB-30": PAIRS["AgeDB-30"]},
    "calfw": {"CA-LFW": PAIRS["CA-LFW"]},
    "cplfw": {"CP-LFW": PAIRS["CP-LFW"]},
    "ijb": IJB,
    "ijbb": {"IJB-B": IJB["IJB-B"]},
    "ijbc": {"IJB-C": IJB["IJB-C"]},
}


@pytest.mark.parametrize("name", TEST)
def test_test_config(name: str) -> None:
    sets = cfg.load(CONFIG / f"test/{name}.yml")["data"]["test"]
    kind = "IJBDataset" if "ijb" in name else "PairDataset"
    assert [block["dataset"] for block in sets] == [
        {"type": kind, "name": key, "test_mode": True} | value for key, value in TEST[name].items()
    ]
    resolved = cfg.check_test(cfg.load(CONFIG / f"test/{name}.yml"), name)
    assert [block["dataset"]["image_size"] for block in resolved["data"]["test"]] == [None] * len(sets)


@pytest.mark.parametrize("page", sorted(CONFIG.rglob("*.md")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_the_config_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    assert targets
    assert not [target for target in targets if not (page.parent / target).exists()]
    named = re.findall(r"(?:config|scripts)/[\w/]+\.(?:yml|sh|py)", text)
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_loss_is_explained() -> None:
    page = (CONFIG / "README.md").read_text()
    shipped = {head["type"] for _, head, _ in TRAIN.values()}
    assert not [name for name in shipped if f"| `{name}` |" not in page]


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", (CONFIG / "README.md").read_text(), re.DOTALL))
def test_the_example_of_the_config_page_is_valid(tmp_path: Path, block: str) -> None:
    (tmp_path / "example.yml").write_text(block)
    assert cfg.check_train(cfg.load(tmp_path / "example.yml"))["project"]["max_iters"] == 70_000


@pytest.mark.parametrize("line", re.findall(r"'(\S+=\{.*?\})'", (CONFIG / "README.md").read_text()))
def test_the_overrides_of_the_config_page_are_valid(line: str) -> None:
    overrides = [line, "data.val=holdout"]
    cfg.check_train(cfg.load(CONFIG / "train/vggface2_sfnet20_sphereface.yml", overrides))


def test_licence() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith("MIT License\n\nCopyright (c) 2026 the Negative Contrast authors\n")
    assert "without restriction" in text and 'THE SOFTWARE IS PROVIDED "AS IS"' in text


def test_citation() -> None:
    """The required keys of the Citation File Format 1.2.0, and the papers whose losses are named."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["license"] == "MIT"
    assert citation["message"] and citation["title"] and citation["authors"]
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()
    papers = {paper["title"].split(":")[0]: paper for paper in citation["references"]}
    assert list(papers) == [
        "SphereFace", "Learning towards Minimum Hyperspherical Energy", "SphereFace2", "SphereFace Revived",
    ]  # fmt: skip
    assert [paper["year"] for paper in papers.values()] == [2017, 2018, 2022, 2022]
    for paper in papers.values():
        assert {"type", "title", "authors", "year", "url"} <= set(paper)
        assert all(set(author) == {"family-names", "given-names"} for author in paper["authors"])


def test_the_banner_is_what_its_script_draws(tmp_path: Path) -> None:
    path = ROOT / "assets/negative_contrast.png"
    assert path.stat().st_size < 200_000
    shipped = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert shipped.shape == (300, 1200, 4)
    runpy.run_path(str(ROOT / "scripts/draw_banner.py"))["main"](str(tmp_path / "banner.png"))
    drawn = cv2.imread(str(tmp_path / "banner.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(shipped.astype(int) - drawn).mean() < 0.5  # versions of OpenCV may smooth edges differently


def test_the_tree_of_the_readme_is_the_tree() -> None:
    """Each module of the package stands in the README's tree, and what stands there exists."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## The repository")[1].split("## Citation")[0]
    for path in sorted((ROOT / "opensphere").rglob("*.py")):
        if path.stem not in ("__init__", "__main__") and "synthetic" not in path.parts:
            assert re.search(rf"\b{path.stem}\b", text), f"{path.relative_to(ROOT)} is missing in the README's tree"
    kept = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.[pm][yd]") if ".venv" not in path.parts]
    for name in re.findall(r"[\w/-]+\.(?:py|md)\b", text):
        assert any(f"/{path}".endswith(f"/{name}") for path in kept), (
            f"the README's tree names {name}, which does not exist"
        )


def test_the_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text) + re.findall(r'src="([^"]+)"', text):
        assert (ROOT / target).exists(), target
    assert not re.findall(r"@[A-Z]+@", text)  # a figure that was never filled in
