"""Jobs beside those that precision is judged by: what measures speed, and servers that run already."""

from pathlib import Path
from typing import Any

import pytest

from npu_conformance.commands.plan.forecast import Forecast, forecast
from tests.unit.helpers.forecasts import lines, names, real
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

pytestmark = pytest.mark.usefixtures("cache")
# `vllm bench latency` asks of nothing smaller.
LARGE = LLAMA | {"vocab_size": 50_000}


def planned(
    own_configs: Path, tmp_path: Path, yaml: str = "", *variants: str, words: bool = True, **settings: Any
) -> Forecast:
    """What is planned of a model with weights."""
    config = LARGE if words else LLAMA
    write(tmp_path / "models" / "org" / "Real", config, llama(config))
    return forecast(real(own_configs, tmp_path, yaml, **settings), {"Real": variants or ("base", "as_served")})


def speed(found: Forecast) -> list[str]:
    """What measures speed, in words."""
    return [step.about.partition(":")[0] for step in found.steps if "speed" in step.about]


def test_each_tool_is_an_engine_with_a_process_of_its_own(own_configs: Path, tmp_path: Path) -> None:
    """After those of the precision, and counted with them; the reference decodes once."""
    found = planned(own_configs, tmp_path, performance=True)
    engines = found.of("engine")

    assert names(found, "engine") == ["base", "as_served", "as_served", "as_served", "as_served"]
    assert [one.process for one in engines] == [1, 1, 2, 3, 4]
    assert [one.about for one in engines[2:]] == [
        "speed, vllm bench latency: 10 requests of 128 and 64 tokens, one at a time",
        "speed, vllm bench throughput: 32 requests of 128 and 64 tokens at once",
        "speed, vllm bench serve: 32 requests of 128 and 64 tokens at a server, one at a time, then 8 at once",
    ]
    assert found.of("reference")[-1].about == ("speed of the reference in float32: 16 tokens after a prompt of 128")
    shown = lines(found, tmp_path)
    assert "in all: 5 engine starts, 4 engine processes, 3 reference passes, 2 noise floors" in shown
    assert "speed, vllm bench throughput" in shown


@pytest.mark.parametrize(
    ("variants", "yaml", "settings", "tools"),
    [
        (("base",), "", {"performance": True}, []),
        (("base", "as_served"), "", {}, []),
        (("as_served",), "performance: {reference_tokens: 0}\n", {}, ["latency", "throughput", "serve"]),
        (("as_served",), "", {"performance": True, "words": False}, ["throughput", "serve", "reference"]),
        (("as_served",), "", {"performance": True, "part": "candidate"}, ["latency", "throughput", "serve"]),
    ],
    ids=["without as_served", "not asked for", "no reference tokens", "few words", "no reference"],
)
def test_only_what_would_be_measured_is_listed(
    own_configs: Path,
    tmp_path: Path,
    variants: tuple[str, ...],
    yaml: str,
    settings: dict[str, Any],
    tools: list[str],
) -> None:
    """By the same rules as in a run."""
    found = planned(own_configs, tmp_path, yaml, *variants, **settings)

    told = {"reference": "speed of the reference in float32"}
    assert speed(found) == [told.get(tool, f"speed, vllm bench {tool}") for tool in tools]


@pytest.mark.parametrize(("key", "tool"), [("iterations", 0), ("requests", 1), ("output_tokens", 2)])
def test_more_that_is_asked_takes_longer(own_configs: Path, tmp_path: Path, key: str, tool: int) -> None:
    """Of each tool; and nothing of it stays on the disk."""
    few, many = (
        planned(own_configs, tmp_path, f"performance: {{{key}: {count}}}\n", "as_served").of("engine")[1 + tool].take
        for count in (2, 1024)
    )

    assert many.seconds > few.seconds
    assert (many.disk, many.scratch) == (0, 0)


def test_a_server_that_runs_already_is_not_started(own_configs: Path, tmp_path: Path) -> None:
    """It is asked all the same."""
    url = "http://127.0.0.1:9/v1"
    own = planned(own_configs, tmp_path, "", "serving", serving=True)
    there = planned(own_configs, tmp_path, "", "serving", serving=True, server=url)
    alone = planned(own_configs, tmp_path, "", "base", candidate="openai", server=url)

    assert names(own, "engine") == names(there, "engine") == ["base", "serving"]
    assert 0 < there.of("engine")[1].take.seconds < own.of("engine")[1].take.seconds
    assert there.of("engine")[1].take.memory < own.of("engine")[1].take.memory
    assert "in all: 2 engine starts, 2 engine processes" in lines(own, tmp_path)
    assert "in all: 1 engine start, 2 engine processes" in lines(there, tmp_path)
    assert "in all: 0 engine starts, 1 engine process," in lines(alone, tmp_path)
    assert "asked over HTTP; it runs already" in " ".join(lines(there, tmp_path).split())
