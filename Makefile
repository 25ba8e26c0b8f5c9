# Two commands on a machine that has Python 3.11 to 3.13, pip and make:
#
#   make demo    install into .venv, write and build a demo project, serve the dashboard
#   make test    install what the tests need, Chromium included, and run all of them
#
# Others: make lint, make check (lint and test), make serve, make fuzz, make feast, make oracles, make readback,
# make vendors, make annotators, make cluster, make bench, make clean.
# PROJECT=dir is the project that `make serve` shows; PYTEST_ARGS goes to pytest.

.DEFAULT_GOAL := help
.PHONY: help install demo serve test lint check docs fuzz feast oracles readback vendors annotators cluster bench chromium java clean

VENV ?= .venv
PROJECT ?= data/demo
PYTEST_ARGS ?=
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	if $$p -c '$(SUPPORTED)' >/dev/null 2>&1; then echo $$p; break; fi; done)

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -qq
INSTALLS := pyproject.toml constraints.txt

help:
	@sed -n 's/^#  *\(make [a-z]*  .*\)/  \1/p; s/^# \(Others.*\)/\1/p' Makefile

# --group needs pip 25.1. Where the system's Python has no ensurepip (Debian without python3-venv),
# the system's pip fills the empty environment.
$(VENV)/.created:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11, 3.12 or 3.13 is needed and none was found on PATH." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 2; fi
	@if ! $(PYTHON) -c '$(SUPPORTED)'; then \
		echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; exit 2; fi
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
		rm -rf $(VENV); \
		$(PYTHON) -m venv --without-pip $(VENV) && \
		$(PYTHON) -m pip --disable-pip-version-check -qq --python $(PY) install pip; \
	} || { \
		rm -rf $(VENV); \
		echo "$(PYTHON) could not make a virtual environment." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@$(PIP) install "pip>=25.1,<27"
	@touch $@

$(VENV)/.installed: $(VENV)/.created $(INSTALLS)
	@echo "Installing the workbench (a minute or two)"
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	@echo "Installing what the tests need"
	@$(PIP) install -c constraints.txt --group test
	@touch $@

$(VENV)/.lint: $(VENV)/.installed
	@echo "Installing the linters"
	@$(PIP) install -c constraints.txt --group lint
	@touch $@

install: $(VENV)/.installed

demo: install
	$(VENV)/bin/workbench demo

serve: install
	$(VENV)/bin/workbench serve --project "$(PROJECT)"

test: $(VENV)/.test chromium
	$(PY) -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.lint
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

check: lint test

# 10,000 requests to the service that nobody thought of; about ten minutes. Some operations have fewer
# different requests than their share.
fuzz: $(VENV)/.test
	WORKBENCH_FUZZ_CASES=10500 $(PY) -m pytest tests/receive/test_fuzz.py -s -o timeout=3600 $(PYTEST_ARGS)

# Compares the point-in-time join with Feast's. Feast wants another pandas than constraints.txt.
feast:
	@$(MAKE) --no-print-directory VENV=$(VENV)-feast $(VENV)-feast/.created
	@grep -v '^pandas==' constraints.txt > $(VENV)-feast/constraints.txt
	@$(VENV)-feast/bin/python -m pip --disable-pip-version-check -qq install \
		-c $(VENV)-feast/constraints.txt -e . --group test --group feast --group bench
	$(VENV)-feast/bin/python -m pytest tests/feast $(PYTEST_ARGS)

# Compares the metrics with those of other libraries, which the workbench itself does without.
oracles:
	@$(MAKE) --no-print-directory VENV=$(VENV)-oracles $(VENV)-oracles/.created
	@$(VENV)-oracles/bin/python -m pip --disable-pip-version-check -qq install \
		-c constraints.txt -e . --group test --group oracles
	$(VENV)-oracles/bin/python -m pytest tests/oracles $(PYTEST_ARGS)

# Reads what export writes with the libraries that people have, which the workbench itself does without.
readback:
	@$(MAKE) --no-print-directory VENV=$(VENV)-readback $(VENV)-readback/.created
	@$(VENV)-readback/bin/python -m pip --disable-pip-version-check -qq install \
		-c constraints.txt -e . --group test --group readback
	@$(VENV)-readback/bin/python -m pip --disable-pip-version-check -qq install --no-deps --group trl
	$(VENV)-readback/bin/python -m pytest tests/export/readback $(PYTEST_ARGS)

# Imports from the real programs. They run in an environment of their own, whose versions exclude the workbench's.
vendors: $(VENV)/.test
	@$(MAKE) --no-print-directory VENV=$(VENV)-vendors $(VENV)-vendors/.created
	@$(VENV)-vendors/bin/python -m pip --disable-pip-version-check -qq install --group vendors
	@$(VENV)-vendors/bin/python -m pip --disable-pip-version-check -qq install --no-deps --no-compile \
		--group mlflow --group open-webui
	@test -d $(VENV)-vendors/recorded || $(VENV)-vendors/bin/python -m pip --disable-pip-version-check -qq \
		download --no-deps --no-binary langchain-openai,opentelemetry-instrumentation-openai-v2 \
		--group recorded --dest $(VENV)-vendors/recorded
	WORKBENCH_VENDORS=$(abspath $(VENV)-vendors) $(PY) -m pytest tests/vendors $(PYTEST_ARGS)

# Builds on a real Spark cluster, of which a worker is killed, and compares every table. ROWS=1000000 for more.
ROWS ?= 100000
cluster: $(VENV)/.test java
	@$(MAKE) --no-print-directory VENV=$(VENV)-cluster $(VENV)-cluster/.created
	@$(VENV)-cluster/bin/python -m pip --disable-pip-version-check -qq install --group cluster
	WORKBENCH_SPARK=$(abspath $(VENV)-cluster) WORKBENCH_CLUSTER_ROWS=$(ROWS) \
		$(PY) -m pytest tests/spark -m cluster $(PYTEST_ARGS)

# The way to the programs that people label in, and back. What is not imported need not be compiled.
annotators: $(VENV)/.test
	@for one in label-studio argilla; do \
		$(MAKE) --no-print-directory VENV=$(VENV)-$$one $(VENV)-$$one/.created && \
		$(VENV)-$$one/bin/python -m pip --disable-pip-version-check -qq install --no-compile \
			--group $$one || exit; done
	WORKBENCH_ANNOTATORS=$(abspath $(VENV)) $(PY) -m pytest tests/annotators $(PYTEST_ARGS)

# The whole path, from logs to the enriched table in a file, against a script in polars: the answers must
# be the same. What it takes is in docs/performance.md. BENCH="--rows 1000000 --runs 3" for times.
BENCH ?= --rows 100000 --runs 1
bench: $(VENV)/.installed
	@$(PIP) install -c constraints.txt --group bench
	$(PY) -m benchmarks.end_to_end $(BENCH)

# The references that are made from the contract and from the command line.
docs: $(VENV)/.installed
	$(PY) docs/generate.py

# The browser tests need a real Chromium. Where it cannot be installed they are skipped, with the reason.
chromium:
	@sh .ci/chromium.sh

# Spark runs in a JVM. Where there is none and none can be installed, the cluster's test is skipped.
java:
	@sh .ci/java.sh

clean:
	rm -rf $(VENV) $(VENV)-feast $(VENV)-oracles $(VENV)-readback $(VENV)-vendors $(VENV)-label-studio $(VENV)-argilla $(VENV)-cluster .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis \
		build dist test-results data/demo
