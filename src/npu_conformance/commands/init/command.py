"""Lays down the files of a repository of one's own; `files/` has them as they are written."""

from pathlib import Path

from npu_conformance.commands.console import say
from npu_conformance.config.schema import config_schema
from npu_conformance.errors import ConfigError
from npu_conformance.machine.storage import write_json

_FILES = Path(__file__).with_name("files")
_PLACES = {
    "README.md": "README.md",
    "conftest.py": "conftest.py",
    "pytest.ini": "pytest.ini",
    "gitignore": ".gitignore",
    "workflow.yml": ".github/workflows/conformance.yml",
    "requirements-cpu.txt": "requirements-cpu.txt",
    "model.yaml": "model_configs/Qwen3Guard-Gen-4B.yaml",
    "prompts.yaml": "model_configs/prompts/own.yaml",
}
_SCHEMA = "model_configs/schema.json"


def init(folder: Path) -> int:
    """Write the files, and their names to standard output; 0.

    Raises:
        ConfigError: one of them is there already; none is written then.
    """
    places = [folder / place for place in (*_PLACES.values(), _SCHEMA)]
    if there := [str(path) for path in places if path.exists() or path.is_symlink()]:
        raise ConfigError(f"{', '.join(there)}: already there, and no file is overwritten: name another folder")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is no folder")
    for name, place in _PLACES.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(_content(_FILES / name), encoding="utf-8")
    write_json(folder / _SCHEMA, config_schema())
    say(*places)
    say("", f"next, in {folder}:")
    say("  pip install --no-deps -r requirements-cpu.txt    # on a machine without vLLM and an accelerator")
    say("  npu-conformance run --twin Qwen3Guard-Gen-4B")
    return 0


def _content(path: Path) -> str:
    """A file as it is written.

    torchvision is left out of the lock: PyPI's build is for CUDA, and beside a torch for the CPU transformers cannot
    import a model. Only models that could see want it; a checkout's `make` repairs it.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("torchvision=="))
