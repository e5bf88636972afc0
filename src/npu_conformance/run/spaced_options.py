"""Lets `--models-root DIR` be written with a space, as every other option may be.

pytest finds its root folder before it knows anybody's options, so it takes DIR for a test path, makes DIR the
root and never sees this suite's conftest. This plugin is loaded before conftests (an entry point) and starts
pytest again with `--models-root=DIR`. It does nothing for any other command line.
"""

import os
import sys

import pytest

PATH_OPTIONS = ("--models-root", "--candidate-weights", "--candidate-adapter", "--from", "--reference-python")


def joined(arguments: list[str]) -> list[str]:
    """The arguments with every `--option VALUE` of ours that takes a path written as `--option=VALUE`."""
    result: list[str] = []
    for argument in arguments:
        if result and result[-1] in PATH_OPTIONS:
            result[-1] += f"={argument}"
        else:
            result.append(argument)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start again where a path option was written with a space on a real command line."""
    arguments = list(early_config.invocation_params.args)
    if arguments == sys.argv[1:] and joined(arguments) != arguments:
        # Capturing has begun; what replaces this process must get the real standard output.
        early_config.pluginmanager.getplugin("capturemanager").suspend_global_capture(in_=True)
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *joined(arguments)])  # noqa: S606 (ourselves)
