"""What is seen of a running job: a bar on a terminal, few lines in a log, none under CI."""

import pytest

from npu_conformance.workers.progress import Narrator, Stage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as its last entry."""
    times = [0.0]
    monkeypatch.setattr("npu_conformance.workers.progress.time.monotonic", lambda: times[-1])
    return times


def test_a_log_says_stage_position_and_time_left(clock: list[float], capfd: pytest.CaptureFixture[str]) -> None:
    """Rarely, and ever more rarely."""
    with Narrator().job("Model base") as observe:
        for second in range(0, 200, 5):
            clock.append(second)
            observe("prefilling", second // 5, 44)
    lines = capfd.readouterr().err.splitlines()

    assert lines == [
        "Model base: prefilling, 6 of 44, about 190 s left",
        "Model base: prefilling, 12 of 44, about 160 s left",
        "Model base: prefilling, 24 of 44, about 100 s left",
        "Model base: 195 s",
    ]


def test_a_short_job_leaves_nothing_in_a_log(clock: list[float], capfd: pytest.CaptureFixture[str]) -> None:
    """There are many of them."""
    with Narrator().job("Model base") as observe:
        clock.append(5.0)
        observe("prefilling", 1, 2)

    assert capfd.readouterr().err == ""


def test_ci_sees_no_job(clock: list[float], capfd: pytest.CaptureFixture[str]) -> None:
    """What must be known is said all the same."""
    narrator = Narrator(quiet=True)
    with narrator.job("Model base") as observe:
        clock.append(500.0)
        observe("prefilling", 1, 2)
    narrator.say("waits for a device")

    assert capfd.readouterr().err == "waits for a device\n"


def test_a_terminal_has_a_bar_that_goes_away(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the stage; nothing of it where others write to the same terminal."""
    for name in ("NO_COLOR", "TERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Narrator().job("Model base") as observe:
        observe("prefilling", 1, 2)
    drawn = capfd.readouterr().err
    with Narrator(bars=False).job("Model base") as observe:
        observe("prefilling", 1, 2)

    assert "prefilling" in drawn
    assert capfd.readouterr().err == ""


def test_time_left_begins_anew_with_each_stage(clock: list[float]) -> None:
    """A slow one says nothing of the next; where there is no total, nothing is known."""
    stage = Stage()

    assert stage.left("loading", 0, 0) is None
    clock.append(100.0)
    assert stage.left("scoring", 2, 10) is None
    clock.append(104.0)
    assert stage.left("scoring", 4, 10) == pytest.approx(12.0)
