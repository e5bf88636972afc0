"""Imports of large libraries, in less time."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage while modules are imported, nor afterwards among what they made, which stays.

    Of vLLM's import it is a quarter of the time: Python looks through all that is there each time it has grown.
    """
    modules, was_on = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
        if len(sys.modules) > modules:  # else there may be garbage, as of an engine before, and it would stay too
            gc.freeze()
