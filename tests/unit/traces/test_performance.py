"""The record of an engine's speed, as a run leaves it and a baseline keeps it."""

from pathlib import Path

import pytest

from npu_conformance.baselines.stored import read_baseline
from npu_conformance.config.performance import FIGURES, LIMITED
from npu_conformance.errors import TraceError
from npu_conformance.traces.performance import (
    PERFORMANCE,
    load_performance,
    save_performance,
    speed_ratio,
    unit,
)
from npu_conformance.traces.sealed import require_sealed, seal
from tests.unit.helpers.baseline_runs import baseline_of
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.speeds import speed


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Where there is none, nothing was measured."""
    assert load_performance(tmp_path) is None
    save_performance(tmp_path, speed())

    assert load_performance(tmp_path) == speed()
    assert list(speed().figures) == [name for name in FIGURES if name in speed().figures]
    assert speed().tool_of("single_tpot_p50_ms") == "serve"


def test_a_record_that_was_changed_is_refused(tmp_path: Path) -> None:
    """It is sealed with the traces, whichever variant is judged."""
    traces = tmp_path / "Model"
    traces.mkdir()
    save_performance(traces, speed())
    seal(traces)
    require_sealed(traces, ["base"])
    save_performance(traces, speed(2))

    with pytest.raises(TraceError, match=rf"{PERFORMANCE}: changed since the run"):
        require_sealed(traces, ["base"])


@pytest.mark.parametrize("value", ["-1", "NaN", '"fast"'])
def test_what_is_no_figure_is_refused(tmp_path: Path, value: str) -> None:
    """By key; so is one of an unknown name."""
    save_performance(tmp_path, speed())
    path = tmp_path / PERFORMANCE
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"value": 500.0', f'"value": {value}'), encoding="utf-8")
    with pytest.raises(TraceError):
        load_performance(tmp_path)
    path.write_text(text.replace("throughput_tokens_per_s", "tokens_a_second"), encoding="utf-8")
    with pytest.raises(TraceError, match="tokens_a_second: is no figure of performance"):
        load_performance(tmp_path)


def test_every_figure_has_a_unit_and_those_with_limits_a_direction() -> None:
    """A ratio above 1 is faster, of a rate and of a time."""
    units = {name: unit(name) for name in FIGURES}

    assert set(units.values()) == {"/s", "ms", "s", "GiB", "tokens", "×"}
    assert [name for name, shown in units.items() if shown == "×"] == ["speed_over_reference"]
    assert speed_ratio("throughput_tokens_per_s", 50, 100) == speed_ratio("start_s", 20, 10) == 0.5
    assert speed_ratio("graph_s", 0, 0) == 1
    assert speed_ratio("throughput_tokens_per_s", 0, 10) == 0
    assert {FIGURES[name] for name in LIMITED} == {"rate", "time"}


@pytest.mark.parametrize(
    ("figure", "now", "before"),
    [
        ("weights_s", 0, 10),
        ("weights_s", 10, 0),
        ("throughput_tokens_per_s", 10, 0),
        ("throughput_tokens_per_s", 1e300, 1e-300),
    ],
)
def test_what_was_too_short_to_be_told_has_no_ratio(figure: str, now: float, before: float) -> None:
    """It is neither infinitely faster nor slower."""
    assert speed_ratio(figure, now, before) is None


def test_a_baseline_keeps_it_and_an_older_one_is_whole_without(scene: Scene, tmp_path: Path) -> None:
    """Its digest is of a file without the key."""
    path = tmp_path / "cpu.json"
    path.write_text(baseline_of(scene.evidence(), performance=speed()).text(), encoding="utf-8")
    assert read_baseline(path).performance == speed()

    lines = baseline_of(scene.evidence()).text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if line != ' "performance": null,\n'), encoding="utf-8")

    assert "performance" not in path.read_text(encoding="utf-8")
    assert read_baseline(path).performance is None
