# On a fresh machine, `make run` and `make test` are enough: they install what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = "$(PYTHON)" -m backend.virtualenv "$(VENV)"

.DEFAULT_GOAL := help
.PHONY: help run install dev python test test-slow test-postgresql test-packages packages clients traces test-newest-django supply-chain sbom audit test-all check format schema released messages lock bench spa

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: python .env ## serve on http://127.0.0.1:8000 (PORT=), with demo data
	@"$(PYTHON)" -m backend.port
	@$(INSTALL) requirements.txt
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py load_demo
	@exec env SHOW_BANNER=true $(BIN)/gunicorn

spa: ## serve the example app on http://localhost:5173, for the API of make run
	@cd examples/spa && $(NODE) && $(NPM_CI) && exec npm run --silent dev

# Node 20.19 is what Vite needs. The packages are installed again when the lock has changed.
NODE = if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null \
	  || ! command -v npm >/dev/null; then echo "Node 20.19 or newer and npm are needed: see https://nodejs.org" >&2; exit 1; fi
NPM_CI = if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then npm ci --no-audit --no-fund; fi

install: python ## install what manage.py and gunicorn need
	@$(INSTALL) requirements.txt

dev: python ## also install what tests and checks need
	@$(INSTALL) requirements.txt requirements-dev.txt

# Compiled modules are kept, whatever the environment says: each process would compile every test anew.
export PYTHONDONTWRITEBYTECODE :=

# The quick tests write thousands of small files: in memory, where that has room for 2 GB.
ifeq ($(shell [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'END { print $$4 }')" -gt 2000000 ] 2>/dev/null && echo yes),yes)
test test-postgresql: export TMPDIR := /dev/shm
endif

test: dev ## the quick tests
	@$(BIN)/pytest -m "not slow and not packages" --numprocesses auto

test-slow: dev clients traces supply-chain ## only the slow tests
	@$(BIN)/pytest -m slow --numprocesses auto

test-postgresql: dev ## on TEST_DATABASE_URL, the tests whose outcome may depend on the database
	@TEST_DATABASE_URL=$${TEST_DATABASE_URL:-postgres://root@127.0.0.1:5432/test} \
	  $(BIN)/pytest -m "$(MARKED)" --numprocesses auto

MARKED := database

test-packages: packages ## use thirteen packages, such as Wagtail, with our stores
	@$(BIN)/pytest -m packages tests/packages

packages: dev
	@$(BIN)/uv venv -q --allow-existing --python $(BIN)/python $(PACKAGES_VENV)
	@$(BIN)/uv pip sync -q --python $(PACKAGES_VENV) tests/packages/requirements.txt || { \
	  echo "The packages of tests/packages/requirements.txt cannot be installed. Is https://pypi.org reachable?" >&2; exit 1; }

clients: dev
	@$(BIN)/uv venv -q --allow-existing --python $(BIN)/python $(CLIENTS_VENV)
	@$(BIN)/uv pip sync -q --python $(CLIENTS_VENV) tests/clients/requirements.txt || { \
	  echo "The packages of tests/clients/requirements.txt cannot be installed. Is https://pypi.org reachable?" >&2; exit 1; }

traces: dev
	@$(BIN)/uv venv -q --allow-existing --python $(BIN)/python $(TRACES_VENV)
	@$(BIN)/uv pip sync -q --python $(TRACES_VENV) requirements.txt requirements-traces.txt || { \
	  echo "The packages of requirements-traces.txt cannot be installed. Is https://pypi.org reachable?" >&2; exit 1; }

supply-chain: dev
	@$(BIN)/uv venv -q --allow-existing --python $(BIN)/python $(SUPPLY_CHAIN_VENV)
	@$(BIN)/uv pip sync -q --python $(SUPPLY_CHAIN_VENV) tests/supply_chain/requirements.txt || { \
	  echo "The packages of tests/supply_chain/requirements.txt cannot be installed. Is https://pypi.org reachable?" >&2; exit 1; }

sbom: supply-chain ## write sbom.json: what requirements.txt installs, as CycloneDX
	@$(SUPPLY_CHAIN_VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	  --output-file $(SBOM) requirements.txt

SBOM := sbom.json

# pip-audit ends with 0 if it learned nothing of any package: --strict makes that a failure.
audit: supply-chain ## ask PyPI for known vulnerabilities of requirements.txt
	@found=$$($(SUPPLY_CHAIN_VENV)/bin/pip-audit --strict --disable-pip --progress-spinner off --timeout 15 \
	  --requirement requirements.txt 2>&1) && status=0 || status=$$?; \
	case "$$found" in *"could not be audited"* | *Traceback*) \
	  echo "Nothing was audited: https://pypi.org did not tell what it knows of vulnerabilities." >&2; exit 2;; esac; \
	echo "$$found"; exit $$status

# On the newest Python that is here, because newer releases of Django leave out older ones. The line never fails.
test-newest-django: dev ## the quick tests of the database on Django's newest release: reports only
	@for python in python3.14 python3.13 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.1[34].*/bin/python \
	  python3.12 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.12.*/bin/python $(BIN)/python; do \
	  ! "$$python" -c "" 2>/dev/null || break; done; \
	$(BIN)/uv venv -q --clear --python "$$python" $(NEWEST_VENV)
	@echo django | $(BIN)/uv pip install -q --upgrade-package django --override - --python $(NEWEST_VENV) \
	  -r requirements.txt -r requirements-dev.txt && \
	  { timeout -s INT $(NEWEST_SECONDS) $(NEWEST_VENV)/bin/pytest -m "$(NEWEST_MARKED)" --numprocesses auto --create-db --tb short \
	  >$(NEWEST_VENV)/report.txt 2>&1; [ $$? != 124 ] || late=", not finished"; \
	  echo "On Django $$($(NEWEST_VENV)/bin/python -m django --version): $$(grep -E "(passed|failed|error).* in " $(NEWEST_VENV)/report.txt | tail -n 1)$$late" \
	  "(see $(NEWEST_VENV)/report.txt)"; } || echo "Django's newest release cannot be installed."

NEWEST_MARKED := database and not slow and not packages
NEWEST_SECONDS := 180

export PACKAGES_VENV ?= .venv-packages
export SUPPLY_CHAIN_VENV ?= .venv-supply-chain
NEWEST_VENV ?= .venv-newest-django
export CLIENTS_VENV ?= .venv-clients
export TRACES_VENV ?= .venv-traces

test-all: packages clients traces supply-chain ## everything: also the slow ones
	@$(BIN)/pytest --numprocesses auto

check: dev ## check format, lint, types and the direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@ENV_FILE=/dev/null DEBUG=true $(BIN)/mypy
	@$(BIN)/lint-imports

format: dev ## format and fix the code with ruff
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

schema: install ## write schema.yml
	@ENV_FILE=/dev/null DEBUG=true $(BIN)/python manage.py spectacular --file schema.yml --validate --fail-on-warn

released: dev schema ## record this version as the last release (see docs/upgrading.md)
	@$(BIN)/python -m tests.support.released

messages: dev ## collect and compile the translations (needs GNU gettext)
	@ENV_FILE=/dev/null DEBUG=true $(BIN)/python manage.py makemessages -v0 -l en -l es --no-obsolete --add-location file \
	  -i tests -i bench -i media
	@msgattrib --clear-fuzzy --empty $(TEXTS)/en/LC_MESSAGES/django.po | msgen -o $(TEXTS)/en/LC_MESSAGES/django.po -
	@for catalogue in $(TEXTS)/*/LC_MESSAGES; do \
	  sed '/^"POT-Creation-Date/d' $$catalogue/django.po > $$catalogue/dated && \
	  mv $$catalogue/dated $$catalogue/django.po && \
	  msgfmt --check -o $$catalogue/django.mo $$catalogue/django.po || exit 1; \
	done

TEXTS := api/locale

lock: dev ## upgrade the locked versions and compile requirements*.in
	@$(BIN)/uv pip compile $(LOCK) -o requirements.txt requirements.in
	@$(BIN)/uv pip compile $(LOCK) -o requirements-dev.txt requirements-dev.in
	@$(BIN)/uv pip compile $(LOCK) -o requirements-traces.txt requirements-traces.in
	@$(BIN)/uv pip compile $(LOCK) -o tests/packages/requirements.txt tests/packages/requirements.in
	@$(BIN)/uv pip compile $(LOCK) -o tests/clients/requirements.txt tests/clients/requirements.in
	@$(BIN)/uv pip compile $(LOCK) -o tests/supply_chain/requirements.txt tests/supply_chain/requirements.in

# One lock for every Python from this one on, and every system: what only some of them need has a marker.
LOCK := -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header

bench: dev ## run every measurement of bench/
	@$(BIN)/python bench/memory.py
	@$(BIN)/python bench/signing.py
	@$(BIN)/python bench/listing.py
	@$(BIN)/python bench/authentication.py
	@$(BIN)/python bench/pictures.py
	@$(BIN)/python bench/renditions.py
	@$(BIN)/python bench/migration.py
	@$(BIN)/python bench/reconciliation.py
	@$(BIN)/python bench/policies.py
	@$(BIN)/python bench/hanging_store.py

python:
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no $(PYTHON). $(NEEDED)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and sys.executable + " is too old. $(NEEDED)")'

NEEDED := Python 3.11 or newer is needed: name it with PYTHON=, or, on Debian, run apt install python3-venv

.env:
	@cp .env.example .env
