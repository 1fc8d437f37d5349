# The environment lives in .venv; PYTHON chooses the interpreter that makes it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo prototype figures test test-slow torture bench kernels lint audit lock clean

help:
	@echo "make demo   sample competition, training, TTA, submission and its score"
	@echo "make prototype  the sample's run in a browser; trains it first if there is none"
	@echo "make test   the tests"
	@echo "make test-slow  those that take a quarter of a minute or more each"
	@echo "make figures  docs/demo.svg and the screenshots, made anew; needs chromium"
	@echo "make torture  faults, bad input, leaks: the whole campaign, for hours; tests/robustness/results/"
	@echo "make bench  speed beside what else one could take, in one table"
	@echo "make kernels  each entry that Kaggle can run, built into build/"
	@echo "make lint   ruff: style and format; import-linter: the floors of src/podium"
	@echo "make audit  known vulnerabilities of what requirements.lock names, by pip-audit"
	@echo "make lock   resolve requirements.lock again"

# Remade when the lock or the metadata changes.
.venv/installed: requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Podium needs Python 3.11 to 3.13, $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

demo: .venv/installed
	$(BIN)/podium sample
	$(BIN)/podium train sample-b0 --fresh
	$(BIN)/podium score submissions/sample-b0.csv input/podium-sample/truth.csv

# A run that is finished is left as it is.
prototype: .venv/installed
	$(BIN)/podium sample
	$(BIN)/podium train sample-b0
	$(BIN)/podium serve sample-b0 --open

# Two at once: most of a test's time is TensorFlow tracing a network, on one core.
test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 --dist loadfile -m jax

test-slow: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 --dist loadfile -m jax_slow

figures: .venv/installed
	$(BIN)/python docs/figures.py

# The fuzzing part needs atheris, which has no wheel for some machines: there it fails alone.
torture: .venv/installed
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --only-binary :all: atheris || true
	PYTHONPATH=tests $(BIN)/python -m robustness

bench: .venv/installed
	$(BIN)/python -m benchmarks

kernels: .venv/installed
	$(BIN)/podium build

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

audit: .venv/installed
	$(BIN)/python .ci/audit

lock: .venv/installed
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile setup.cfg --extra dev --extra web --extra jax --extra ray --extra export --universal --python-version 3.11 --no-header --output-file requirements.lock

clean:
	rm -rf .venv build dist
