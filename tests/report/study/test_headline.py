from opensphere.report.headline import headline
from opensphere.report.results import read_results
from tests.report.material import change_study, write_study


def said(folder) -> str:
    return " ".join(headline(read_results([folder])))


def test_a_sure_winner(tmp_path) -> None:
    write_study(tmp_path)
    text = said(tmp_path)
    assert "Losses: 3 ways to train (CocoLoss, CosFace and ArcFace) were each run from 3 seeds" in text
    assert "allows for both: other seeds, and other people" in text
    assert "CosFace wins: ACC10 92.00 % (95% interval: 91.00 to 93.00)" in text
    assert "ahead of ArcFace and CocoLoss by more than chance (p ≤ 0.002 after correction)" in text
    assert "Against CocoLoss, CosFace is better by more than chance and ArcFace is not told apart." in text


def test_without_a_sure_winner_none_is_called_so(tmp_path) -> None:
    write_study(tmp_path, gaps=(0.0, 2.0, 1.5))
    text = said(tmp_path)
    assert "no winner is sure. CosFace has the best mean" in text and "wins" not in text
    assert "not told apart from ArcFace: that difference may be chance" in text
    assert "ahead of CocoLoss by more than chance" in text


def test_nothing_is_told_apart(tmp_path) -> None:
    write_study(tmp_path, gaps=(0.0, 0.5, 0.3))
    text = said(tmp_path)
    assert "nothing is told apart from CosFace" in text and "from 90.00 to 90.50 %" in text and "wins" not in text


def test_of_errors_the_lowest_is_best(tmp_path) -> None:
    write_study(tmp_path)
    change_study(tmp_path, lambda content: content.update(metric="EER"))
    text = said(tmp_path)
    assert "CosFace wins: EER 8.00 %" in text and "CosFace is better by more than chance" in text


def test_one_seed_knows_nothing_of_others(tmp_path) -> None:
    write_study(tmp_path, seeds=(0,))
    text = said(tmp_path)
    assert "each run once" in text and "nothing is known of other seeds" in text


def test_settings_are_summed_up(tmp_path) -> None:
    write_study(tmp_path, values=(0, 0.2))
    assert "under every setting CosFace is ahead of all others in ACC10 by more than chance" in said(tmp_path)

    def level(content) -> None:
        for row in content["differences"]:
            if row["setting"] == 1:
                row.update(verdict="not told apart", p=0.5)

    change_study(tmp_path, level)
    text = said(tmp_path)
    assert "under 1 of 2 settings (share 0: CosFace); under the other 1 no winner is sure" in text
    assert "Against CocoLoss, of 2 settings: CosFace is better in 1; else not told apart." in text


def test_runs_that_did_not_end_well_are_counted(tmp_path) -> None:
    write_study(tmp_path)
    change_study(tmp_path, lambda content: content["runs"][0].update(status="diverged", why="nan"))
    assert "1 of 9 trainings diverged (CocoLoss). Means and differences are over the seeds that are there." in said(
        tmp_path
    )


def test_what_cannot_be_said_is_not_said(tmp_path) -> None:
    write_study(tmp_path)

    def unknown(content) -> None:
        for row in content["differences"]:
            row.update(verdict="cannot be said", p=None, difference=None)

    change_study(tmp_path, unknown)
    text = said(tmp_path)
    assert "Against ArcFace and CocoLoss it cannot be said." in text and "more than chance" not in text
    change_study(tmp_path, lambda content: [row.update(value=None) for row in content["means"]])
    assert "On unseen no ACC10 is known." in said(tmp_path)


def test_what_verdicts_allow_for(tmp_path) -> None:
    write_study(tmp_path)
    change_study(tmp_path, lambda content: content["differences"][0].update(people_error=None))
    assert "allows for other seeds; where a note says so, not for other people" in said(tmp_path)
    change_study(tmp_path, lambda content: [row.update(low=None) for row in content["differences"]])
    assert "allows for" not in said(tmp_path)


def test_a_damaged_study(tmp_path) -> None:
    (tmp_path / "study.json").write_text("{")
    assert "no results to show yet" in said(tmp_path)
