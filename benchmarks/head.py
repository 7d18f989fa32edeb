"""How fast and how small a head is over many classes, beside the matrix products alone and what others would run.

    make bench-head                                   # 85,000, 360,000 and 1,000,000 classes: some twenty minutes
    python benchmarks/head.py --classes 85000         # one size
    python benchmarks/head.py --plan                  # memory and messages for 10 and 100 million people

Each case runs in a process of its own, in turn with the limit: the three products that no exact method can do without
(scores, gradient of the features, gradient of the centres), into buffers that are reused. A figure is the median over
rounds of a case's time divided by the limit's just before it. Memory is the peak beyond the weights, their gradient and
the features, as the operating system counts it; of the fused cases, beyond weights and momentum.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from machine import machine
from rich.console import Console
from rich.table import Table
from torch import Tensor

from opensphere.classifier import ChunkedClassifier
from opensphere.classifier.choice import cost_of
from opensphere.engine.parallel import free_memory
from opensphere.engine.part import Part
from opensphere.model import head as heads

RESULT = Path(__file__).parent / "results" / "head.json"
BATCH = FEAT_DIM = 512
Step = Callable[[], None]


# ------------------------------------------------------------------------------------------------ what is compared


def chunked(head: Any, num_class: int, memory: float) -> Step:
    """Forward and backward of the chunked classifier; the gradient's memory is used again, as in training."""
    classifier = ChunkedClassifier(head, FEAT_DIM, num_class, memory=memory)
    x, y = batch(num_class)

    def step() -> None:
        x.grad = None
        classifier(x, y).backward()
        classifier.recycle()

    return step


def trained(head: Any, num_class: int, fused: bool) -> Step:
    """The same with the update by SGD, fused into the backward pass or not."""
    classifier = ChunkedClassifier(head, FEAT_DIM, num_class, fused=fused)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    if fused:
        classifier.fuse(optimizer)
    part = Part(classifier, optimizer)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    x, y = batch(num_class)

    def step() -> None:
        x.grad = None
        classifier(x, y).backward()
        part.update(scaler)

    return step


def usual_arcface(num_class: int) -> Step:
    """ArcFace as most repositories write it: every angle, a mask of the targets, cross-entropy, autograd."""
    w = torch.nn.Parameter(torch.randn(num_class, FEAT_DIM) * 0.01)
    x, y = batch(num_class)

    def step() -> None:
        x.grad = w.grad = None
        cos = F.linear(F.normalize(x), F.normalize(w)).clamp(-1.0 + 1e-7, 1.0 - 1e-7)
        margin = torch.zeros_like(cos).scatter_(1, y.unsqueeze(1), 0.5)
        F.cross_entropy(64.0 * torch.cos(torch.acos(cos) + margin), y).backward()

    return step


def usual_sphereface2(num_class: int) -> Step:
    """SphereFace2 over the whole matrix, as OpenSphere does: the margin without a gradient, softplus of all logits."""
    w = torch.nn.Parameter(torch.randn(FEAT_DIM, num_class) * 0.01)
    b = torch.nn.Parameter(torch.tensor(-10.0))
    x, y = batch(num_class)

    def step() -> None:
        x.grad = w.grad = b.grad = None
        with torch.no_grad():
            w.data = F.normalize(w.data, dim=0)
        cos = F.normalize(x).mm(w)
        with torch.no_grad():
            target = F.one_hot(y, num_class)
            stretched = 2.0 * (0.5 * (cos + 1.0)).pow(3.0) - 1.0
            shift = torch.where(target.bool(), stretched - 0.4, stretched + 0.4) - cos
        logits = 40.0 * (cos + shift) + b
        weight = 0.3 + 0.4 * target
        (weight * F.softplus((1 - 2 * target) * logits)).sum(1).mean().backward()

    return step


def metric_learning(num_class: int) -> Step:
    """pytorch-metric-learning's ArcFaceLoss."""
    from pytorch_metric_learning.losses import ArcFaceLoss

    loss = ArcFaceLoss(num_class, FEAT_DIM)
    x, y = batch(num_class)

    def step() -> None:
        x.grad = None
        loss.zero_grad()
        loss(x, y).backward()

    return step


# name -> (what it is, how it is made, whether its memory is counted beyond weights and momentum instead of gradient)
CASES: dict[str, tuple[Callable[[int], Step], bool]] = {
    "ArcFace, chunked, 300 MB": (lambda c: chunked(heads.ArcFace(), c, 300.0), False),
    "ArcFace, chunked, all kept": (lambda c: chunked(heads.ArcFace(), c, 1e6), False),
    "CurricularFace, chunked, 300 MB": (lambda c: chunked(heads.CurricularFace(), c, 300.0), False),
    "SphereFace2, chunked, 300 MB": (lambda c: chunked(heads.SphereFace2(c), c, 300.0), False),
    "ArcFace, chunked, 300 MB, with SGD": (lambda c: trained(heads.ArcFace(), c, False), False),
    "ArcFace, chunked, 300 MB, SGD fused": (lambda c: trained(heads.ArcFace(), c, True), True),
    "ArcFace, the usual way": (usual_arcface, False),
    "ArcFace, pytorch-metric-learning": (metric_learning, False),
    "SphereFace2, the usual way": (usual_sphereface2, False),
}


# ------------------------------------------------------------------------------------------------ measuring


def batch(num_class: int) -> tuple[Tensor, Tensor]:
    """Features and labels, the same for each case."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, FEAT_DIM, generator=draw).requires_grad_()
    return x, torch.randint(num_class, (BATCH,), generator=draw)


def limit(num_class: int) -> Step:
    """The three products."""
    w, gradient = torch.ones(num_class, FEAT_DIM), torch.ones(num_class, FEAT_DIM)
    u, du, scores = torch.ones(BATCH, FEAT_DIM), torch.ones(BATCH, FEAT_DIM), torch.ones(num_class, BATCH)

    def step() -> None:
        torch.mm(w, u.mT, out=scores)
        torch.mm(scores.mT, w, out=du)
        torch.mm(scores, u, out=gradient)

    return step


def seconds(step: Step) -> float:
    """The wall time of one."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def resident(peak: bool = False) -> int:
    """Bytes in memory now, or the most since they were last asked to be counted anew."""
    key = "VmHWM:" if peak else "VmRSS:"
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return 1024 * int(line.split()[1])


def measure(name: str, num_class: int, rounds: int) -> dict[str, Any]:
    """One case: first its memory, alone; then its time, in turn with the limit."""
    make, counts_momentum = CASES[name]
    step = make(num_class)
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")  # count the peak anew
    step()
    step()
    extra = resident(peak=True) - before - 4 * num_class * FEAT_DIM  # the gradient, or the momentum, came in between
    if not counts_momentum and "SGD" in name:
        extra -= 4 * num_class * FEAT_DIM  # and the momentum
    ratios, times = [], []
    for _ in range(rounds):
        products = limit(num_class)
        base = seconds(products)
        del products
        times.append(seconds(step))
        ratios.append(times[-1] / base)
    return {"ratio": statistics.median(ratios), "seconds": statistics.median(times), "extra_mb": extra / 1e6}


def in_a_process(name: str, num_class: int, rounds: int) -> dict[str, Any]:
    """`measure` in a fresh process, which may not fit into memory."""
    words = [sys.executable, __file__, "--case", name, "--classes", str(num_class), "--rounds", str(rounds)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
        memory = done.returncode < 0 or "memory" in reason
        return {"failed": "out of memory" if memory else reason}
    return json.loads(done.stdout)


# ------------------------------------------------------------------------------------------------ telling


def table(results: dict[str, dict[str, Any]]) -> Table:
    """The figures of all sizes side by side."""
    sizes = list(results)
    found = Table(title="times the three matrix products (extra memory, MB)", title_justify="left")
    found.add_column("forward + backward, batch 512, 512 numbers a feature")
    for size in sizes:
        found.add_column(f"{int(size):,} classes", justify="right")
    for name in results[sizes[0]]:
        cells = []
        for size in sizes:
            case = results[size][name]
            cells.append(case["failed"] if "failed" in case else f"{case['ratio']:.2f} ({case['extra_mb']:,.0f})")
        found.add_row(name, *cells)
    return found


def plan(console: Console) -> None:
    """Memory and messages of a rank for millions of people, from the code that allocates and sends."""
    found = Table(title="a rank's share: 512 numbers a feature, 300 MB for blocks, softmax head, SGD")
    for column in ("people", "ranks", "batch", "classes", "weights", "gradient", "momentum", "blocks", "sent a step"):
        found.add_column(column, justify="right")
    for people in (10_000_000, 100_000_000):
        for ranks in (8, 64, 256):
            for fused in (False, True):
                cost = cost_of("sharded", people, FEAT_DIM, 64 * ranks, ranks, fused=fused)
                sizes = [cost.weights, cost.gradient, cost.momentum, cost.working]
                found.add_row(
                    f"{people:,}",
                    str(ranks),
                    f"{64 * ranks:,}",
                    f"{cost.classes:,}",
                    *(f"{size / 1e9:.2f} GB" for size in sizes),
                    f"{cost.sent / 1e6:.1f} MB",
                )
    console.print(found)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[85_000, 360_000, 1_000_000])
    parser.add_argument(
        "--rounds", type=int, help="how often each is timed; by default 7, 4, 3: more where it is quick"
    )
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--plan", action="store_true", help="print the plan for 10 and 100 million people instead")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    console = Console(width=140)
    if given.case:
        # beyond what is free, an allocation fails in this process, rather than the system's choice of one
        available = free_memory(torch.device("cpu")) or 2**62
        resource.setrlimit(resource.RLIMIT_AS, (int(available), resource.RLIM_INFINITY))
        print(json.dumps(measure(given.case, given.classes[0], given.rounds)))
        return
    if given.plan:
        plan(console)
        return
    results: dict[str, dict[str, Any]] = {}
    names = [name for name in CASES if given.only in name]
    for size in given.classes:
        results[str(size)] = {}
        rounds = given.rounds or (7 if size < 200_000 else 4 if size < 700_000 else 3)
        for name in names:
            with console.status(f"{size:,} classes: {name}"):
                results[str(size)][name] = in_a_process(name, size, rounds)
            console.print(f"{size:>9,}  {name:40} {results[str(size)][name]}", highlight=False)
    console.print(table(results))
    if not given.only:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    main()
