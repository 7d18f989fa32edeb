"""What scores look like: ROC and DET with their bands, histograms with a threshold to move, CMC and open-set curves."""

from typing import Any

import numpy as np

from opensphere.report.figure import MOST_BANDS, Figure, Trace, area, axis, colour, line, log_axis, numbers, slug
from opensphere.report.run import Run

Arrays = dict[str, np.ndarray]
Held = list[tuple[int, Run, Arrays]]  # with the colour of each run
MOST_POINTS = 400  # of a curve on the page
_STYLES = {"genuine": "solid", "impostor": "dot"}
_RANKS = [1, 2, 5, 10, 20, 50, 100]  # ticks
_WIDTHS = (1, 2, 5, 10)  # bins of the evidence that are drawn as one


def curve_figures(runs: list[Run], dataset: str) -> list[Figure]:
    """All figures of a set that the evidence of any run allows."""
    held = [(index, run, run.evidence[dataset]) for index, run in enumerate(runs) if dataset in run.evidence]
    if not held:
        return []
    found = [roc_figure(held, dataset), _det(held, dataset), _scores(held, dataset)]
    if any("angle_genuine_counts" in arrays for _, _, arrays in held):
        found.append(_angles(held, dataset))
    if any("cmc" in arrays for _, _, arrays in held):
        found.append(_cmc(held, dataset))
    if any("tpir" in arrays for _, _, arrays in held):
        found.append(_open_set(held, dataset))
    return found


def _rates(arrays: Arrays, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, FMR and FNMR in per cent, of the points that accept any impostor."""
    shown = np.flatnonzero(arrays["false_accepts"] > 0)
    shown = shown[np.unique(np.linspace(0, len(shown) - 1, min(len(shown), most)).astype(int))]
    fmr = 100 * arrays["false_accepts"][shown] / arrays["impostors"]
    fnmr = 100 * (arrays["genuines"] - arrays["true_accepts"][shown]) / arrays["genuines"]
    return arrays["thresholds"][shown], fmr, fnmr


def _lowest(held: Held) -> float:
    """The lowest rate of impostors that any run's pairs can tell, in per cent."""
    return min(100 / max(1.0, float(arrays["impostors"])) for _, _, arrays in held)


def roc_figure(held: Held, dataset: str, most: int = MOST_POINTS) -> Figure:
    """The curves of some runs, each by its colour, of so many points at most."""
    traces: list[Trace] = []
    for index, run, arrays in held:
        thresholds, fmr, fnmr = _rates(arrays, most)
        if "band_fpr" in arrays and len(held) <= MOST_BANDS:
            fpr = 100 * arrays["band_fpr"]
            traces.append(area(index, run.label, fpr, 100 * arrays["band_low"], 100 * arrays["band_high"]))
        hover = "TPR %{y:.2f} % at FPR %{x:.3g} %<br>threshold %{customdata:.3f}"
        custom = numbers(thresholds, 4)
        traces.append(line(index, run.label, fmr, 100 - fnmr, customdata=custom, hovertemplate=hover))
    layout = {
        "xaxis": log_axis("false positive rate (FPR), %, logarithmic", _lowest(held), 100),
        "yaxis": axis("true positive rate (TPR), %"),
        "hovermode": "closest",
    }
    caption = (
        "Each point is a threshold: which share of pairs of one person it accepts (up), and of pairs of two people "
        f"(right). Higher and further left is better.{_band_word(held)}"
    )
    return Figure(f"roc-{slug(dataset)}", f"ROC on {dataset}", caption, traces, layout, 400)


def _det(held: Held, dataset: str) -> Figure:
    traces: list[Trace] = []
    lowest = _lowest(held)
    floor = min(100 / max(1.0, float(arrays["genuines"])) for _, _, arrays in held)
    for index, run, arrays in held:
        thresholds, fmr, fnmr = _rates(arrays)
        if "band_fpr" in arrays and len(held) <= MOST_BANDS:
            high, low = (np.maximum(100 - 100 * arrays[key], floor / 2) for key in ("band_low", "band_high"))
            traces.append(area(index, run.label, 100 * arrays["band_fpr"], low, high))
        seen = fnmr > 0  # zero has no place on a logarithmic axis
        hover = "FNMR %{y:.3g} % at FMR %{x:.3g} %<br>threshold %{customdata:.3f}"
        custom = numbers(thresholds[seen], 4)
        traces.append(line(index, run.label, fmr[seen], fnmr[seen], customdata=custom, hovertemplate=hover))
    layout = {
        "xaxis": log_axis("false match rate (FMR), %, logarithmic", lowest, 100),
        "yaxis": log_axis("false non-match rate (FNMR), %, log.", floor / 2, 100),
        "hovermode": "closest",
    }
    caption = (
        "The same as errors: strangers taken for one person (right) against one person taken for two (up). Lower and "
        f"further left is better.{_band_word(held)}"
    )
    return Figure(f"det-{slug(dataset)}", f"DET on {dataset}", caption, traces, layout, 400)


def _band_word(held: Held) -> str:
    levels = [float(arrays["confidence"]) for _, _, arrays in held if "band_fpr" in arrays and "confidence" in arrays]
    if not levels:
        return " No bands: the tests kept no intervals of the curve."
    if len(held) > MOST_BANDS:
        return f" Without bands: those of more than {MOST_BANDS} runs would hide each other."
    return f" Bands: {levels[0]:.0%} intervals over resamples of the people, for each FPR on its own."


def _scores(held: Held, dataset: str) -> Figure:
    traces: list[Trace] = []
    sliders: list[dict[str, Any]] = []
    reach: list[int] = []
    width = _width([arrays[f"{kind}_counts"] for _, _, arrays in held for kind in _STYLES])
    filling = "tozeroy" if len(held) == 1 else "none"
    for index, run, arrays in held:
        edges = arrays["edges"]
        for kind, style in _STYLES.items():
            reach += _ends(arrays[f"{kind}_counts"])
            hover = f"{kind}: %{{y:.2f}} % of pairs near score %{{x:.2f}}"
            traces.append(
                line(
                    index, run.label, *_outline(arrays[f"{kind}_counts"], edges, width), dash=style,
                    hovertemplate=hover, fill=filling, fillcolor=colour(index) + "2e", showlegend=kind == "genuine",
                )
            )  # fmt: skip
        sliders.append(
            {
                "run": index,
                "label": run.label,
                "edges": numbers(edges),
                "genuine": [int(count) for count in arrays["genuine_counts"]],
                "impostor": [int(count) for count in arrays["impostor_counts"]],
                "start": _equal_error(arrays),
            }
        )
    for one in sliders:
        one |= {"first": min(reach), "last": max(reach)}
    cosines = all("angle_genuine_counts" in arrays for _, _, arrays in held)  # whose bins are all alike
    step = float(held[0][2]["edges"][width] - held[0][2]["edges"][0])
    layout = {
        "xaxis": axis("score (cosine similarity)" if cosines else "score"),
        "yaxis": axis("share of pairs, %" + (f" per {step:.2g}" if cosines else ""), rangemode="tozero"),
        "hovermode": "closest",
    }
    caption = (
        "Scores of pairs of one person (solid) and of two people (dotted). Move the threshold: pairs from it upwards "
        "count as one person. The rates are exact."
    )
    return Figure(f"scores-{slug(dataset)}", f"Scores on {dataset}", caption, traces, layout, 360, True, sliders)


def _ends(counts: np.ndarray) -> tuple[int, int]:
    """The bins that hold anything, with one empty bin at each side."""
    held = np.flatnonzero(counts)
    return (max(0, int(held[0]) - 1), min(len(counts), int(held[-1]) + 2)) if len(held) else (0, len(counts))


def _width(histograms: list[np.ndarray]) -> int:
    """How many bins to draw as one, so that no curve has more of them than twice the cube root of its pairs (Rice)."""
    needed = 1.0
    for counts in histograms:
        first, last = _ends(counts)
        needed = max(needed, (last - first) / max(1.0, 2 * float(counts.sum()) ** (1 / 3)))
    fitting = [width for width in _WIDTHS if all(len(counts) % width == 0 for counts in histograms)]
    return next((width for width in fitting if width >= needed), fitting[-1])


def _outline(counts: np.ndarray, edges: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Middles of bins of the given width that hold anything, with an empty one at each side, and their shares in %."""
    shares = 100 * counts.astype(np.float64).reshape(-1, width).sum(axis=1) / max(1, counts.sum())
    ends = edges[::width]
    middles = (ends[1:] + ends[:-1]) / 2
    step = ends[1] - ends[0]
    shares, middles = np.pad(shares, 1), np.concatenate([[middles[0] - step], middles, [middles[-1] + step]])
    first, last = _ends(shares)
    return middles[first:last], shares[first:last]


def _equal_error(arrays: Arrays) -> int:
    """The edge at which FMR and FNMR are closest."""
    genuine, impostor = (arrays[f"{kind}_counts"].astype(np.float64) for kind in ("genuine", "impostor"))
    fmr = np.append(np.cumsum(impostor[::-1])[::-1], 0) / max(1, impostor.sum())
    fnmr = np.append(0, np.cumsum(genuine)) / max(1, genuine.sum())
    return int(np.argmin(np.abs(fmr - fnmr)))


def _angles(held: Held, dataset: str) -> Figure:
    traces: list[Trace] = []
    keys = [f"angle_{kind}_counts" for kind in _STYLES]
    width = _width([arrays[key] for _, _, arrays in held for key in keys if key in arrays])
    for index, run, arrays in held:
        for kind, style in _STYLES.items():
            counts = arrays.get(f"angle_{kind}_counts")
            if counts is None:
                continue
            x, y = _outline(counts, np.arange(len(counts) + 1), width)
            hover = f"{kind}: %{{y:.2f}} % of pairs a degree near %{{x:.0f}}°"
            more = {"hovertemplate": hover, "showlegend": kind == "genuine"}
            traces.append(line(index, run.label, x, y / width, dash=style, **more))
    layout = {
        "xaxis": axis("angle between two features, degrees"),
        "yaxis": axis("share of pairs, % per degree", rangemode="tozero"),
        "hovermode": "closest",
    }
    caption = "Angles within people (solid) and between people (dotted). Random directions are 90 degrees apart."
    return Figure(f"angles-{slug(dataset)}", f"Angles on {dataset}", caption, traces, layout, 360)


def _cmc(held: Held, dataset: str) -> Figure:
    traces = [
        line(
            index, run.label, arrays["ranks"], 100 * arrays["cmc"], mode="lines+markers",
            hovertemplate="%{y:.2f} % among the best %{x}",
        )
        for index, run, arrays in held
        if "cmc" in arrays
    ]  # fmt: skip
    ranks = {"type": "log", "tickvals": _RANKS, "ticktext": [str(rank) for rank in _RANKS]}
    layout = {"xaxis": axis("rank, logarithmic", **ranks), "yaxis": axis("found, % of searches")}
    caption = "CMC: how often the right person is among the best entries of the gallery, up to a rank."
    return Figure(f"cmc-{slug(dataset)}", f"Identification on {dataset}", caption, traces, layout, 360)


def _open_set(held: Held, dataset: str) -> Figure:
    shown = [(index, run, arrays) for index, run, arrays in held if "tpir" in arrays]
    positive = [100 * arrays["fpir"][arrays["fpir"] > 0] for _, _, arrays in shown]
    lowest = min((float(rates.min()) for rates in positive if len(rates)), default=0.1)
    traces = [
        line(
            index, run.label, 100 * arrays["fpir"], 100 * arrays["tpir"],
            hovertemplate="TPIR %{y:.2f} % at FPIR %{x:.3g} %",
        )
        for index, run, arrays in shown
    ]  # fmt: skip
    layout = {
        "xaxis": log_axis("FPIR, %, logarithmic", lowest, 100),
        "yaxis": axis("TPIR, %"),
        "hovermode": "closest",
    }
    caption = (
        "Open-set identification: known people found (up) against strangers taken for somebody (right), as the "
        "threshold falls."
    )
    return Figure(f"open-set-{slug(dataset)}", f"Searches with strangers on {dataset}", caption, traces, layout, 360)
