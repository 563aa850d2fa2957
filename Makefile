# Needs Python 3.11 (Blender's module exists for no other), make and git. Everything else goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
DEMO := data/demo

.PHONY: demo test check bench bench-loader bench-gpu scenes clean

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
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The quick inner loop: lint, types, and the tests without real renders or training.
check: .venv/installed
	$(BIN)/ruff check m3di tests benchmarks
	$(BIN)/ruff format --check m3di tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

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
	$(BIN)/python -m m3di.render.build blender_scenes

clean:
	rm -rf .venv .venv-bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "m3di needs Python 3.11 here: make PYTHON=/path/of/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[render,train,dev]'
	touch $@

.venv-bench/installed: setup.cfg pyproject.toml constraints-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -c constraints-bench.txt -e '.[train,bench]'
	touch $@
