# `make build` makes forecasts, `make test` runs all checks. Each target installs what it needs.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
SUPERSET := .venv-superset
PYTHON ?= $(shell command -v python3.11 || command -v python3)
DBT_FLAGS ?=
PRESET ?= full
STEP ?= week
export DBT_PROFILES_DIR := $(CURDIR)/profiles
export ZL_DATA_DIR ?= $(CURDIR)/data
# one fit per core, one thread per fit: more threads make fits slower
export OMP_NUM_THREADS := 1

.PHONY: help ingest status build plan reselection tournament health notify superset test test-full test-superset replay docs exposures lint lines lock clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

ingest: $(VENV)/.installed  ## live data from their publishers into the landing folder: make ingest [SOURCES="fred ecb cftc"]
	@$(BIN)/zl ingest $(SOURCES)

status: $(VENV)/.installed  ## how old the data of each source are, what is missing, and what to do
	@$(BIN)/zl status

build: $(VENV)/.installed  ## forecasts, from landing files or the simulated market; skipped if nothing has changed since the last build
	@$(BIN)/zl build -- $(DBT_FLAGS)

plan: $(VENV)/.installed  ## what the next `make build` would do with each bucket, with reasons; trains nothing
	@$(BIN)/zl build --only-plan -- $(DBT_FLAGS)

reselection: $(VENV)/.installed  ## monthly: select and refit the families of all buckets and the ensemble methods as of the newest session
	@$(BIN)/zl build --reselect -- $(DBT_FLAGS)

tournament: $(VENV)/.installed  ## one bucket's tournament with its leaderboard: make tournament BUCKET=crush [PRESET=quick]
	@test -n "$(BUCKET)" || { echo "BUCKET is missing; use a bucket of seeds/buckets.csv: make tournament BUCKET=crush"; exit 1; }
	@$(BIN)/zl tournament $(BUCKET) --preset $(PRESET) -- $(DBT_FLAGS)

# Writes to its own folder below data/replay, not to the warehouse and state of `make build`. Passes PRESET only if the user set it.
replay: $(VENV)/.installed  ## rebuild past sessions with data available then: make replay FROM=2019-01-01 TO=2021-12-31 [STEP=week] [BUCKETS=crush,energy] [PRESET=quick]
	@test -n "$(FROM)" -a -n "$(TO)" || { echo "FROM and TO are required: make replay FROM=2019-01-01 TO=2021-12-31 [STEP=day, week or month]"; exit 1; }
	@$(BIN)/zl replay --from $(FROM) --to $(TO) --step $(STEP) $(if $(BUCKETS),--buckets $(BUCKETS)) \
		$(if $(filter file,$(origin PRESET)),,--preset $(PRESET))

health: $(VENV)/.installed  ## weekly health of every bucket and of the forecast, as of the last build
	@$(BIN)/zl health

notify: $(VENV)/.installed  ## messages about failures, old data, degraded models and large moves to ZL_NOTIFY_URLS, each once
	@$(BIN)/zl notify

# Superset has an environment of its own, since its versions of many packages are older.
superset: $(SUPERSET)/.installed  ## Apache Superset with a dashboard of the snapshot, on this machine: make superset [PORT=8089] [DATABASE=postgresql+psycopg2://...]
	@PORT="$(PORT)" DATABASE="$(DATABASE)" $(SUPERSET)/bin/python examples/superset/start.py

test: lint  ## all checks in short form: ruff, sqlfluff, mypy, pytest, dbt data tests, dbt unit tests
	$(BIN)/pytest -n 2 -m "not full and not superset"

test-full: lint  ## all checks in full, with whole builds, on real data if present
	$(BIN)/pytest

test-superset: $(VENV)/.installed-test $(SUPERSET)/.installed  ## the dashboard in Apache Superset: imported into an empty one, opened in Chromium, compared with the tables
	$(BIN)/pytest -m superset

docs: $(VENV)/.installed  ## dbt docs with lineage, as one static page
	$(BIN)/dbt docs generate --static
	@echo "Open target/static_index.html; its overview has links to five selections of the lineage."

exposures: $(VENV)/.installed  ## exposures and refs of the publishing model, from meta.published
	@$(BIN)/dbt parse --quiet && $(BIN)/python -m zl_forecast.exposures

lint: $(VENV)/.installed-test lines  ## ruff, the vocabulary, mypy over src, sqlfluff over models and tests/dbt, lengths of lines
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python tests/vocabulary.py && $(BIN)/mypy
	$(SQLFLUFF) lint models tests/dbt

# in the dbt target `lint` and with a folder of its own for what dbt parses: nothing of a build beside it is read or written
SQLFLUFF = DBT_TARGET_PATH=target/lint $(BIN)/sqlfluff

# of SQL, yml and macros; rows of CSV and names cannot be broken
lines:
	@! LC_ALL=C.UTF-8 grep -rnE --include='*.sql' --include='*.yml' '.{101}' models macros python_models seeds tests profiles examples dbt_project.yml \
		| grep -vE ':[0-9]+: *([^ ,]+,[^ ,]+,.*|(- name: )?[^ ]+)$$' || { echo "Lines above have more than 100 characters."; exit 1; }

clean:  ## remove the environment and dbt's output; keeps data/ with the ledgers
	rm -rf $(VENV) $(SUPERSET) target logs

# uv installs in half a minute, pip in two to three; pip is the fallback. The CPU build of torch comes from PyTorch's index if it is
# reachable, because PyPI's Linux build brings 3 GB of unused CUDA libraries.
INSTALL = UV_HTTP_RETRIES=0 "$$uv" pip install --quiet --python $(BIN)/python
$(VENV)/.installed: requirements.lock pyproject.toml
	@"$(PYTHON)" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))" || { echo "zl-forecast needs Python 3.11 or 3.12. Install it, or pass its path: make PYTHON=..."; exit 1; }
	@start=$$SECONDS; \
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	uv=$$(command -v uv || { $(BIN)/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null && echo $(BIN)/uv; }); \
	echo "Installing the pinned environment into $(VENV) with $${uv:-pip} (one to three minutes, 3 GB) ..."; \
	{ [ -n "$$uv" ] && { $(INSTALL) --torch-backend cpu -r requirements.lock 2>/dev/null || $(INSTALL) -r requirements.lock; }; } \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . && \
	{ grep -q DBT_PROFILES_DIR $(BIN)/activate || printf '\n# zl-forecast: plain dbt commands find the profile\nexport DBT_PROFILES_DIR="%s"\n' "$(CURDIR)/profiles" >> $(BIN)/activate; } && \
	touch $@ && echo "Install time: $$((SECONDS - start)) s"

$(SUPERSET)/.installed: examples/superset/requirements.txt
	@"$(PYTHON)" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))" || { echo "Superset needs Python 3.11 or 3.12. Install it, or pass its path: make superset PYTHON=..."; exit 1; }
	@echo "Installing Apache Superset into $(SUPERSET) (half a minute with uv, else three; 800 MB on disk) ..."
	@rm -rf $(SUPERSET) && $(PYTHON) -m venv $(SUPERSET) && uv=$$(command -v uv || ls $(BIN)/uv 2>/dev/null); \
	if [ -n "$$uv" ]; then "$$uv" pip install --quiet --python $(SUPERSET)/bin/python -r $<; \
	else $(SUPERSET)/bin/python -m pip install --quiet --disable-pip-version-check -r $<; fi && touch $@

# Drops platform markers that hold on all supported platforms, and the CUDA libraries, which a CUDA build of torch installs itself.
lock: $(VENV)/.installed  ## pin the newest versions that pyproject.toml allows
	uv=$$(command -v uv || echo $(BIN)/uv); { sed -n '/^#/p' requirements.lock; "$$uv" pip compile --quiet pyproject.toml --extra test --extra dev \
		--universal --python-version 3.11 --upgrade --no-annotate --no-header | grep -vE '^(nvidia|cuda|triton)' \
		| sed "s/ ; sys_platform == 'darwin' or sys_platform == 'linux'//"; } > requirements.lock.new && mv requirements.lock.new requirements.lock

$(VENV)/.installed-test: $(VENV)/.installed
	@touch $@
