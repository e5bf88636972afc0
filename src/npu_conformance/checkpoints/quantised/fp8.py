"""FP8 weights and their scales, by their headers."""

from collections.abc import Iterator

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.quantisation.schema import Block, Fp8Options
from npu_conformance.checkpoints.quantised.problems import Problem, findings_of
from npu_conformance.checkpoints.tensor import Tensor

CODES, OTHER_CODES = "F8_E4M3", "F8_E5M2"
# Beside `x.weight`; `x.scale` is DeepSeek's name.
_SCALES = ("_scale_inv", "_scale")
# vLLM's name, and transformers'.
_ACTIVATIONS = ("input_scale", "activation_scale")
_USUAL: Block = (128, 128)
# Parts that may be stored as one weight, with a scale each: queries, keys and values.
_MOST_PARTS = 3


def fp8_findings(checkpoint: Checkpoint, options: Fp8Options) -> list[Finding]:
    """Of `quant_method: fp8`: scales against shapes and `weight_block_size`, and what activations need."""
    weights = {name: tensor for name, tensor in checkpoint.tensors.items() if tensor.dtype in (CODES, OTHER_CODES)}
    if not weights:
        message = (
            "quantization_config.quant_method is fp8, but no tensor is FP8: if the weights were dequantised, remove "
            "quantization_config"
        )
        return [Finding("error", "config.json", message)]
    return findings_of(
        problem for name, weight in weights.items() for problem in _problems(checkpoint, options, name, weight)
    )


def scales_of(checkpoint: Checkpoint, name: str) -> dict[str, Tensor]:
    """The scales of an FP8 weight, by name; one that is right has one."""
    names = [f"{name}{suffix}" for suffix in _SCALES]
    names += [f"{name.removesuffix('weight')}scale"] if name.endswith("weight") else []
    return {scale: checkpoint.tensors[scale] for scale in names if scale in checkpoint.tensors}


def without_scale(checkpoint: Checkpoint) -> list[Finding]:
    """FP8 weights of whatever method that have no scale."""
    return findings_of(
        Problem("scale", name, f"{tensor.dtype} without {name}_scale_inv or _scale: convert it again")
        for name, tensor in checkpoint.tensors.items()
        if tensor.dtype in (CODES, OTHER_CODES)
        and len(tensor.shape) > 1
        and not name.endswith((*_SCALES, ".scale"))  # those of NVFP4 are FP8 themselves
        and not scales_of(checkpoint, name)
    )


def _problems(checkpoint: Checkpoint, options: Fp8Options, name: str, weight: Tensor) -> Iterator[Problem]:
    if weight.dtype == OTHER_CODES:
        yield Problem("codes", name, f"is {OTHER_CODES}, engines read {CODES} here: take a checkpoint in E4M3")
        return
    if len(weight.shape) < 2:
        yield Problem("shape", name, f"has codes of shape {list(weight.shape)}, expected rows: download it again")
        return
    scales = scales_of(checkpoint, name)
    if len(scales) > 1:
        yield Problem("two", name, f"has {' and '.join(scales)}, expected one scale: download the model again")
    elif scales:
        yield from _shape(name, weight, next(iter(scales.values())), options.weight_block_size)
    module = name.removesuffix("weight")
    if options.activation_scheme == "static" and not any(module + one in checkpoint.tensors for one in _ACTIVATIONS):
        message = (
            f"quantization_config.activation_scheme is static, but there is no {module}input_scale: vLLM would compute "
            "with uninitialised memory; set it to dynamic, or quantise the model again"
        )
        yield Problem("input", name, message, "suspicion")


def _shape(name: str, weight: Tensor, scale: Tensor, block: Block | None) -> Iterator[Problem]:
    found, whole = list(scale.shape), list(weight.shape)
    if block is not None:
        if scale.shape != (expected := _grid(weight.shape, block)):
            message = (
                f"its scale is {found}, expected {list(expected)} for {whole} in blocks of {list(block)}: is "
                "weight_block_size right?"
            )
            yield Problem("shape", name, message)
        return
    if scale.size == 1:
        return
    if scale.shape in (weight.shape[:-1], (*weight.shape[:-1], 1)):
        message = (
            "has a scale for each row, and vLLM's fp8 takes one for a tensor or for each of weight_block_size: convert "
            "it to plain weights, or take a checkpoint of compressed-tensors"
        )
        yield Problem("rows", name, message, "warning")
    elif len(found) == 1 and scale.size <= _MOST_PARTS:
        message = "has a scale for each of the parts stored as one, which is not read here: name the original weights"
        yield Problem("parts", name, f"{message} under reference.model", "warning")
    else:
        usual = ", blocks of 128 x 128? Then add it" if scale.shape == _grid(weight.shape, _USUAL) else ""
        message = f"its scale is {found} for {whole}, and there is no quantization_config.weight_block_size{usual}"
        yield Problem("shape", name, f"{message}: copy quantization_config from where the model was published")


def _grid(shape: tuple[int, ...], block: Block) -> tuple[int, ...]:
    return (*shape[:-2], *(-(-size // step) for size, step in zip(shape[-2:], block, strict=True)))
