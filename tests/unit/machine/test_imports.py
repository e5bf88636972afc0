"""Garbage is not looked for while modules are imported, and is again afterwards, whatever happened."""

import gc
import importlib
import sys
import types
from collections.abc import Iterator

import pytest

from npu_conformance.machine.imports import importing


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_imports_made_is_not_looked_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there to stay."""
    with importing():
        assert not gc.isenabled()
        monkeypatch.setitem(sys.modules, "imported_here", types.ModuleType("imported_here"))

    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_where_nothing_new_was_imported_garbage_stays_garbage() -> None:
    """As of the engine before, in a process that starts one after another."""
    with importing():
        import types as again

        assert again is types

    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_failed_import_leaves_it_on() -> None:
    """The job goes on to say why."""
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), importing():
        importlib.import_module("no_such_module")

    assert gc.isenabled()


def test_one_within_another_leaves_it_off() -> None:
    """The outer one turns it on again."""
    with importing():
        with importing():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
