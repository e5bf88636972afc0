"""`quantization_config` against the tensors that are stored: no weight without its scales, and none unannounced."""

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding, some
from npu_conformance.checkpoints.modelslim import is_modelslim, modelslim_findings
from npu_conformance.checkpoints.quantisation.place import LEGACY_FILE
from npu_conformance.checkpoints.quantisation.schema import (
    AutoRoundOptions,
    AwqOptions,
    CompressedOptions,
    Fp8Options,
    GptqOptions,
    Options,
)
from npu_conformance.checkpoints.quantised.compressed import compressed_findings
from npu_conformance.checkpoints.quantised.fp8 import CODES, OTHER_CODES, fp8_findings, without_scale
from npu_conformance.checkpoints.quantised.ignored import ignored_findings
from npu_conformance.checkpoints.quantised.options import option_findings
from npu_conformance.checkpoints.quantised.packed import packed_findings

# What the names of another method's parts end with.
_FOREIGN: dict[type[Options], tuple[str, ...]] = {
    Fp8Options: (".qweight", ".qzeros", ".weight_packed"),
    GptqOptions: (".weight_packed",),
    AwqOptions: (".weight_packed",),
    CompressedOptions: (".qweight", ".qzeros"),
}
_CODES = {"I8", "U8", "I32", CODES, OTHER_CODES}


def quantisation_findings(checkpoint: Checkpoint) -> list[Finding]:
    """What config.json says of the quantisation, against the tensors."""
    if is_modelslim(checkpoint.folder):
        return modelslim_findings(checkpoint)
    if checkpoint.announced is None:
        return _unannounced(checkpoint)
    findings = [*option_findings(checkpoint.announced), *without_scale(checkpoint)]
    if checkpoint.options is None:
        return findings
    return [
        *findings,
        *_by_format(checkpoint, checkpoint.options),
        *_foreign(checkpoint, checkpoint.options),
        *ignored_findings(checkpoint, checkpoint.options),
    ]


def _by_format(checkpoint: Checkpoint, options: Options) -> list[Finding]:
    if isinstance(options, Fp8Options):
        return fp8_findings(checkpoint, options)
    if isinstance(options, GptqOptions | AwqOptions | AutoRoundOptions):
        return packed_findings(checkpoint, options)
    if isinstance(options, CompressedOptions):
        return compressed_findings(checkpoint, options)
    return []


def _foreign(checkpoint: Checkpoint, options: Options) -> list[Finding]:
    """Parts of weights that are stored as another method has them."""
    parts = _FOREIGN.get(type(options), ())
    packed = isinstance(options, GptqOptions | AwqOptions)
    found = [
        name
        for name, tensor in checkpoint.tensors.items()
        if name.endswith(parts) or (packed and tensor.dtype in (CODES, OTHER_CODES) and len(tensor.shape) > 1)
    ]
    if not found:
        return []
    message = (
        f"is of another method than {options.quant_method}: engines leave it out, or take its codes for weights; "
        "download the model again, or take a checkpoint of one method"
    )
    return [Finding("error", some(found), message)]


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
