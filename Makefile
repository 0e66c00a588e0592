# Two commands do everything: `make sandbox` and `make test`. Both set up what they need first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export DEBIAN_FRONTEND := noninteractive

# What the tests and the sandbox run on this machine; the platform checks for its own part again at run time.
PACKAGES := busybox-static conntrack debootstrap dpkg-dev apt-utils iproute2 ipset iptables nftables openssh-client \
            procps socat systemd-container tmux
# What opens the bench's report in its tests; where it is not to be had, they are skipped.
BROWSER := chromium-headless-shell fonts-dejavu-core

.PHONY: help setup sandbox test unit conformance cluster bench lint format lock packages clean

help:
	@echo 'make sandbox      three hosts on this machine, Kubernetes and the Romana network on them, proven by a smoke test'
	@echo 'make test         set up and run every test: lint, unit, conformance (real kernel), cluster (real hosts)'
	@echo 'make setup        only the environment: .venv/bin/romana-install and .venv/bin/romana'
	@echo 'make unit|conformance|cluster|lint   one part of the tests;  ARGS="-k name" narrows it'
	@echo 'make bench        what policies cost, as in 2016 and with the seed'\''s options: romana-bench/report.html'
	@echo 'make lock         refresh requirements/*.txt from requirements/*.in'

setup: $(VENV)/.ready

# uv comes from the package index by hash, then brings everything else by hash.
$(VENV)/.ready: requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
	  || { echo 'setup: python3 (3.10 or newer) with venv is missing: installing it'; apt-get -qq update && apt-get -qq install -y python3 python3-venv >/dev/null; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo 'setup: Python 3.10 or newer is needed; this is '"`$(PYTHON) --version`"'. Name another: make setup PYTHON=python3.12' >&2; exit 1; }
	@echo 'setup: environment in $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/uv.txt
	@$(BIN)/uv --quiet pip sync --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(BIN)/uv --quiet pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

sandbox: setup
	@$(BIN)/romana-install sandbox $(ARGS)

packages:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "packages:" $$missing; apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing >/dev/null; fi
	@command -v chromium-headless-shell chromium >/dev/null || { echo 'packages: $(BROWSER)'; \
	  apt-get -qq update; apt-get -qq install -y --no-install-recommends $(BROWSER) >/dev/null \
	  || echo 'packages: no headless Chromium here: its tests are skipped'; }

test: setup packages lint
	$(BIN)/python -m pytest tests/unit tests/conformance tests/cluster $(ARGS)

unit: setup
	$(BIN)/python -m pytest tests/unit $(ARGS)

conformance: setup packages
	$(BIN)/python -m pytest tests/conformance $(ARGS)

cluster: setup packages
	$(BIN)/python -m pytest tests/cluster $(ARGS)

bench: setup packages
	$(BIN)/romana bench policies $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup
	for name in uv agent installer bench dev; do \
	  $(BIN)/uv --quiet pip compile --upgrade --generate-hashes --universal --python-version 3.10 --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links requirements/$$name.in -o requirements/$$name.txt || exit 1; done

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
