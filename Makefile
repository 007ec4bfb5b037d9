# make demo: everything from an empty folder to a report. make test: ruff, types and all tests but
# those of make slow. make quick: the same, but of the tests those that neither train nor compile a
# network. JOBS=4: so many tests at once. make docs: the documentation site; make test builds it too
# (tests/test_site.py).
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
RUN := $(VENV)/bin/python
REQUIREMENTS := $(shell nvidia-smi >/dev/null 2>&1 && echo requirements-cuda12.txt || echo requirements.txt)
TESTS = $(RUN) -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test slow quick docs ruff types clean

demo: $(VENV)/installed
	$(VENV)/bin/jaxalign demo

test: ruff types
	$(TESTS)

slow: $(VENV)/installed
	$(TESTS) -m slow

quick: ruff types
	$(TESTS) -m "not slow and not real_size and not heavy"

docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet
	@echo "the site: build/site/index.html (with search: $(RUN) -m mkdocs serve)"

ruff: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/installed
	$(VENV)/bin/basedpyright --pythonpath $(RUN)

$(VENV)/installed: requirements.txt requirements-cuda12.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "jaxalign needs Python 3.11 to 3.13: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --progress-bar on -r $(REQUIREMENTS)
	$(RUN) -m pip check
	touch $@

clean:
	rm -rf $(VENV) build runs/demo
