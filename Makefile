# make setup: only .venv, with vLLM for the CPU · make conformance: the main job on the twins · make test: everything that needs no accelerator · make bench: speed, as ratios
# make campaigns: the long tests that `make test` leaves out · make engines: the main job on other vLLM versions
# (make engines ENGINE=0.18.0: on one)
PYTHON ?= python3.11
BIN := .venv/bin
ENGINE ?= $(patsubst requirements/engines/%.txt,%,$(wildcard requirements/engines/[0-9]*.txt)) default
# Models judged side by side, each on its share of the cores.
WORKERS ?= 2
export HF_HUB_OFFLINE = 1
# Many images set it. Every process would then compile what it imports: seconds for pytest, half a minute for vLLM.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := conformance
.PHONY: setup conformance test lint unit campaigns bench engines clean

setup: .venv/.installed

conformance: .venv/.installed
	$(BIN)/pytest --twin -n $(WORKERS)

test: lint unit

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Apart, for a test with an engine takes minutes; those of a file share what they begin with.
unit: .venv/.installed
	$(BIN)/pytest tests/unit -W error -m "not slow and not engine" -n 2
	$(BIN)/pytest tests/unit -W error -m "engine and not slow" -n $(WORKERS) --dist loadfile

campaigns: .venv/.installed
	$(BIN)/pytest tests/unit -W error -m slow

bench: .venv/.installed
	$(BIN)/python -m bench

# Each version in an environment of its own; `default` is .venv.
engines: .venv/.installed $(patsubst %,.engines/%/.installed,$(filter-out default,$(ENGINE)))
	$(BIN)/python -m tools.engines $(ENGINE)

clean:
	rm -rf .venv .engines reports

# A lock is installed as it is (--no-deps): see its first lines. Of its modules most are never imported (--no-compile).
define install
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --no-compile --no-deps -r $<
	$(@D)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
endef

.venv/.installed: requirements/cpu.txt requirements/torchvision_on_cpu.py pyproject.toml
	$(install)
	cp requirements/torchvision_on_cpu.py .venv/lib/python3*/site-packages/
	echo "import torchvision_on_cpu" > "$$(ls -d .venv/lib/python3*/site-packages)/torchvision_on_cpu.pth"
	touch $@

# transformers 4 does not know Qwen3.5: its reference gets an interpreter that does.
.engines/%/.installed: requirements/engines/%.txt requirements/engines/reference.txt pyproject.toml
	$(install)
	! grep -q '^transformers==4' $< || PIP_CONSTRAINT=requirements/engines/reference.txt $(@D)/bin/npu-conformance dev reference-python
	touch $@
