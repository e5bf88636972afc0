"""`quantization_config` against the tensors that are stored: no weight without its scales, and none unannounced."""

from collections.abc import Iterator

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.checkpoints.modelslim import is_modelslim, modelslim_findings
from npu_conformance.checkpoints.quantisation.place import LEGACY_FILE
from npu_conformance.checkpoints.quantisation.schema import Block, Fp8Options, GptqOptions
from npu_conformance.checkpoints.quantised.options import option_findings
from npu_conformance.checkpoints.tensor import Tensor

_FP8 = {"F8_E4M3", "F8_E5M2"}
_CODES = {"I8", "U8", "I32", *_FP8}
# Beside `x.weight`; `x.scale` is DeepSeek's name.
_SCALES = ("_scale_inv", "_scale")


def quantisation_findings(checkpoint: Checkpoint) -> list[Finding]:
    """What config.json says of the quantisation, against the tensors."""
    if is_modelslim(checkpoint.folder):
        return modelslim_findings(checkpoint)
    if checkpoint.announced is None:
        return _unannounced(checkpoint)
    findings = [*option_findings(checkpoint.announced), *_without_scale(checkpoint)]
    if isinstance(checkpoint.options, Fp8Options):
        findings += _fp8(checkpoint, checkpoint.options)
    if isinstance(checkpoint.options, GptqOptions):
        findings += _gptq(checkpoint, checkpoint.options)
    return findings


def _unannounced(checkpoint: Checkpoint) -> list[Finding]:
    found = [
        name
        for name, tensor in checkpoint.tensors.items()
        if tensor.dtype in _CODES and len(tensor.shape) > 1 and name.endswith(("weight", "weight_packed"))
    ]
    if not found:
        return []
    dtype = checkpoint.tensors[found[0]].dtype
    if (checkpoint.folder / LEGACY_FILE).is_file():
        message = f"{dtype} weights that only {LEGACY_FILE} announces: copy it into config.json as quantization_config"
        return [Finding("warning", some(found), message)]
    message = (
        f"{dtype} weights, but config.json has no quantization_config.quant_method: engines would take codes for "
        "weights; copy quantization_config from where the model was published"
    )
    return [Finding("error", some(found), message)]


def _without_scale(checkpoint: Checkpoint) -> list[Finding]:
    found = [
        name
        for name, tensor in checkpoint.tensors.items()
        if tensor.dtype in _FP8
        and len(tensor.shape) > 1
        and not name.endswith((*_SCALES, ".scale"))  # those of NVFP4 are FP8 themselves
        and _scale(checkpoint, name) is None
    ]
    if not found:
        return []
    message = f"{checkpoint.tensors[found[0]].dtype} without {found[0]}_scale_inv or _scale: convert it again"
    return [Finding("error", some(found), message)]


def _scale(checkpoint: Checkpoint, name: str) -> Tensor | None:
    names = [f"{name}{suffix}" for suffix in _SCALES] + [f"{name.removesuffix('weight')}scale"]
    return next((checkpoint.tensors[name] for name in names if name in checkpoint.tensors), None)


def _fp8(checkpoint: Checkpoint, options: Fp8Options) -> list[Finding]:
    weights = {name: tensor for name, tensor in checkpoint.tensors.items() if tensor.dtype in _FP8}
    if not weights:
        message = (
            "quantization_config.quant_method is fp8, but no tensor is FP8: if the weights were dequantised, remove "
            "quantization_config"
        )
        return [Finding("error", "config.json", message)]
    block = options.weight_block_size
    if block is None:
        return []
    wrong = {}
    for name, weight in weights.items():
        scale, expected = _scale(checkpoint, name), _blocks(weight.shape, block)
        if scale is not None and scale.shape != expected:
            wrong[name] = f"its scale is {list(scale.shape)}, expected {list(expected)}"
    if not wrong:
        return []
    first = next(iter(wrong))
    shape = list(weights[first].shape)
    message = f"{wrong[first]} for {shape} in blocks of {list(block)}: is weight_block_size right?"
    return [Finding("error", some(wrong), message)]


def _blocks(shape: tuple[int, ...], block: Block) -> tuple[int, ...]:
    return (*shape[:-2], *(-(-size // step) for size, step in zip(shape[-2:], block, strict=True)))


def _gptq(checkpoint: Checkpoint, options: GptqOptions) -> list[Finding]:
    modules = [name.removesuffix(".qweight") for name in checkpoint.tensors if name.endswith(".qweight")]
    if not modules:
        message = (
            "quantization_config.quant_method is gptq, but no tensor is named *.qweight: if the weights were "
            "dequantised, remove quantization_config"
        )
        return [Finding("error", "config.json", message)]
    wrong: dict[str, list[str]] = {}
    for module in modules:
        for kind, problem in _gptq_problems(checkpoint, module, options):
            wrong.setdefault(kind, []).append(f"{module}: {problem}")
    return [Finding("error", *_told(problems)) for problems in wrong.values()]


def _told(problems: list[str]) -> tuple[str, str]:
    """The first of several alike, and how many there are."""
    about, message = problems[0].split(": ", 1)
    more = f" ({len(problems) - 1} more such)" if len(problems) > 1 else ""
    return about, message + more


def _gptq_problems(checkpoint: Checkpoint, module: str, options: GptqOptions) -> Iterator[tuple[str, str]]:
    """Kind and description of what is wrong with a GPTQ weight."""
    names = {part: f"{module}.{part}" for part in ("qweight", "qzeros", "scales", "g_idx")}
    parts = {part: checkpoint.tensors[name] for part, name in names.items() if name in checkpoint.tensors}
    needed = ("qzeros", "scales", "g_idx") if options.desc_act else ("qzeros", "scales")
    if missing := [part for part in needed if part not in parts]:
        yield "parts", f"no {' and no '.join(missing)} beside its qweight: download the model again"
        return
    if options.dynamic:
        return  # options of each module's own
    yield from _gptq_shapes(parts, options)


def _gptq_shapes(parts: dict[str, Tensor], options: GptqOptions) -> Iterator[tuple[str, str]]:
    codes, zeros, scales = (parts[name].shape for name in ("qweight", "qzeros", "scales"))
    bits, size = options.bits, options.group_size
    if codes[1] * bits != zeros[1] * 32:
        yield (
            "bits",
            f"quantization_config.bits is {bits}, but qzeros {list(zeros)} beside qweight {list(codes)} says "
            f"{zeros[1] * 32 // codes[1]}",
        )
        return
    inputs = codes[0] * 32 // bits
    groups = -(-inputs // size) if size > 0 else 1
    if scales != (groups, codes[1]) or zeros[0] != groups:
        yield (
            "groups",
            f"scales is {list(scales)} and qzeros {list(zeros)}, expected {groups} rows for {inputs} inputs: is "
            f"quantization_config.group_size {size} right?",
        )
    if "g_idx" in parts and parts["g_idx"].shape != (inputs,):
        yield "g_idx", f"g_idx is {list(parts['g_idx'].shape)}, expected [{inputs}]: download the model again"
