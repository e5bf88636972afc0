"""What tells one model config from another."""

from pydantic import BaseModel

from npu_conformance.config.variants import SERVING
from npu_conformance.machine.storage import digest


def config_digest(config: BaseModel) -> str:
    """Of what a config says: keys that it leaves out do not count, so that a new key of the suite changes none.

    Nor does the variant that `--serving` adds: the run is of the same config with it and without it.
    """
    said = config.model_dump(mode="json", exclude_defaults=True)
    kept = [one for one in said.pop("variants", ()) if one != SERVING]
    return digest({**said, "variants": kept} if kept else said)
