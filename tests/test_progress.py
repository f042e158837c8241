"""Progress on standard error: one bar a work, however its description changes."""

from recommender.progress import progress_bars


def test_a_work_that_tells_its_loss_has_one_bar(capsys):
    with progress_bars() as progress:
        progress("rank, loss 7.10", 1, 4)
        progress("rank, loss 5.60", 4, 4)
        progress("align, loss 2.00", 2, 4)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "rank, loss 5.60" in captured.err and "4/4" in captured.err
    assert "rank, loss 7.10" not in captured.err.splitlines()[-1] and "2/4" in captured.err
    assert len([line for line in captured.err.splitlines() if "loss" in line]) == 2


def test_quiet_is_silent(capsys):
    with progress_bars(quiet=True) as progress:
        progress("rank", 1, 2)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""
