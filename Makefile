# Everything here needs make and Python 3.8 or newer; `make control-plane` needs Go as well.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# Only to start scripts/setup.py, which then looks for the newest Python itself. Each name is run
# once, because a version manager's shim may stand for a Python that is not there.
START_PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 python; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 6))' >/dev/null 2>&1; then echo $$p; break; fi; done)
VENV := .venv
VENV_38 := .venv-3.8
PYTHON := $(VENV)/bin/python
ROOMS := $(patsubst %/krm,%,$(wildcard */krm))
# More than the cores of a small machine: the tests wait for servers and deadlines more than they compute.
WORKERS ?= 4
SLOW_WORKERS ?= 3
# The name under which a run leaves build/report/NAME.json.
REPORT ?= $@
REPORTING = --json-report --json-report-file=build/report/$(REPORT).json --json-report-omit=keywords
# One worker takes all tests that need an API server: each worker would start an API server of its own.
PARALLEL = -n $(WORKERS) --dist loadgroup
PYTEST = $(PYTHON) -m pytest $(REPORTING)
KRM_FAULT_ROUNDS ?= 200
KRM_FAULT_READS ?= 100000
KRM_LAW_CASES ?= 50000

##@ Use
.PHONY: setup
setup: $(VENV)/installed ## make .venv with the newest Python found, krm and its tools in it

$(VENV)/installed: pyproject.toml scripts/setup.py
	@test -n "$(START_PYTHON)" || { echo "No Python found: install Python 3.8 or newer." >&2; exit 1; }
	@$(START_PYTHON) scripts/setup.py --venv $(VENV)
	@touch $@

.PHONY: demo
demo: setup ## krm against a simulated cluster; KRM_DEMO_SECONDS=20 ends it after 20 s
	@$(VENV)/bin/krm up --demo $(if $(KRM_DEMO_SECONDS),--for $(KRM_DEMO_SECONDS)s)

##@ Test
.PHONY: test
test: setup ## the fast tests, in parallel, about 9 minutes
	@$(PYTEST) $(PARALLEL) -m "not slow and not node" tests

.PHONY: test-slow
test-slow: setup ## what `make test` leaves out, but for tests/faults; and many histories of the laws
	@$(PYTEST) -n $(SLOW_WORKERS) --dist loadfile -m "slow and not node" tests --ignore=tests/faults || test $$? -eq 5
	@KRM_LAW_CASES=$(KRM_LAW_CASES) $(PYTHON) -m pytest -q $(PARALLEL) --timeout=600 tests/laws/test_laws.py

.PHONY: test-faults
test-faults: setup ## random faults against the whole pipeline; KRM_FAULT_ROUNDS=20 for a short run
	@if [ -d tests/faults ]; then KRM_FAULT_ROUNDS=$(KRM_FAULT_ROUNDS) KRM_FAULT_READS=$(KRM_FAULT_READS) $(PYTEST) -n 2 --dist loadgroup --timeout=7200 tests/faults || test $$? -eq 5; \
	else echo "tests/faults is not there: nothing was run"; fi

.PHONY: test-node
test-node: setup ## a real kubelet with containerd and runc on this machine, as root; 4 to 5 minutes
	@cd tests && $(abspath $(PYTHON)) -m node.real
	@$(PYTEST) --timeout=300 -m node tests/node tests/acceptance

.PHONY: test-all
test-all: test test-slow test-faults test-38 ## all of it on this machine

.PHONY: test-38
test-38: $(VENV_38)/installed ## the fast tests that need no control plane, on Python 3.8
	@$(VENV_38)/bin/python -m pytest $(REPORTING) $(PARALLEL) -m "not slow and not controlplane and not node" tests --ignore=tests/controlplane

$(VENV_38)/installed: pyproject.toml scripts/setup.py
	@test -n "$(START_PYTHON)" || { echo "No Python found: install Python 3.8." >&2; exit 1; }
	@$(START_PYTHON) scripts/setup.py --venv $(VENV_38) --python 3.8 --extras all,test,remote-write,otlp,parquet
	@touch $@

.PHONY: test-versions
test-versions: setup ## the control-plane tests against older Kubernetes versions (built where missing)
	@$(PYTHON) tests/controlplane/build.py --version 1.34 1.30
	@for version in 1.34 1.30; do echo "Kubernetes $$version"; \
	  KRM_TEST_KUBERNETES=$$version $(PYTHON) -m pytest --json-report --json-report-file=build/report/kubernetes-$$version.json \
	    --json-report-omit=keywords tests/controlplane || exit 1; done

.PHONY: control-plane
control-plane: setup ## build etcd, kwok and a Kubernetes control plane for the tests (Go, 8-12 minutes, once)
	@$(PYTHON) tests/controlplane/build.py

.PHONY: bench
bench: setup ## the benchmarks, with their numbers printed
	@$(PYTHON) bench/run.py

##@ Write
.PHONY: lint
lint: setup ## ruff, mypy and pyright
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy $(ROOMS)
	@$(VENV)/bin/pyright

.PHONY: format
format: setup ## the twin of lint: mends what can be mended
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

.PHONY: picture
picture: setup ## draw docs/demo.svg anew from a real `krm up --demo`
	@$(PYTHON) scripts/picture.py docs/demo.svg

.PHONY: clean
clean: ## remove what make made: venvs, reports, caches
	rm -rf $(VENV) $(VENV_38) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
