"""Opens files that somebody else wrote: a pipe would wait for a writer, and a device may have no end."""

import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading its bytes.

    Raises:
        OSError: it is missing, cannot be read, or is a folder, pipe, socket or device; its text is for a person.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise OSError(f"it is {_KINDS.get(kind, 'no file')}, expected a regular file")
    return path.open("rb")
