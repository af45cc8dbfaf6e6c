# Two commands for a newcomer: `make demo` and `make test`. Both make .venv once and use it from then on.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m nsmc_lightning
# Without setuptools' warning that an editable package can be shadowed by a folder of its name: that is the package.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test faults benchmark help-text install clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	touch $@

# Trains on the demo corpus, then tests the best checkpoint in a second process by its path alone.
demo: install
	$(RUN) fit --config configs/demo.yaml
	$(RUN) test --ckpt_path "$$(ls -td lightning_logs/demo/version_*/checkpoints/best.ckpt | head -n 1)"
	@echo "see it:      $(BIN)/tensorboard --logdir lightning_logs"

test: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Us and the peers in turns, about 20 minutes on 2 cores; try `make benchmark ARGS=--quick` first. Nothing else may run.
benchmark: install
	$(PIP) --editable '.[benchmark]'
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

# All that tests/faults does to running processes: signals, kills, full disks; about 15 minutes on 2 cores. What it tries and what survived: tests/faults/README.md.
faults: install
	NSMC_CASES=1000 $(BIN)/python -m pytest tests/faults tests/data/test_properties.py -m "faults or not faults"

# Writes the --help that the package ships, after a change of settings or of the pinned versions.
help-text: install
	$(BIN)/python -m nsmc_lightning.commands.write_help

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
