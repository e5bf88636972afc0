"""Takes out of a text what tells whose machine it is: paths, the host's and the user's names, addresses."""

import getpass
import re
import socket
from pathlib import Path
from typing import Any

# A path of at least two parts; an option such as `/s` or a fraction is none.
_PATH = re.compile(r"(?<![\w/.~])(?:~|/[\w.@+~-]+)(?:/[\w.@+~-]+)+/?")
_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
_LONGEST = 500
# Names that are nobody's, for images and packages have them too.
_PUBLIC = {"root", "vllm", "ascend", "npu", "cuda", "cpu", "torch", "transformers", "localhost", "user"}
_SHORTEST = 3


def scrubbed(value: Any) -> Any:
    """A JSON value with its texts scrubbed, but for keys: of a path its last part is left, of a name its kind."""
    if isinstance(value, dict):
        return {key: scrubbed(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(one) for one in value]
    return _scrubbed_text(value) if isinstance(value, str) else value


def _scrubbed_text(text: str) -> str:
    # What a log's last lines say is for the one who has the log.
    text = text.split("\nlast lines of ")[0]
    text = _PATH.sub(lambda found: f"…/{Path(found[0]).name}", text)
    text = _ADDRESS.sub("<address>", text)
    for kind, name in _names():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", f"<{kind}>", text, flags=re.IGNORECASE)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _names() -> list[tuple[str, str]]:
    """The host's names and the user's, longest first."""
    host = socket.gethostname()
    names = [("host", host), ("host", host.partition(".")[0]), ("user", _user())]
    telling = {(kind, name) for kind, name in names if len(name) >= _SHORTEST and name.lower() not in _PUBLIC}
    return sorted(telling, key=lambda pair: -len(pair[1]))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""
