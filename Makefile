# make book [PROFILE=demo|sample|paper] [DATA=folder] [WEIGHTS=folder] [JOBS=n] [CLUSTER=slurm] [ARGS="..."]
#                              prints what it will do, runs the sweep and builds the HTML book
#                              (JOBS: parallel runs; default: as many as cores and memory allow. CLUSTER: where runs
#                              execute, a profile in params/cluster/; default: this machine. ARGS: further options of
#                              `catscans book`, such as --dry-run or --no-sweep)
# make pdf [PROFILE=...]       writes the chapters of that book as one PDF (needs Chromium)
# make epub [PROFILE=...]      writes the chapters as an EPUB for e-readers (needs Chromium)
# make figures [PROFILE=...]   writes every figure as SVG and PDF, with its numbers, into one zip (needs Chromium)
# make lab                     opens JupyterLab at copies of the notebooks in scratch/: nothing of the study changes
# make test                    runs the linters, the import contracts and the fast tests
# make test-slow               runs the tests with a cluster, a browser or real kills (minutes)
# make gpu                     installs TensorFlow for an NVIDIA GPU into .venv (3 GB)
# make vit                     installs keras-hub (25 MB) into .venv, which reads the weights of DINOv2
# make peers                   installs PyTorch for benchmarks/training.py (4 GB)
PROFILE ?= demo
PYTHON  ?= python3.13 python3.12 python3.11 python3
export CATSCANS_DATA    := $(or $(DATA),$(CATSCANS_DATA))
export CATSCANS_WEIGHTS := $(or $(WEIGHTS),$(CATSCANS_WEIGHTS))
export HOME := $(shell test -w "$$HOME" && echo "$$HOME" || echo "$(CURDIR)/.snakemake/home")

BIN := .venv/bin

.PHONY: book pdf epub figures sweep test test-slow lint format lab lock gpu vit peers clean
book: .venv/.complete
	@$(BIN)/catscans book --profile $(PROFILE) $(addprefix --jobs ,$(JOBS)) $(addprefix --cluster ,$(CLUSTER)) $(ARGS)

pdf epub figures: .venv/.complete
	@$(BIN)/python book/$@.py $(PROFILE)

sweep: .venv/.complete
	@$(BIN)/catscans sweep --profile $(PROFILE) $(addprefix --jobs ,$(JOBS)) $(addprefix --cluster ,$(CLUSTER)) $(ARGS)

test: .venv/.complete lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: .venv/.complete
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder --durations 12

lint: .venv/.complete
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports --no-cache && $(BIN)/hadolint Dockerfile

format: .venv/.complete
	$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/nbstripout notebooks/*.ipynb

lab: .venv/.complete
	@mkdir -p scratch
	@for one in notebooks/*.ipynb; do test -e scratch/$${one##*/} || cp $$one scratch/; done
	JUPYTER_PREFER_ENV_PATH=1 $(BIN)/jupyter lab --LabApp.default_url=/lab/tree/scratch/reanalysis.ipynb

# Makes .venv with the first interpreter of PYTHON that fits; where none does, uv fetches one. .complete marks a complete
# environment; an interrupted install starts again.
FITS := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
.venv/.complete: requirements.lock
	@echo "Setting up .venv from requirements.lock (about a minute, once) ..."
	@rm -f $@
	@for python in $(PYTHON); do if $$python -c '$(FITS)' 2> /dev/null; then exec $$python -m venv --clear .venv; fi; done; \
	  echo "Python 3.11, 3.12 or 3.13 is needed; found none among: $(PYTHON). uv fetches Python 3.13 ..."; \
	  uv=$$(command -v uv) || { uv=.venv-uv/bin/uv; python3 -m venv .venv-uv && .venv-uv/bin/pip install -qq "$$(grep '^uv==' $<)"; }; \
	  $$uv venv --quiet --clear --seed --managed-python --python 3.13 .venv \
	  || { echo "uv could not fetch it. Install Python 3.11, 3.12 or 3.13 with its venv module, or set PYTHON=path/to/python." >&2; exit 1; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check "$$(grep '^uv==' $<)"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r $< \
	  || { echo "uv failed; trying pip, which uses the mirrors you configured"; $(BIN)/python -m pip install -qq -r $<; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# Updates all versions: edit pyproject.toml, then run this and the tests.
lock: .venv/.complete
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --quiet \
	    --no-emit-index-url --no-annotate --no-header --upgrade -o requirements.lock

# Replaces the CPU build of TensorFlow by the CUDA build; needs Linux and NVIDIA's driver.
gpu: .venv/.complete
	@$(BIN)/uv pip uninstall --quiet --python $(BIN)/python tensorflow-cpu
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
	    "tensorflow[and-cuda]==$$(sed -n 's/^tensorflow-cpu==\([^ ]*\).*/\1/p' requirements.lock)"
	@$(BIN)/python -c 'import tensorflow as tf; print("GPUs:", tf.config.list_physical_devices("GPU") or "none is seen; see nvidia-smi")'

# DINOv2's weights are read by keras-hub. With its dependencies, it would put all of TensorFlow over tensorflow-cpu (630 MB).
vit: .venv/.complete
	@$(BIN)/uv pip install --quiet --compile-bytecode --no-deps --python $(BIN)/python \
	    $$(sed -n 's/^vit = \[\(.*\)\].*/\1/p' pyproject.toml | tr -d '",')

# The peers of the benchmarks get an environment of their own.
peers: .venv/.complete
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-peers
	@$(BIN)/uv pip install --quiet --python .venv-peers/bin/python $$(sed -n 's/^peers = \["\(.*\)"\]/\1/p' pyproject.toml)

clean:
	rm -rf data/* results/* _build
