"""The protocol on encoders whose scores are known beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from m3di.errors import M3diError, UsageError
from m3di.evaluate import Encoded, FactorValues, Protocol, Score, gather, over_seeds, score, to_table, write_results
from m3di.evaluate.metric import METRICS
from m3di.evaluate.results import is_made_by

N, M = 150, 100
RNG = np.random.default_rng(0)
CONTENT = RNG.integers(0, 3, size=N + M)
STYLE = CONTENT + RNG.uniform(-0.5, 0.5, size=N + M)  # R2 of content alone: (2/3) / (2/3 + 1/12) = 8/9
HUE = RNG.uniform(size=N + M)


def factor(name: str, role: str, kind: str, values: np.ndarray, **more: object) -> FactorValues:
    return FactorValues("image", name, role, kind, values[:N], values[N:], **more)  # type: ignore[arg-type]


FACTORS = (
    factor("shape", "content", "label", CONTENT, bound=1.0),
    factor("size", "style", "scalar", STYLE, bound=8 / 9),
    factor("hue", "private", "hue", HUE, angle=(2 * np.pi * HUE[:N], 2 * np.pi * HUE[N:]), bound=0.0),
)


def encoded(*columns: np.ndarray) -> Encoded:
    z = np.stack(columns, axis=1).astype(np.float64)
    return Encoded("run", {"image": (z[:N], z[N:])}, {"image": FACTORS})


def scores(of: Encoded, *probes: str) -> dict[tuple[str, str, str], float]:
    found = score(of, Protocol(probes or Protocol().probes, n_bootstrap=50))
    return {(each.factor, each.estimator, each.metric): each.value for each in found}


@pytest.mark.slow
def test_an_encoder_of_content_alone_leaks_nothing() -> None:
    one_hot = [value == CONTENT for value in range(3)]
    found = scores(encoded(*one_hot), "linear", "kernel_ridge", "logistic", "mlp", "leakage", "dci")
    assert found["image.shape", "logistic", "accuracy"] == 1.0
    assert found["image.shape", "mlp", "accuracy"] == 1.0
    for estimator in ("linear", "kernel_ridge"):
        assert found["image.size", estimator, "r2"] == pytest.approx(8 / 9, abs=0.03)
        assert -0.2 < found["image.hue", estimator, "r2"] < 0.06
    assert found["image.size", "kernel_ridge", "leakage"] == pytest.approx(0.0, abs=0.01)
    assert found["image.hue", "kernel_ridge", "leakage"] == pytest.approx(0.0, abs=0.01)
    assert ("image.shape", "logistic", "leakage") not in found


def test_an_encoder_of_everything_leaks_and_its_hue_is_circular() -> None:
    found = scores(
        encoded(CONTENT, STYLE, np.cos(2 * np.pi * HUE), np.sin(2 * np.pi * HUE)), "linear", "kernel_ridge", "leakage"
    )
    assert found["image.size", "linear", "r2"] == pytest.approx(1.0)
    assert found["image.hue", "linear", "circular_r2"] == pytest.approx(1.0)
    assert found["image.hue", "linear", "r2"] < 0.8  # a line cannot follow the jump from 1 to 0
    assert found["image.size", "kernel_ridge", "leakage"] == pytest.approx(1 / 9, abs=0.03)
    assert found["image.hue", "kernel_ridge", "leakage"] > 0.8


def test_the_leakage_of_a_label_is_linear_and_has_no_bound() -> None:
    content = np.random.default_rng(4).normal(size=N + M)
    label = (np.abs(content) > 0.67).astype(np.int64)
    factors = (
        factor("x", "content", "scalar", content),
        factor("far", "style", "label", label),
        factor("size", "style", "scalar", content**2),
    )
    for columns, leaks in (((content,), False), ((3 - 2 * content,), False), ((content, content**2), True)):
        of = replace(encoded(*columns), factors={"image": factors})
        number, far = score(of, Protocol(("leakage",), n_bootstrap=20))
        assert (number.factor, number.bound) == ("image.size", 0.0) and abs(number.value) < 0.1
        assert np.isnan(far.bound)
        assert far.value > 0.3 if leaks else far.value == pytest.approx(0.0, abs=0.02)


def test_which_factors_are_probed_for_does_not_change_what_content_tells() -> None:
    whole = encoded(CONTENT, STYLE)
    chosen = replace(whole, factors={"image": FACTORS[1:2]}, all_factors=whole.factors)
    key = ("image.size", "kernel_ridge", "leakage")
    assert scores(chosen, "leakage") == {key: pytest.approx(scores(whole, "leakage")[key])}


@pytest.mark.slow
def test_a_useless_encoder_is_at_chance() -> None:
    found = scores(encoded(*RNG.normal(size=(2, N + M))))
    assert found["image.size", "kernel_ridge", "r2"] < 0.1
    assert found["image.shape", "logistic", "accuracy"] < 0.5
    assert found["image.size", "kernel_ridge", "leakage"] < -0.7
    assert found["all", "pearson", "mcc"] < 0.25
    assert found["all", "random_forest", "disentanglement"] < 0.3


@pytest.mark.slow
def test_every_number_says_how_to_read_it() -> None:
    of = encoded(CONTENT, STYLE)
    of = replace(of, encodings={**of.encodings, "text": of.encodings["image"]}, factors={**of.factors, "text": ()})
    of = replace(of, pairs=(("image", "text"),))
    for each in score(of, Protocol(n_bootstrap=50)):
        assert each.estimator and each.metric
        if each.metric in ("r2", "accuracy"):
            assert np.isfinite([each.chance, each.bound, each.ci_low, each.ci_high]).all()
        if each.metric not in ("disentanglement", "completeness", "informativeness", "mig", "sap", "modularity"):
            assert each.ci_low <= each.value <= each.ci_high, each
    found = {(each.view, each.factor, each.metric): each for each in score(of, Protocol(("retrieval", "alignment")))}
    assert found["image", "text", "alignment"].value == pytest.approx(0.0, abs=1e-12)
    assert found["text", "image", "recall@10"].chance == pytest.approx(10 / M)


def test_factors_that_were_not_chosen_are_looked_at_too() -> None:
    short = replace(FACTORS[0], test=FACTORS[0].test[1:])
    of = replace(encoded(CONTENT), factors={"image": FACTORS[1:]}, all_factors={"image": (short, *FACTORS[1:])})
    with pytest.raises(M3diError, match=r"different numbers of samples(?s:.)*image\.shape \(a factor\): 150 and 99"):
        score(of, Protocol(("mcc",)))


def test_chance_is_the_share_of_the_most_frequent_label_of_the_test() -> None:
    values = np.array([0] * 6 + [1] * 4 + [0, 1, 1, 1])
    assert FactorValues("v", "f", "", "label", values[:10], values[10:]).chance == 0.75
    held_out = np.array([1, 2, 2, 1])  # what the fit has most is not there
    assert FactorValues("v", "f", "", "label", values[:10], held_out).chance == 0.5


def test_a_probe_of_noise_is_not_above_chance_where_the_test_has_other_labels() -> None:
    labels = np.concatenate([np.repeat([0, 1, 2], [60, 45, 45]), np.resize([1, 2], M)])
    of = replace(encoded(RNG.normal(size=N + M)), factors={"image": (factor("shape", "", "label", labels),)})
    (found,) = score(of, Protocol(("logistic",), n_bootstrap=20))
    assert 0.0 <= found.value < found.chance == 0.5


def test_a_factor_that_is_constant_in_the_test_has_no_r2() -> None:
    still = replace(FACTORS[1], test=np.ones(M))
    of = replace(encoded(CONTENT, STYLE), factors={"image": (still,)})
    (found,) = score(of, Protocol(("linear",), n_bootstrap=50))
    assert np.isnan(found.value)


@pytest.mark.parametrize("still", [np.full(M, 0.1), np.resize([0.0, 1.0], M), np.full(M, 1 / 3)])
def test_a_hue_that_is_constant_in_the_test_has_neither_score_nor_interval(still: np.ndarray) -> None:
    """Its mean, or its cosine, differs from it by rounding; 0 and 1 are one hue."""
    hue = replace(FACTORS[2], test=still, angle=(2 * np.pi * HUE[:N], 2 * np.pi * still))
    of = replace(encoded(CONTENT, STYLE), factors={"image": (FACTORS[0], hue)})
    found = score(of, Protocol(("linear", "kernel_ridge", "leakage"), n_bootstrap=50))
    circulars = [each for each in found if each.metric == "circular_r2"]
    assert len(circulars) == 2 and np.isnan([each.value for each in circulars]).all()
    assert np.isnan([[each.ci_low, each.ci_high] for each in circulars]).all()
    if np.ptp(still) == 0:
        others = [each for each in found if each.factor == "image.hue"]
        assert len(others) == 5 and np.isnan([[each.value, each.ci_low, each.ci_high] for each in others]).all()


@pytest.mark.slow
def test_a_factor_that_does_not_vary_in_the_test_counts_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an intervention sets has no chance of being found."""
    probes = ("mcc", "sap", "dci", "mig", "modularity")
    still = replace(FACTORS[1], test=np.full(M, 0.1))
    place = factor("place", "content", "scalar", STYLE + HUE)
    without = encoded(CONTENT, STYLE, HUE)
    alone = replace(without, factors={"image": (FACTORS[0], place, FACTORS[2])})
    beside = replace(without, factors={"image": (FACTORS[0], still, place, FACTORS[2])})
    assert scores(beside, *probes) == scores(alone, *probes)
    content = replace(without, factors={"image": (replace(still, role="content"),)})
    assert scores(content, *probes) == {}  # nothing is left to find


def test_the_same_data_give_the_same_scores() -> None:
    of = encoded(CONTENT, STYLE)
    assert [str(each) for each in score(of, Protocol(n_bootstrap=20))] == [
        str(each) for each in score(of, Protocol(n_bootstrap=20))
    ]


Z = RNG.normal(size=(N, 2))


@pytest.mark.parametrize(
    ("fit", "test", "said"),
    [
        (Z, Z[:, :1], "different sizes"),
        (Z, np.full((M, 2), np.inf), "not finite"),
        (Z[0], Z, "not a table of numbers"),
        (Z.astype(int), Z, "not a table of numbers"),
        (Z, Z[: M - 1], "different numbers of samples"),
    ],
)
def test_bad_encodings_are_refused(fit: np.ndarray, test: np.ndarray, said: str) -> None:
    with pytest.raises(M3diError, match=said):
        score(Encoded("run", {"image": (fit, test)}, {"image": FACTORS}))


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(M3diError, match="too few samples"):
        score(Encoded("run", {"image": (Z[:4], Z[:4])}, {"image": ()}))


def test_a_factor_that_is_not_finite_is_refused() -> None:
    bad = replace(FACTORS[1], test=np.full(M, np.nan))
    with pytest.raises(M3diError, match="a factor has values that are not finite"):
        score(replace(encoded(CONTENT), factors={"image": (bad,)}))


def test_bad_protocols_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no metric is called 'linaer'(.|\n)*did you mean 'linear'"):
        Protocol(("linaer",))
    with pytest.raises(UsageError, match="number of resamples"):
        Protocol(n_bootstrap=0)


def test_disentanglement_of_the_protocol() -> None:
    found = scores(encoded(CONTENT, RNG.normal(size=N + M)), "mig", "sap", "modularity")
    assert found.keys() == {
        ("all", "histogram", "mig"),
        ("all", "one_dimension", "sap"),
        ("all", "histogram", "modularity"),
    }
    assert 0.3 < found["all", "one_dimension", "sap"] < 0.6  # of three factors, one wholly and one to 8/9
    assert 0.2 < found["all", "histogram", "mig"] < 0.6


def test_intervals_stay_where_the_metric_ends() -> None:
    """Student's t of three seeds near 1 reaches far beyond it, and so does a linearised bootstrap."""
    of = encoded(CONTENT, STYLE)
    tables = [
        to_table(of, [Score("image", "image.shape", "", "", "logistic", metric, value)])
        for metric in ("accuracy", "r2", "recall@1", "leakage")
        for value in (1.0, 0.99, 0.9)
    ]
    rows = {row["metric"]: row for row in over_seeds(gather(tables)).to_pylist()}
    half = 4.302653 * np.std([1.0, 0.99, 0.9], ddof=1) / np.sqrt(3)
    for metric in ("accuracy", "r2", "recall@1"):
        assert rows[metric]["ci_high"] == 1.0
        assert rows[metric]["ci_low"] == pytest.approx(2.89 / 3 - half)
    assert rows["leakage"]["ci_high"] == pytest.approx(2.89 / 3 + half)
    low = [to_table(of, [Score("image", "image.shape", "", "", "logistic", "accuracy", x)]) for x in (0.0, 0.01, 0.2)]
    assert over_seeds(gather(low)).to_pylist()[0]["ci_low"] == 0.0
    dead = encoded(np.zeros(N + M), np.zeros(N + M))
    (uniformity,) = score(dead, Protocol(("alignment",), n_bootstrap=20))
    assert (uniformity.value, uniformity.ci_low, uniformity.ci_high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("of", [encoded(CONTENT, STYLE), encoded(np.zeros(N + M), np.zeros(N + M))])
def test_no_interval_leaves_the_range_of_its_metric(of: Encoded) -> None:
    of = replace(of, encodings={**of.encodings, "text": of.encodings["image"]}, factors={**of.factors, "text": ()})
    wanted = tuple(name for name in Protocol().probes if name not in ("mlp", "kernel_ridge"))
    ranges = {each.score: each for metric in METRICS.values() for each in metric.scores}
    for each in score(replace(of, pairs=(("image", "text"),)), Protocol(wanted, n_bootstrap=50)):
        _, least, most = ranges[each.metric]
        assert not (each.ci_low < least or each.ci_high > most or not least <= each.value <= most), each
        assert not each.ci_high < each.ci_low


def test_the_spread_over_seeds_is_that_of_a_sample() -> None:
    """Divided by n - 1: the seeds are a few out of many; of one seed there is none."""
    of = encoded(CONTENT, STYLE)
    scored = [Score("image", "image.shape", "", "", "logistic", "accuracy", value) for value in (0.5, 0.6, 0.8)]
    (row,) = over_seeds(gather([to_table(of, [each]) for each in scored])).to_pylist()
    assert row["n_seeds"] == 3
    assert row["mean"] == pytest.approx(19 / 30)
    assert row["std"] == pytest.approx(0.1527525)
    (row,) = over_seeds(to_table(of, scored[:1])).to_pylist()
    assert (row["n_seeds"], row["mean"], row["std"], row["ci_low"], row["ci_high"]) == (1, 0.5, None, None, None)


def test_results_are_made_by_exactly_what_is_noted(tmp_path: Path) -> None:
    """Else results of another protocol would be taken for those asked for."""
    path, table = tmp_path / "it.parquet", to_table(encoded(CONTENT, STYLE), [])
    assert not is_made_by(path, {"n": 1})
    write_results(path, table, {"n": 1, "seed": 2})
    assert is_made_by(path, {"seed": 2, "n": 1})
    assert not is_made_by(path, {"n": 1, "seed": 3})
    assert not is_made_by(path, {"n": 1})
    write_results(path, table)
    assert not is_made_by(path, {})
