"""The interpreter of a model's reference: this one, or one with a newer transformers where this one's is too old.

An image of vllm-ascend 0.18 serves Qwen3.5 by vLLM's own config class, while its transformers has never heard of it.
`npu-conformance dev reference-python` makes an interpreter that has; it is found again by itself.
"""

import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from npu_conformance.errors import PlanError
from npu_conformance.machine.locks import locked
from npu_conformance.machine.storage import cache_dir, digest
from npu_conformance.workers.progress import Narrator

PACKAGES = ("transformers>=5.5.4,<6", "peft>=0.17")
"""What the interpreter gets; all else, torch too, it has from this one."""
COMMAND = "npu-conformance dev reference-python"

_LONGEST = 60
"""Seconds in which an interpreter names its packages, on the slowest disk."""

# Asked of another interpreter, which need not have this suite.
_TELL = """
import importlib.metadata, importlib.util, json
spec = importlib.util.find_spec("transformers")
folder = spec.submodule_search_locations[0] if spec else None
packages = {one.name: one.version for one in reversed(list(importlib.metadata.distributions()))}
print(json.dumps([packages, folder]))
"""


class Installed(NamedTuple):
    """What an interpreter has, known without importing it."""

    packages: Mapping[str, str]
    """Versions by name."""
    transformers: Path | None
    """Folder of the package."""

    def knows(self, model_type: str) -> bool:
        """Whether its transformers has a class for a config of that type; yes where there is none to ask."""
        if self.transformers is None:
            return True  # whoever needs it will say
        # Lately the names stand in auto_mappings.py, before that in configuration_auto.py.
        tables = (self.transformers / "models" / "auto").glob("*.py")
        return any(f'"{model_type}"' in table.read_text(encoding="utf-8") for table in tables)


@cache
def installed(python: Path | None = None) -> Installed:
    """What an interpreter has; this one where None.

    Raises:
        PlanError: it cannot say.
    """
    if python is None:
        packages = {one.name: one.version for one in reversed(list(importlib.metadata.distributions()))}
        spec = importlib.util.find_spec("transformers")
        found = None if spec is None or not spec.submodule_search_locations else spec.submodule_search_locations[0]
        return Installed(packages, None if found is None else Path(found))
    try:
        asked = [str(python), "-c", _TELL]
        told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=_LONGEST)
        packages, folder = json.loads(told.stdout)
    except subprocess.CalledProcessError as error:
        why = (error.stderr.strip().splitlines() or [str(error)])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    except (TypeError, ValueError):
        why = "it did not answer as a Python interpreter does"
    else:
        return Installed(packages, None if folder is None else Path(folder))
    raise PlanError(
        f"{python}: cannot be asked for its packages: {why}; name another with --reference-python, or make one with "
        f"`{COMMAND}`"
    )


def interpreter_for(model_type: str | None, chosen: Path | None, *, own_code: bool = False) -> Path | None:
    """The interpreter that can compute a model's reference; None for this one.

    Args:
        model_type: as config.json has it; None where it has none.
        chosen: by `--reference-python`.
        own_code: whether the checkpoint brings the model's code, so that no transformers needs to know it.

    Raises:
        PlanError: the transformers here does not know the model, and no interpreter was made that does.
    """
    if chosen is not None or model_type is None or own_code or installed().knows(model_type):
        return chosen
    made = _place() / "bin" / "python"
    if made.is_file() and installed(made).knows(model_type):
        return made
    here = [None, made] if made.is_file() else [None]
    versions = " and ".join(installed(one).packages["transformers"] for one in here)
    raise PlanError(
        f"no transformers here ({versions}) knows model_type {model_type!r}, so the reference cannot be computed: "
        f"`{COMMAND}` makes an interpreter with the newest one, which is then used by itself, or name one with "
        "--reference-python PATH"
    )


def make_interpreter() -> Path:
    """Make it, or bring an earlier one up to date; its executable.

    A virtual environment of this interpreter's Python that sees this one's packages, with newer ones before them.

    Raises:
        PlanError: no virtual environment can be made here, or pip could not install them.
    """
    place = _place()
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.with_suffix(".lock"), "makes the same interpreter", Narrator().say):
        there = place.exists()
        try:
            _fill(place)
        except BaseException:
            if not there:
                shutil.rmtree(place, ignore_errors=True)
            raise
    return place / "bin" / "python"


def _fill(place: Path) -> None:
    try:
        venv.create(place, with_pip=True)
    except subprocess.CalledProcessError as error:
        raise PlanError(
            f"{place}: this Python cannot make a virtual environment with pip ({error}); on Debian and Ubuntu install "
            "python3-venv"
        ) from error
    own = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    # A path in a .pth file comes after the environment's own packages.
    outer = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (own / "outer_packages.pth").write_text("\n".join(outer) + "\n", encoding="utf-8")
    installing = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--upgrade", *PACKAGES]
    # Captured: pip complains that the outer vllm wants the older transformers, which it keeps.
    told = subprocess.run(installing, capture_output=True, text=True, check=False)
    if told.returncode:
        last = "\n".join(told.stderr.strip().splitlines()[-5:])
        raise PlanError(f"{place}: pip could not install {', '.join(PACKAGES)}:\n{last}")


def _place() -> Path:
    """Where the interpreter beside this one is."""
    return cache_dir() / "reference-python" / digest([sys.prefix, sys.version])[:16]
