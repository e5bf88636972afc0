"""Environment variables that change an engine's or the reference's numbers, or whether a run can be repeated."""

from collections.abc import Mapping
from dataclasses import dataclass

from npu_conformance.commands.doctor.findings import Area, Finding, Level


@dataclass(frozen=True)
class Variable:
    """A variable, and what it does unless it has one of the harmless values."""

    name: str
    harmless: tuple[str, ...]
    """Lower case; what leaving it unset means is among them."""
    effect: str
    level: Level = "warning"
    npu: bool = False
    """Only engines on an NPU look at it."""


_KERNELS = "computes with other kernels than an engine does by default"
# Of vllm-ascend 0.23.0's wheel where no other source is named; 0.26.0rc1 has the same but where it says so.
VARIABLES = (
    # envs.py:92: 0 none, 1 quantised weights, 2 all
    Variable("VLLM_ASCEND_ENABLE_NZ", ("1",), "lays other weights out as FRACTAL_NZ than by default", npu=True),
    # envs.py:71 and 80; gone in 0.26
    Variable("VLLM_ASCEND_ENABLE_MATMUL_ALLREDUCE", ("0",), "fuses matmul and all-reduce", npu=True),
    Variable(
        "VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE", ("0",), "splits attention's output otherwise over ranks", npu=True
    ),
    # envs.py:75, 87 and 102
    Variable("VLLM_ASCEND_ENABLE_FLASHCOMM1", ("0",), "splits activations otherwise over ranks", npu=True),
    Variable("VLLM_ASCEND_ENABLE_MLAPO", ("1",), _KERNELS, npu=True),
    Variable("VLLM_ASCEND_ENABLE_FUSED_MC2", ("0",), _KERNELS, npu=True),
    # 0.26.0rc1 envs.py:83
    Variable(
        "VLLM_ASCEND_MLA_FIA_SPLIT", ("0",), "computes MLA attention in parts, off until it is accurate", npu=True
    ),
    # ops/triton/fla/sigmoid_gating.py:17
    Variable("FLA_USE_FAST_OPS", ("0",), "computes exp, log and division of gated delta nets approximately", npu=True),
    # worker/worker.py:511: "in developing, some features doesn't work for now"
    Variable("VLLM_USE_V2_MODEL_RUNNER", ("0", "false"), "runs a model runner that is in development", npu=True),
    # platform.py:647
    Variable("ASCEND_LAUNCH_BLOCKING", ("0",), "makes engines with graphs refuse to start", npu=True),
    # libtorch_npu.so of torch_npu 2.10.0: "Do not support TASK_QUEUE_ENABLE = 2 during NPU graph capture"
    Variable("TASK_QUEUE_ENABLE", ("0", "1"), "makes graph capture fail", npu=True),
    # hiascend.com canncommercial/850 hcclug_000081: on an A3 it decides which reductions are deterministic
    Variable(
        "HCCL_OP_EXPANSION_MODE", (), "decides where collectives run, and in which order they sum", "note", npu=True
    ),
    # batch_invariant.py:75: weight_nz_mode 0, HCCL_DETERMINISTIC strict, other matmul, softmax and attention
    Variable("VLLM_BATCH_INVARIANT", ("0",), "replaces matmul, softmax and attention by batch-invariant kernels"),
    # vllm 0.32 envs.py:628
    Variable("VLLM_FLOAT32_MATMUL_PRECISION", ("highest",), "rounds the inputs of float32 matmuls"),
    # oneDNN, "Floating-point math mode"; libtorch_cpu.so of torch 2.13.0 reads both prefixes
    Variable("ONEDNN_DEFAULT_FPMATH_MODE", ("strict",), "lets the float32 reference compute in bfloat16", "error"),
    Variable("DNNL_DEFAULT_FPMATH_MODE", ("strict",), "lets the float32 reference compute in bfloat16", "error"),
    # libtorch_cpu.so of torch 2.13.0
    Variable("ATEN_CPU_CAPABILITY", (), "chooses the reference's kernels, so its last bits", "note"),
)
# FAQ 15 of vllm-ascend's documentation.
DETERMINISTIC = {
    "LCCL_DETERMINISTIC": ("1",),
    "HCCL_DETERMINISTIC": ("true", "strict"),
    "ATB_MATMUL_SHUFFLE_K_ENABLE": ("0",),
    "ATB_LLM_LCOC_ENABLE": ("0",),
}

_WATCHED = {variable.name for variable in VARIABLES} | set(DETERMINISTIC) | {"VLLM_VERSION"}


def environment_area(
    environment: Mapping[str, str], installed: Mapping[str, str], *, npu: bool, envs: Mapping[str, str] | None = None
) -> Area:
    """What is set, and what of it matters.

    Args:
        environment: this shell's variables.
        installed: versions by package.
        npu: whether the engine is to run on an NPU.
        envs: the model config's, which its engine gets on top.
    """
    own = dict(envs or {})
    engine = {**environment, **own}
    facts = {name: value for name, value in sorted(environment.items()) if name in _WATCHED}
    facts |= {f"{name} (envs: of the config)": value for name, value in own.items()}
    findings = [
        Finding(
            variable.level,
            f"{variable.name}={engine[variable.name]}, which {variable.effect}",
            f"{variable.name} {' or '.join(variable.harmless)}, or unset" if variable.harmless else "it unset",
            _remedy(variable.name, own),
        )
        for variable in VARIABLES
        if (npu or not variable.npu) and engine.get(variable.name, "").lower() not in ("", *variable.harmless)
    ]
    findings += _vllm_version(engine, installed, own)
    return Area(
        "environment", facts, (*findings, *_contradicted(environment, own), *(_repeatable(engine) if npu else ()))
    )


def _remedy(name: str, own: Mapping[str, str]) -> str:
    if name in own:
        return "it is in the config's envs:, so the model is judged with it; remove it there if that is not meant"
    return f"`unset {name}`, or write it into the config's envs: if the model is served with it"


def _vllm_version(engine: Mapping[str, str], installed: Mapping[str, str], own: Mapping[str, str]) -> list[Finding]:
    """`vllm_version_is` believes the variable (utils.py:611) and chooses patches by it."""
    claimed, there = engine.get("VLLM_VERSION"), installed.get("vllm", "")
    if not claimed or "vllm-ascend" not in installed or not there or claimed == there.split("+")[0]:
        return []
    found = f"VLLM_VERSION={claimed}, by which vllm-ascend chooses its patches, while vllm is {there}"
    return [Finding("error", found, f"VLLM_VERSION={there.split('+')[0]}, or unset", _remedy("VLLM_VERSION", own))]


def _contradicted(environment: Mapping[str, str], own: Mapping[str, str]) -> list[Finding]:
    return [
        Finding(
            "note",
            f"{name} is {environment[name]} in this shell and {value} in the config's envs:",
            "one of them; the engine gets the config's",
            f"`unset {name}`, so that nobody takes it for what ran",
        )
        for name, value in own.items()
        if environment.get(name, value) != value
    ]


def _repeatable(engine: Mapping[str, str]) -> list[Finding]:
    missing = [name for name, values in DETERMINISTIC.items() if engine.get(name, "").lower() not in values]
    if not missing:
        return []
    recipe = " ".join(f"{name}={values[0]}" for name, values in DETERMINISTIC.items())
    found = f"not set for determinism: {', '.join(missing)}"
    remedy = "if greedy_determinism fails, set them under envs: in the YAML and see whether it still does"
    return [Finding("note", found, f"{recipe} where two runs must be equal to the bit", remedy)]
