# make demo | plates | test | lint | catalogue | clean. Creates what it needs in .venv*; else touches only build, demo and WhichPU's cache.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo plates test lint catalogue clean
.NOTPARALLEL:  # nothing may run beside a measurement, an installation least of all

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
WHICHPU = .venv/bin/whichpu
TASK = --data examples/apple_stock/task.toml
# OpenCV 5 can't share an environment with OpenCV 4: it runs in an interpreter of its own.
DEMO_OPTIONS = --on all --on opencv5=opencv:cpu,engine=new,python=.venv-opencv5 $(TASK) --budget 20s --overwrite

demo: .venv/demo.stamp .venv-opencv5/stamp
	mkdir -p demo
	$(WHICHPU) run examples/apple_stock/gru.onnx $(DEMO_OPTIONS) -o demo/gru.json
	$(WHICHPU) run examples/apple_stock/lstm.onnx $(DEMO_OPTIONS) -o demo/lstm.json
	$(WHICHPU) report demo/gru.json demo/lstm.json -o demo/report.html
	@echo "Open demo/report.html; whichpu lives in .venv/bin."

# Accuracy and speed of the licence-plate networks on PyTorch, ONNX Runtime, OpenVINO and OpenCV: some ten minutes.
plates: .venv/test.stamp
	mkdir -p build
	.venv/bin/python examples/licence_plates/tables.py --out build/plates.md

test: .venv/test.stamp .venv-opencv5/stamp .venv-py38/stamp .venv-board/stamp
	.venv/bin/python -m pytest $(PYTEST_OPTIONS)

lint: .venv/test.stamp
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

# Brings new texts into the catalogues of src/whichpu/locale, where they are to be translated.
catalogue: .venv/test.stamp
	mkdir -p build
	.venv/bin/pybabel extract -F babel.cfg --no-default-keywords -k said:1c,2 -k label -k _ -k Metric:3 --no-location \
		-o build/whichpu.pot .
	.venv/bin/pybabel update -D whichpu -i build/whichpu.pot -d src/whichpu/locale -w 120 --no-fuzzy-matching

clean:
	rm -rf .venv .venv-opencv5 .venv-py38 .venv-board demo build dist

.venv/base.stamp:
	@test -n "$(PYTHON)" || { echo "WhichPU needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo.stamp: .venv/base.stamp pyproject.toml constraints.txt
	$(PIP) --editable '.[openvino,opencv,litert,ncnn,mnn,loadgen,tasks]'
	$(PIP) --no-deps pnnx  # its dependency on torch is for PyTorch models only
	touch $@

.venv/test.stamp: .venv/demo.stamp
	$(PIP) torch  # first and pinned: anything else that names torch would bring another build
	$(PIP) --editable '.[dev]'
	touch $@

.venv-opencv5/stamp: constraints.txt
	$(PYTHON) -m venv .venv-opencv5
	.venv-opencv5/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.4.6 opencv-python-headless==5.0.0.93
	touch $@

# The worker also runs on Python 3.8 with NumPy alone; where there is no 3.8, its test says so and is skipped.
.venv-py38/stamp:
	mkdir -p .venv-py38
	for p in "env PYENV_VERSION=3.8.18 python" python3.8; do \
		$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 8))' 2>/dev/null && $$p -m venv .venv-py38 && break; done || true
	test ! -x .venv-py38/bin/python || .venv-py38/bin/python -m pip install --quiet --disable-pip-version-check numpy==1.24.4
	touch $@

# The far side of the tests of boards over SSH: 3.8 with a runtime, as on a Jetson; skipped in the same way.
.venv-board/stamp:
	mkdir -p .venv-board
	for p in "env PYENV_VERSION=3.8.18 python" python3.8; do \
		$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 8))' 2>/dev/null && $$p -m venv .venv-board && break; done || true
	test ! -x .venv-board/bin/python || .venv-board/bin/python -m pip install --quiet --disable-pip-version-check \
		numpy==1.24.4 onnxruntime==1.19.2
	touch $@
