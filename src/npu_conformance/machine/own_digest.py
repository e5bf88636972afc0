"""Files that tell the digest of their own content, so that a change by hand shows."""

from pydantic import BaseModel
from typing_extensions import Self

from npu_conformance.machine.storage import digest


class OwnDigest(BaseModel):
    """What has it in its last field, `digest`, which each declares itself."""

    def sealed(self) -> Self:
        """The same with its digest."""
        return self.model_copy(update={"digest": self.own_digest()})

    def own_digest(self) -> str:
        """What `digest` should be."""
        return digest(self.model_dump(mode="json", exclude={"digest"}))
