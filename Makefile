# Needs Python 3.11 (Blender's module exists for no other), make and git. Everything else goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Compiled modules are kept: without them every process that a test starts compiles all of m3di, and pytest every test.
unexport PYTHONDONTWRITEBYTECODE
DEMO := data/demo
# Two processes on two cores: threads of each would only wait for those of the other.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
# The types are checked while the tests run; either of them can fail.
define beside_types
@$(BIN)/mypy & types=$$!; $(1); tests=$$?; wait $$types && exit $$tests
endef

.PHONY: demo test test-lowest check mutants lock bench bench-loader bench-gpu scenes clean

demo: .venv/installed
	$(BIN)/m3di render --n 64 --n-val 8 --n-test 8 --size 224 --out $(DEMO)
	$(BIN)/m3di verify $(DEMO)
	$(BIN)/m3di preview --out $(DEMO)-preview.png
	$(BIN)/m3di train --data $(DEMO) --steps 20 --batch-size 16
	@echo
	@echo "Look at $(DEMO)-preview.png (pictures with captions), $(DEMO)/README.md (the dataset's card)"
	@echo "and the newest folder in runs/ (losses and weights). Next: $(BIN)/m3di --help"

test: .venv/installed
	$(BIN)/ruff check m3di tests benchmarks
	$(BIN)/ruff format --check m3di tests benchmarks
	$(call beside_types,$(TESTS) $(PYTEST))

# The quick tests with the oldest versions that setup.cfg allows, in an environment of their own. torch and bpy stay as in
# constraints.txt: each is hundreds of megabytes, and the bytes of images are those of one bpy.
test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest -q -n 2 -m "not slow" -o filterwarnings=default $(PYTEST)

# The quick inner loop: lint, types, and the tests without real renders or training.
check: .venv/installed
	$(BIN)/ruff check m3di tests benchmarks
	$(BIN)/ruff format --check m3di tests benchmarks
	$(call beside_types,$(TESTS) -q -m "not slow")

# Changes the code in small ways and says which of them no test notices: see docs/testing.md. Of ONLY (patterns of
# module names) and of a random SAMPLE; an hour for 100 on two cores if all rooms are wanted, minutes for one.
ONLY ?= 'm3di.*'
SAMPLE ?= 100
SEED ?= 0
mutants: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python tests/sample_mutants.py $(ONLY) --sample $(SAMPLE) --seed $(SEED)

# Writes requirements.lock, the hash of every file that constraints.txt allows. torch is left out: its wheels for the CPU
# and for CUDA are other files with other needs, and come from other places.
lock: .venv/installed
	$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 \
		--constraints constraints.txt --extra render --extra train --extra dev --extra mutants \
		--no-emit-package torch --output-file requirements.lock setup.cfg

bench: .venv/installed
	$(BIN)/python benchmarks/latents.py
	$(BIN)/python benchmarks/render.py

# The loader beside every peer, in an environment of their own: mosaicml-streaming needs older packages than ours.
# PICTURES is a folder of PNG files of 224 pixels, for example shared/reference/renders; without one, drawn scenes.
bench-loader: .venv-bench/installed
	OMP_NUM_THREADS=1 .venv-bench/bin/python benchmarks/loader.py $(if $(PICTURES),--pictures $(PICTURES))

# All that a GPU can be measured by, in 25 minutes; one table in data/bench-gpu. Stopped, it goes on where it was.
bench-gpu: .venv/installed
	$(BIN)/python benchmarks/gpu.py

# Writes blender_scenes/ anew from the modelling code.
scenes: .venv/installed
	$(BIN)/python -m m3di.render.modelling.build blender_scenes

clean:
	rm -rf .venv .venv-bench .venv-lowest mutants build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: setup.cfg pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "m3di needs Python 3.11 here: make PYTHON=/path/of/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[render,train,dev,mutants]'
	touch $@

.venv-lowest/installed: setup.cfg constraints.txt .venv/installed
	$(PYTHON) -m venv .venv-lowest
	grep -E '^(torch|bpy)==' constraints.txt > .venv-lowest/fixed.txt
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --python-version 3.11 --no-header --no-annotate \
		--override .venv-lowest/fixed.txt --extra render --extra train --extra dev \
		--output-file .venv-lowest/lowest.txt setup.cfg
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -c .venv-lowest/lowest.txt -e '.[render,train,dev]'
	touch $@

.venv-bench/installed: setup.cfg pyproject.toml constraints-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -c constraints-bench.txt -e '.[train,bench]'
	touch $@
