"""Variables that matter: each is reported where it does something, and nowhere else."""

from collections.abc import Mapping
from typing import Any

import pytest

from npu_conformance.commands.doctor.environment import DETERMINISTIC, VARIABLES, environment_area
from tests.unit.helpers.doctor_hosts import SOUND, texts


def environment(variables: Mapping[str, str], *, npu: bool = True, envs: Mapping[str, str] | None = None) -> list[str]:
    """Findings beside the recipe for determinism."""
    recipe = {name: values[-1] for name, values in DETERMINISTIC.items()}
    return texts(environment_area({**recipe, **variables}, SOUND, npu=npu, envs=envs))


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_a_variable_that_changes_numbers(variable: Any) -> None:
    """Set to what it does something by; not empty, not to a harmless value, and not where nobody reads it."""
    found = environment({variable.name: "2"})
    assert found == [f"{variable.level}: {variable.name}=2, which {variable.effect}"]

    assert environment({variable.name: ""}) == []
    assert environment({variable.name: variable.harmless[0].upper() if variable.harmless else ""}) == []
    assert len(environment({variable.name: "2"}, npu=False)) == (0 if variable.npu else 1)


def test_a_config_sets_variables_too() -> None:
    """Its engine has them, whatever the shell says; a contradiction is reported."""
    assert environment({"TASK_QUEUE_ENABLE": "2"}, envs={"TASK_QUEUE_ENABLE": "2"})[0].startswith("warning: TASK_QUEUE")
    assert environment({"TASK_QUEUE_ENABLE": "2"}, envs={"TASK_QUEUE_ENABLE": "1"}) == [
        "note: TASK_QUEUE_ENABLE is 2 in this shell and 1 in the config's envs:"
    ]
    area = environment_area({}, SOUND, npu=False, envs={"TASK_QUEUE_ENABLE": "1"})
    assert area.facts == {"TASK_QUEUE_ENABLE (envs: of the config)": "1"}


def test_the_version_that_vllm_ascend_is_told() -> None:
    """It chooses patches by it."""
    assert environment({"VLLM_VERSION": "0.18.0"}) == [
        "error: VLLM_VERSION=0.18.0, by which vllm-ascend chooses its patches, while vllm is 0.23.0+empty"
    ]
    assert environment({"VLLM_VERSION": "0.23.0"}) == []


def test_what_is_not_set_for_determinism() -> None:
    """A note with the recipe; none where it is set, and none on a CPU."""
    area = environment_area({"LCCL_DETERMINISTIC": "1", "HCCL_DETERMINISTIC": "false"}, SOUND, npu=True)

    assert texts(area) == [
        "note: not set for determinism: HCCL_DETERMINISTIC, ATB_MATMUL_SHUFFLE_K_ENABLE, ATB_LLM_LCOC_ENABLE"
    ]
    assert environment({}) == []
    assert texts(environment_area({}, SOUND, npu=False)) == []


def test_secrets_are_not_shown() -> None:
    """Only what is watched."""
    assert environment_area({"HF_TOKEN": "x", "VLLM_API_KEY": "y", "PATH": "z"}, SOUND, npu=False).facts == {}
