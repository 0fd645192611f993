# make demo | test | docs | lab | check | clean
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
export UV_FIND_LINKS := $(PIP_FIND_LINKS)
export UV_COMPILE_BYTECODE := 1
STAMP := $(VENV)/.installed

.PHONY: demo test docs lab check export clean
demo: $(STAMP)            ## train on GDSC, compare with every baseline, write demo/report.html
	$(BIN)/lpm demo --out demo

test: $(STAMP)            ## every notebook and every test
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -ra -n 2 --dist loadgroup

docs: $(STAMP)            ## the site, into _docs/
	$(BIN)/python build_docs.py

lab: $(STAMP)             ## read and run the notebooks
	$(BIN)/jupyter lab --ServerApp.root_dir=nbs

export: $(STAMP)          ## notebooks -> lpm_nb/, README.md
	$(BIN)/nbdev_export && $(BIN)/python build_docs.py --readme

check: $(STAMP)           ## the gates: export clean, notebooks clean, lint, README current, docs build
	bash .ci/gates

clean:
	rm -rf $(VENV) _docs _proc demo

# the exact, tested versions (requirements.lock), installed by uv in half a minute
$(STAMP): requirements.lock setup.py settings.ini
	@$(PY) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PY) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q -r requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q --no-deps -e .
	-VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q --no-deps causalbench==1.1.2   # what a test compares with; its own requirements are not needed for that
	touch $@
