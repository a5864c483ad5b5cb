# Everything that a fresh machine with Python 3.11+ and a package registry needs: `make demo`, `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
EXTRAS := demo,cluster,notebook,png,lora,ctranslate2,s3,workspace,dev

# Most modules of what is installed are never imported: those that are get compiled then, and kept, also where images
# of Python are set up not to keep them.
export PYTHONDONTWRITEBYTECODE =

.PHONY: venv demo test test-all test-cluster lint format notebooks lock clean

venv: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	-$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip # the one of Python 3.11 takes a minute longer
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint requirements.lock --editable '.[$(EXTRAS)]'
	$(BIN)/python -c 'import stt_tune.cli, stt_tune.run.tune, stt_tune.run.speech_trial' # elsewhere it may not be kept
	touch $@

demo: venv
	rm -rf runs/demo
	$(BIN)/stt-tune demo --out runs/demo

# Two processes: each with whole files, so that fixtures of a module are made once, and with one thread, as threads of
# processes on the same cores wait for each other.
test: venv lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m 'not slow and not cluster and not gpu'

test-all: venv lint
	$(BIN)/pytest

test-cluster: venv
	$(BIN)/pytest -m cluster

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: venv
	$(BIN)/pytest tests/notebooks

# Newest versions that pyproject.toml admits. torch stays at a version of which pip finds a CPU build;
# CUDA packages are left to torch, which pins its own.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet "$$(grep '^torch==' requirements.lock)" --editable '.[$(EXTRAS)]'
	.venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu//' | grep -viE '^(nvidia-|triton|cuda-)' > requirements.new
	mv requirements.new requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf runs/demo .pytest_cache .mypy_cache .ruff_cache
