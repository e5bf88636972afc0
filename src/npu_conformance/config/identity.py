"""What tells one model config from another."""

from pydantic import BaseModel

from npu_conformance.machine.storage import digest


def config_digest(config: BaseModel) -> str:
    """Of what a config says: keys that it leaves out do not count, so that a new key of the suite changes none."""
    return digest(config.model_dump(mode="json", exclude_defaults=True))
