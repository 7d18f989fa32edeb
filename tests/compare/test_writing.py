"""What readers see of a study."""

import csv
import io
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from opensphere.command.screen import print_table, table_text
from opensphere.compare.writing import (
    Table,
    all_tables,
    better_than_all,
    csv_text,
    difference_table,
    interval_covers,
    main_tables,
    markdown_text,
    notes,
    result_tables,
    verdict_tables,
)
from opensphere.metric.estimate import Estimate
from tests.compare.studies import Measured, study

ODD = ["Coco_Loss", "50% *m* {a|b}", "[Arc]<b>", "with, comma"]
SHARES = [{"name": f"share {value:g}", "values": {"data.train.corruption.share": value}} for value in (0, 0.2)]
PEOPLE = np.random.default_rng(5).normal(0, 0.2, 200)


def measured(arms: list[str], lost: tuple[str, int, int] | None = None) -> Measured:
    """Each arm is three points above the one before; EER is as much below, TPR is not known."""

    def values(arm: str, setting: int, seed: int) -> dict[str, dict[str, Estimate]] | None:
        if (arm, setting, seed) == lost:
            return None
        luck = 0.05 * math.sin(7 * seed + 3 * arms.index(arm))
        value = 80 + 3 * arms.index(arm) - 10 * setting + luck
        accuracy, error = (Estimate(v, replicates=v + s * PEOPLE) for v, s in ((value, 1), (100 - value, -1)))
        return {"unseen": {"ACC10": accuracy, "EER": error, "TPR@FPR=1e-9": Estimate(float("nan"), "too few pairs")}}

    return values


def titled(tables: list[Table], *words: str) -> Table:
    (found,) = [table for table in tables if all(word in table.title for word in words)]
    return found


def test_results_say_mean_interval_verdict_and_cost_in_the_order_of_the_study() -> None:
    arms = ["C", "A", "B"]
    (table,) = result_tables(study(arms, measured(arms), baseline="A"))
    assert [row[""] for row in table.rows] == arms
    assert [row["against A"] for row in table.rows] == ["worse", "baseline", "better"]
    first = table.rows[0]
    assert re.fullmatch(r"80\.\d\d \[79\.\d\d, 80\.\d\d\]", first["ACC10"]) and first["TPR@FPR=1e-9"] == "–"
    assert (first["training, s"], first["images/s"], first["memory, MB"]) == ("10.0", "200", "300")
    assert "seeds" not in first and "diverged" not in first


def test_lost_runs_are_seen_in_the_table_and_told_of_below() -> None:
    found = study(["A", "B"], measured(["A", "B"], lost=("B", 0, 1)))
    (table,) = result_tables(found)
    assert [row["seeds"] for row in table.rows] == ["3", "2 of 3"]
    assert [row["diverged"] for row in table.rows] == ["0 of 3", "1 of 3"]
    below = notes(found)
    assert "B diverged: seed 1 (the loss is nan at update 7)" in below
    assert any("flatter an arm whose runs diverge" in note for note in below)
    assert difference_table(found, "baseline", "unseen", "ACC10").rows[0]["seeds"] == "2 of 3"


def test_settings_stand_side_by_side_with_signs() -> None:
    found = study(["A", "B"], measured(["A", "B"], lost=("B", 1, 2)), SHARES)
    table, costs = result_tables(found)
    assert "ACC10" in table.title and list(table.rows[0]) == ["", "share 0", "share 0.2"]
    assert [row["share 0"][-1] for row in table.rows] == ["·", "+"] and table.rows[0]["share 0.2"].startswith("70.")
    assert [row["setting"] for row in costs.rows] == ["share 0", "share 0", "share 0.2", "share 0.2"]
    assert "B diverged: share 0.2, seed 2 (the loss is nan at update 7)" in notes(found)
    every = all_tables(found)
    assert titled(every, "Made up: unseen, EER").rows[1]["share 0"].endswith("+")  # lower, and so better
    assert [row["setting"] for row in difference_table(found, "baseline", "unseen", "ACC10").rows] == [
        "share 0",
        "share 0.2",
    ]


def test_differences_have_signs_and_the_verdict_is_on_the_first() -> None:
    found = study(["A", "B", "C"], measured(["A", "B", "C"]), baseline="B")
    below, above = difference_table(found, "baseline", "unseen", "ACC10").rows
    assert (below[""], below["verdict"], above[""], above["verdict"]) == ("A", "worse", "C", "better")
    assert re.fullmatch(r"-[23]\.\d\d \[-[23]\.\d\d, -[23]\.\d\d\]", below["difference"])
    assert above["difference"].startswith("+") and "[+" in above["difference"]
    pairs = difference_table(found, "pairs", "unseen", "EER").rows
    assert [(row["first"], row["second"], row["verdict on the first"]) for row in pairs] == [
        ("A", "B", "worse"),
        ("C", "B", "better"),
        ("C", "A", "better"),
    ]
    nothing = difference_table(found, "baseline", "unseen", "TPR@FPR=1e-9").rows[0]
    assert (nothing["difference"], nothing["p"], nothing["verdict"]) == ("–", "–", "cannot be said")


def test_the_matrix_is_the_same_read_both_ways() -> None:
    arms = ["A", "B", "C"]
    (table,) = verdict_tables(study(arms, measured(arms), baseline="B"))
    signs = [[row[str(k)] for k in (1, 2, 3)] for row in table.rows]
    assert signs == [["·", "−", "−"], ["+", "·", "−"], ["+", "+", "·"]]
    assert [row[""] for row in table.rows] == ["1 A", "2 B", "3 C"]


def test_best_is_only_who_is_told_apart_from_every_other() -> None:
    arms = ["A", "B", "C"]
    found = study(arms, measured(arms))
    assert [better_than_all(found, arm, 0, "unseen", "EER") for arm in arms] == [False, False, True]
    tied = study(arms, lambda arm, *rest: measured(arms)("B" if arm == "C" else arm, *rest))
    assert not any(better_than_all(tied, arm, 0, "unseen", "ACC10") for arm in arms)
    assert not better_than_all(study(["A"], measured(["A"])), "A", 0, "unseen", "ACC10")


@pytest.mark.parametrize(
    ("seeds", "make", "said"),
    [
        ((0, 1, 2), lambda value: Estimate(value, replicates=value + PEOPLE), "other training seeds and other people"),
        ((0, 1, 2), Estimate, "other training seeds, on these people"),
        ((4,), lambda value: Estimate(value, replicates=value + PEOPLE), "nothing is known of other trainings"),
        ((4,), Estimate, "values of seed 4; without intervals"),
    ],
)
def test_notes_claim_no_more_than_intervals_cover(
    seeds: tuple[int, ...], make: Callable[[float], Estimate], said: str
) -> None:
    def values(arm: str, setting: int, seed: int) -> dict[str, dict[str, Estimate]]:
        return {"unseen": {"ACC10": make(90 + seed + (arm == "B") * math.cos(seed))}}

    found = notes(study(["A", "B"], values, seeds=seeds))
    assert said in found[0] and any("not say that the two are equal" in note for note in found)


def partly_over_people(arm: str, setting: int, seed: int) -> dict[str, dict[str, Estimate]]:
    """ACC10 of the second set, and AUC of both, say nothing of other people."""
    alone = Estimate(90 + seed + (arm == "B") * math.cos(seed))
    both = Estimate(alone.value, replicates=alone.value + PEOPLE)
    return {"seen": {"ACC10": both, "AUC": alone, "ACC": both}, "unseen": {"ACC10": alone, "AUC": alone}}


def test_notes_say_which_columns_other_people_are_left_out_of() -> None:
    found = study(["A", "B"], partly_over_people)
    covers = "other training seeds and, but for AUC, ACC10 of unseen, other people in the test set"
    assert interval_covers(found) == covers and notes(found)[0].endswith(f"which covers {covers}")
    assert interval_covers(found, {("seen", "ACC10")}) == "other training seeds and other people in the test set"
    assert interval_covers(found, {("unseen", "ACC10")}) == "other training seeds, on these people"
    (of_one,) = [row for row in found["means"] if (row["arm"], row["set"], row["column"]) == ("A", "seen", "ACC")]
    of_one["people_error"] = None
    assert "but for AUC, ACC, ACC10 of unseen," in interval_covers(found)  # one row without is enough


def test_notes_name_the_columns_of_each_method() -> None:
    said = [note for note in notes(study(["A", "B"], partly_over_people)) if note.startswith("interval and p")]
    assert said == [
        "interval and p of ACC10 of seen, ACC: t over seeds and bootstrap over people",
        "interval and p of AUC, ACC10 of unseen: t over seeds",
    ]
    said = [note for note in notes(study(["A", "B"], measured(["A", "B"]))) if note.startswith("interval and p")]
    assert said == ["interval and p: t over seeds and bootstrap over people"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, None),
        (
            {"settings": [{"name": "lr 1", "values": {"model.base.optimizer.lr": 1}}]},
            None,
        ),
        ({"settings": SHARES}, "another drawing of the training data (share)"),
        ({"vary": ["data.train.subset.people"]}, "another drawing of the training data (people)"),
        ({"chosen": [{"arm": "A", "values": {"m": 1}, "tried": []}]}, "another choice of the grids"),
        ({"drawn": []}, None),
        (
            {"drawn": ["data.train.subset.people", "data.val.holdout"]},
            "another drawing of the training data (people, holdout)",
        ),
        (
            {"settings": SHARES, "drawn": ["data.train.corruption.share", "data.train.dataset.noise_ratio"]},
            "another drawing of the training data (share, noise_ratio)",
        ),
        (
            {"vary": ["data.train.corruption.share"], "chosen": [{"arm": "A", "values": {}, "tried": []}]},
            "another drawing of the training data (share) or another choice of the grids",
        ),
    ],
)
def test_notes_say_what_was_drawn_once(more: dict[str, Any], said: str | None) -> None:
    lines = [note for note in notes(study(["A", "B"], measured(["A", "B"]), **more)) if note.startswith("no interval")]
    assert lines == ([f"no interval covers {said}: made once, for all seeds"] if said else [])


def test_notes_count_the_tests_and_name_reasons_and_choices() -> None:
    arms = ["A", "B", "C"]
    tried = [{"values": {"m": m}, "score": 80.0, "why": ""} for m in (0.1, 0.2)]
    chosen = [{"arm": "B", "values": {"m": 0.1}, "tried": tried}]
    found = notes(study(arms, measured(arms), SHARES, chosen=chosen, cut="40 people"))
    assert found[0] == "made smaller here: 40 people"
    assert any("ACC10 4 to A, 6 of pairs" in note for note in found)
    assert "lower is better: EER" in found and "TPR@FPR=1e-9: too few pairs" in found
    assert "chosen on validation people, not on the test: B m 0.1 (of 2)" in found


def test_csv_holds_every_mean_and_difference_and_reads_back() -> None:
    found = study(ODD, measured(ODD), SHARES)
    lines = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert len(lines) == len(found["means"]) + len(found["differences"])
    means = [line for line in lines if line["kind"] == "mean"]
    for line, row in zip(means, found["means"], strict=True):
        assert (line["first"], line["column"], line["seeds"]) == (row["arm"], row["column"], "3")
        assert line["value"] == ("" if row["value"] is None else str(row["value"]))
        assert line["data.train.corruption.share"] == str(
            SHARES[row["setting"]]["values"]["data.train.corruption.share"]
        )
    last = lines[-1]
    assert (last["kind"], last["verdict"], last["p"], last["why"]) == (
        "difference of a pair",
        "cannot be said",
        "",
        "too few pairs",
    )


def test_markdown_has_as_many_cells_as_heads_whatever_names_are() -> None:
    text = markdown_text(
        study(ODD, measured(ODD), title="Losses | *all*", claim="None\nis best", paper="https://x.y/z")
    )
    assert text.startswith("## Losses \\| \\*all\\*\n\nNone is best\n\n<https://x.y/z>\n")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        counts = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1
    assert r"| 50% \*m\* {a\|b} |" in text and r"[Arc]\<b>" in text and "- [ ]" not in text


@pytest.mark.parametrize("settings", [None, SHARES])
def test_tables_can_be_printed_and_written(settings: list[dict[str, Any]] | None) -> None:
    more = {"settings": settings} if settings else {}
    found = study(ODD, measured(ODD), **more)
    console = Console(file=io.StringIO(), width=120)
    for title, rows in main_tables(found):
        print_table(console, title, rows)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "50% *m* {a|b}" in shown and "[Arc]<b>" in shown and "…" not in shown
    assert max(map(len, shown.splitlines())) <= 120
    whole = "\n".join(table_text(title, rows) for title, rows in all_tables(found))
    assert "every pair" in whole and "against Coco_Loss" in whole
    for _, rows in all_tables(found):
        assert rows and all(list(row) == list(rows[0]) for row in rows)


def test_a_study_of_nothing_yet_says_so() -> None:
    found = study(["A", "B"], lambda *_: None)
    assert [table.title for table in main_tables(found)] == ["costs of a run"]
    assert "A diverged: seeds 0, 1, 2 (the loss is nan at update 7)" in notes(found)
    assert len(csv_text(found).splitlines()) == 1 and markdown_text(found).startswith("## Made up")
