"""`opensphere verify A B [B ...]`: whether images show the person of A, by the threshold that `calibrate` stored.

Images are read as those of the training were: faces cropped and aligned in the same way."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from opensphere.command.calibrate import interval
from opensphere.command.screen import Rows, make_console, print_table
from opensphere.command.trained import Trained
from opensphere.dataset.annotation import Texts
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.reader import FileReader
from opensphere.engine.threshold import angle, choose, distance, read_thresholds
from opensphere.error import UserError
from opensphere.metric.verification import cosine_scores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `verify`."""
    parser.add_argument("first", metavar="A", help="an image of a face")
    parser.add_argument("others", metavar="B", nargs="+", help="images to compare it with")
    parser.add_argument(
        "--model", metavar="RUN", required=True, help="a run folder with the threshold.json of calibrate"
    )
    about = "the false match rate of the threshold (the first that calibrate could set)"
    parser.add_argument("--fmr", metavar="X", type=float, help=about)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status, 0 whoever the images show.

    Raises:
        UserError: an image cannot be read, there is no threshold, or the weights are not those that it belongs to.
    """
    folder, paths = Path(arguments.model), [arguments.first, *arguments.others]
    for path in paths:
        if not os.path.isfile(path):
            raise UserError(f"{path}: {'is a folder; name images' if os.path.isdir(path) else 'there is no such file'}")
    content = read_thresholds(folder)
    threshold = choose(content, arguments.fmr, folder)
    model = Trained(folder, weights=folder / content["weights"]["file"])
    images = Files(paths, model.image_size, content["view"]["crop"])
    features = model.features(images, make_console(quiet=arguments.json))
    pairs = np.stack([np.zeros(len(arguments.others), int), np.arange(1, len(images))], axis=1)
    found = [verdict(float(score), threshold["cosine"]) for score in cosine_scores(features, pairs)]
    if arguments.json:
        rows = [{"image": path, **one} for path, one in zip(arguments.others, found, strict=True)]
        about = {"model": str(folder), "weights": content["weights"], "threshold": threshold}
        print(json.dumps({**about, "image": arguments.first, "pairs": rows}, indent=2, ensure_ascii=False))
        return 0
    table: Rows = []
    for path, one in zip(arguments.others, found, strict=True):
        same = ("yes" if one["same"] else "no") + (", but close" if one["close"] else "")
        numbers = {"cosine": f"{one['cosine']:.4f}", "L2 distance": f"{one['distance']:.4f}"}
        table.append({"image": path, **numbers, "angle, degrees": f"{one['angle']:.2f}", "same person": same})
    console = make_console()
    print_table(console, f"the person of {arguments.first}?", table)
    fmr, fnmr = 100 * threshold["fmr"], 100 * threshold["fnmr"]["value"]
    text = (
        f"yes from cosine {interval(threshold['cosine'], 4)} on; on the pairs of calibrate, {fmr:g}% of pairs of two "
        f"people passed and {fnmr:.2f}% of pairs of one person were missed"
    )
    console.print(text, markup=False, soft_wrap=True)
    if any(one["close"] for one in found):
        console.print("close: the score lies within the interval of the threshold", markup=False, soft_wrap=True)
    return 0


class Files(ImageSet):
    """Image files by their paths."""

    def __init__(self, paths: list[str], image_size: list[int], crop: list[int] | None):
        super().__init__("images", image_size, crop=crop)
        self.reader = FileReader(os.curdir, Texts(paths))


def verdict(score: float, cosine: dict[str, Any]) -> dict[str, Any]:
    """What a score means: the other scales, whether it reaches the threshold, and whether it is close to it."""
    close = cosine["low"] is not None and cosine["low"] <= score <= cosine["high"]
    same = score >= cosine["value"]
    return {"cosine": score, "distance": distance(score), "angle": angle(score), "same": same, "close": close}
