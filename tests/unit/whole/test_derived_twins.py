"""From a model's config.json to a verdict: derived twins through the real engine."""

from pathlib import Path

import pytest

from npu_conformance.__main__ import main
from tests.unit.helpers.model_files import write_model
from tests.unit.helpers.suite_runs import Outcome, judge

# Each trains a twin first, for more than a minute.
pytestmark = [pytest.mark.engine, pytest.mark.slow]


def judged(tmp_path: Path, kind: str, prompts: int) -> Outcome:
    """A model of that kind is onboarded, and its twin judged as it is loaded first."""
    configs = tmp_path / "configs"
    assert main(["onboard", str(write_model(tmp_path / "models" / "org" / kind, kind)), f"--configs={configs}"]) == 0
    words = ("--twin", "-k", f"{kind}-base", f"--prompts={prompts}")
    return judge(tmp_path / "reports", "-o", f"model_configs={configs}", *words)


def test_a_new_models_twin_is_judged_without_its_weights(tmp_path: Path) -> None:
    """A name of one's own and config.json are enough; the report says what was judged."""
    run = judged(tmp_path, "tied", 40)
    model = run.model("tied")

    assert run.status == 0, run.output
    assert (model["subject"], model["verdict"]) == ("twin", "pass")


@pytest.mark.parametrize("kind", ["mixture", "latent", "linear", "sliding", "sinks", "fp8", "gptq", "awq", "int8"])
def test_every_kind_of_layer_and_of_weights_is_judged(tmp_path: Path, kind: str) -> None:
    """By config.json alone. So few prompts leave the rate of agreement open, but all tokens agree."""
    run = judged(tmp_path, kind, 12)
    rates = [one["observed"] for one in run.model(kind)["checks"] if one["metric"] == "token_agreement"]

    assert run.status == 0, run.output
    assert run.model(kind)["verdict"] in ("pass", "inconclusive")
    assert not run.failing(kind)
    assert rates == [1]
