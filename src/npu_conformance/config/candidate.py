"""Which engine a model config names as the candidate, and where it is."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from npu_conformance.config.engines import DEFAULT, engine, engine_names
from npu_conformance.config.serve import Section
from npu_conformance.config.server import check_server
from npu_conformance.errors import ConfigError


class Candidate(Section):
    """The keys of a model config that say what is under test."""

    candidate: Annotated[str, Field(json_schema_extra={"enum": list(engine_names())})] = DEFAULT
    """The engine under test where the command line names none."""
    server: str | None = None
    """Address of a candidate that is a server, such as http://host:8000. A key for it is read from OPENAI_API_KEY."""
    served_model_name: str | None = None
    """The model's or the LoRA's name at that server; its first where left out."""

    @field_validator("candidate")
    @classmethod
    def _known_engine(cls, name: str) -> str:
        if name not in engine_names():
            raise ValueError(f"{name}: unknown engine (engines: {', '.join(engine_names())})")
        return name

    @field_validator("server")
    @classmethod
    def _without_secrets(cls, url: str | None) -> str | None:
        try:
            return None if url is None else check_server(url, "server")
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _has_a_server(self) -> Self:
        if engine(self.candidate).remote and self.server is None:
            raise ValueError(f"candidate: {self.candidate} is a server: name its address under server")
        return self
