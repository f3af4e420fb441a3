# make run starts everything on this machine; make help lists the rest. Every target installs what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/sh

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$name -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $$name && break; done)
VENV := .venv
PY := $(VENV)/bin/python
NODE_PROGRAM := $(PY) -m infra.local.install.node_program
LOCAL_READY := $(VENV)/.installed-local
DEV_READY := $(VENV)/.installed-dev
STAGE ?= dev
REGION ?= us-east-1
PORTS := HTTP_PORT WS_PORT LAMBDA_PORT SIMULATOR_PORT DYNAMODB_PORT
export $(foreach name,$(PORTS) DATA_DIR AUTH_MODE LOCAL_WORKERS,$(if $($(name)),$(name)))

# Debian's Chromium, where we may install it; without one the browser tests are skipped and say so.
HAVE_CHROMIUM := command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null 2>&1 && echo "Installing Chromium" && \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	echo "There is no Chromium: the browser tests will be skipped."

.PHONY: help run test proof check openapi bench package deploy lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1 /' | \
		while read -r name text; do printf '  make %-9s %s\n' "$$name" "$$text"; done

run: $(LOCAL_READY) ## the whole stack on this machine: API, WebSocket, tables, simulated Replicate
	@exec $(PY) -m infra.local.stack.start

test: $(DEV_READY) ## every fast test, those on a running stack and in a browser too
	@$(PY) -m infra.local.install
	@$(HAVE_CHROMIUM)
	$(PY) -m pytest -q -n 2 -m "not (slow or bench or local or browser or infra)"; first=$$?; \
		$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "(local or browser or infra) and not (slow or bench)" \
		tests/local tests/browser tests/infra && exit $$first

proof: $(DEV_READY) ## every test with its full count: state machine, cuts at every byte, mutated bodies
	@$(PY) -m infra.local.install
	PROOF=1 $(PY) -m pytest -q -n 2 --timeout 3600 -m "not (local or browser or infra)"
	PROOF=1 $(PY) -m pytest -q --timeout 3600 -m "local or browser or infra"

check: $(DEV_READY) ## lint, format, types, unused code, undeclared packages; cfn-lint on both templates
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m infra.openapi --check
	$(VENV)/bin/vulture
	$(VENV)/bin/deptry functions shared
	$(VENV)/bin/deptry infra tests --config requirements/deptry.toml
	$(NODE_PROGRAM) biome ci --error-on-warnings
	$(NODE_PROGRAM) tsc
	$(NODE_PROGRAM) osls package --stage $(STAGE) --package build/service
	$(VENV)/bin/cfn-lint infra/storage.yml build/service/cloudformation-template-update-stack.json

openapi: $(DEV_READY) ## docs/openapi.json anew, from the code
	$(PY) -m infra.openapi

bench: $(DEV_READY) ## the figures of the README
	@$(PY) -m infra.local.install
	$(PY) -m tests.bench

package: $(LOCAL_READY) ## the dependency layer and both templates, into build/
	$(PY) -m infra.layer
	$(NODE_PROGRAM) osls package --stage $(STAGE) --region $(REGION) --package build/service

deploy: $(LOCAL_READY) ## both stacks to your AWS account; says what it will do and asks first
	$(PY) -m infra.deploy --stage $(STAGE) --region $(REGION)

lock: $(DEV_READY) ## requirements/*.txt and package-lock.json anew, with the newest allowed versions
	for name in runtime local dev; do $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
		requirements/$$name.in --output-file requirements/$$name.txt || exit 1; done
	rm -rf node_modules package-lock.json
	$(PY) -m infra.local.install lock

clean: ## everything that was built or installed, never the data
	rm -rf $(VENV) node_modules build .serverless .mypy_cache .ruff_cache .pytest_cache

$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; install it, or name it: make run PYTHON=/path/to/python3." >&2; exit 2; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(LOCAL_READY): requirements/local.txt | $(PY)
	@echo "Installing the locked Python packages (only when they changed)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/local.txt
	@touch $@

$(DEV_READY): requirements/dev.txt $(LOCAL_READY)
	@echo "Installing the locked Python packages for development (only when they changed)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@touch $@
