"""The options of each quantised format that decide what the weights are, as engines read them."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)
from pydantic_core import ErrorDetails

from npu_conformance.errors import CheckpointError

if TYPE_CHECKING:
    from typing_extensions import Self


def _whole_or_positive(size: int) -> int:
    if size != -1 and size < 1:
        raise ValueError("-1 or a size above zero")
    return size


def _two_sizes(value: object) -> object:
    match value:
        case [int(rows), int(columns)] if rows > 0 and columns > 0:
            return rows, columns
    raise ValueError("two sizes above zero")


def _whole(value: object) -> object:
    if isinstance(value, float):
        raise ValueError("a whole number")  # noqa: TRY004 (what pydantic tells)
    return value


def _ordering(value: object) -> object:
    # compressed-tensors' ActivationOrdering and its aliases.
    known = {"group": "group", "dynamic": "group", "weight": "weight", "static": "weight"}
    match value:
        case bool():
            return "group" if value else None
        case str() if value.lower() in known:
            return known[value.lower()]
        case None:
            return None
    raise ValueError("'group', 'weight', 'dynamic' or 'static'")


GroupSize = Annotated[StrictInt, AfterValidator(_whole_or_positive)]
"""Inputs that share a scale and a zero point; -1: all of them."""
Size = Annotated[PositiveInt, Field(strict=True)]
Block = Annotated[tuple[int, int], BeforeValidator(_two_sizes)]
"""Rows and columns that share a scale."""
Names = tuple[StrictStr, ...]
Whole = BeforeValidator(_whole)
"""Before literals, for which 8.0 is 8; an engine divides by it as an integer."""


class Options(BaseModel):
    """Of any format; a subclass knows one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    needed: ClassVar[Mapping[str, str]] = {}
    """See the function."""

    quant_method: StrictStr

    @property
    def ignored(self) -> Names:
        """Modules that are not quantised, in the format's own way to name them."""
        return ()

    def listing(self, entry: str) -> "Self":
        """The same options with this alone on the list of modules that are not quantised."""
        lists = ("ignored_layers", "modules_to_not_convert", "ignore")
        return self.model_copy(update={key: (entry,) for key in lists if key in type(self).model_fields})


class Fp8Options(Options):
    """FP8 codes with scales for blocks, or for whole tensors."""

    needed = {"activation_scheme": "dynamic"}

    quant_method: Literal["fp8"] = "fp8"
    weight_block_size: Block | None = None
    """None: all of a tensor, or of a row, share one."""
    activation_scheme: Literal["dynamic", "static"] = "dynamic"
    """`static` needs an `input_scale` beside each weight."""
    ignored_layers: Names | None = None
    modules_to_not_convert: Names | None = None

    @property
    def ignored(self) -> Names:
        """The second list counts where the first is empty, as in vLLM."""
        return self.ignored_layers or self.modules_to_not_convert or ()


class GptqOptions(Options):
    """Integers packed along the inputs."""

    needed = {"desc_act": "false"}

    quant_method: Literal["gptq"] = "gptq"
    bits: Annotated[Literal[2, 3, 4, 8], Whole]
    """Bits a code has."""
    group_size: GroupSize
    sym: StrictBool
    """Every zero point is the middle code."""
    desc_act: StrictBool = False
    """Groups may hold any inputs, not only neighbours."""
    checkpoint_format: Literal["gptq", "gptq_v2"] = "gptq"
    """Zero points are stored less one (`gptq`), or as they are (`gptq_v2`)."""
    dynamic: dict[str, Any] | None = None
    """Options of modules' own, by a regular expression."""


class AwqOptions(Options):
    """Integers packed along the outputs, in AutoAWQ's order."""

    quant_method: Literal["awq"] = "awq"
    bits: Annotated[Literal[4, 8], Whole] = Field(validation_alias=AliasChoices("bits", "w_bit"))
    group_size: GroupSize = Field(validation_alias=AliasChoices("group_size", "q_group_size"))
    zero_point: StrictBool
    version: StrictStr = "gemm"
    modules_to_not_convert: Names | None = None

    @property
    def ignored(self) -> Names:
        """Parts of names."""
        return self.modules_to_not_convert or ()


class AutoRoundOptions(Options):
    """AutoRound's, stored as one of other formats."""

    quant_method: Literal["auto-round"] = "auto-round"
    bits: StrictInt
    group_size: Any
    """A size, -1, or two sizes of a block."""
    packing_format: StrictStr = "auto_round:auto_gptq"
    extra_config: dict[str, Any] | None = None


class ArgumentsOfTensors(BaseModel):
    """How compressed-tensors quantises one kind of tensor; names are of its QuantizationArgs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    num_bits: Size = 8
    type: Literal["int", "float"] = "int"
    symmetric: StrictBool = True
    strategy: Literal["tensor", "channel", "group", "block", "token", "tensor_group", "attn_head"] | None = None
    group_size: GroupSize | None = None
    block_structure: Block | None = None
    dynamic: Literal[True, False, "local"] = False
    actorder: Annotated[Literal["group", "weight"] | None, BeforeValidator(_ordering)] = None
    """`group`: groups may hold any inputs, not only neighbours."""

    @property
    def inferred_strategy(self) -> str:
        """`strategy`, or what compressed-tensors takes where there is none."""
        if self.strategy is not None:
            return self.strategy
        return "channel" if self.group_size == -1 else "group" if self.group_size else "tensor"


class CompressedGroup(BaseModel):
    """Modules that compressed-tensors quantises alike."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    targets: Names
    """Classes of modules (`Linear`), names of modules, or regular expressions behind `re:`."""
    weights: ArgumentsOfTensors | None = None
    input_activations: ArgumentsOfTensors | None = None
    format: StrictStr | None = None
    """None: the checkpoint's."""


class CompressedOptions(Options):
    """compressed-tensors', which describes its own formats."""

    quant_method: Literal["compressed-tensors"] = "compressed-tensors"
    config_groups: dict[str, CompressedGroup] = {}
    format: StrictStr | None = None
    """`float-quantized`, `int-quantized`, `pack-quantized`, `naive-quantized`, `nvfp4-pack-quantized` and others."""
    ignore: Names | None = None
    """Names of modules, or regular expressions behind `re:`."""
    kv_cache_scheme: dict[str, Any] | None = None
    sparsity_config: dict[str, Any] | None = None
    transform_config: dict[str, Any] | None = None
    """Rotations, some of which an engine does while it computes."""

    @property
    def ignored(self) -> Names:
        """Of all groups."""
        return self.ignore or ()


class ModeloptOptions(Options):
    """ModelOpt's, in config.json or nested under `quantization` as in hf_quant_config.json."""

    quant_algo: StrictStr
    kv_cache_quant_algo: StrictStr | None = None
    group_size: Size | None = None
    ignore: Names | None = Field(default=None, validation_alias=AliasChoices("ignore", "exclude_modules"))

    @property
    def ignored(self) -> Names:
        """Names with `*` for anything."""
        return self.ignore or ()


_SCHEMAS: dict[str, type[Options]] = {
    "fp8": Fp8Options,
    "gptq": GptqOptions,
    "awq": AwqOptions,
    "auto-round": AutoRoundOptions,
    "compressed-tensors": CompressedOptions,
    "modelopt": ModeloptOptions,
    "modelopt_fp4": ModeloptOptions,
    "modelopt_mxfp8": ModeloptOptions,
}
METHODS = tuple(_SCHEMAS)
"""Those that have a schema."""


def needed(method: str) -> Mapping[str, str]:
    """Keys without which vLLM does not start with a format, with what they most often are."""
    return _SCHEMAS.get(method, Options).needed


def read_options(options: dict[str, Any]) -> tuple[Options | None, list[str]]:
    """Options by their format's schema, and what is wrong with them.

    Args:
        options: as `Announced.options` gives them.

    Returns:
        None for a format that has no schema here, or where something is wrong; a line for each wrong key.
    """
    schema = _SCHEMAS.get(str(options.get("quant_method")))
    if schema is None:
        return None, []
    nested = options.get("quantization")
    given = nested | {"quant_method": options["quant_method"]} if isinstance(nested, dict) else options
    try:
        return schema.model_validate(given), []
    except ValidationError as error:
        return None, _problems(error)


Known = TypeVar("Known", bound=Options)


def require(schema: type[Known], options: dict[str, Any], where: str) -> Known:
    """The options of one format.

    Args:
        schema: the format's.
        options: as the checkpoint has them.
        where: the file and key they are in, for messages.

    Raises:
        CheckpointError: something is wrong with them, all of which is named.
    """
    try:
        return schema.model_validate(options)
    except ValidationError as error:
        raise CheckpointError(f"{where}: {'; '.join(_problems(error))}") from error


def _problems(error: ValidationError) -> list[str]:
    return list(dict.fromkeys(map(_problem, error.errors(include_url=False))))


def _problem(detail: ErrorDetails) -> str:
    key = ".".join(map(str, detail["loc"]))
    if detail["type"] == "missing":
        return f"{key}: required key is missing"
    expected = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    expected = expected.replace("a valid tuple", "a list").replace("a valid integer", "a whole number")
    return f"{key}: expected {expected}, found {_shown(detail['input'])}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
