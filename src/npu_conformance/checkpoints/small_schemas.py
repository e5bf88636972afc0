"""What libraries read of the small files beside config.json, by schema: wrong types are named by their key."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StrictFloat, StrictInt, StrictStr, ValidationError

from npu_conformance.checkpoints.config_values import Token, Tokens, told
from npu_conformance.checkpoints.headers import shown

_Id = Annotated[int, Field(strict=True, ge=0)]
_Side = Literal["left", "right"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Generation(_Part):
    eos_token_id: Tokens = None
    bos_token_id: Tokens = None
    pad_token_id: Token | None = None
    repetition_penalty: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None


class _Named(BaseModel):
    name: StrictStr
    template: StrictStr


class _Word(_Part):
    content: StrictStr


class _AddedWord(_Word):
    """transformers refuses an object without this mark."""

    type: Literal["AddedToken"] = Field(alias="__type")


_Text = StrictStr | _AddedWord | None


class _Settings(_Part):
    tokenizer_class: StrictStr | None = None
    chat_template: StrictStr | list[_Named] | dict[str, StrictStr] | None = None
    bos_token: _Text = None
    eos_token: _Text = None
    unk_token: _Text = None
    sep_token: _Text = None
    pad_token: _Text = None
    cls_token: _Text = None
    mask_token: _Text = None
    model_max_length: StrictInt | StrictFloat | None = None
    added_tokens_decoder: dict[str, _Word] = {}
    additional_special_tokens: list[StrictStr | _Word] | None = None
    extra_special_tokens: list[StrictStr | _Word] | dict[str, StrictStr | _Word] | None = None
    model_input_names: list[StrictStr] = []
    padding_side: _Side = "right"
    truncation_side: _Side = "right"
    auto_map: dict[str, Any] = {}


class _Added(_Part):
    id: _Id
    content: StrictStr


class _Model(_Part):
    vocab: dict[str, int] | list[Any] | None = None


class _Words(_Part):
    added_tokens: list[_Added] | None = None
    model: _Model


class _SpecialWords(RootModel[dict[str, StrictStr | _Word | list[StrictStr | _Word] | dict[str, Any] | None]]):
    """By role, such as `eos_token`."""


class _AddedWords(RootModel[dict[str, _Id]]):
    """Ids by word."""


_SCHEMAS: dict[str, type[BaseModel]] = {
    "generation_config.json": _Generation,
    "tokenizer_config.json": _Settings,
    "tokenizer.json": _Words,
    "special_tokens_map.json": _SpecialWords,
    "added_tokens.json": _AddedWords,
}
SMALL_FILES = tuple(_SCHEMAS)
"""Names of the files that there are schemas of."""
_EXPECTED = {
    **dict.fromkeys(("eos_token_id", "bos_token_id"), "a token id or a list of them"),
    "pad_token_id": "a token id",
    "repetition_penalty": "a number above zero",
    "tokenizer_class": "text",
    "chat_template": "a template, or a list of them with names",
    "model_max_length": "a number",
    "added_tokens_decoder": "tokens by id, each with its content",
    **dict.fromkeys(("additional_special_tokens", "extra_special_tokens"), "a list of tokens"),
    "model_input_names": "a list of names",
    **dict.fromkeys(("padding_side", "truncation_side"), "left or right"),
    "auto_map": "classes by name",
    "added_tokens": "a list of tokens with id and content",
    "model": "an object with the vocabulary",
}


def wrong_values(name: str, content: dict[str, Any]) -> Iterator[str]:
    """Values of a small file that no library reads, in a line each.

    Args:
        name: of the file.
        content: what it has.
    """
    try:
        _SCHEMAS[name].model_validate(content)
    except ValidationError as error:
        keys = dict.fromkeys(str(one["loc"][0]) for one in error.errors(include_url=False, include_input=False))
        otherwise = "a token id" if name == "added_tokens.json" else "a token: its text, or an AddedToken"
        for key in keys:
            yield told(shown(key), content.get(key), _EXPECTED.get(key, otherwise), "download the file again")
