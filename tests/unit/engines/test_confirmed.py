"""Whether a run shows that a variant took effect: what vLLM tells, what vLLM-Ascend tells, and what nobody does."""

import dataclasses
import enum
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import CATALOGUE, no_effect, signs_of, unconfirmed
from npu_conformance.engines.vllm.ascend import ascend_config, ascend_signs
from npu_conformance.engines.vllm.became import became
from npu_conformance.report.cards.markdown import cell
from npu_conformance.report.engine_options import option_rows
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.rows import variant_rows
from npu_conformance.report.words import verdict
from npu_conformance.report.words.labels import WORDS
from npu_conformance.traces.rows import Rows
from tests.unit.helpers.report_runs import Runs, line, unsteady
from tests.unit.helpers.scenes import Scene


def told(variant: str, **provenance: Any) -> tuple[str | None, str | None]:
    """Why a variant of the catalogue had no effect, and what of it nothing shows."""
    known = CATALOGUE[variant]
    why = no_effect(known.options, signs_of(variant, known.options), provenance)
    return why, unconfirmed(variant, known.options, known.envs, provenance)


def ascend(**config: Any) -> dict[str, Any]:
    """What an engine tells whose vLLM-Ascend has this config of its own."""
    return {"effective": {"ascend_config": config}}


@pytest.mark.parametrize(
    ("variant", "provenance", "expected"),
    [
        # 0.18.0 knows the variable only, and its config has no such name.
        ("weight_nz_off", ascend(), (None, "weight_nz_mode, VLLM_ASCEND_ENABLE_NZ")),
        ("weight_nz_off", ascend(weight_nz_mode=0), (None, None)),
        ("weight_nz_off", ascend(weight_nz_mode=1), ("asked for weight_nz_mode 0, the engine ran with 1", None)),
        ("deterministic", {}, (None, ", ".join(CATALOGUE["deterministic"].envs))),
        ("gmmswigluquant_off", ascend(ascend_fusion_config={"fusion_ops_gmmswigluquant": False}), (None, None)),
        (
            "gmmswigluquant_off",
            ascend(ascend_fusion_config={}),
            (
                "asked for ascend_fusion_config {'fusion_ops_gmmswigluquant': False}, the engine ran with {}",
                None,
            ),
        ),
        # The engine's config says 1 on an A2 too, where nothing is fused.
        (
            "fused_mc2",
            ascend(enable_fused_mc2=1),
            (None, "enable_fused_mc2, VLLM_ASCEND_ENABLE_FUSED_MC2"),
        ),
        ("fused_mc2", ascend(enable_fused_mc2=0), ("asked for enable_fused_mc2 1, the engine ran with 0", None)),
        ("flashcomm1", {"observed": {"flashcomm1_layers": 28}}, (None, None)),
        ("batch_invariant", {"observed": {"batch_invariant_operators": 1}}, (None, None)),
        (
            "sequence_parallel",
            {"observed": {"graph": 1}, "effective": {"pass_config": {"enable_sp": False}}},
            ("asked for pass_config {'enable_sp': True}, the engine ran with {'enable_sp': False}", None),
        ),
        ("sequence_parallel", {"observed": {"graph": 1}}, (None, "pass_config")),
        ("pcp2", {"effective": {"prefill_context_parallel_size": 2}}, (None, None)),
        ("async_scheduling", {}, (None, "async_scheduling")),
        ("fresh_engine", {}, (None, None)),
        ("preemption", {"observed": {"preemptions": 3}}, (None, None)),
    ],
)
def test_what_a_run_shows(variant: str, provenance: dict[str, Any], expected: tuple[str | None, str | None]) -> None:
    """An option that was followed confirms; one that was not is without effect; a variable says nothing."""
    why, left = told(variant, **provenance)

    assert why == expected[0]
    assert expected[0] is not None or left == expected[1]


@pytest.mark.parametrize("variant", [name for name, known in CATALOGUE.items() if known.needs])
def test_without_its_sign_it_is_without_effect(variant: str) -> None:
    """So that no variant with a sign passes as base."""
    assert told(variant, observed={}, effective={})[0] is not None


@pytest.mark.parametrize("variant", [name for name, known in CATALOGUE.items() if known.platform == "npu"])
def test_what_an_engine_only_was_asked_shows_nothing(variant: str) -> None:
    """All that its caller handed over is echoed, and nothing else: no switch of vLLM-Ascend passes by that."""
    known = CATALOGUE[variant]
    echo = {"additional_config": known.options.get("additional_config", {}), "enforce_eager": False}
    mode = known.options.get("compilation_config", {}).get("cudagraph_mode")
    why, left = told(variant, effective={**echo, "cudagraph_mode": mode}, observed={"graph": 1}, environment=known.envs)

    assert (why or left) is not None or variant in ("graph_piecewise", "graph_full", "graph_full_decode_only")


@pytest.mark.parametrize(
    ("options", "envs", "expected"),
    [
        ({"max_num_seqs": 2}, {}, None),
        ({"max_num_seqs": 2}, {"ANY": "1"}, "ANY"),
        ({"not_told": 3}, {"ANY": "1"}, "not_told, ANY"),
        ({"not_told": None}, {}, None),
        ({"enable_lora": True, "enforce_eager": False}, {}, None),
        ({"compilation_config": {"level": 3, "cudagraph_mode": "FULL"}}, {}, "level"),
        ({"additional_config": {"anything": 1}}, {}, "anything"),
    ],
)
def test_a_configs_own_variants(options: dict[str, Any], envs: dict[str, str], expected: str | None) -> None:
    """Options that the engine tells, or whose sign it must show, are confirmed; variables never are."""
    effective = {"max_num_seqs": 2, "cudagraph_mode": "FULL", "additional_config": {"anything": 1}}

    assert unconfirmed("mine", options, envs, {"effective": effective, "environment": envs}) == expected


def test_nothing_passes_that_nothing_confirms(scene: Scene) -> None:
    """Inconclusive, with what was asked; the same run with the option told passes."""
    checks = CHECKS["variant_closeness"].judge(scene.forced("async_scheduling"))
    assert {check.verdict for check in checks} == {"inconclusive", "shown"}
    judged = [check.message or "" for check in checks if check.verdict != "shown"]
    assert all(message.startswith("asked, not confirmed: ") for message in judged)
    assert all("async_scheduling" in message for message in judged)


def test_what_is_told_passes(scene: Scene) -> None:
    """As before."""
    checks = CHECKS["variant_closeness"].judge(scene.forced("async_scheduling", async_scheduling=True))

    assert {check.verdict for check in checks} == {"pass", "shown"}


def test_what_fails_unconfirmed_fails(scene: Scene) -> None:
    """It has seen something else than base."""

    def wrong(rows: Rows) -> Rows:
        rows[50] *= 1.2
        return rows

    checks = CHECKS["variant_closeness"].judge(scene.forced("async_scheduling", wrong))
    assert {check.verdict for check in checks} == {"fail", "inconclusive", "shown"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_report_says_what_is_not_confirmed(runs: Runs, language: Any) -> None:
    """In the table of variants and under the variant's name, in its language."""
    runs.variant("deterministic", unsteady)
    report = runs.report()
    word, text = WORDS["unconfirmed"][language == "zh"], render_markdown(report, language)

    assert variant_rows(report.models[0])[-1].outcome == "inconclusive"
    assert f"❓ {verdict(language, 'inconclusive')}: {word}: LCCL" in text
    assert cell(WORDS["note_unconfirmed"][language == "zh"], 500) in text
    assert "LCCL_DETERMINISTIC" in line(report, "deterministic")[2]


def test_what_vllm_made_of_options() -> None:
    """By the names they were asked by, of sections what was asked of them; nothing that it does not tell."""
    modes = enum.Enum("modes", ["FULL"])
    config = SimpleNamespace(
        cache_config=SimpleNamespace(cache_dtype="fp8", block_size=128),
        scheduler_config=SimpleNamespace(long_prefill_token_threshold=0),
        compilation_config=SimpleNamespace(
            pass_config=SimpleNamespace(enable_sp=False, fuse=None), mode=modes.FULL, level=3
        ),
        lora_config=None,
    )
    asked = {
        "kv_cache_dtype": "fp8",
        "long_prefill_token_threshold": 64,
        "not_there": 1,
        "speculative_config": {"method": "ngram"},
        "compilation_config": {"pass_config": {"enable_sp": True}, "mode": 3, "level": 3},
    }

    assert became(config, asked) == {
        "kv_cache_dtype": "fp8",
        "long_prefill_token_threshold": 0,
        "pass_config": {"enable_sp": False},
        "level": 3,
    }
    assert became(config, {"compilation_config": {"pass_config": {"enable_sp": True, "fuse": True}}}) == {}
    assert became(config, {"compilation_config": {"pass_config": {}}}) == {}


class Layer(SimpleNamespace):
    """A module, by what is asked of it."""


def worker(modules: list[Any], weights: list[Any], name: str = "NPUWorker") -> Any:
    """A worker with a model."""
    model = SimpleNamespace(modules=lambda: modules, parameters=lambda: weights)
    return type(name, (), {"get_model": lambda _: model})()


def weight(layout: int, *, plain: bool) -> Any:
    """A weight in a layout."""
    return SimpleNamespace(data=layout, is_floating_point=lambda: plain)


def test_without_vllm_ascend_nothing_is_asked_of_it() -> None:
    """As on a CPU."""
    assert ascend_config() == {}
    assert ascend_signs(None) == {}


def test_signs_of_vllm_ascend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in the model, by names that its wheels have; a stand-in of the plugin, not an NPU's result."""
    for name in ("vllm_ascend", "vllm_ascend.batch_invariant", "torch_npu"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["torch_npu"], "get_npu_format", lambda layout: layout, raising=False)
    operator = type("SequenceRowParallelOp", (), {})()
    modules = [Layer(custom_op=operator), Layer(custom_op=None), Layer(), Layer(custom_op=operator)]
    weights = [weight(29, plain=True), weight(2, plain=True), weight(29, plain=False)]

    assert ascend_signs(worker(modules, weights)) == {
        "flashcomm1_layers": 2,
        "flashcomm2_layers": 0,
        "matmul_allreduce_layers": 0,
        "plain_weights_in_nz": 1,
        "batch_invariant_operators": 0,
        "xlite_worker": 0,
    }
    library = object()
    monkeypatch.setattr(sys.modules["vllm_ascend.batch_invariant"], "_batch_invariant_LIB", library, raising=False)
    signs = ascend_signs(worker([], [], "XliteWorker"))
    assert (signs["batch_invariant_operators"], signs["xlite_worker"]) == (1, 1)


def test_vllm_ascends_own_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain values, and sections of its own as mappings; the report shows of it what was asked for."""
    module = ModuleType("vllm_ascend.ascend_config")
    section = type("AscendFusionConfig", (), {"__module__": module.__name__})()
    section.fused = False
    config = SimpleNamespace(vllm_config=object(), weight_nz_mode=0, fusion=section, pa_shape_list=[1])
    monkeypatch.setattr(module, "get_ascend_config", lambda: config, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    own = ascend_config()
    assert own == {"weight_nz_mode": 0, "fusion": {"fused": False}, "pa_shape_list": [1]}

    details: Any = SimpleNamespace(
        candidate={
            "asked": {"additional_config": {"weight_nz_mode": 2}},
            "effective": {"ascend_config": own, "additional_config": {"weight_nz_mode": 2}},
        }
    )
    rows = {row.name: (row.asked, row.effective, row.differs) for row in option_rows(details)}
    assert rows.keys() == {"weight_nz_mode", "additional_config"}
    assert rows["weight_nz_mode"] == ("2", "0", True)


def test_a_config_variant_with_variables_is_judged_so(scene: Scene) -> None:
    """By its own variables, which no engine confirms."""
    config = ModelConfig.model_validate({"model": "a/b", "variants": [{"name": "mine", "envs": {"ANY": "1"}}]})
    evidence = dataclasses.replace(scene.forced("mine"), config=config)
    assert evidence.unconfirmed == "ANY"
