import pytest

from opensphere.report.columns import lower_is_better, meaning, share, spell_p, unit
from opensphere.report.headline import headline
from opensphere.report.results import read_results
from tests.report.material import write_comparison, write_run, write_table


def two(tmp_path, accuracies=(96.0, 94.0), heads=("ArcFace", "CosFace")):
    folders = [write_run(tmp_path / name, head) for name, head in zip("ab", heads, strict=True)]
    for folder, accuracy in zip(folders, accuracies, strict=True):
        write_table(folder, accuracy)
    return folders


def said(folders) -> str:
    return " ".join(headline(read_results(folders)))


def test_one_run_says_what_it_reached(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    write_table(folder, 95.0)
    text = said([folder])
    assert "a sfnet10 network on 50 people (faces)" in text and "with the loss ArcFace" in text
    assert "On pairs (600 pairs of 40 people), it reaches ACC 95.00 % (95% interval: 94.00 to 96.00)." in text
    assert "best" not in text.split("ACC is")[0]


def test_a_winner_that_is_more_than_chance(tmp_path) -> None:
    folders = two(tmp_path)
    write_comparison(*folders, 2.0, 0.004)
    text = said(folders)
    assert "ArcFace is best: ACC 96.00 %" in text
    assert "ahead of CosFace is more than chance (p ≤ 0.004 after correction)" in text


def test_a_winner_that_may_be_chance(tmp_path) -> None:
    folders = two(tmp_path, (94.0, 94.2))
    write_comparison(*folders, -0.2, 0.6)
    text = said(folders)
    assert "CosFace is best" in text and "not told apart from ArcFace" in text and "more than chance" not in text


def test_without_a_comparison_nothing_is_claimed(tmp_path) -> None:
    assert "was not tested: run `opensphere test` on all runs at once" in said(two(tmp_path))


def test_single_runs_know_nothing_of_other_seeds(tmp_path) -> None:
    folders = two(tmp_path)
    assert "Each of these is one training, from one seed: nothing is known of other training seeds" in said(folders)
    text = said(folders[:1])
    assert "This is one training, from one seed" in text and "another order" not in text


def test_of_errors_the_lowest_is_best(tmp_path) -> None:
    folders = two(tmp_path)
    for folder in folders:
        path = folder / "pairs.json"
        path.write_text(path.read_text().replace('"ACC"', '"other"'))
    write_comparison(*folders, 2.0, 0.004)
    text = said(folders)
    assert "ArcFace is best: EER 4.00 %" in text and "ahead of CosFace" in text


def test_runs_without_a_test(tmp_path) -> None:
    text = said([write_run(tmp_path / "run")])
    assert "No test was made; the last validation gave ArcFace 91.50 % (ACC on validation)" in text
    text = said([write_run(tmp_path / "unfinished", done=20)])
    assert "is not finished: 11 of 60 updates are done" in text and "has not been tested yet" in text


@pytest.mark.parametrize(
    "column, lower, of",
    [
        ("ACC10", False, "%"),
        ("EER", True, "%"),
        ("unseen EER", True, "%"),
        ("d-prime", False, ""),
        ("seconds", True, ""),
        ("TPR@FPR=1e-4", False, "%"),
    ],
)
def test_columns(column: str, lower: bool, of: str) -> None:
    assert lower_is_better(column) is lower and unit(column) == of


def test_words_for_numbers() -> None:
    assert [share(text) for text in ("1e-4", "5e-3", "0.3", "x")] == ["1 in 10,000", "1 in 200", "30 %", "x"]
    assert "1 in 1,000 pairs" in meaning("TPR@FPR=1e-3") and meaning("of my own") == ""
    assert [spell_p(p) for p in (0.0321, 1e-9, None)] == ["0.032", "< 0.0001", "–"]
