"""A published run tests like the run itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from opensphere.command.main import run_command
from tests.material import only_run, tiny_config, write_config, write_pairs, write_people, write_test_config

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "publish_run.py"


def publish(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_another_name_of_the_config(tmp_path: Path) -> None:
    write_people(tmp_path)
    write_pairs(tmp_path)
    config = write_config(tmp_path, tiny_config(tmp_path, max_iters=1, cfg_fname="mine.yml"))
    assert run_command("train", ["--config", str(config)]) == 0
    assert publish(only_run(tmp_path), tmp_path / "published").returncode == 0
    assert (tmp_path / "published" / "config.yml").is_file()


@pytest.mark.slow
def test_the_copy_gives_the_same_table(tmp_path: Path) -> None:
    write_people(tmp_path)
    write_pairs(tmp_path)
    assert (
        run_command("train", ["--config", str(write_config(tmp_path, tiny_config(tmp_path, save_iters=[6, 12])))]) == 0
    )
    run, out = only_run(tmp_path), tmp_path / "published"
    done = publish(run, out)
    assert done.returncode == 0, done.stderr
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {
        *("config.yml", "versions.json", "train.log", "val.log", "metrics.jsonl"),
        "models/backbone_12.safetensors",
    }
    config = str(write_test_config(tmp_path))
    assert run_command("test", ["--config", config, "--proj_dir", str(run), str(out)]) == 0
    rows, copied = (json.loads((folder / "pairs.json").read_text())["rows"] for folder in (run, out))
    assert copied[0] == rows[1]
    again = publish(run, out)
    assert again.returncode == 2 and "is there already" in again.stderr
    assert publish(tmp_path, tmp_path / "other").returncode == 2
