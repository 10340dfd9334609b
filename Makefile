# Two commands matter: `make book` and `make test`. Both do all the set-up on a fresh Debian machine with Python 3.11, 3.12 or 3.13.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

BASE_PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v))))
BIN := .venv/bin
HTML := _build/html
LIBRARY := $(shell find povid_lib -name '*.py' -o -name '*.js' -o -name '*.safetensors' -o -name '*.json' -o -name '*.yaml' -o -name '*.css')
CHAPTERS := $(wildcard notebooks/*.ipynb)
PAGES := $(wildcard book/*.md book/*.bib) _config.yml _toc.yml $(wildcard _ext/*.py book/drawings/* assets/css/* assets/js/*) scripts/status.py scripts/api_pages.py scripts/exercise_table.py
START := $(shell date +%s)

.PHONY: help book test quick setup lint library-tests browser browser-tests student-tests wheel lock coverage mutants links student clean pocket results editions standin

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

book: $(HTML)/index.html  ## run the notebooks and build the book into _build/html
	@echo "The book is in $(HTML)/index.html ($$(( $$(date +%s) - $(START) )) s)."

editions: book browser  ## the whole book as a PDF and as an EPUB, into _build/editions
	$(BIN)/python -m scripts.editions $(HTML) _build/editions

test: lint library-tests browser-tests  ## lint, types, library tests, the book with all notebooks, browser tests
	@echo "make test took $$(( $$(date +%s) - $(START) )) s."

quick: lint assets/vendor/.done  ## lint, types, and the library tests that take less than about half a second each: two minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest tests --ignore tests/book -q -n 2 -m "not slow"
	@echo "make quick took $$(( $$(date +%s) - $(START) )) s."

setup: .venv/.done assets/vendor/.done  ## Python environment and front-end files, nothing else

lint: .venv/.done  ## ruff, mypy, imports one way, notebooks without outputs, spelling, prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache | tail -6
	$(BIN)/nbstripout --verify notebooks/*.ipynb
	$(BIN)/typos
	$(BIN)/python scripts/prose.py

library-tests: .venv/.done assets/vendor/.done  ## the library's own tests
	OMP_NUM_THREADS=1 $(BIN)/pytest tests --ignore tests/book -q -n 2 --dist loadfile

browser-tests: book browser  ## the built pages in headless Chromium
	$(BIN)/pytest tests/book -q -n 2 -m "not slow"

student-tests: book  ## run every chapter's student's edition, untouched and solved
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/book/test_student_edition.py -q -n 2

standin: .venv/.done assets/vendor/.done  ## every notebook with a dial (NB=... one) on the pocket model and on a LLaVA-1.5 of random weights
	$(BIN)/python scripts/on_standin.py $(NB)

coverage: .venv/.done assets/vendor/.done  ## which lines of the library its tests do not reach
	OMP_NUM_THREADS=1 $(BIN)/pytest tests --ignore tests/book -q -n 2 --dist loadfile --cov povid_lib --cov-branch --cov-report term-missing:skip-covered

mutants: .venv/.done  ## break losses, log-probabilities, metrics and corrupted texts in many small ways; list what no test notices
	$(BIN)/python scripts/mutants.py --out tests/survivors.txt

student: _build/student/.made  ## the student's edition of the notebooks, and with solutions, in _build/student

links: $(HTML)/index.html  ## do the book's links lead anywhere? Needs the network
	$(BIN)/jupyter-book build scratch --path-output _build/links --builder linkcheck --quiet

wheel: .venv/.done  ## build the library's wheel into _build/wheel
	rm -rf build _build/wheel
	$(BIN)/python -m build --wheel --no-isolation --outdir _build/wheel .
	rm -rf build

lock: .venv/.done  ## requirements.txt and constraints.txt from pyproject.toml; UPGRADE=1 takes the newest that it allows
	$(BIN)/python scripts/lock.py $(if $(UPGRADE),--upgrade)

browser:  ## Debian's Chromium, for the browser tests; needs root and apt
	@if command -v chromium >/dev/null; then exit 0; fi
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
	elif [ "$${CI:-}" = true ]; then
	  echo "Chromium is missing and cannot be installed here (not root, or no apt-get)." >&2; exit 1
	else
	  echo "LEFT OUT: the browser tests. Chromium is missing, and installing it needs root and apt-get."
	fi

pocket: .venv/.done  ## make the pocket model again (about an hour on two cores)
	$(BIN)/povid pocket train

results: .venv/.done  ## measure the shipped pocket model again
	$(BIN)/povid pocket report

clean:  ## remove what was built, but not the environment
	rm -rf _build scratch assets/vendor assets/models

.venv/.done: requirements.txt constraints.txt pyproject.toml
	@if [ -z "$(BASE_PYTHON)" ] || ! command -v "$(BASE_PYTHON)" >/dev/null; then
	  echo "Python 3.11, 3.12 or 3.13 is needed; on Debian: apt-get install python3.11 python3.11-venv" >&2; exit 1
	fi
	$(BASE_PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

assets/vendor/.done: package.json package-lock.json scripts/vendor.sh
	@if ! command -v npm >/dev/null; then
	  echo "npm is needed for the book's front-end files and LLaMA's tokenizer; on Debian: apt-get install npm" >&2; exit 1
	fi
	npm ci --silent --no-audit --no-fund --ignore-scripts
	scripts/vendor.sh
	touch $@

assets/models/pocket.safetensors: .venv/.done $(LIBRARY)
	$(BIN)/povid pocket export --out assets/models

# The notebooks run in a scratch copy, each once, on both cores; then the book is built from their outputs.
scratch/.executed: .venv/.done $(CHAPTERS) $(LIBRARY) $(wildcard results/*.json)
	rm -rf scratch
	mkdir -p scratch
	cp -r notebooks scratch/
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --durations=0 --junitxml=scratch/times.xml --nbmake --overwrite scratch/notebooks
	touch $@

_build/student/.made: scratch/.executed $(wildcard scripts/*.py) book/references.bib
	rm -rf _build/student
	$(BIN)/python -m scripts.student_edition scratch/notebooks _build/student
	touch $@

$(HTML)/index.html: scratch/.executed _build/student/.made assets/vendor/.done assets/models/pocket.safetensors $(PAGES)
	cp -r book assets _ext _config.yml _toc.yml README.md scratch/
	mkdir -p scratch/assets/student
	cp _build/student/*.ipynb scratch/assets/student/
	$(BIN)/python scripts/status.py scratch/times.xml scratch/book/status.md
	$(BIN)/python scripts/api_pages.py scratch/book/api
	$(BIN)/python -m scripts.exercise_table scratch/book/instructors.md
	$(BIN)/jupyter-book build scratch --path-output . --all -W -n --keep-going --quiet
	touch $@
