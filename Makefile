# On a fresh machine, `make run` and `make test` are enough: they install what they need.

PYTHON ?= python3
PORT ?= $(or $(shell sed -n 's/^PORT=//p' .env 2>/dev/null),8000)
BIN := .venv/bin
export PORT

.DEFAULT_GOAL := help
.PHONY: help run install dev test test-slow test-postgresql test-all check format schema messages lock bench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: install .env ## serve on http://127.0.0.1:8000 (PORT=), with demo data
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py load_demo
	@echo
	@echo "  Docs      http://127.0.0.1:$(PORT)/api/docs/"
	@echo "  A token   PORT=$(PORT) $(BIN)/python manage.py issue_token alice@example.org"
	@echo "  Staff     PORT=$(PORT) $(BIN)/python manage.py issue_token curator@example.org --role staff"
	@echo "  Admin     http://127.0.0.1:$(PORT)/admin/ after $(BIN)/python manage.py createsuperuser"
	@echo
	@exec $(BIN)/gunicorn

install: $(BIN)/.installed ## install what manage.py and gunicorn need

dev: $(BIN)/.installed-dev ## also install what tests and checks need

test: dev ## the quick tests
	@$(BIN)/pytest -m "not slow" --numprocesses auto

test-slow: dev ## only the slow tests
	@$(BIN)/pytest -m slow --numprocesses auto

test-postgresql: dev ## on TEST_DATABASE_URL, the tests whose outcome may depend on the database
	@TEST_DATABASE_URL=$${TEST_DATABASE_URL:-postgres://root@127.0.0.1:5432/test} \
	  $(BIN)/pytest -m database --numprocesses auto

test-all: dev ## everything: also the slow ones
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

# One lock for every Python from this one on, and every system: what only some of them need has a marker.
LOCK := -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header

bench: dev ## run every measurement of bench/
	@$(BIN)/python bench/memory.py
	@$(BIN)/python bench/signing.py
	@$(BIN)/python bench/listing.py
	@$(BIN)/python bench/authentication.py
	@$(BIN)/python bench/pictures.py
	@$(BIN)/python bench/migration.py
	@$(BIN)/python bench/reconciliation.py
	@$(BIN)/python bench/policies.py
	@$(BIN)/python bench/hanging_store.py

$(BIN)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@echo "Installing into .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(BIN)/.installed-dev: $(BIN)/.installed requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@touch $@

.env:
	@cp .env.example .env
