"""What may be at fault, what counts as failing, and the engines that are started to find out."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.commands.bisect.runs import features_of, name_of
from npu_conformance.config.model import ModelConfig
from npu_conformance.engines.hidden import HOOK_ROWS
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.traces.trace import BOUNDARY
from npu_conformance.workers.job import Watched
from tests.unit.helpers.bisected import FEATURES, Model

CONFIG = ModelConfig(model="a/b")


def config(**content: Any) -> ModelConfig:
    """A model config."""
    return ModelConfig.model_validate({"model": "a/b", **content})


@pytest.mark.parametrize("variants", [[], ["as_served"], ("as_served",)])
def test_by_default_what_is_served_is_at_fault(variants: list[str]) -> None:
    """Option by option, those that base has otherwise."""
    serve = {"enforce_eager": False, "enable_chunked_prefill": False, "compilation_config": {"cudagraph_mode": "FULL"}}

    assert features_of(config(serve=serve), variants) == {
        "async_scheduling": {"async_scheduling": None},
        "compilation_config": {"compilation_config": {"cudagraph_mode": "FULL"}},
        "enable_prefix_caching": {"enable_prefix_caching": None},
        "enforce_eager": {"enforce_eager": False},
    }


def test_variants_are_at_fault_where_they_are_named() -> None:
    """Of the catalogue, or the config's own."""
    own = {"name": "small_blocks", "options": {"block_size": 16}}

    assert features_of(config(variants=[own]), ["small_blocks", "graph"]) == {
        "small_blocks": {"block_size": 16},
        "graph": {"enforce_eager": False},
    }


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (["graph", "grahp"], r"^grahp: unknown variant \(variants: graph, .*, and the config's own\)$"),
        (["spec_decode"], "^spec_decode: does not take base's tokens"),
        (["tp2", "long_prompt"], "^long_prompt: does not take base's tokens"),
        (["as_served", "graph"], "^as_served: unknown variant"),
        (["base"], "^base: unknown variant"),
    ],
)
def test_what_cannot_be_bisected_is_refused(variants: list[str], message: str) -> None:
    """Before anything is started."""
    with pytest.raises(ConfigError, match=message):
        features_of(CONFIG, variants)


def test_names_of_combinations() -> None:
    """The same whatever the order."""
    assert name_of(frozenset({"graph", "async"})) == name_of(frozenset({"async", "graph"})) == "async+graph"
    assert name_of(frozenset()) == "base again"


def test_base_itself_does_not_fail(tmp_path: Path) -> None:
    """Nothing is started to find that out."""
    model = Model(tmp_path).lay_out()

    assert not model.runs().fails(model.evidence(), frozenset())
    assert model.jobs == []


def test_the_job_of_a_combination(tmp_path: Path) -> None:
    """Base's, with the options of all its features, mappings merged, forcing base's tokens without a hook."""
    features: dict[str, dict[str, Any]] = {
        "preemption": {"disable_log_stats": False, "additional_config": {"first": 1, "both": 2}},
        "second": {"additional_config": {"both": 3}},
        "third": {"unused": True},
    }
    model = Model(tmp_path, features=features, guilty={"nothing"}).lay_out()
    runs = model.runs()
    runs.forced(frozenset({"second", "preemption"}))
    ((name, job, environment),) = model.jobs

    assert name == "bisect: preemption+second"
    assert job.output == tmp_path / "preemption+second" / "candidate"
    assert job.tokens_of == tmp_path / "base" / "candidate"
    assert (job.mode, job.tight_cache, job.layer_prompts, job.watched) == ("forced", True, 0, ())
    merged = {"first": 1, "both": 3}
    assert job.options == CONFIG.options("base") | {"disable_log_stats": False, "additional_config": merged}
    assert environment == {"FOR": "disable_log_stats,additional_config"}

    runs.forced(frozenset({"third"}))
    assert not model.jobs[1][1].tight_cache


@pytest.mark.parametrize(("caching", "mode"), [(True, "forced warm"), (None, "forced warm"), (False, "forced")])
def test_a_cache_that_is_on_is_warmed(tmp_path: Path, caching: bool | None, mode: str) -> None:
    """Also where it is on because vLLM's own default is."""
    model = Model(tmp_path, features={"cache": {"enable_prefix_caching": caching}}, guilty={"nothing"}).lay_out()
    model.runs().forced(frozenset({"cache"}))

    assert model.jobs[0][1].mode == mode
    assert model.jobs[0][1].options.get("enable_prefix_caching") is caching


def test_an_engine_with_a_tap(tmp_path: Path) -> None:
    """Keeps 1 GiB of states, of 32 points of 4,096 floats, and takes no compiled code of one without a hook."""
    model = Model(tmp_path).lay_out()
    runs = model.runs()
    watched = [Watched("answers", 1, 2), Watched("boundary", 0, 3)]
    trace, layers = runs.states(frozenset({"graph"}), watched, " again")
    ((_, job, environment),) = model.jobs

    assert trace.folder == tmp_path / "graph hooked again" / "candidate"
    assert job.watched == tuple(watched)
    assert environment == {"FOR": "graph", HOOK_ROWS: "2048"}
    assert layers.states.shape == (2, 4, 32)
    assert runs.starts == 1


@pytest.mark.parametrize(("hidden", "rows"), [(64, 8192), (40960, 256)])
def test_the_tap_keeps_some_rows_of_any_model(tmp_path: Path, hidden: int, rows: int) -> None:
    """Not more than a step has, nor less than a small batch."""
    model = Model(tmp_path, width=hidden).lay_out()
    model.runs().states(frozenset(), [Watched("answers", 0, 0)])

    assert model.jobs[0][2][HOOK_ROWS] == str(rows)


def test_a_walk_without_states_is_refused_and_one_without_probes_has_its_answers(tmp_path: Path) -> None:
    """No probe fits into a short model's longest request; states that were asked for are another matter."""
    model = Model(tmp_path, features=FEATURES).lay_out()
    runs = model.runs()
    with pytest.raises(TraceError, match="holds no hidden states"):
        runs.states(frozenset({"graph"}), [])

    (tmp_path / "base" / "candidate" / BOUNDARY).rename(tmp_path / "elsewhere")
    assert runs.evidence(model.evidence(), frozenset({"graph"})).boundary_against_base is None
