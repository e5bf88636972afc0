"""What all models of report.json have in common."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of report.json: no key that is not declared, NaN and infinities as strings."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings")
