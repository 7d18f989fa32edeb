"""Configs: merging, overrides, and errors that name the key."""

from pathlib import Path

import pytest
import torch
import yaml

import opensphere
from opensphere import config as cfg
from opensphere.error import UserError

MINIMAL = """
project: {max_iters: 10, seed: 3}
data:
  base: {dataloader: {batch_size: 8, num_workers: 0}}
  train: {dataset: {type: SyntheticFaces, people: 4, images: 5, image_size: 32}}
  val:
    - dataset: {type: SyntheticPairs, name: unseen, people: 4, images: 4, pairs: 20, folds: 2}
model:
  base:
    optimizer: {type: SGD, lr: 1e-1, momentum: 0.9}
  backbone: {net: {type: sfnet4, out_channel: 16, width: 0.125}}
  head: {net: {type: CosFace, s: 16, m: 0.2}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "config.yml").write_text(MINIMAL)
    return tmp_path / "config.yml"


def checked(path: Path, *overrides: str) -> cfg.Config:
    return cfg.check_train(cfg.load(path, overrides), "config.yml")


def test_base_goes_under_its_siblings(path: Path) -> None:
    config = cfg.load(path)
    assert config["data"]["train"]["dataloader"] == {"batch_size": 8, "num_workers": 0}
    assert config["data"]["val"][0]["dataloader"]["batch_size"] == 8
    assert config["model"]["head"]["optimizer"]["type"] == "SGD"
    assert "base" not in config["data"] and "base" not in config["model"]


def test_base_does_not_overrule(path: Path) -> None:
    resolved = checked(path, "data.train.dataloader.batch_size=16", "model.head.optimizer.lr=0.5")
    assert resolved["data"]["train"]["dataloader"]["batch_size"] == 16
    assert resolved["data"]["val"][0]["dataloader"]["batch_size"] == 8
    assert resolved["model"]["head"]["optimizer"] == {"type": "SGD", "lr": 0.5, "momentum": 0.9}
    assert resolved["model"]["backbone"]["optimizer"]["lr"] == 0.1


def test_defaults_are_written_out_and_sizes_carried(path: Path) -> None:
    resolved = checked(path)
    assert resolved["model"]["backbone"]["net"]["input_size"] == 32
    assert resolved["data"]["val"][0]["dataset"]["image_size"] == 32
    assert resolved["model"]["head"]["net"]["gradient"] == "detached"
    assert resolved["project"]["checkpoint_intvl"] == 2000
    assert resolved["model"]["head"]["clip_grad_norm"] == 1e5


def test_a_resolved_config_resolves_to_itself(path: Path, tmp_path: Path) -> None:
    resolved = checked(path)
    again = tmp_path / "again.yml"
    again.write_text(cfg.dump(resolved))
    assert checked(again) == resolved


def test_length_is_the_largest_milestone(path: Path) -> None:
    schedule = "{type: MultiStepLR, milestones: [40, 60, 70], gamma: 0.1}"
    resolved = checked(path, "project.max_iters=null", f"model.base.scheduler={schedule}")
    assert resolved["project"]["max_iters"] == 70


def test_a_cosine_schedule_spans_the_run(path: Path) -> None:
    resolved = checked(path, "model.base.scheduler={type: CosineAnnealingLR}")
    assert resolved["model"]["head"]["scheduler"]["T_max"] == 10


@pytest.mark.parametrize("value", ["holdout", "{holdout: {people: 2}}"])
def test_holdout_takes_the_loader_of_base(path: Path, value: str) -> None:
    val = checked(path, f"data.val={value}")["data"]["val"]
    assert val["dataloader"]["batch_size"] == 8
    assert val["holdout"]["folds"] == 10


def test_holdout_needs_no_set_of_base(path: Path) -> None:
    val = checked(path, "data.val=holdout", "data.base.dataset={name: same}")["data"]["val"]
    assert set(val) == {"holdout", "dataloader"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.head.net.mm=0.4", r"model\.head\.net\.mm: CosFace has no such key, did you mean m\?"),
        ("model.head.net.type=Cosface", r"model\.head\.net\.type: unknown 'Cosface', did you mean CosFace\?"),
        ("model.backbone.net.type=sfnet12", r"model\.backbone\.net\.type: unknown 'sfnet12'"),
        ("model.backbone.net.width=wide", r"model\.backbone\.net\.width: expected a number, got 'wide'"),
        ("model.backbone.net.input_size=64", r"input_size is 64, but the training images are 32"),
        ("model.backbone.optimiser={type: SGD}", r"model\.backbone\.optimiser: no such key, did you mean optimizer\?"),
        ("model.base.optimizer.type=SDG", r"optimizer\.type: unknown 'SDG', did you mean SGD\?"),
        ("model.base.scheduler={type: MultiStepLR}", r"scheduler\.milestones: this key is needed"),
        ("model.head.classifier=plane", r"model\.head\.classifier: unknown 'plane', did you mean plain\?"),
        ("project.max_iter=5", r"project\.max_iter: Project has no such key, did you mean max_iters\?"),
        ("project.max_iters=many", r"project\.max_iters: expected an integer or null, got 'many'"),
        ("project.max_iters=true", r"project\.max_iters: expected an integer or null, got True"),
        ("project.max_iters=null", r"project\.max_iters must say how long to train"),
        ("project.precision=bf61", r"project\.precision: unknown 'bf61', did you mean bf16\?"),
        ("project.train_log.intvl=5", r"project\.train_log\.intvl: TrainLog has no such key"),
        ("data.train.dataset.type=ClassDataset", r"data\.train\.dataset\.people: ClassDataset has no such key"),
        ("data.train.dataset={name: a}", r"data\.train\.dataset: says no type; known types: .*ClassDataset"),
        (
            "data.train.dataloader.batchsize=5",
            r"dataloader\.batchsize: DataLoader has no such key, did you mean batch_size",
        ),
        ("data.val=LFW", r"data\.val: give a list of data sets, or the word holdout; got 'LFW'"),
        ("data.tset=[]", r"data\.tset: no such key"),
        ("modle={}", r"modle: no such key, did you mean model\?"),
        ("model.base.optimizer.params=1", r"optimizer\.params: SGD has no such key"),
        ("model.backbone.net.feat_dim=256", r"net\.feat_dim: sfnet4 has no such key"),
        ("model.head.net.optimizer={lr: 5}", r"head\.net\.optimizer: CosFace has no such key"),
        ("model.head.net.num_class=many", r"head\.net\.num_class: expected an integer"),
        ("model.base.scheduler={type: MultiStepLR, milestones: 40}", r"milestones: expected a list"),
        ("model.base.scheduler={type: ReduceLROnPlateau}", r"scheduler\.type: unknown 'ReduceLROnPlateau'"),
        ("project.train_log={screen_intvl: 0}", r"project\.train_log\.screen_intvl: at least 1, got 0"),
        ("project.seed=-1", r"project\.seed: 0 or more, got -1"),
        ("project.3=a", r"project\.3: Project has no such key"),
        ("model.head.net=CosFace", r"model\.head\.net: says no type"),
    ],
)
def test_a_wrong_key_is_named(path: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^config.yml: .*{message}"):
        checked(path, override)


@pytest.mark.parametrize(
    "override", ["model.head.net.m", "=3", "data.val.7.dataset.name=a", "project.seed.x=1", "a=[1"]
)
def test_a_wrong_override_is_named(path: Path, override: str) -> None:
    with pytest.raises(UserError, match=override.partition("=")[0] or override):
        cfg.load(path, [override])


def test_files_that_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere.yml: this config cannot be read: No such file"):
        cfg.load(tmp_path / "nowhere.yml")
    (tmp_path / "bad.yml").write_text("a: 1\nb: [1\nc: 2\n")
    with pytest.raises(UserError, match=r"bad.yml:3: no valid YAML"):
        cfg.load(tmp_path / "bad.yml")
    (tmp_path / "list.yml").write_text("- 1\n")
    with pytest.raises(UserError, match="a config is a mapping"):
        cfg.load(tmp_path / "list.yml")


def test_yaml_builds_no_python_objects(tmp_path: Path) -> None:
    (tmp_path / "evil.yml").write_text("a: !!python/object/apply:os.system ['echo evil']\n")
    with pytest.raises(UserError, match="no valid YAML"):
        cfg.load(tmp_path / "evil.yml")


def test_a_test_config_needs_sets_only(tmp_path: Path) -> None:
    path = tmp_path / "test.yml"
    path.write_text(
        yaml.safe_dump(
            {"data": {"test": {"dataset": {"type": "PairDataset", "name": "a", "data_dir": "d", "ann_path": "l"}}}}
        )
    )
    resolved = cfg.check_test(cfg.load(path), "test.yml")
    assert resolved["data"]["test"][0]["dataset"]["image_size"] is None
    with pytest.raises(UserError, match="names no data set"):
        cfg.check_test({"data": {"test": []}}, "test.yml")


def test_sets_of_one_name_are_refused(path: Path) -> None:
    config = cfg.load(path)
    config["data"]["val"] *= 2
    with pytest.raises(UserError, match=r"data\.val\.1\.dataset\.name: 'unseen' is the name of another set"):
        cfg.check_train(config, "config.yml")


def test_another_type_takes_nothing_from_base(path: Path) -> None:
    schedule = "model.base.scheduler={type: MultiStepLR, milestones: [5]}"
    resolved = checked(
        path, schedule, "model.head.scheduler={type: CosineAnnealingLR}", "model.head.optimizer={type: AdamW}"
    )
    assert resolved["model"]["head"]["scheduler"] == {"type": "CosineAnnealingLR", "T_max": 10}
    assert resolved["model"]["head"]["optimizer"] == {"type": "AdamW"}
    assert resolved["model"]["backbone"]["scheduler"]["milestones"] == [5]


def test_values_that_torch_refuses(path: Path) -> None:
    with pytest.raises(UserError, match="optimizer: SGD refuses its arguments: Invalid learning rate"):
        cfg.build_optimizer({"type": "SGD", "lr": -1.0}, [torch.nn.Parameter(torch.zeros(1))])


def test_sets_may_be_a_mapping_with_its_own_base(tmp_path: Path) -> None:
    path = tmp_path / "test.yml"
    path.write_text(
        "data: {test: {base: {dataset: {type: PairDataset, data_dir: d}},"
        " lfw: {dataset: {name: LFW, ann_path: a}}, agedb: {dataset: {name: AgeDB, ann_path: b}}}}"
    )
    sets = cfg.check_test(cfg.load(path), "test.yml")["data"]["test"]
    assert [block["dataset"]["name"] for block in sets] == ["LFW", "AgeDB"]
    assert sets[1]["dataset"]["data_dir"] == "d"


def test_build_head_is_one_module() -> None:
    torch.manual_seed(0)
    module = opensphere.build_head("SphereFace", feat_dim=8, num_class=5, classifier="plain", s=30.0, m=1.5)
    loss = module(torch.randn(4, 8), torch.tensor([0, 1, 2, 2]))
    loss.backward()
    assert module.w.shape == (8, 5) and module.w.grad.shape == (8, 5)
    with pytest.raises(UserError, match=r"head\.mm: SphereFace has no such key"):
        opensphere.build_head("SphereFace", feat_dim=8, num_class=5, mm=1.0)
    with pytest.raises(UserError, match="did you mean SphereFace"):
        opensphere.build_head("Sphereface", feat_dim=8, num_class=5)
    with pytest.raises(UserError, match="feat_dim and num_class are counts"):
        opensphere.build_head("SphereFace", feat_dim=0, num_class=5)


def test_build_head_of_a_loss_on_pairs_is_one_module_too() -> None:
    torch.manual_seed(0)
    for classifier in (None, "none", {"type": "none"}):
        module = opensphere.build_head("SimPLE", feat_dim=8, num_class=5, classifier=classifier, bank=16)
        module(torch.randn(4, 8), torch.tensor([0, 1, 2, 2])).backward()
        assert [name for name, _ in module.named_parameters()] == ["head.b"] and module.head.b.grad is not None
    with pytest.raises(UserError, match="head: classifier: SimPLE compares pairs, it has no classes for chunked"):
        opensphere.build_head("SimPLE", feat_dim=8, num_class=5, classifier="chunked")
    with pytest.raises(UserError, match="head: classifier: none is for losses on pairs .*; SphereFace needs its class"):
        opensphere.build_head("SphereFace", feat_dim=8, num_class=5, classifier="none")


@pytest.mark.parametrize("classifier", [None, "auto", "none"])
def test_a_loss_on_pairs_has_no_classes_and_only_the_optimizer_that_it_needs(path: Path, classifier: str) -> None:
    words = [f"model.head.classifier={classifier}"] if classifier else []
    head = checked(path, "model.head.net={type: TripletLoss}", *words)["model"]["head"]
    assert head == {
        "net": {"type": "TripletLoss", "margin": 0.2},
        "clip_grad_norm": 1e5,
        "classifier": {"type": "none"},
    }
    head = checked(path, "model.head.net={type: SimPLE}", *words)["model"]["head"]
    assert head["classifier"] == {"type": "none"} and head["optimizer"]["type"] == "SGD"
