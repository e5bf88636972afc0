"""Integers packed into int32 words, as GPTQ and AWQ store them, by their headers."""

from collections.abc import Iterator

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.quantisation.schema import AutoRoundOptions, AwqOptions, GptqOptions
from npu_conformance.checkpoints.quantised.problems import Problem, findings_of
from npu_conformance.checkpoints.tensor import Tensor

_PARTS = ("qweight", "qzeros", "scales", "g_idx")
Parts = dict[str, Tensor]
PackedOptions = GptqOptions | AwqOptions | AutoRoundOptions


def packed_findings(checkpoint: Checkpoint, options: PackedOptions) -> list[Finding]:
    """Parts that are missing, of another shape than the options say, or laid out as another method does."""
    modules: dict[str, Parts] = {}
    for name, tensor in checkpoint.tensors.items():
        module, _, part = name.rpartition(".")
        if part in _PARTS:
            modules.setdefault(module, {})[part] = tensor
    if not any("qweight" in parts for parts in modules.values()):
        message = (
            f"quantization_config.quant_method is {options.quant_method}, but no tensor is named *.qweight: if the "
            "weights were dequantised, remove quantization_config"
        )
        return [Finding("error", "config.json", message)]
    return findings_of(
        problem for module, parts in modules.items() for problem in _problems(checkpoint, options, module, parts)
    )


def _problems(checkpoint: Checkpoint, options: PackedOptions, module: str, parts: Parts) -> Iterator[Problem]:
    if "qweight" not in parts:
        message = f"{' and '.join(parts)} without a qweight: download the model again"
        yield Problem("qweight", module, message)
        return
    if f"{module}.weight" in checkpoint.tensors:
        message = "is stored both as weight and as qweight: engines take one without a word; download the model again"
        yield Problem("both", module, message)
    needs_order = isinstance(options, GptqOptions) and options.desc_act
    needed = ("qzeros", "scales", "g_idx") if needs_order else ("qzeros", "scales")
    if missing := [part for part in needed if part not in parts]:
        message = f"no {' and no '.join(missing)} beside its qweight: download the model again"
        yield Problem("parts", module, message)
        return
    if wrong := [part for part in _PARTS[:3] if len(parts[part].shape) != 2 or 0 in parts[part].shape]:
        found = list(parts[wrong[0]].shape)
        message = f"{wrong[0]} is {found}, expected two sizes above zero: download the model again"
        yield Problem("sizes", module, message)
        return
    yield from _by_method(options, module, parts)


def _by_method(options: PackedOptions, module: str, parts: Parts) -> Iterator[Problem]:
    codes, zeros, scales = (parts[part].shape for part in _PARTS[:3])
    # AWQ packs along the outputs, GPTQ along the inputs: only then codes have the outputs' number of columns.
    laid_out = "gptq" if codes[1] == scales[1] else "awq" if codes[1] == zeros[1] else None
    if isinstance(options, GptqOptions):
        if laid_out == "awq":
            yield _other_method(module, "gptq", "awq", parts)
        elif not options.dynamic:  # options of modules' own
            yield from _gptq(module, parts, options)
    elif isinstance(options, AwqOptions):
        if laid_out == "gptq":
            yield _other_method(module, "awq", "gptq", parts)
        elif options.version == "gemm":
            yield from _awq(module, parts, options)
    elif laid_out is not None and laid_out not in options.packing_format:
        yield _other_method(module, options.packing_format, laid_out, parts)


def _other_method(module: str, said: str, found: str, parts: Parts) -> Problem:
    shapes = " and ".join(f"{part} {list(parts[part].shape)}" for part in ("qweight", "scales"))
    message = f"the config says {said}, but {shapes} are laid out as {found} stores them: correct quant_method"
    return Problem("method", module, message)


def _gptq(module: str, parts: Parts, options: GptqOptions) -> Iterator[Problem]:
    codes, zeros, scales = (parts[part].shape for part in _PARTS[:3])
    bits, size = options.bits, options.group_size
    if codes[1] * bits != zeros[1] * 32:
        said = zeros[1] * 32 / codes[1]
        yield _bits(module, bits, f"qzeros {list(zeros)}", codes, said)
        return
    inputs = codes[0] * 32 // bits
    yield from _groups(module, inputs, (zeros[0], scales), codes[1], size)
    if "g_idx" in parts and parts["g_idx"].shape != (inputs,):
        message = f"g_idx is {list(parts['g_idx'].shape)}, expected [{inputs}]: download the model again"
        yield Problem("g_idx", module, message)


def _awq(module: str, parts: Parts, options: AwqOptions) -> Iterator[Problem]:
    codes, zeros, scales = (parts[part].shape for part in _PARTS[:3])
    if codes[1] * 32 != scales[1] * options.bits:
        said = codes[1] * 32 / scales[1]
        yield _bits(module, options.bits, f"scales {list(scales)}", codes, said)
        return
    yield from _groups(module, codes[0], (zeros[0], scales), scales[1], options.group_size)


def _bits(module: str, bits: int, part: str, codes: tuple[int, ...], said: float) -> Problem:
    message = f"quantization_config.bits is {bits}, but {part} beside qweight {list(codes)} says {said:g}: correct it"
    return Problem("bits", module, message)


def _groups(module: str, inputs: int, found: tuple[int, tuple[int, ...]], outputs: int, size: int) -> Iterator[Problem]:
    groups = -(-inputs // size) if size > 0 else 1
    zeros, scales = found
    if scales != (groups, outputs) or zeros != groups:
        message = (
            f"scales is {list(scales)} and qzeros has {zeros} rows, expected {groups} rows for {inputs} inputs: is "
            f"quantization_config.group_size {size} right?"
        )
        yield Problem("groups", module, message)
