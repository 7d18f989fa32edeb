"""Tables of a study, against sums done by hand."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from opensphere.compare.table import Result, tabulate, verdict
from opensphere.error import UserError
from opensphere.metric.estimate import Estimate
from tests.compare.studies import results, study

NAN = float("nan")


def finished(arm: str, seed: int, value: float, setting: int = 0, **more: Any) -> Result:
    return Result(arm, setting, seed, "f", "finished", "", {"LFW": {"ACC": Estimate(value)}}, **more)


def table(
    arms: list[str], runs: list[Result], seeds: int = 3, baseline: str = "A", settings: int = 1
) -> dict[str, Any]:
    return tabulate(arms, [""] * settings, range(seeds), baseline, "ACC", runs)


def rows(found: dict[str, Any], family: str, **same: Any) -> list[dict[str, Any]]:
    return [
        row
        for row in found["differences"]
        if row["family"] == family and all(row[key] == value for key, value in same.items())
    ]


def test_means_and_paired_differences_are_those_of_the_textbook() -> None:
    runs = [finished("A", seed, value) for seed, value in enumerate((90, 92, 94))]
    runs += [finished("B", seed, value) for seed, value in enumerate((91, 94, 97))]
    found = table(["A", "B"], runs)
    first, second = found["means"]
    reach = 4.302653 / math.sqrt(3)  # Student's t with two degrees of freedom, times the error of the deviation 1
    assert (first["arm"], first["value"], second["value"], first["seeds"]) == ("A", 92, 94, 3)
    assert first["low"] == pytest.approx(92 - 2 * reach, abs=1e-4) and second["high"] == pytest.approx(
        94 + 3 * reach, abs=1e-4
    )
    (row,) = rows(found, "baseline")
    assert (row["first"], row["second"], row["difference"], row["seeds"]) == ("B", "A", 2, 3)
    assert (row["low"], row["high"]) == pytest.approx((2 - reach, 2 + reach), abs=1e-4)
    assert row["p"] == row["p (Holm)"] == pytest.approx(0.0742, abs=1e-4) and row["verdict"] == "not told apart"
    assert row["seed_error"] == pytest.approx(1 / math.sqrt(3))


def test_seeds_are_paired_by_number_and_only_where_both_finished() -> None:
    runs = [finished("B", 2, 95), finished("A", 1, 50), finished("A", 2, 93), finished("B", 0, 91.5)]
    runs += [finished("A", 0, 90), Result("B", 0, 1, "f", "diverged", "the loss is nan")]
    (row,) = rows(table(["A", "B"], runs), "baseline")
    assert row["difference"] == pytest.approx((1.5 + 2) / 2) and row["seeds"] == 2
    assert [row["seeds"] for row in table(["A", "B"], runs)["means"]] == [3, 2]


def test_a_run_without_a_result_is_missing() -> None:
    found = table(["A", "B"], [finished("A", 0, 90), finished("B", 1, 91)])
    states = {(run["arm"], run["seed"]): run["status"] for run in found["runs"]}
    assert len(states) == 6 and states["A", 0] == states["B", 1] == "finished" and states["A", 1] == "missing"
    (row,) = rows(found, "baseline")
    assert math.isnan(row["difference"]) and row["seeds"] == 0 and row["verdict"] == "cannot be said" and row["why"]


def test_the_baseline_is_the_second_and_pairs_are_later_less_earlier() -> None:
    arms = ["A", "B", "C", "D"]
    runs = [finished(arm, seed, 80 + 10 * k + seed) for k, arm in enumerate(arms) for seed in range(3)]
    found = table(arms, runs, baseline="C")
    assert [(row["first"], row["second"]) for row in rows(found, "baseline")] == [("A", "C"), ("B", "C"), ("D", "C")]
    pairs = {(row["first"], row["second"]) for row in rows(found, "pairs")}
    assert pairs == {("A", "C"), ("B", "C"), ("D", "C"), ("B", "A"), ("D", "A"), ("D", "B")}
    assert [row["arm"] for row in found["means"]] == arms


def test_holm_counts_a_column_over_all_sets_and_settings() -> None:
    rng = np.random.default_rng(3)
    arms, seeds = ["A", "B", "C"], [4, 7, 9, 11]

    def measured(arm: str, setting: int, seed: int) -> dict[str, dict[str, Estimate]]:
        centre = 2 * arms.index(arm) + setting
        return {name: {key: Estimate(centre + rng.normal()) for key in ("ACC10", "EER")} for name in ("one", "two")}

    found = tabulate(arms, ["x", "y"], seeds, "A", "ACC10", results(arms, 2, seeds, measured))
    for family, number in (("baseline", 2), ("pairs", 3)):
        for column in ("ACC10", "EER"):
            own = sorted(rows(found, family, column=column), key=lambda row: row["p"])
            assert len(own) == number * 2 * 2
            least = 0.0
            for place, row in enumerate(own):
                least = max(least, min(1.0, (len(own) - place) * row["p"]))
                assert row["p (Holm)"] == pytest.approx(least)
                assert (row["verdict"] in ("better", "worse")) == (least <= 0.05)


def test_verdicts_mind_which_way_is_better() -> None:
    assert verdict("ACC10", 1.0, 0.01) == "better" and verdict("ACC10", -1.0, 0.01) == "worse"
    assert verdict("EER", 1.0, 0.01) == "worse" and verdict("EER", -1.0, 0.01) == "better"
    assert verdict("ACC10", 1.0, 0.051) == "not told apart" and verdict("ACC10", 1.0, 0.05) == "better"
    assert verdict("ACC10", 1.0, NAN) == verdict("ACC10", NAN, 0.01) == "cannot be said"


def test_an_arm_that_is_surely_better_is_called_so() -> None:
    rng = np.random.default_rng(0)
    people = rng.normal(size=100)

    def measured(arm: str, setting: int, seed: int) -> dict[str, dict[str, Estimate]]:
        value = 90 + 5 * (arm == "B") + rng.normal(0, 0.1)
        good = Estimate(value, replicates=value + people)
        return {"LFW": {"ACC10": good, "EER": Estimate(100 - value, replicates=100 - value - people)}}

    found = study(["A", "B"], measured)
    assert {row["column"]: row["verdict"] for row in rows(found, "baseline")} == {"ACC10": "better", "EER": "better"}
    assert {row["column"]: row["verdict"] for row in rows(found, "pairs")} == {"ACC10": "better", "EER": "better"}


def test_standard_errors_of_columns_stay_with_the_runs_and_the_metric_comes_first() -> None:
    values = {"ACC": Estimate(91.0), "ACC10": Estimate(90.0), "ACC10 SE": Estimate(0.5), "odd SE": Estimate(1.0)}
    found = study(["A", "B"], lambda *_: {"LFW": values, "other": {"EER": Estimate(2.0)}})
    assert found["sets"] == {"LFW": ["ACC10", "ACC", "odd SE"], "other": ["EER"]}
    assert {row["column"] for row in [*found["means"], *found["differences"]]} == {"ACC10", "ACC", "odd SE", "EER"}
    assert found["runs"][0]["values"]["LFW"] == {"ACC": 91.0, "ACC10": 90.0, "ACC10 SE": 0.5, "odd SE": 1.0}


def test_what_cannot_be_said_is_null_with_its_reason_and_no_test() -> None:
    rng = np.random.default_rng(1)

    def measured(arm: str, setting: int, seed: int) -> dict[str, dict[str, Estimate]]:
        known = Estimate(50 + rng.normal()) if arm != "C" else Estimate(NAN, "no pairs")
        return {"LFW": {"ACC10": known}}

    found = study(["A", "B", "C"], measured)
    known, unknown = rows(found, "baseline")
    assert unknown["difference"] is unknown["p"] is unknown["p (Holm)"] is None
    assert (unknown["verdict"], unknown["why"]) == ("cannot be said", "no pairs")
    assert known["p (Holm)"] == known["p"]  # one test only
    assert found["means"][2]["value"] is None and found["means"][2]["why"] == "no pairs"


def test_equal_arms_are_not_told_apart() -> None:
    (row,) = rows(table(["A", "B"], [finished(arm, seed, 90 + seed) for arm in "AB" for seed in range(3)]), "baseline")
    assert (row["difference"], row["low"], row["high"], row["p"]) == (0, 0, 0, 1) and row["verdict"] == "not told apart"


def test_one_seed_speaks_of_people_only_and_without_people_of_nothing() -> None:
    people = np.linspace(-1, 1, 101)
    runs = [Result(arm, 0, 0, "f", "finished", "", {"LFW": {"ACC": Estimate(value, replicates=value + people)}})
            for arm, value in (("A", 90.0), ("B", 92.0))]  # fmt: skip
    runs += [Result("C", 0, 0, "f", "finished", "", {"LFW": {"ACC": Estimate(95.0)}})]
    with_people, without = rows(table(["A", "B", "C"], runs, seeds=1), "baseline")
    assert with_people["seeds"] == 1 and math.isnan(with_people["seed_error"])
    assert "nothing is known of others" in with_people["method"] or with_people["why"]
    assert math.isnan(without["p"]) and without["verdict"] == "cannot be said" and without["why"]


def test_costs_are_means_of_the_runs_that_finished() -> None:
    runs = [finished("A", 0, 90, seconds=10, memory_mb=100), finished("A", 1, 90, seconds=20)]
    runs += [Result("A", 0, 2, "f", "diverged", "nan", seconds=1000), Result("A", 0, 3, "f", "failed", "out of memory")]
    first, second = table(["A", "B"], runs, seeds=5)["costs"]
    assert (first["seconds"], first["memory_mb"]) == (15, 100) and math.isnan(first["images/s"])
    assert (first["runs"], first["diverged"], first["failed"]) == (4, 1, 1)
    assert (second["arm"], second["runs"]) == ("B", 0) and math.isnan(second["seconds"])


def test_a_run_that_diverged_counts_nowhere_even_where_it_was_measured() -> None:
    lost = Result("B", 0, 1, "f", "diverged", "nan", {"LFW": {"ACC": Estimate(1.0)}})
    found = table(["A", "B"], [finished("A", 0, 90), finished("A", 1, 91), finished("B", 0, 92), lost], seeds=2)
    assert [row["value"] for row in found["means"]] == [90.5, 92]


def test_every_arm_setting_and_set_has_its_rows() -> None:
    arms = ["A", "B", "C"]
    settings = [{"name": f"share {k}", "values": {"share": k}} for k in range(4)]
    found = study(arms, lambda *_: {name: {"ACC10": Estimate(1.0)} for name in ("x", "y")}, settings)
    assert len(found["means"]) == 3 * 4 * 2 and len(found["costs"]) == 3 * 4 and len(found["runs"]) == 3 * 4 * 3
    assert len(rows(found, "baseline")) == 2 * 4 * 2
    assert len(rows(found, "pairs")) == len(list(combinations(arms, 2))) * 4 * 2


def test_sets_that_were_not_measured_on_the_same_people_are_an_error() -> None:
    lengths = {"A": 10, "B": 11}
    runs = [
        Result(arm, 0, seed, "f", "finished", "", {"LFW": {"ACC": Estimate(1.0, replicates=np.arange(float(length)))}})
        for arm, length in lengths.items()
        for seed in range(2)
    ]
    with pytest.raises(UserError, match="LFW: B and A cannot be compared: 10 and 11 resamples") as caught:
        table(["A", "B"], runs, seeds=2)
    assert "\n" not in str(caught.value)


def test_a_wrong_call_is_an_error() -> None:
    with pytest.raises(ValueError, match="'X' is none of the arms A, B"):
        table(["A", "B"], [], baseline="X")
    with pytest.raises(ValueError, match="two results of one run: A, setting 0, seed 1"):
        table(["A", "B"], [finished("A", 1, 90), finished("A", 1, 91)])
    assert table(["A", "B"], [])["sets"] == {}
