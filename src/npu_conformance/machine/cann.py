"""Versions of CANN and of the NPU's driver, read from the files that their installers leave; nothing is run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ASCEND = Path("/usr/local/Ascend")
_VARIABLES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
# Since 8.5 `cann-<version>` with a link `cann` (cann-8.5.1 in the published report on BitCPM4-CANN-1B), before that
# `ascend-toolkit/latest`.
_PLACES = ("cann", "ascend-toolkit/latest")


@dataclass(frozen=True)
class Cann:
    """An installation of CANN."""

    home: Path
    version: str | None
    """None where no file there says it."""
    variable: str | None
    """The environment variable that names it; None where it is only on the disk, its environment not loaded."""
    owned: tuple[Path, ...] = ()
    """Folder and files whose owner torch_npu looks at."""


def find_cann(environment: Mapping[str, str], ascend: Path = ASCEND) -> Cann | None:
    """The CANN that the environment names, else the one that is installed; None without.

    Args:
        environment: variables, as `set_env.sh` sets them.
        ascend: where Ascend's packages are installed.
    """
    named = [(Path(environment[name]), name) for name in _VARIABLES if environment.get(name)]
    for home, variable in [*named, *((ascend / place, None) for place in _PLACES)]:
        if home.is_dir():
            infos = _install_infos(home)
            return Cann(home, _version(home, infos), variable, (home, *infos))
    return None


def driver_version(ascend: Path = ASCEND) -> str | None:
    """The driver's version; None where no driver is mounted."""
    return _value(ascend / "driver" / "version.info", "Version")


def _install_infos(home: Path) -> list[Path]:
    """`ascend_toolkit_install.info` and its like; torch_npu 2.10.0 looks for these names (utils/collect_env.py:76)."""
    real = home.resolve()
    found = [path for pattern in ("", "*-linux/") for path in sorted(real.glob(f"{pattern}ascend_*_install.info"))]
    return sorted(found, key=lambda path: "toolkit" not in path.name)


def _version(home: Path, infos: list[Path]) -> str | None:
    for info in infos:
        if (version := _value(info, "version")) is not None:
            return version
    # toolkit_running_version=[7.6.0.1.220:8.2.RC1], or with the last part alone
    running = _value(home / "version.cfg", "toolkit_running_version") or _value(
        home / "version.cfg", "runtime_running_version"
    )
    return running.strip("[]").rsplit(":", 1)[-1] if running else None


def _value(path: Path, key: str) -> str | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{key}=(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else None
