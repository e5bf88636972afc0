"""What all jobs have."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class JobBase(BaseModel):
    """What all jobs have."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    output: Path
    """What the job leaves, whole or not at all."""

    @property
    def stages(self) -> set[Path]:
        """Folders in which a killed job may leave something half made."""
        return {self.output.parent}

    @property
    def label(self) -> str:
        """Its name among the jobs of a series."""
        return self.output.name
