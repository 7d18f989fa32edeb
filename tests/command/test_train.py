"""Training from the command: what a run leaves, resuming to the bit, and input that cannot be used."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from opensphere.command.main import run_command
from opensphere.dataset.sampler import GlobalBatches, Plan
from tests.material import only_run, tiny_config, write_config, write_pairs, write_people, write_test_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_people(tmp_path)
    write_pairs(tmp_path)
    return tmp_path


def train(folder: Path, config: dict[str, Any] | None = None, *words: str) -> int:
    path = write_config(folder, config or tiny_config(folder))
    return run_command("train", ["--config", str(path), *words])


def refused(folder: Path, capsys: pytest.CaptureFixture, *words: str, begun: bool = False) -> str:
    """The one line of a training that is refused; nothing may be left of it, unless it had begun."""
    before = set(folder.rglob("*"))
    assert train(folder, None, *words) == 2
    assert begun or not [path for path in set(folder.rglob("*")) - before if path.name not in ("train.yml", "project")]
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def weights(run: Path, step: int, what: str = "backbone") -> dict[str, torch.Tensor]:
    return torch.load(run / "models" / f"{what}_{step}.pth", weights_only=True)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_what_a_run_leaves(folder: Path) -> None:
    assert train(folder, tiny_config(folder, save_iters=[4, 12])) == 0
    run = only_run(folder)
    assert re.fullmatch(r"\d{8}_\d{6}", run.name)
    names = {
        str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and "tensorboard" not in path.parts
    }
    assert names == {
        "config.yml",
        "config_given.yml",
        "versions.json",
        "training_data.npz",
        "train.log",
        "val.log",
        "metrics.jsonl",
        "checkpoint.pth",
        *(f"models/{what}_{step}.pth" for what in ("backbone", "head") for step in (4, 12)),
    }
    resolved = yaml.safe_load((run / "config.yml").read_text())
    assert resolved["model"]["head"]["net"]["num_class"] == 6
    assert resolved["model"]["head"]["net"]["feat_dim"] == 16
    assert (run / "config_given.yml").read_text() == (folder / "train.yml").read_text()
    assert weights(run, 12, "head")["w"].shape == (16, 6)
    log = (run / "train.log").read_text()
    assert len(re.findall(r"^\[DEBUG\]", log, re.M)) == 12
    stamp = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d"
    assert re.search(
        rf"^\[INFO\] {stamp}, Iter: 0, Loss: .*, bkb_grad: .*, head_grad: .*, Mag_mean: .*, Mag_std: ", log, re.M
    )
    assert re.findall(r"^\[INFO\].*Iter: (\d+), Loss", log, re.M) == ["0", "5", "10", "11"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["iter"] for line in lines if line["kind"] == "val"] == [6, 12]
    assert all(0 <= line["ACC"] <= 100 for line in lines if line["kind"] == "val")
    (versions,) = json.loads((run / "versions.json").read_text())
    assert versions["torch"] == torch.__version__ and versions["from_update"] == 0


def test_weights_named_n_hold_n_updates(folder: Path) -> None:
    assert train(folder, tiny_config(folder, save_iters=[3, 12])) == 0
    first = only_run(folder)
    assert train(folder, None, "project.max_iters=3", f"project.proj_dir={folder / 'project' / 'short'}") == 0
    (short,) = (folder / "project" / "short").iterdir()
    assert same(weights(first, 3), weights(short, 3))
    assert not same(weights(first, 3), weights(first, 12))


def test_training_learns(folder: Path) -> None:
    assert train(folder, None, "project.max_iters=60", "project.val_intvl=60", "model.base.scheduler=null") == 0
    lines = [json.loads(line) for line in (only_run(folder) / "metrics.jsonl").read_text().splitlines()]
    losses = [line["Loss"] for line in lines if line["kind"] == "train"]
    assert losses[-1] < 0.5 * losses[0]
    assert [line["ACC"] for line in lines if line["kind"] == "val"][-1] >= 90


def test_same_seed_same_weights_whatever_the_workers(folder: Path) -> None:
    for number, words in enumerate(
        (["project.seed=1"], ["project.seed=1", "data.base.dataloader.num_workers=2"], ["project.seed=2"])
    ):
        assert train(folder, None, *words, f"project.proj_dir={folder / str(number)}") == 0
    one, two, other = (next((folder / str(number)).iterdir()) for number in range(3))
    assert same(weights(one, 12), weights(two, 12)) and same(weights(one, 12, "head"), weights(two, 12, "head"))
    assert not same(weights(one, 12), weights(other, 12))


def test_heads_under_comparison_share_the_initial_backbone(folder: Path) -> None:
    for number, head in enumerate(("CosFace", "ArcFace")):
        words = [
            f"model.head.net={{type: {head}}}",
            f"project.proj_dir={folder / str(number)}",
            "model.base.optimizer.lr=0.0",
        ]
        assert train(folder, None, *words, "project.max_iters=1") == 0
    one, two = (next((folder / str(number)).iterdir()) for number in range(2))
    assert same(weights(one, 1), weights(two, 1))


def train_process(folder: Path, *words: str) -> subprocess.Popen:
    """A training of its own, with as many threads as this process has: others would round sums otherwise."""
    command = [sys.executable, "-m", "opensphere", "train", *words]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes)


def wait_for_run(folder: Path, process: subprocess.Popen, seconds: float = 120) -> Path:
    end = time.monotonic() + seconds
    while not (folder / "project").is_dir() or not list((folder / "project").iterdir()):
        assert time.monotonic() < end and process.poll() is None, "the training never began"
        time.sleep(0.02)
    return only_run(folder)


def wait_for(path: Path, text: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not (path.is_file() and text in path.read_text()):
        assert time.monotonic() < end, f"{path} never held {text!r}"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("extra", [[], ["data.base.dataloader.num_workers=1"]], ids=["no workers", "worker"])
def test_an_interrupted_run_resumes_to_the_bit(folder: Path, number: int, extra: list[str]) -> None:
    if number == signal.SIGKILL and extra:
        pytest.skip("one kill is enough")
    config = tiny_config(
        folder, max_iters=400, val_intvl=50, save_iters=[400], checkpoint_intvl=20, train_log={"screen_intvl": 1}
    )
    config["model"]["backbone"]["net"] |= {"norm_layer": "BatchNorm2d", "dropout": 0.2}
    path = write_config(folder, config)
    whole = ["--config", str(path), *extra]
    assert run_command("train", [*whole, f"project.proj_dir={folder / 'whole'}"]) == 0
    process = train_process(folder, *whole)
    run = wait_for_run(folder, process)
    wait_for(run / "train.log", "Iter: 60,")
    os.kill(process.pid, number) if number != signal.SIGINT else os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert not (run / "models" / "backbone_400.pth").exists()
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130, output
        assert f"continue with: python train.py --resume {run}" in output.replace("\n", " ")
        assert "Traceback" not in output
    assert run_command("train", ["--resume", str(run)]) == 0
    (reference,) = (folder / "whole").iterdir()
    for what in ("backbone", "head"):
        assert same(weights(run, 400, what), weights(reference, 400, what))
    lines, expected = (
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (run, reference)
    )
    assert [(line["iter"], line["Loss"]) for line in lines if line["kind"] == "train"] == [
        (line["iter"], line["Loss"]) for line in expected if line["kind"] == "train"
    ]


@pytest.mark.slow
def test_two_processes_follow_one(folder: Path) -> None:
    """The loss curve of one process on the same global batch, to 1e-5 over 50 steps, without BatchNorm."""
    config = tiny_config(folder, max_iters=50, val_intvl=50, train_log={"screen_intvl": 1})
    config["model"]["base"].pop("scheduler")
    config["model"]["head"]["net"] = {"type": "SphereFacePlus", "s": 16.0, "m": 1.5, "lambda_MHE": 0.1}
    path = write_config(folder, config)
    curves = []
    for processes in (1, 2):
        place = folder / str(processes)
        words = ["--config", str(path), f"project.proj_dir={place}", f"parallel.processes={processes}"]
        process = train_process(folder, *words)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        lines = [json.loads(line) for line in (next(place.iterdir()) / "metrics.jsonl").read_text().splitlines()]
        curves.append([line["Loss"] for line in lines if line["kind"] == "train"])
        curves.append([line["ACC"] for line in lines if line["kind"] == "val"])
    assert len(curves[0]) == 50
    assert curves[2] == pytest.approx(curves[0], abs=1e-5, rel=1e-5)
    assert curves[3] == pytest.approx(curves[1], abs=2.6)  # one pair of forty may fall to the other side


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("terminal", [False, True])
def test_it_saves_though_nobody_reads_what_it_says(folder: Path, number: int, terminal: bool) -> None:
    path = write_config(folder, tiny_config(folder, max_iters=100000, val_intvl=100000, train_log={"screen_intvl": 1}))
    reader, writer = os.openpty() if terminal else os.pipe()
    words = ["-m", "opensphere", "train", "--config", str(path)]
    process = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=writer, stderr=subprocess.DEVNULL)
    os.close(writer)
    drain = threading.Thread(target=read_until, args=(reader, b"Iter: 20,"))
    drain.start()
    drain.join(120)
    os.close(reader)  # a closed terminal, or an ended `tee`
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    run = only_run(folder)
    done = torch.load(run / "checkpoint.pth", weights_only=True)["step"]
    assert done > 20 and f"stopped after update {done}, saved" in (run / "train.log").read_text()


def read_until(reader: int, sign: bytes) -> None:
    text = b""
    while sign not in text:
        text += os.read(reader, 4096)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])  # a scheduler may ask twice
def test_two_processes_stop_and_resume(folder: Path, monkeypatch: pytest.MonkeyPatch, numbers: list[int]) -> None:
    config = tiny_config(folder, max_iters=4000, val_intvl=4000, train_log={"screen_intvl": 1})
    path = write_config(folder, config)
    # a save that takes its time, as that of a real model does: the other process must not end it
    slow = "import time, torch; save = torch.save; torch.save = lambda *a: (time.sleep(2), save(*a))"
    (folder / "sitecustomize.py").write_text(slow)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    process = train_process(folder, "--config", str(path), "parallel.processes=2")
    run = wait_for_run(folder, process)
    wait_for(run / "train.log", "Iter: 20,", 120)
    for number in numbers:
        os.killpg(process.pid, number)
        time.sleep(0.2)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "--resume" in output and "Traceback" not in output
    done = torch.load(run / "checkpoint.pth", weights_only=True)["step"]
    assert run_command("train", ["--resume", str(run), f"project.max_iters={done + 2}", "parallel.processes=1"]) == 0
    assert (run / f"models/backbone_{done + 2}.pth").is_file()


@pytest.mark.slow
def test_an_error_of_several_processes_is_one_line(folder: Path) -> None:
    (folder / "list.txt").write_text("one_field\n")
    path = write_config(folder, tiny_config(folder))
    process = train_process(folder, "--config", str(path), "parallel.processes=2")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert len(output.splitlines()) == 1 and output.startswith("error: ") and "list.txt:1" in output


@pytest.mark.slow
def test_a_process_that_is_killed_is_told(folder: Path) -> None:
    path = write_config(folder, tiny_config(folder, max_iters=100_000, train_log={"screen_intvl": 1}))
    process = train_process(folder, "--config", str(path), "parallel.processes=2")
    run = wait_for_run(folder, process)
    wait_for(run / "train.log", "Iter: 5,", 120)
    pgrep = ["pgrep", "-P", str(process.pid), "-f", "spawn_main"]
    listed = subprocess.run(pgrep, capture_output=True, text=True, check=True)
    os.kill(int(listed.stdout.split()[0]), signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2 and "was ended by SIGKILL" in output and "Traceback" not in output


@pytest.mark.slow
def test_torchrun_is_a_launcher_too(folder: Path) -> None:
    path = write_config(folder, tiny_config(folder))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "train.py"]
    done = subprocess.run([*command, "--config", str(path)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((only_run(folder) / "versions.json").read_text())[0]["world_size"] == 2


def test_a_finished_run_can_go_on(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert train(folder) == 0
    run = only_run(folder)
    assert run_command("train", ["--resume", str(run), "project.max_iters=20"]) == 0
    assert (run / "models/backbone_20.pth").is_file()
    assert yaml.safe_load((run / "config.yml").read_text())["project"]["max_iters"] == 20
    assert "# override: project.max_iters=20" in (run / "config_given.yml").read_text()
    assert [entry["from_update"] for entry in json.loads((run / "versions.json").read_text())] == [0, 12]
    assert run_command("train", ["--resume", str(run)]) == 0  # nothing left to do
    assert run_command("train", ["--resume", str(run), "project.max_iters=15"]) == 2
    assert "project.max_iters is 15, but the run has 20 updates already" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["model.base.optimizer.lr=0.5", "project.seed=3", "data.train.dataloader.batch_size=8"])
def test_a_run_that_goes_on_keeps_what_it_learns_by(folder: Path, capsys: pytest.CaptureFixture, key: str) -> None:
    assert train(folder, None, "project.max_iters=1") == 0
    assert run_command("train", ["--resume", str(only_run(folder)), key]) == 2
    assert f"{key.partition('=')[0]}: a run that goes on keeps" in capsys.readouterr().err


def test_overrides_may_stand_anywhere(folder: Path) -> None:
    path = write_config(folder, tiny_config(folder))
    words = ["project.max_iters=1", "--proj_dir", str(folder / "p"), "project.seed=4"]
    assert run_command("train", ["--config", str(path), *words]) == 0
    (run,) = (folder / "p").iterdir()
    resolved = yaml.safe_load((run / "config.yml").read_text())["project"]
    assert (resolved["max_iters"], resolved["seed"]) == (1, 4)


def test_another_name_of_the_config(folder: Path) -> None:
    assert train(folder, None, "project.max_iters=1", "project.cfg_fname=mine.yml") == 0
    run = only_run(folder)
    assert (run / "mine.yml").is_file() and not (run / "config.yml").exists()
    test = str(write_test_config(folder))
    assert run_command("test", ["--config", test, "--proj_dir", str(run)]) == 0
    assert run_command("train", ["--resume", str(run), "project.max_iters=2"]) == 0


@pytest.mark.parametrize("precision", ["bf16", "fp16", "auto"])
def test_other_arithmetic_trains_and_is_written_down(folder: Path, precision: str) -> None:
    if precision == "fp16" and not torch.cuda.is_available():
        pytest.skip("fp16 needs a GPU")
    assert train(folder, tiny_config(folder, precision=precision)) == 0
    run = only_run(folder)
    resolved = yaml.safe_load((run / "config.yml").read_text())["project"]["precision"]
    assert resolved == precision if precision != "auto" else resolved in ("fp32", "bf16")
    for line in (run / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_the_crop_of_training_is_that_of_every_test(folder: Path) -> None:
    config = tiny_config(folder, max_iters=2)
    config["data"]["train"]["dataset"] |= {"crop": [4, 6, 28, 30], "image_size": 16}
    assert train(folder, config) == 0
    run = only_run(folder)
    resolved = yaml.safe_load((run / "config.yml").read_text())
    assert resolved["data"]["val"][0]["dataset"]["crop"] == [4, 6, 28, 30]
    rows = []
    for words in ([], ["data.test.0.dataset.crop=[4, 6, 28, 30]"], ["data.test.0.dataset.crop=[0, 0, 32, 32]"]):
        assert run_command("test", ["--config", str(write_test_config(folder)), "--proj_dir", str(run), *words]) == 0
        rows.append(json.loads((run / "pairs.json").read_text())["rows"][0])
    assert rows[0] == rows[1] != rows[2]


def test_a_set_that_cannot_follow_the_crop_is_refused(folder: Path, capsys: pytest.CaptureFixture) -> None:
    config = tiny_config(folder, max_iters=1)
    config["data"]["train"]["dataset"] |= {"crop": [0, 0, 24, 24], "image_size": 16}
    assert train(folder, config) == 0
    block = {"type": "SyntheticPairs", "name": "faces", "people": 20, "images": 4, "pairs": 40}
    path = write_config(folder, {"data": {"test": [{"dataset": block}]}}, "test.yml")
    assert run_command("test", ["--config", str(path), "--proj_dir", str(only_run(folder))]) == 2
    assert "was trained on the crop [0, 0, 24, 24], which a SyntheticPairs cannot follow" in capsys.readouterr().err


@pytest.mark.slow
def test_runs_of_one_second_do_not_share_a_folder(tmp_path: Path) -> None:
    from opensphere.engine.folder import make_run_folder

    folders = {make_run_folder(tmp_path) for _ in range(3)}
    assert len(folders) == 3


def test_dry_run_trains_nothing(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert train(folder, None, "--dry-run") == 0
    output = capsys.readouterr().out
    assert "48 images of 6 people" in output
    assert "GFLOPs an image" in output and "MiB" in output and "num_class: 6" in output
    assert not (folder / "project").exists()


def test_dry_run_without_the_data(folder: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["data.train.dataset.ann_path=nowhere.txt", "data.val=[]"]
    assert "num_class" in refused(folder, capsys, "--dry-run", *words)
    assert train(folder, None, "--dry-run", *words, "model.head.net.num_class=8631") == 0
    assert "8,631 people as given" in capsys.readouterr().out


class TestRefusals:
    """Each is one line that names the file or key, with status 2; no run folder is left unless training had begun."""

    def test_missing_list(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        (folder / "list.txt").unlink()
        assert "list.txt" in refused(folder, capsys)
        assert not (folder / "project").exists()

    def test_empty_list(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        (folder / "list.txt").write_text("\n")
        assert "list.txt" in refused(folder, capsys)

    def test_malformed_line(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        text = (folder / "list.txt").read_text().splitlines()
        text[4] = "just_one_field"
        (folder / "list.txt").write_text("\n".join(text))
        assert "list.txt:5" in refused(folder, capsys)

    def test_pair_label_that_is_no_number(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        text = (folder / "pairs.txt").read_text().splitlines()
        text[2] = "same" + text[2][1:]
        (folder / "pairs.txt").write_text("\n".join(text))
        assert "pairs.txt:3" in refused(folder, capsys)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_truncated_image(self, folder: Path, capsys: pytest.CaptureFixture, workers: int) -> None:
        image = folder / "images/person_03/02.png"
        image.write_bytes(image.read_bytes()[:300])
        line = refused(folder, capsys, f"data.base.dataloader.num_workers={workers}", "data.val=[]", begun=True)
        assert "person_03/02.png" in line

    @pytest.mark.parametrize("content", [None, b"", b"this is no image"])
    def test_images_that_are_none(self, folder: Path, capsys: pytest.CaptureFixture, content: bytes | None) -> None:
        image = folder / "images/person_01/01.png"
        image.unlink() if content is None else image.write_bytes(content)
        assert "person_01/01.png" in refused(folder, capsys, "data.val=[]", begun=True)

    def test_one_class_only(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        lines = [line for line in (folder / "list.txt").read_text().splitlines() if line.endswith("person_00")]
        (folder / "list.txt").write_text("\n".join(lines))
        assert "holds 1 person; training needs two or more" in refused(
            folder, capsys, "data.train.dataloader.batch_size=2"
        )

    def test_batch_larger_than_the_data(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        line = refused(folder, capsys, "data.train.dataloader.batch_size=64")
        assert "64" in line and "48" in line

    def test_unwritable_folder(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        (folder / "file").write_text("")
        assert str(folder / "file") in refused(folder, capsys, "--proj_dir", str(folder / "file"))

    def test_wrong_num_class(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        assert "model.head.net.num_class is 7, but it is 6" in refused(folder, capsys, "model.head.net.num_class=7")

    def test_unknown_metric(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        assert "ACCC" in refused(folder, capsys, "data.val.0.dataset.metrics=[ACCC]")

    def test_pretrained_of_another_network(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        assert train(folder, None, "project.max_iters=1") == 0
        saved = (only_run(folder) / "models" / "backbone_1.pth").rename(folder / "backbone_1.pth")
        words = [f"model.backbone.pretrained={saved}", "model.backbone.net.width=0.25"]
        capsys.readouterr()
        line = refused(folder, capsys, *words)
        assert "backbone_1.pth: does not fit the config" in line and "layer1.0.conv1.weight is" in line

    def test_resume_of_no_run(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        assert run_command("train", ["--resume", str(folder / "images")]) == 2
        assert "is no run folder" in capsys.readouterr().err

    def test_config_and_resume_exclude_each_other(self, capsys: pytest.CaptureFixture) -> None:
        assert run_command("train", []) == 2
        assert "--config FILE for a new run or --resume" in capsys.readouterr().err

    def test_what_was_learnt_is_saved_before_a_broken_image_ends_the_run(
        self, folder: Path, capsys: pytest.CaptureFixture
    ) -> None:
        order = GlobalBatches(48, Plan(4, seed=0)).order(0)
        line = (folder / "list.txt").read_text().splitlines()[order[22]]  # of the sixth batch
        (folder / "images" / line.split()[0]).write_bytes(b"no image")
        assert line.split()[0] in refused(
            folder, capsys, "data.train.dataloader.batch_size=4", "data.val=[]", begun=True
        )
        run = only_run(folder)
        assert torch.load(run / "checkpoint.pth", weights_only=True)["step"] == 5
        assert "saved after update 5: mend the data" in (run / "train.log").read_text()

    def test_dry_run_refuses_what_training_would(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        assert "batch of 64" in refused(folder, capsys, "--dry-run", "data.train.dataloader.batch_size=64")

    def test_an_image_size_of_its_own(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        assert "pairs has images of (64, 64)" in refused(folder, capsys, "data.val.0.dataset.image_size=64")

    def test_a_crop_beyond_the_image(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        line = refused(folder, capsys, "data.train.dataset.crop=[0, 0, 40, 40]", "data.val=[]", begun=True)
        assert "is 32 x 32 pixels, the crop [0, 0, 40, 40] reaches beyond" in line

    def test_what_torch_refuses(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        assert "optimizer: SGD refuses its arguments" in refused(folder, capsys, "model.base.optimizer.lr=-1")

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
    def test_a_full_disk(self, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        full = torch.save

        def save(state: Any, part: Path) -> None:
            part.unlink()
            part.symlink_to("/dev/full")
            full(state, part)

        monkeypatch.setattr(torch, "save", save)
        assert "checkpoint.pth: cannot be written" in refused(folder, capsys, begun=True)

    def test_start_time(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        assert "2022-04-22-03-17-05" in refused(folder, capsys, "--start_time", "noon")
        assert train(folder, None, "project.max_iters=1", "--start_time", "2022-04-22-03-17-05") == 0

    def test_a_loss_that_is_not_finite(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        words = ["model.head.net={type: SoftmaxLoss}", "model.base.optimizer.lr=1e30", "model.base.scheduler=null"]
        line = refused(folder, capsys, *words, "project.checkpoint_intvl=1", begun=True)
        assert re.search(r"the loss was (nan|inf) at iteration \d+ with lr 1e\+30", line)
        state = torch.load(only_run(folder) / "checkpoint.pth", weights_only=True)
        step = int(re.search(r"at iteration (\d+)", line)[1])  # type: ignore[index]
        assert state["step"] <= step
