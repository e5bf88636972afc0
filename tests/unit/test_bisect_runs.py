"""What may be at fault, what counts as failing, and the engines that are started to find out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.bisect.runs import breaks, features_of, name_of
from npu_conformance.config import ModelConfig
from npu_conformance.engines.hidden import TAP_ROWS
from npu_conformance.engines.job import Watched
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.trace import PROBES

from .bisected import FEATURES, Model
from .small_traces import logits, moved, pair_of

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
        (["spec_decode"], "^spec_decode: does not walk base's tokens"),
        (["tp2", "long_prompt"], "^long_prompt: does not walk base's tokens"),
        (["as_served", "graph"], "^as_served: unknown variant"),
        (["base"], "^base: unknown variant"),
    ],
)
def test_what_cannot_be_bisected_is_refused(variants: list[str], message: str) -> None:
    """Before anything is started."""
    with pytest.raises(ConfigError, match=message):
        features_of(CONFIG, variants)


@pytest.mark.parametrize(
    ("by", "limits", "expected"),
    [
        (0.015, {}, False),
        (0.03, {}, True),  # relative_l2_mean
        (0.015, {"kl_max": 1e-9}, True),
        (0.015, {"max_abs_diff": 10.0}, False),
        (0.03, {"relative_l2_mean": 0.05}, False),
        (0.03, {"relative_l2_mean": 0.05, "cosine_min": 0.99999}, True),
    ],
)
def test_a_figure_of_closeness_breaks(tmp_path: Path, by: float, limits: dict[str, float], expected: bool) -> None:
    """By the limits of the config, whichever figure has one."""
    rows = logits(3, 5)
    told = {figure: {"value": value, "reason": "for this test"} for figure, value in limits.items()}

    assert breaks(pair_of(tmp_path, [moved(one, by) for one in rows], rows), config(limits=told)) is expected


@pytest.mark.parametrize("side", [0, 1])
def test_what_is_not_finite_breaks(tmp_path: Path, side: int) -> None:
    """On either side."""
    sides = [logits(2, 3), logits(2, 3)]
    sides[side][1][2, 4] = np.inf

    assert breaks(pair_of(tmp_path, sides[0], sides[1]), CONFIG)


@pytest.mark.parametrize(("ahead", "expected"), [(0.14, False), (0.15, True)])
def test_another_token_breaks_unless_it_was_tied(tmp_path: Path, ahead: float, expected: bool) -> None:
    """Twice 2 % of the logits' root mean square are a tie; no figure of closeness leaves its limit here."""
    theirs = logits(1, 4)
    theirs[0][2] = 0
    theirs[0][2, [3, 4]] = 9, 9 - ahead
    mine = [theirs[0].copy()]
    mine[0][2, [4, 3]] = theirs[0][2, [3, 4]]
    pair = pair_of(tmp_path, mine, theirs)

    assert pair.comparison.matches.tolist() == [True, True, False, True]
    assert breaks(pair, CONFIG) is expected
    tied = config(limits={"relative_l2_mean": {"value": 0.05, "reason": "for this test"}})
    assert not breaks(pair, tied)


def test_names_of_combinations() -> None:
    """The same whatever the order."""
    assert name_of(frozenset({"graph", "async"})) == name_of(frozenset({"async", "graph"})) == "async+graph"
    assert name_of(frozenset()) == "base again"


def test_base_itself_does_not_fail(tmp_path: Path) -> None:
    """Nothing is started to find that out."""
    model = Model(tmp_path).lay_out()

    assert not model.runs().fails(frozenset())
    assert model.jobs == []


def test_the_job_of_a_combination(tmp_path: Path) -> None:
    """Base's, with the options of all its features, mappings merged, walking base's tokens without a tap."""
    features: dict[str, dict[str, Any]] = {
        "preemption": {"disable_log_stats": False, "additional_config": {"first": 1, "both": 2}},
        "second": {"additional_config": {"both": 3}},
        "third": {"unused": True},
    }
    model = Model(tmp_path, features=features, guilty={"nothing"}).lay_out()
    runs = model.runs()
    runs.walked(frozenset({"second", "preemption"}))
    ((name, job, environment),) = model.jobs

    assert name == "bisect: preemption+second"
    assert job.output == tmp_path / "preemption+second" / "candidate"
    assert job.walks == tmp_path / "base" / "candidate"
    assert (job.manner, job.tight_cache, job.layer_prompts, job.watched) == ("walk", True, 0, ())
    merged = {"first": 1, "both": 3}
    assert job.options == {
        "enable_prefix_caching": False,
        "disable_log_stats": False,
        "additional_config": merged,
    }
    assert environment == {"FOR": "enable_prefix_caching,disable_log_stats,additional_config"}

    runs.walked(frozenset({"third"}))
    assert not model.jobs[1][1].tight_cache


@pytest.mark.parametrize(("caching", "manner"), [(True, "walk warm"), (None, "walk warm"), (False, "walk")])
def test_a_cache_that_is_on_is_warmed(tmp_path: Path, caching: bool | None, manner: str) -> None:
    """Also where it is on because vLLM's own default is."""
    model = Model(tmp_path, features={"cache": {"enable_prefix_caching": caching}}, guilty={"nothing"}).lay_out()
    model.runs().walked(frozenset({"cache"}))

    assert model.jobs[0][1].manner == manner
    assert model.jobs[0][1].options == ({} if caching is None else {"enable_prefix_caching": caching})


def test_an_engine_with_a_tap(tmp_path: Path) -> None:
    """Keeps 1 GiB of states, of 32 points of 4,096 floats, and takes no compiled code of one without a tap."""
    model = Model(tmp_path).lay_out()
    runs = model.runs()
    watched = [Watched("answers", 1, 2), Watched("probes", 0, 3)]
    trace, layers = runs.states(frozenset({"graph"}), watched, " again")
    ((_, job, environment),) = model.jobs

    assert trace.folder == tmp_path / "graph tapped again" / "candidate"
    assert job.watched == tuple(watched)
    assert environment == {"FOR": "enable_prefix_caching,graph", TAP_ROWS: "2048", "VLLM_DISABLE_COMPILE_CACHE": "1"}
    assert layers.states.shape == (2, 4, 32)
    assert runs.starts == 1


@pytest.mark.parametrize(("hidden", "rows"), [(64, 8192), (40960, 256)])
def test_the_tap_keeps_some_rows_of_any_model(tmp_path: Path, hidden: int, rows: int) -> None:
    """Not more than a step has, nor less than a small batch."""
    model = Model(tmp_path, width=hidden).lay_out()
    model.runs().states(frozenset(), [Watched("answers", 0, 0)])

    assert model.jobs[0][2][TAP_ROWS] == str(rows)


def test_a_walk_without_states_is_refused_and_one_without_probes_has_its_answers(tmp_path: Path) -> None:
    """No probe fits into a short model's longest request; states that were asked for are another matter."""
    model = Model(tmp_path, features=FEATURES).lay_out()
    runs = model.runs()
    with pytest.raises(TraceError, match="holds no hidden states"):
        runs.states(frozenset({"graph"}), [])

    (tmp_path / "base" / "candidate" / PROBES).rename(tmp_path / "elsewhere")
    assert set(runs.pairs(frozenset({"graph"}))) == {"answers"}
