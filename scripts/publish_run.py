"""Make of a run folder what one gives to others: its config, its logs, and its last weights as safetensors.

    python scripts/publish_run.py project/20220422_031705 pretrained/my_model

`test.py --proj_dir pretrained/my_model` tests the copy like the run itself. Safetensors cannot run code.
"""

import argparse
import shutil
import sys
from pathlib import Path

from opensphere.command.main import guarded
from opensphere.command.test import read_run
from opensphere.engine.checkpoint import read_weights, write_safetensors
from opensphere.engine.folder import find_config
from opensphere.error import UserError

KEPT = ("versions.json", "train.log", "val.log", "metrics.jsonl")


def publish(run: Path, out: Path) -> int:
    """Copy what describes the run, convert its last weights; returns the exit status.

    Raises:
        UserError: `run` is no run folder with weights, or `out` is there already.
    """
    *_, weights = read_run(run)
    if out.exists():
        raise UserError(f"{out}: is there already; name a new folder, or remove it first")
    step, path = list(weights.items())[-1]
    tensors = {name.removeprefix("module."): tensor for name, tensor in read_weights(path).items()}
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a try that failed
    write_safetensors(tensors, part / "models" / f"backbone_{step}.safetensors")
    shutil.copyfile(find_config(run), part / "config.yml")
    for name in KEPT:
        if (run / name).is_file():
            shutil.copyfile(run / name, part / name)
    part.rename(out)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: weights after {step:,} updates with config and logs, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("out", type=Path, help="the folder to make")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: publish(arguments.run, arguments.out)))
