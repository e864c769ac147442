# Everything is installed into .venv; nothing outside this folder is touched.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PACKAGES := canvas store intarsia orchestrator services training deploy benchmarks tests

.PHONY: help
help: ## Lists the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1|/' | column -t -s '|'

.PHONY: install
install: $(VENV)/.serving ## Installs what serving needs into .venv.

.PHONY: demo
demo: $(VENV)/.serving ## Starts everything, edits a region of a picture into demo/, and stops again.
	$(BIN)/python -m deploy.local.demo

.PHONY: serve
serve: $(VENV)/.serving ## Runs the whole platform in the foreground until Ctrl-C.
	$(BIN)/intarsia up $(ARGS)

.PHONY: weights
weights: $(VENV)/.serving ## Fetches published weights for photographs into full/, after asking.
	$(BIN)/intarsia weights fetch ip2p sd2_inpaint sam2 $(ARGS)

.PHONY: test
test: $(VENV)/.dev ## Runs the whole suite, against a real tritonserver.
	$(BIN)/python -m pytest $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## Format, lint, types, generated code, proto lint and compatibility.
	$(BIN)/ruff format --check $(wildcard $(PACKAGES))
	$(BIN)/ruff check $(wildcard $(PACKAGES))
	$(BIN)/mypy
	$(BIN)/python protos/generate.py --check

.PHONY: format
format: $(VENV)/.dev ## Formats the code and applies automatic fixes.
	$(BIN)/ruff format $(wildcard $(PACKAGES))
	$(BIN)/ruff check --fix $(wildcard $(PACKAGES))

.PHONY: protos
protos: $(VENV)/.dev ## Generates intarsia/v1 from protos/.
	$(BIN)/python protos/generate.py

.PHONY: docs
docs: $(VENV)/.serving ## Makes docs/sdk.md from the docstrings of the client.
	$(BIN)/python docs/make_sdk.py

.PHONY: starter-weights
starter-weights: $(VENV)/.serving ## Trains the starter weights from random ones; resumes where it was stopped.
	$(BIN)/python -m training.recipes $(ARGS)

.PHONY: bench
bench: $(VENV)/.serving ## Measures the platform on this machine; tables in benchmarks/results/.
	for question in step_sharing learnt_prices step_overhead served_sharing service_cost cancel_latency region_cost \
	  adapters served_figures open_loop folder long_clip recovery; do \
	  $(BIN)/python -m benchmarks.$$question $(ARGS) || exit 1; \
	done

.PHONY: bench-gpu
bench-gpu: $(VENV)/.serving ## Measures full-size networks with random weights on a GPU; table in benchmarks/results/.
	$(BIN)/python -m benchmarks.gpu $(ARGS)

.PHONY: bench-perf
bench-perf: $(VENV)/.perf_analyzer ## Measures single models with perf_analyzer; table in benchmarks/results/.
	$(BIN)/python -m benchmarks.perf $(ARGS)

.PHONY: clean
clean: ## Removes generated files, except .venv and training checkpoints.
	rm -rf demo var/demo var/artifacts var/triton var/triton-gpu-* .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	"$$(deploy/local/find_python.sh)" -m venv $(VENV)

$(VENV)/.serving: requirements/serving.txt requirements/bare.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) torch==2.13.0
	$(PIP) -r requirements/serving.txt
	$(PIP) --no-deps -r requirements/bare.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.serving
	$(PIP) --editable '.[dev]'
	@touch $@

# Its wheel requires a certain C library. On an older machine it is installed nevertheless, and started with a
# newer library beside the machine's own (benchmarks/libc.py).
$(VENV)/.perf_analyzer: $(VENV)/.serving
	$(PIP) --no-deps --only-binary=:all: --platform manylinux_2_38_x86_64 --upgrade \
	  --target $(VENV)/perf_analyzer perf-analyzer==2.60.0
	@touch $@
