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

.PHONY: demo test test-light test-lowest style lint check mutants lock docs release
.PHONY: bench bench-loader bench-gpu example scenes clean

# Renders a little, and measures what encoders learn from the pairs that come with m3di; two or three minutes on two cores.
demo: .venv/installed
	$(BIN)/m3di render --n 48 --n-val 4 --n-test 4 --size 128 --out $(DEMO)
	$(BIN)/m3di verify $(DEMO)
	$(BIN)/m3di browse $(DEMO) --out $(DEMO).html
	test -d $(DEMO)-pairs || $(BIN)/m3di example $(DEMO)-pairs
	$(BIN)/m3di train --data $(DEMO)-pairs --run runs/demo --steps 60 --batch-size 64 --image-encoder resnet18-small
	$(BIN)/m3di evaluate runs/demo --probes linear,logistic
	@echo
	@echo "Look at $(DEMO).html in a browser: what was rendered. Above: what the encoders of runs/demo know of each factor,"
	@echo "beside chance and the graph's own bound, after 60 steps on 600 pairs. Next: $(BIN)/m3di --help"

test: style
	$(call beside_types,$(TESTS) $(PYTEST))

# The quick tests without Blender, on any Python and system that m3di loads and trains on, in an environment of their own.
LIGHT_IS := $(shell $(PYTHON) -c "import sys; print(sys.version_info[0], sys.version_info[1], sep='.')")
LIGHT := .venv-light/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
test-light: .venv-light/installed-$(LIGHT_IS)
	$(LIGHT)/python -m pytest -q -n 2 --dist loadfile -m "not slow" --without-blender $(PYTEST)

# The quick tests with the oldest versions that setup.cfg allows, in an environment of their own. torch and bpy stay as in
# constraints.txt: each is hundreds of megabytes, and the bytes of images are those of one bpy.
test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest -q -n 2 -m "not slow" -o filterwarnings=default $(PYTEST)

style: .venv/installed
	$(BIN)/ruff check m3di tests benchmarks docs
	$(BIN)/ruff format --check m3di tests benchmarks docs

lint: style
	$(BIN)/mypy

# The quick inner loop: lint, types, and the tests without real renders or training.
check: style
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
		--constraints constraints.txt --extra render --extra train --extra dev --extra docs --extra mutants \
		--no-emit-package torch --output-file requirements.lock setup.cfg

# Builds what would be uploaded, and tries it as a user has it: installed from the wheel, in a new environment, where the
# tests see no other m3di than that. Uploads nothing. Needs a dated section of this version in CHANGELOG.md.
release:
	$(PYTHON) tests/release_notes.py > /dev/null
	$(MAKE) .venv/installed
	rm -rf dist build .venv-release
	$(BIN)/python -m build --outdir dist
	$(BIN)/uvx --quiet twine@7.0.0 check --strict dist/*
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/pip install --quiet --disable-pip-version-check -c constraints.txt \
		"$$(ls dist/m3di-*.whl)[render,train,dev]"
	mkdir -p build/only-tests && ln -sfn ../../tests build/only-tests/tests
	PYTHONSAFEPATH=1 PYTHONPATH=build/only-tests .venv-release/bin/python -m pytest -q -n 2 --dist loadfile \
		-m "not slow" --installed $(PYTEST)
	$(BIN)/python tests/release_notes.py > dist/notes.md
	@echo "dist/ is ready: upload the archives with twine; dist/notes.md are the notes of the release"

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

# The site, in site/; a warning is an error. Its packages are pinned, and what they say of a next major version is no news.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Renders the dataset that comes with m3di again.
example: .venv/installed
	rm -rf data/example-rendered data/example-small
	$(BIN)/m3di render --spec m3di --seed 0 --n 600 --n-val 150 --n-test 150 --size 64 --out data/example-rendered
	$(BIN)/m3di subset data/example-rendered --images webp --out data/example-small
	$(BIN)/m3di verify data/example-small
	rm -rf m3di/data/example_dataset
	mv data/example-small m3di/data/example_dataset

# Writes blender_scenes/ again from the modelling code.
scenes: .venv/installed
	$(BIN)/python -m m3di.render.modelling.build blender_scenes

clean:
	rm -rf .venv .venv-bench .venv-light .venv-lowest .venv-release mutants build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: setup.cfg pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "m3di needs Python 3.11 here: make PYTHON=/path/of/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[render,train,dev,docs,mutants]'
	touch $@

.venv-light/installed-$(LIGHT_IS): setup.cfg
	$(PYTHON) -m venv --clear .venv-light
	$(LIGHT)/python -m pip install --quiet --disable-pip-version-check -e '.[train,test]'
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
