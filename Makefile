# make book [PROFILE=demo|sample|paper] [DATA=folder] [WEIGHTS=folder] [REFERENCE=folder] [JOBS=n]   the sweep, then the HTML book
#           (JOBS: runs at a time; default: what cores and memory allow)
# make pdf [PROFILE=...]                                                         the chapters of that book as one PDF (needs Chromium)
# make lab                                                                       JupyterLab, at a notebook to play with the results
# make test                                                                      the tests
# make gpu                                                                       TensorFlow for an NVIDIA GPU in this environment (3 GB)
# make peers                                                                     PyTorch for benchmarks/training.py (4 GB)
# make neptune-env, mlflow-env                                                   where records go to Neptune's client, to MLflow
# make test-slow                                                                 those with real kills, which take minutes
PROFILE ?= demo
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
export CATSCANS_DATA    := $(if $(DATA),$(abspath $(DATA)),$(CATSCANS_DATA))
export CATSCANS_WEIGHTS := $(if $(WEIGHTS),$(abspath $(WEIGHTS)),$(CATSCANS_WEIGHTS))
export CATSCANS_REFERENCE := $(if $(REFERENCE),$(abspath $(REFERENCE)),$(CATSCANS_REFERENCE))

BIN := .venv/bin

.PHONY: book pdf sweep test test-slow lint format lab lock gpu peers neptune-env mlflow-env clean
book: .venv/.complete
	@$(BIN)/catscans book --profile $(PROFILE) $(addprefix --jobs ,$(JOBS))

pdf: .venv/.complete
	@$(BIN)/catscans pdf --profile $(PROFILE)

sweep: .venv/.complete
	@$(BIN)/catscans sweep --profile $(PROFILE) $(addprefix --jobs ,$(JOBS))

test: .venv/.complete lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: .venv/.complete
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder --durations 12

lint: .venv/.complete
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

format: .venv/.complete
	$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/nbstripout notebooks/*.ipynb

lab: .venv/.complete
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/reanalysis.ipynb

# The environment is whole only once .complete is there: an interrupted install starts again.
.venv/.complete: requirements.lock
	@echo "Setting up .venv from requirements.lock (about a minute, once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed, got %d.%d. Set PYTHON=path/to/python3.11." % sys.version_info[:2])'
	@rm -f $@
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check "$$(grep '^uv==' $<)"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r $< \
	  || { echo "uv could not; trying pip, which knows your own mirrors"; $(BIN)/python -m pip install -qq -r $<; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# Newer versions: edit pyproject.toml, then run this and the tests.
lock: .venv/.complete
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --quiet \
	    --no-emit-index-url --no-annotate --no-header --upgrade -o requirements.lock

# TensorFlow with CUDA in the place of that for processors alone, which has the same files; Linux, with NVIDIA's driver.
gpu: .venv/.complete
	@$(BIN)/uv pip uninstall --quiet --python $(BIN)/python tensorflow-cpu
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
	    "tensorflow[and-cuda]==$$(sed -n 's/^tensorflow-cpu==\([^ ]*\).*/\1/p' requirements.lock)"
	@$(BIN)/python -c 'import tensorflow as tf; print("GPUs:", tf.config.list_physical_devices("GPU") or "none is seen; see nvidia-smi")'

# The networks that the benchmark compares with, apart from our own environment.
peers: .venv/.complete
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-peers
	@$(BIN)/uv pip install --quiet --python .venv-peers/bin/python $$(sed -n 's/^peers = \["\(.*\)"\]/\1/p' pyproject.toml)

# What run records are converted with; neither resolves with our own packages.
neptune-env mlflow-env: %-env: .venv/.complete
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-$*
	@$(BIN)/uv pip install --quiet --compile-bytecode --python .venv-$*/bin/python $$(sed -n 's/^$* = \[\(.*\)\]/\1/p' pyproject.toml | tr -d '",')

clean:
	rm -rf data/* results/* _build
