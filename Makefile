# Two commands on a fresh machine: `make demo` and `make test`. Python >= 3.10 is all they need.
PYTHON ?= python3
# The torch to install first. On a machine without a GPU, a CPU build avoids gigabytes of CUDA; see README.
TORCH ?= torch
IN ?= tests/data/sample.mp4
OUT ?= demo/sample_x4.mp4
PICTURE = $(basename $(OUT))_before_after.png
ARGS ?=
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check

# A list of all packages with their hashes, requirements.lock: what CI installs. Empty: the newest that fit.
LOCK ?=
# That fits the torch in .ci/run. torch itself is not in the list: each machine has a build of its own.
TORCHVISION = 0.28.0
ifdef LOCK
INSTALL = $(PIP) --require-hashes --no-deps -r $(LOCK) && $(PIP) --no-deps
else
INSTALL = $(PIP) -c .venv/torch
endif

SOURCES := $(shell find dossr_video configs -type f -not -name '*.pyc') pyproject.toml

.PHONY: demo test lint docs audit dist lock clean

demo: .venv/installed
	@mkdir -p "$(dir $(OUT))"
	.venv/bin/dossr-video "$(IN)" "$(OUT)" --force --before-after "$(PICTURE)" $(ARGS)

test: .venv/installed-test
	.venv/bin/python -m pytest $(ARGS)

lint: .venv/installed-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy --strict --config-file= --follow-imports=silent tests/typed.py

# Patterns that are known to be unsafe in the code, and known vulnerabilities of the packages in the list.
audit: .venv/installed-test
	.venv/bin/bandit --quiet --severity-level medium --recursive dossr_video scripts
	@if .venv/bin/python -c "import urllib.request as u; u.urlopen('https://pypi.org/pypi/pip/25.0/json', timeout=10)" 2> /dev/null; \
	then .venv/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip; \
	else echo "SKIPPED: pip-audit; what pypi.org knows of vulnerabilities cannot be reached from here"; fi

# The wheel, and beside it what it was tested with, in CycloneDX.
dist: .venv/installed-test
	.venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	.venv/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
		--output-file "$$(ls -t dist/*.whl | head -1).cdx.json" .venv/bin/python

lock: .venv/torch
	$(PIP) uv
	echo "torch ; sys_platform == 'never'" > .venv/without-torch
	echo "torchvision==$(TORCHVISION)" > .venv/fits-torch
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes --extra test \
		--override .venv/without-torch --constraint .venv/fits-torch --custom-compile-command "make lock" \
		--output-file requirements.lock pyproject.toml

# The guide as pages in site/; a link that leads nowhere fails.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

clean:
	rm -rf .venv demo dist site

# Holds the version of torch that is installed, so that nothing installed later (torchvision) brings another.
.venv/torch:
	$(PYTHON) -m venv .venv
	$(PIP) $(TORCH)
	.venv/bin/python -m pip freeze --disable-pip-version-check | grep '^torch==' > $@

.venv/installed: .venv/torch $(SOURCES)
	$(INSTALL) .
	touch $@

.venv/installed-test: .venv/installed
	$(INSTALL) ".[test]"
	touch $@

.venv/installed-docs: .venv/installed
	$(PIP) -c .venv/torch ".[docs]"
	touch $@
