"""How long the page of a result of IJB-C's size takes, and how much memory: python benchmarks/report.py

Features and lists are drawn (`ijbc.py`), pictures are noise, which JPEG packs worst. First what a test keeps for the
page (`<set>_evidence.npz`), then the page itself, with 10,000 lines of metrics and a head of 85,742 classes; each in a
process of its own, so that its memory can be told: the most that the process ever held.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ijbc import SMALL, Size, make, paths

NAME, CLASSES, LINES = "made_up", 85_742, 10_000


def most_memory() -> int:
    """The most bytes that this process has held."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(text.split("VmHWM:")[1].split()[0])


def now() -> tuple[float, float]:
    """By the clock, and of the processor, which other work on the machine does not change."""
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> dict[str, float]:
    """Seconds of both kinds."""
    return {key: end - begin for key, begin, end in zip(("seconds", "of the processor"), start, now(), strict=True)}


def evidence(folder: Path) -> dict[str, Any]:
    """Build and write the evidence; reading the lists and the features is not timed."""
    from opensphere.command.evidence import write_evidence
    from opensphere.dataset.ijb import IJBDataset

    dataset = IJBDataset(NAME, folder / "loose_crop", folder / "meta", pair_path=paths(folder)["pairs"])
    features, rng = np.load(folder / "features.npy"), np.random.default_rng(0)
    dataset.image = lambda index: rng.integers(0, 255, (112, 96, 3), np.uint8)
    before = most_memory()
    start = now()
    path = write_evidence(folder / "run", dataset, features, LINES)
    taken = since(start)
    assert path is not None
    found = np.load(path)
    about = {"pairs": int(found["genuines"] + found["impostors"]), "pictures": len(found["image"])}
    return {**taken, "bytes": most_memory(), "bytes before": before, "file": path.stat().st_size, **about}


def page(folder: Path) -> dict[str, Any]:
    """The command as users give it, without the start of Python."""
    from opensphere.command.main import main

    out = folder / "page.html"
    start = now()
    status = main(["report", str(folder / "run"), "--out", str(out)])
    assert status == 0
    return {**since(start), "bytes": most_memory(), "file": out.stat().st_size}


def write_run(folder: Path) -> None:
    """A run without evidence."""
    import torch

    (folder / "models").mkdir(parents=True)
    net = {"type": "ArcFace", "num_class": CLASSES, "feat_dim": 512}
    config = {"project": {"max_iters": LINES}, "model": {"head": {"net": net}}}
    (folder / "config.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    rng = np.random.default_rng(0)
    keys = ("Loss", "lr", "bkb_grad", "head_grad", "Mag_mean", "Mag_std", "images_per_second")
    with open(folder / "metrics.jsonl", "w", encoding="utf-8") as file:
        for step in range(LINES):
            row = dict(zip(keys, rng.uniform(1, 2, len(keys)).tolist(), strict=True))
            file.write(json.dumps({"kind": "train", "iter": step, **row}) + "\n")
    torch.save({"w": torch.randn(512, CLASSES)}, folder / "models" / f"head_{LINES}.pth")


CASES = {"evidence": evidence, "page": page}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a small set in seconds, to try the benchmark itself")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(CASES[given.case](given.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "ijbc"
        make(folder, SMALL if given.small else Size())
        write_run(folder / "run")
        for case in CASES:
            words = [sys.executable, __file__, "--case", case, "--folder", str(folder)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{case}: {done.stderr}")
            found = json.loads(done.stdout.splitlines()[-1])
            print(case, ", ".join(f"{key} {value:,.1f}" for key, value in found.items()), sep=": ")


if __name__ == "__main__":
    main()
