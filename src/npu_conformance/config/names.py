"""Names of models, prompt sets and variants: they stand in file names, test ids and pytest's `-k`."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_VARIANT = r"^[a-z0-9][a-z0-9_]{0,99}$"


def can_be_selected(name: str) -> bool:
    """Whether a model may have a name."""
    return re.fullmatch(_NAME, name) is not None


def check_name(name: str) -> str:
    """Refuse what could not be selected, or be no file's name.

    Raises:
        ValueError: with what a name may be.
    """
    if can_be_selected(name):
        return name
    raise ValueError(
        f"{name[:40]!r} is no name. Expected at most 100 letters A to Z, digits and . _ -, the first a letter or digit"
    )


def _check_variant(name: str) -> str:
    if re.fullmatch(_VARIANT, name):
        return name
    raise ValueError(f"{name[:40]!r} is no name. Expected at most 100 small letters a to z, digits and _")


Name = Annotated[str, AfterValidator(check_name), WithJsonSchema({"pattern": _NAME, "type": "string"})]
"""Of a model, prompt set, prompt or twin."""
VariantName = Annotated[str, AfterValidator(_check_variant), WithJsonSchema({"pattern": _VARIANT, "type": "string"})]
"""As `-k` selects it: nothing with a hyphen, behind which a test's id names the variant."""
