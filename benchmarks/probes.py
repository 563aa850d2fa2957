"""Kernel ridge search for all continuous factors together, against scikit-learn's grid search a factor at a time.

python benchmarks/probes.py                      # 4,000 samples, seven factors, both sides
python benchmarks/probes.py --n-sklearn 2        # scikit-learn on two factors, scaled to seven
python benchmarks/probes.py --memory             # ours alone on 10,000 samples: seconds and peak memory
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV

from m3di.evaluate.probes.kernel_ridge import ALPHAS, GAMMAS, search_kernel_ridge

N_FACTORS, ENCODING_SIZE = 7, 4


def make(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standardised encodings [n, 4], and seven factors: some smooth in them, some noisy, some unrelated."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, ENCODING_SIZE))
    noise = rng.normal(size=(n, N_FACTORS))
    y = np.stack([np.sin((1 + i) * x[:, i % ENCODING_SIZE]) + 0.2 * i * noise[:, i] for i in range(5)], axis=1)
    y = np.concatenate([y, noise[:, 5:]], axis=1)
    return x, (y - y.mean(axis=0)) / y.std(axis=0)


def compare(n: int, n_sklearn: int) -> None:
    """Both searches on the same numbers in one process; prints the ratio and the largest difference of scores."""
    x, y = make(n)
    start = time.perf_counter()
    ours = search_kernel_ridge(x, y)
    seconds = time.perf_counter() - start
    print(f"ours: {seconds:.2f} s for {N_FACTORS} factors, n = {n}", flush=True)
    theirs, difference, same = 0.0, 0.0, True
    for factor in range(n_sklearn):
        start = time.perf_counter()
        search = GridSearchCV(KernelRidge(kernel="rbf"), {"alpha": ALPHAS, "gamma": GAMMAS}, cv=3).fit(x, y[:, factor])
        theirs += time.perf_counter() - start
        scores = search.cv_results_["mean_test_score"].reshape(len(ALPHAS), len(GAMMAS))
        difference = max(difference, float(np.abs(scores - ours.cv_scores[:, :, factor]).max()))
        chosen = (float(ours.alphas[factor]), float(ours.gammas[factor]))
        same &= chosen == (search.best_params_["alpha"], search.best_params_["gamma"])
    scaled = theirs / n_sklearn * N_FACTORS
    how = "" if n_sklearn == N_FACTORS else f", scaled from {n_sklearn}"
    print(f"scikit-learn: {theirs / n_sklearn:.2f} s a factor, {scaled:.1f} s for {N_FACTORS}{how}")
    print(f"ratio: {scaled / seconds:.1f}; largest difference of scores {difference:.1e}; same choice: {same}")


def measure_memory(n: int) -> None:
    """Ours alone, with the peak of the process's resident memory."""
    x, y = make(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    fitted = search_kernel_ridge(x, y)
    fitted.predict(x)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"n = {n}: {seconds:.0f} s, peak {peak:.2f} GiB (before it {before:.2f}), with {n} predictions")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=None)
    parser.add_argument("--n-sklearn", type=int, default=N_FACTORS, choices=range(1, N_FACTORS + 1))
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.n or 10_000)
    else:
        compare(options.n or 4_000, options.n_sklearn)


if __name__ == "__main__":
    main()
