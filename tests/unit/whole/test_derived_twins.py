"""From a model's config.json to a verdict: derived twins through the real engine."""

from pathlib import Path

import pytest

from npu_conformance.cli import main
from tests.unit.helpers.model_files import write_model
from tests.unit.helpers.suite_runs import Outcome, judge

pytestmark = pytest.mark.engine


def judged(tmp_path: Path, kind: str) -> Outcome:
    """A model of that kind is onboarded, and its twin judged as it is loaded first."""
    configs = tmp_path / "configs"
    assert main(["onboard", str(write_model(tmp_path / "models" / "org" / kind, kind)), f"--configs={configs}"]) == 0
    words = ("--twin", "-k", f"{kind}-base", "--prompts=12")
    return judge(tmp_path / "reports", "-o", f"model_configs={configs}", *words)


def test_a_new_models_twin_is_judged_without_its_weights(tmp_path: Path) -> None:
    """A name of one's own and config.json are enough; the report says what was judged."""
    run = judged(tmp_path, "tied")
    model = run.model("tied")

    assert run.status == 0, run.output
    assert (model["subject"], model["verdict"]) == ("twin", "pass")
    assert run.verdicts("tied")["token_agreement"] == {"pass"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mixture", "latent", "linear", "sliding", "sinks", "fp8", "gptq", "awq", "int8"])
def test_every_kind_of_layer_and_of_weights_is_judged(tmp_path: Path, kind: str) -> None:
    """Nothing is known of these but their config.json; few prompts may leave a rate open."""
    run = judged(tmp_path, kind)

    assert run.status == 0, run.output
    assert run.model(kind)["verdict"] in ("pass", "inconclusive")
    assert not run.failing(kind)
    assert "pass" in run.verdicts(kind)["token_agreement"]
