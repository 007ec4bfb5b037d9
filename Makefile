# make demo: everything from an empty folder to a report. make test: ruff, types and the test suite.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
REQUIREMENTS := $(shell nvidia-smi >/dev/null 2>&1 && echo requirements-cuda12.txt || echo requirements.txt)

.PHONY: demo test types clean

demo: $(VENV)/installed
	$(VENV)/bin/jaxalign demo

test: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/basedpyright --pythonpath $(RUN)
	$(RUN) -m pytest -q

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
	rm -rf $(VENV) runs/demo
