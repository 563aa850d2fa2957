"""Every metric on a perfect, a useless, a redundant and a tied encoder, and one of a package's own, to its table."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pytest
from click.testing import CliRunner

from m3di.cli.main import cli
from m3di.errors import UsageError
from m3di.evaluate import METRICS, Encoded, FactorValues, Metric, Protocol, Score, register_metric, score, write_npz
from m3di.evaluate.metric import SCOPES, cut_to_range
from tests.conftest import write_package

N, M = 60, 40
RNG = np.random.default_rng(0)
LABEL = RNG.integers(0, 3, size=N + M)
SIZE = LABEL + RNG.uniform(-0.5, 0.5, size=N + M)
HUE = RNG.uniform(size=N + M)


def factor(name: str, role: str, kind: str, values: np.ndarray, **more: object) -> FactorValues:
    return FactorValues("image", name, role, kind, values[:N], values[N:], **more)  # type: ignore[arg-type]


FACTORS = (
    factor("shape", "content", "label", LABEL, bound=1.0),
    factor("size", "style", "scalar", SIZE),
    factor("hue", "private", "hue", HUE, angle=(2 * np.pi * HUE[:N], 2 * np.pi * HUE[N:])),
)
PERFECT = np.stack([LABEL, SIZE, HUE], axis=1).astype(np.float64)
ENCODERS = {
    "perfect": PERFECT,
    "useless": RNG.normal(size=(N + M, 3)),
    "redundant": np.concatenate([PERFECT, -2.0 * PERFECT], axis=1),
    "tied": np.ones((N + M, 3)),
}


def encoded(of: np.ndarray) -> Encoded:
    both = (of[:N], of[N:])
    return Encoded("run", {"image": both, "text": both}, {"image": FACTORS, "text": ()}, pairs=(("image", "text"),))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds hold after few epochs too."""
    monkeypatch.setattr("m3di.evaluate.probes.mlp.MAX_ITERATIONS", 50)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", METRICS.own())
def test_every_metric_gives_finite_values_within_its_bounds(name: str, encoder: str) -> None:
    found = score(encoded(ENCODERS[encoder]), Protocol((name,), n_bootstrap=20))
    ranges = {each.score: each for each in METRICS[name].scores}
    assert {each.metric for each in found} == ranges.keys()  # all that it states, and nothing else
    for each in found:
        _, least, most = ranges[each.metric]
        assert np.isfinite(each.value), each
        assert least - 1e-9 <= each.value <= most + 1e-9, each
        assert not (each.ci_low < least or each.ci_high > most), each
        assert each.estimator


@pytest.mark.parametrize("name", METRICS.own())
def test_every_metric_tells_a_perfect_encoder_from_a_tied_one(name: str) -> None:
    perfect, tied = (
        {each.key: each.value for each in score(encoded(ENCODERS[of]), Protocol((name,), n_bootstrap=2))}
        for of in ("perfect", "tied")
    )
    assert any(abs(perfect[key] - tied[key]) > 0.1 for key in perfect.keys() & tied.keys())


def test_every_metric_says_what_it_is() -> None:
    for name in METRICS.own():
        metric = METRICS[name]
        assert metric.scope in SCOPES
        assert inspect.getdoc(metric) != inspect.getdoc(Metric)
        assert all(each.least < each.most for each in metric.scores)


def test_results_are_in_order_of_what_they_are_of() -> None:
    assert Protocol(("retrieval", "mcc", "linear", "mcc")).probes == ("linear", "mcc", "retrieval")
    assert set(Protocol().probes) == set(METRICS)
    assert Protocol().probes[0] == "kernel_ridge"


def test_what_no_metric_states_has_no_range() -> None:
    assert cut_to_range("val_loss", -3.0, 7.0) == (-3.0, 7.0)
    assert cut_to_range("accuracy", -3.0, 7.0) == (0.0, 1.0)
    assert cut_to_range("r2", -3.0, 7.0) == (-3.0, 1.0)


def test_a_score_that_a_metric_does_not_state_is_refused(registries: None) -> None:
    @register_metric("forgetful")
    class Forgetful(Metric):
        """States nothing."""

        def of_view(self, z: object) -> Iterator[Score]:
            yield Score("image", "all", "", "", "none", "surprise", 1.0)

    with pytest.raises(UsageError, match=r"forgetful gives a score that it does not state(?s:.)*surprise"):
        score(encoded(PERFECT), Protocol(("forgetful",)))


NORM = """
import numpy as np
from m3di.evaluate import Metric, Range, Score, register_metric

@register_metric("norm")
class Norm(Metric):
    '''Mean length of an encoding, and how the lengths of two views agree.'''

    scores = (Range("length", 0.0, np.inf), Range("agreement", -1.0, 1.0))

    def of_view(self, z):
        lengths = np.linalg.norm(z.raw, axis=1)
        found = Score(z.name, "all", "", "", "norm", "length", float(lengths.mean()))
        yield found.with_resampled(z.resamples.means(lengths))
"""


@pytest.mark.parametrize("how", ["--import", "entry point"])
def test_a_metric_of_a_users_own_is_one_file(how: str, extension_folder: Path) -> None:
    folder = extension_folder
    write_npz(folder / "mine.npz", encoded(PERFECT), "")
    options = ["--import", "norms"]
    if how == "entry point":
        write_package(folder, "norms", NORM, "[m3di.metrics]\nnorm = norms:Norm\n")
        sys.path.append(str(folder))
        options = []
    else:
        (folder / "norms.py").write_text(NORM)
    # Named, and among all others that are asked for by naming none.
    arguments = ["evaluate", "mine.npz", *options, "--probes", "norm,linear", "--n-bootstrap", "20", "--out"]
    result = CliRunner().invoke(cli, [*arguments, "mine.csv"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "length" in result.output
    rows = [row for row in pacsv.read_csv("mine.csv").to_pylist() if row["metric"] == "length"]
    assert {row["view"] for row in rows} == {"image", "text"}
    assert rows[0]["value"] == pytest.approx(np.linalg.norm(PERFECT[N:], axis=1).mean())
    assert rows[0]["ci_low"] < rows[0]["value"] < rows[0]["ci_high"]
    assert "norm" in Protocol().probes
    write_npz(folder / "other.npz", encoded(2.0 * PERFECT), "")
    arguments = ["compare", "mine.npz", "other.npz", *options, "--probes", "norm", "--n-bootstrap", "20"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "length" in result.output
