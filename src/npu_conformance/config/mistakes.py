"""What pydantic finds wrong with a YAML file, in words a person can act on."""

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_QUOTED = re.compile(r"'([^']*)'")
# pydantic's words, and YAML's.
_KINDS = {"dictionary or instance of": "mapping", "dictionary": "mapping", "tuple": "list"}
_LONG, _LONGEST = 100, 1000
_Place = tuple[int | str, ...]


def mistakes(error: ValidationError, content: Any, model: type[BaseModel]) -> list[str]:
    """Each with its key, what was expected and what was found.

    Args:
        error: of the content.
        content: as it was read.
        model: what it should be.
    """
    told: dict[_Place, list[str]] = {}
    for detail in _of_meant_forms(error.errors(), content):
        told.setdefault(_place(detail, content)[0], []).append(_words(detail, model))
    return [_joined(place, words) for place, words in told.items()]


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?` when some known word is close in either case, else nothing.

    Args:
        word: as it was written.
        known: words.
        cutoff: how near one must be, from 0 to 1 for the same.
    """
    spelled = {one.lower(): one for one in known}
    close = difflib.get_close_matches(word[:_LONG].lower(), spelled, n=1, cutoff=cutoff)
    return f"; did you mean {spelled[close[0]]!r}?" if close else ""


def _place(detail: "ErrorDetails", content: Any) -> tuple[_Place, _Place]:
    """Where an error is in the content, and where the first value is that may have several forms.

    pydantic puts the name of the form that it tried between a value's place and what is wrong in it.
    """
    place: list[int | str] = []
    forms: _Place = ()
    missing = detail["loc"][-1] if detail["type"] == "missing" else None
    for part in detail["loc"]:
        is_key = isinstance(content, dict) and (part in content or part == missing)
        if is_key or (isinstance(content, list) and isinstance(part, int)):
            content = content.get(part) if isinstance(content, dict) else content[part]
            place.append(part)
        else:
            forms = forms or tuple(place)
    return tuple(place), forms


def _of_meant_forms(details: "list[ErrorDetails]", content: Any) -> "list[ErrorDetails]":
    """Without those of forms that a value was not meant to have: some are wrong deeper inside it than others."""
    places = [_place(detail, content) for detail in details]
    deeper = {forms for place, forms in places if forms and len(place) > len(forms)}
    return [
        detail for detail, (place, forms) in zip(details, places, strict=True) if place not in deeper or place != forms
    ]


def _joined(place: _Place, words: list[str]) -> str:
    """One mistake; what a value of several forms may be is told together."""
    where = ".".join(str(part)[:_LONG] for part in place)
    expected = [one.split(", found ")[0] for one in words if one.startswith("expected ")]
    if len(words) > 1 and len(expected) == len(words):
        kinds = " or ".join(dict.fromkeys(one.removeprefix("expected ") for one in expected))
        words = [f"expected {kinds}, found {words[0].split(', found ', 1)[1]}"]
    told = "; ".join(dict.fromkeys(words))
    return f"{where}: {told}" if where else told


def _words(detail: "ErrorDetails", model: type[BaseModel]) -> str:
    if detail["type"] == "extra_forbidden":
        return f"unknown key{_belongs(model, detail['loc'])}"
    if detail["type"] == "missing":
        return "required key is missing"
    if detail["type"] == "value_error":
        return _cut(str(detail["ctx"]["error"]), _LONGEST)
    found = _cut(repr(detail["input"]), _LONG)
    if detail["type"] == "literal_error":
        hint = did_you_mean(str(detail["input"]), _QUOTED.findall(detail["ctx"]["expected"]), cutoff=0.5)
        return f"expected {detail['ctx']['expected']}, found {found}{hint}"
    message = re.sub(r"^(Input|String|Value) should (be )?(an? )?(valid )?", "", detail["msg"])
    for theirs, ours in _KINDS.items():
        message = re.sub(rf"^{theirs}( [A-Z]\w+)?", ours, message)
    return f"expected {message}, found {found}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _belongs(model: type[BaseModel], location: _Place) -> str:
    """Where an unknown key belongs: in another section that has it, else under the name of one that is close."""
    key = str(location[-1])
    for name, field in model.model_fields.items():
        section = field.annotation
        is_section = isinstance(section, type) and issubclass(section, BaseModel)
        if is_section and name != location[0] and key in section.model_fields:  # type: ignore[union-attr]
            return f"; it belongs under {name}: write {name}: {{{key}: …}}"
    return did_you_mean(key, _keys_at(model, location[:-1]))


def _keys_at(model: type[BaseModel], location: _Place) -> list[str]:
    """The keys `model` allows at a place inside it, forcing nested models by field name."""
    current: Any = model
    for part in location:
        if isinstance(part, str) and part in getattr(current, "model_fields", {}):
            current = _nested_model(current.model_fields[part].annotation)
    return list(getattr(current, "model_fields", {}))


def _nested_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _nested_model(argument)) is not None:
            return found
    return None
