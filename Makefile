# Needs Python 3.11 or newer with pip. All packages are installed into .venv. Nothing outside this directory
# changes, except by `make system-servers`.

PYTHON ?= python3
MINUTES ?= 5
WORKERS ?= 4
ARGS ?=
PYTHONS ?=
TAG ?=
PORTABLE := tests/keeper tests/services/test_stolen_ports.py \
	$(addprefix tests/datadirs/test_,$(addsuffix .py,spares tree snapshot_crashes)) \
	$(addprefix tests/client/test_,$(addsuffix .py,crashes races managed hold)) \
	$(addprefix tests/isolation/test_,$(addsuffix .py,pool prefetcher prefetched isolated))

WITHOUT_SERVERS := tests/house/test_imports.py tests/house/test_language.py tests/house/test_security.py \
	$(addprefix tests/request/test_,$(addsuffix .py,arguments config depends fingerprint)) \
	$(addprefix tests/services/test_,$(addsuffix .py,generate registry plan plan_files quoting details_mistakes options))

# Tests that count the modules, calls and files of a process, where coverage.py would count, too.
UNMEASURED := $(addprefix --ignore=tests/house/test_,$(addsuffix .py,modules trips))

VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
# Bytecode once: where PYTHONDONTWRITEBYTECODE is set, each of thousands of processes would compile each module anew.
define BYTECODE
@$(BIN)/python -m compileall -q servicectx integrations tests benchmarks
endef
define LINT
$(BIN)/ruff check .
$(BIN)/ruff format --check .
$(BIN)/mypy
endef
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PROJECT := setup.cfg setup.py pyproject.toml

# Plain paths in place of the import hook that pip installs for an editable package: each start of Python in the
# environment takes 40 ms less, and the tests start thousands.
define PLAIN_PATHS
@$(BIN)/python -c 'import glob, sysconfig; \
	[open(name, "w").write("$(CURDIR)\n$(CURDIR)/integrations\n") \
	for name in glob.glob(sysconfig.get_path("purelib") + "/__editable__.servicectx-*.pth")]'
endef

# Stamps: an environment is made anew for another Python, and filled again when setup.cfg changes.
MADE := $(VENV)/.made-with-$(VERSION)
USER := $(VENV)/.installed-for-users
DEV := $(VENV)/.installed-for-development
SITE := $(VENV)/.installed-for-docs

.DEFAULT_GOAL := help
.PHONY: help quickstart check test test-portable coverage storm bench bench-scale terminal docs system-servers release try-wheel clean

help: ## this list
	@echo "servicectx: real services for tests and scripts"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r what does; do \
		printf '%-21s %s\n' "$$what" "$$does"; done
	@echo
	@echo "  PYTHON=python3.12 takes another Python; 'make test ARGS=...' hands arguments to pytest"

quickstart: $(USER) ## see it work: a real Postgres and a real Redis, used and gone again
	@$(BIN)/python examples/quickstart.py --wheels

check: $(DEV) ## linters, types and the tests that need no server, in about a minute
	$(LINT)
	$(BYTECODE)
	$(BIN)/python -m pytest -q -n $(WORKERS) $(WITHOUT_SERVERS)

test: $(DEV) ## linters, types, all tests with real servers, short storms, and a round of the benchmarks
	$(LINT)
	$(BYTECODE)
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)
	$(BIN)/python -m tests.storm --minutes 0.25 --users 4
	$(BIN)/python -m tests.storm_hostile --minutes 0.25 --users 3
	$(BIN)/python -m tests.storm_isolated --minutes 0.25 --users 8
	$(BIN)/python -m benchmarks --smoke
	$(BIN)/python -m benchmarks scale --smoke

test-portable: $(DEV) ## the core's tests without what only Linux gives, as on a Mac
	$(BYTECODE)
	SERVICECTX_TEST_PORTABLE=1 $(BIN)/python -m pytest -n $(WORKERS) $(PORTABLE) $(ARGS)

# Processes of other accounts, such as servers, write their data into the directory, too.
coverage: $(DEV) ## the share of lines that the tests reach, in all their processes; takes an hour
	rm -rf .coverage-data && mkdir -m 1777 .coverage-data
	$(BYTECODE)
	$(BIN)/coverage run -m pytest -n $(WORKERS) -W ignore::pytest.PytestAssertRewriteWarning $(UNMEASURED) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

storm: $(DEV) ## random processes and random kills, for MINUTES=5
	$(BIN)/python -m tests.storm --minutes $(MINUTES)
	$(BIN)/python -m tests.storm_isolated --minutes $(MINUTES)
	$(BIN)/python -m tests.storm_hostile --minutes $(MINUTES)

bench: $(DEV) ## how fast it is, beside floors and peers; ends with a table in Markdown
	$(BIN)/python -m benchmarks

bench-scale: $(DEV) ## how the cost grows with users, instances, databases, tables and workers
	$(BIN)/python -m benchmarks scale --plot docs/scale.svg

terminal: $(DEV) ## record the terminal of README and site anew: docs/assets/terminal.svg
	$(BIN)/python -m tests.website.terminal

docs: $(SITE) ## the documentation as web pages, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

system-servers: ## install the servers that pip cannot bring, with apt: MariaDB, RabbitMQ, memcached ...
	@.ci/system-servers

release: $(DEV) ## dry run of a release: build into dist/, check, try the wheel on each Python of PYTHONS, or on PATH
	PYTHONS="$(PYTHONS)" $(BIN)/python -m tests.release $(addprefix --tag ,$(TAG))

try-wheel: ## the quickstart from the wheel in dist/, in a fresh environment
	PYTHONS="$(PYTHONS)" $(PYTHON) -m tests.wheel

clean: ## remove all that make made here
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A machine without ensurepip (Debian without python3-venv) still has pip, which can fill an environment from outside.
$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "$(PYTHON) is older than Python 3.11 or does not run; choose one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@if ! $(BIN)/python -m pip --version 2>/dev/null | grep -q '(python $(VERSION))'; then \
		echo "making $(VENV) with Python $(VERSION)"; \
		rm -rf $(VENV); \
		$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
			$(PYTHON) -m venv --clear --without-pip $(VENV) && \
			$(PYTHON) -m pip --quiet --python $(BIN)/python install pip; }; \
	fi
	@rm -f $(VENV)/.made-with-* && touch $@

$(USER): $(MADE) $(PROJECT)
	@echo "installing servicectx with embedded servers into $(VENV)"
	@$(PIP) install --editable '.[postgres,redis]'
	$(PLAIN_PATHS)
	@touch $@

$(DEV): $(MADE) $(PROJECT)
	@echo "installing servicectx with all that development needs into $(VENV)"
	@$(PIP) install 'pip>=24.1' # the pip that Python 3.11 brings takes four minutes to resolve, this one 40 s
	@$(PIP) install --no-compile --editable '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true # pip compiles on one core alone; templates fail
	$(PLAIN_PATHS)
	@touch $@ $(USER)

$(SITE): $(MADE) $(PROJECT)
	@$(PIP) install --editable '.[docs]'
	$(PLAIN_PATHS)
	@touch $@
