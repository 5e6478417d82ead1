# Two commands on a fresh machine: `make demo` and `make test`. Python >= 3.10 is all they need.
PYTHON ?= python3
# The torch to install first. On a machine without a GPU, a CPU build avoids gigabytes of CUDA; see README.
TORCH ?= torch
IN ?= tests/data/sample.mp4
OUT ?= demo/sample_x4.mp4
PICTURE = $(basename $(OUT))_before_after.png
ARGS ?=
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check

SOURCES := $(shell find dossr_video configs -type f -not -name '*.pyc') pyproject.toml

.PHONY: demo test lint clean

demo: .venv/installed
	@mkdir -p "$(dir $(OUT))"
	.venv/bin/dossr-video "$(IN)" "$(OUT)" --force --before-after "$(PICTURE)" $(ARGS)

test: .venv/installed-test
	.venv/bin/python -m pytest $(ARGS)

lint: .venv/installed-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:
	rm -rf .venv demo

# Holds the version of torch that is installed, so that nothing installed later (torchvision) brings another.
.venv/torch:
	$(PYTHON) -m venv .venv
	$(PIP) $(TORCH)
	.venv/bin/python -m pip freeze --disable-pip-version-check | grep '^torch==' > $@

.venv/installed: .venv/torch $(SOURCES)
	$(PIP) -c .venv/torch .
	touch $@

.venv/installed-test: .venv/installed
	$(PIP) -c .venv/torch ".[test]"
	touch $@
