"""Studies with made-up numbers, as study.json reads."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from opensphere.command.screen import json_text
from opensphere.compare.table import Result, tabulate
from opensphere.metric.estimate import Estimate

Measured = Callable[[str, int, int], dict[str, dict[str, Estimate]] | None]

PLAIN = [{"name": "", "values": {}}]


def results(arms: Sequence[str], settings: int, seeds: Sequence[int], measured: Measured) -> list[Result]:
    """A run for each arm, setting and seed; it diverged where `measured` gives None."""
    found = []
    for setting in range(settings):
        for arm in arms:
            for seed in seeds:
                values = measured(arm, setting, seed)
                status, why = ("diverged", "the loss is nan at update 7") if values is None else ("finished", "")
                folder = f"runs/{arm}_{setting}_{seed}"
                found.append(Result(arm, setting, seed, folder, status, why, values or {}, 10.0, 200.0, 300.0, 0.5))
    return found


def study(
    arms: Sequence[str],
    measured: Measured,
    settings: Sequence[dict[str, Any]] = PLAIN,
    seeds: Sequence[int] = (0, 1, 2),
    baseline: str | None = None,
    metric: str = "ACC10",
    **more: Any,
) -> dict[str, Any]:
    """A whole study, read back from JSON."""
    baseline = baseline or arms[0]
    runs = results(arms, len(settings), seeds, measured)
    found = tabulate(arms, [one["name"] for one in settings], seeds, baseline, metric, runs)
    heads = {"study": "made_up", "title": "Made up", "metric": metric, "baseline": baseline}
    lists = {"arms": list(arms), "seeds": list(seeds), "settings": list(settings), "chosen": []}
    return json.loads(json_text({**heads, **lists, **found, **more}))
