"""The name of a model on a hub, and what to say of anything else."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_PATHS = ("/", ".", "~")
# As the hubs have it; no "..", so that it stays inside the folder it is looked for in.
_PATTERN = r"^[A-Za-z0-9](?:[._-]?[A-Za-z0-9_])*/[A-Za-z0-9](?:[._-]?[A-Za-z0-9_])*$"


def _check(name: str) -> str:
    """Refuse what is no name on a hub.

    Raises:
        ValueError: with what was expected, and how a local folder is given.
    """
    if re.search(_PATTERN, name):
        return name
    last = "/".join(name.rstrip("/").split("/")[-2:])
    if re.search(_PATTERN, last) and (name.count("/") == 2 or "://" in name) and not name.startswith(_PATHS):
        raise ValueError(
            f"{name!r} has more than two parts. Write {last}, without a host, GitCode's first part, or a folder "
            "(--models-root names it)"
        )
    what = "is a path" if name.startswith(_PATHS) or name.count("/") > 1 else "is no name on a hub"
    raise ValueError(
        f"{name!r} {what}. Expected organisation/name, such as Qwen/Qwen3-8B. A local folder: write "
        f"{_local(name)} and run with --models-root DIR, where DIR/organisation/name or DIR/name is the folder"
    )


def _local(path: str) -> str:
    """A name under which a local folder can be found."""
    name = path.rstrip("/").rsplit("/", 1)[-1]
    return f"local/{name}" if re.search(_PATTERN, f"local/{name}") else "local/NAME"


HubId = Annotated[str, AfterValidator(_check), WithJsonSchema({"pattern": _PATTERN, "type": "string"})]
