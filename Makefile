# make conformance: the main job on the twins · make test: everything that needs no accelerator · make bench: speed, as ratios
# make campaigns: the long tests that `make test` leaves out
PYTHON ?= python3.11
BIN := .venv/bin
export HF_HUB_OFFLINE = 1

.DEFAULT_GOAL := conformance
.PHONY: conformance test lint unit campaigns bench clean

conformance: .venv/.installed
	$(BIN)/pytest --twin

test: lint unit

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Engines take a machine's cores for themselves; the others share them.
unit: .venv/.installed
	$(BIN)/pytest tests/unit -W error -m "not slow and not engine" -n 2
	$(BIN)/pytest tests/unit -W error -m "engine and not slow"

campaigns: .venv/.installed
	$(BIN)/pytest tests/unit -W error -m slow

bench: .venv/.installed
	$(BIN)/python -m bench

clean:
	rm -rf .venv reports

# The lock is installed as it is (--no-deps): see its first lines.
.venv/.installed: requirements/cpu.txt requirements/torchvision_on_cpu.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/cpu.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	cp requirements/torchvision_on_cpu.py .venv/lib/python3*/site-packages/
	echo "import torchvision_on_cpu" > "$$(ls -d .venv/lib/python3*/site-packages)/torchvision_on_cpu.pth"
	touch $@
