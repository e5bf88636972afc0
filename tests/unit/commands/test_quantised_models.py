"""A quantised model whose reference cannot be computed, or that `convert` refuses, is told before any engine starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from npu_conformance.checkpoints.subject import Subject
from npu_conformance.commands.doctor.findings import Finding
from npu_conformance.commands.doctor.machine import Host
from npu_conformance.commands.doctor.model import Model, model_areas
from npu_conformance.commands.plan.forecast import forecast
from npu_conformance.config.model import load_config
from npu_conformance.errors import CheckpointError
from npu_conformance.run.preparation import prepare
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.tiny_checkpoints import LLAMA, Shapes, linears, llama, write

UNREAD = {"quant_method": "quark"}
GPTQ = {"quant_method": "gptq", "bits": 8, "group_size": 32, "sym": True, "desc_act": False}


def packed(bits: int) -> Shapes:
    """A Llama whose linear layers are stored as GPTQ has them."""
    shapes = {name: entry for name, entry in llama().items() if not name.endswith("_proj.weight")}
    for index in range(LLAMA["num_hidden_layers"]):
        for name, (outputs, inputs) in linears(LLAMA).items():
            module = f"model.layers.{index}.{name}"
            shapes |= {
                f"{module}.qweight": ("I32", (inputs * bits // 32, outputs)),
                f"{module}.qzeros": ("I32", (inputs // 32, outputs * bits // 32)),
                f"{module}.scales": ("F16", (inputs // 32, outputs)),
            }
    return shapes


@pytest.fixture
def model(own_configs: Path, tmp_path: Path, cache: Path) -> Callable[..., Model]:
    """A model config with these lines, and weights quantised so."""
    assert cache

    def make(quantisation: dict[str, Any], shapes: Shapes, lines: str = "") -> Model:
        path = own_configs / "Model.yaml"
        path.write_text(f"model: org/Model\nserve: {{max_model_len: 512}}\n{lines}")
        write(tmp_path / "models" / "org" / "Model", LLAMA | {"quantization_config": quantisation}, shapes)
        write(tmp_path / "models" / "org" / "Original", LLAMA, llama())
        return Model("Model", path, load_config(path))

    return make


def settings_of(one: Model) -> Settings:
    """Of a run on this CPU."""
    return Settings(one.path.parent, models_root=one.path.parents[1] / "models", device="cpu")


def doctored(one: Model, host: Host, name: str) -> list[Finding]:
    """What doctor finds of one area."""
    areas = model_areas(one, settings_of(one), host, None)
    return [finding for area in areas if area.name == name for finding in area.findings]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A machine with nothing wrong."""
    return Host(
        device="cpu",
        environment={},
        installed={},
        cache=tmp_path / "cache",
        reports=tmp_path / "reports",
        dev=tmp_path,
        ascend=tmp_path,
        memory=lambda: 1 << 36,
        disk=lambda _: 1 << 40,
    )


@pytest.mark.parametrize("bits", [3, 8])
def test_a_model_without_a_reader_has_no_reference(model: Callable[..., Model], host: Host, bits: int) -> None:
    """Doctor and the plan say so, with what to do; one that is read has a plan."""
    one = model(GPTQ | {"bits": bits}, packed(bits))
    found = [finding.found for finding in doctored(one, host, "weights")]
    session = Session(settings_of(one), host.reports, Narrator())
    plan = forecast(session, {"Model": ["base"]})

    said = "weights quantised by gptq with bits 3 are not read here, so there is no reference"
    assert found == ([f"reference: {said}"] if bits == 3 else [])
    assert [said in line for line in plan.broken] == ([True] if bits == 3 else [])
    assert bool(plan.of("engine")) == (bits == 8)


def test_a_run_refuses_it_before_any_job(model: Callable[..., Model], tmp_path: Path) -> None:
    """Unless the reference is computed elsewhere."""
    one = model(UNREAD, llama())
    folder = tmp_path / "models" / "org" / "Model"
    subject = Subject("Model", "real", folder, folder)

    with pytest.raises(CheckpointError, match="quantised by quark are not read here, so there is no reference: name"):
        prepare(one.config, subject, (), tmp_path, cast("Jobs", None))
    with pytest.raises(AttributeError):  # at the first job, which is not there
        prepare(one.config, subject, (), tmp_path, cast("Jobs", None), scored=False)


def test_with_the_original_as_reference_nothing_is_wrong(model: Callable[..., Model], host: Host) -> None:
    """The engine has its kernels."""
    one = model(UNREAD, llama(), "reference: {model: org/Original}")
    session = Session(settings_of(one), host.reports, Narrator())

    assert doctored(one, host, "weights") == []
    assert forecast(session, {"Model": ["base"]}).of("engine")


@pytest.mark.parametrize(
    ("quantisation", "shapes", "advised"),
    [
        pytest.param(GPTQ, packed(8), True, id="taken"),
        pytest.param(UNREAD, llama(), False, id="no converter"),
        pytest.param(GPTQ | {"bits": 3}, packed(3), False, id="options that the converter does not take"),
    ],
)
def test_convert_is_advised_where_it_would_not_refuse(
    model: Callable[..., Model], host: Host, quantisation: dict[str, Any], shapes: Shapes, advised: bool
) -> None:
    """Its own plan is asked, by config and headers."""
    one = model(quantisation, shapes, "hardware: Atlas 800 A2")

    (found,) = doctored(one, host, "format")

    assert found.remedy.startswith("`convert: bfloat16` in the YAML") == advised
    assert found.remedy.startswith("serve the original weights; `convert` does not take these") != advised


def test_the_plan_says_that_convert_refuses(model: Callable[..., Model], host: Host) -> None:
    """Before it counts an engine start."""
    counter = {"model.layers.0.mlp.extra": ("F8_E8M0", (4,))}
    fp8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}
    codes = {"model.extra.weight": ("F8_E4M3", (4, 4)), "model.extra.weight_scale": ("F32", ())}
    one = model(fp8, {**llama(), **codes, **counter}, "convert: bfloat16")
    session = Session(settings_of(one), host.reports, Narrator())

    plan = forecast(session, {"Model": ["base"]})

    assert not plan.of("engine")
    (line,) = plan.broken
    assert "model.layers.0.mlp.extra is stored as F8_E8M0, which no fp8 checkpoint needs" in line
