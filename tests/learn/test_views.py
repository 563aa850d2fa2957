"""Any views: image pairs, more than two, shared encoders; and the metrics that come with them."""

from __future__ import annotations

import csv
import math
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch

from m3di.errors import M3diError, UsageError
from m3di.learn import TrainConfig, load_encoders, train_on
from m3di.learn.models.encoder_set import check_shared
from m3di.learn.training import metrics
from m3di.learn.training.inputs import ViewInput
from m3di.learn.training.job import diagnostics
from m3di.learn.training.loggers import LoggedRun

TINY = TrainConfig(
    n_steps=2,
    batch_size=8,
    hidden_size=8,
    image_encoder="tiny-bn",
    text_encoder="tiny",
    precision="fp32",
    diagnostics_every=2,
    tensorboard=False,
)


@pytest.fixture
def triples(make_pairs, tiny_encoder):
    """Two images and a text."""
    pairs = make_pairs()

    class Triples(make_pairs):
        modalities = {"left": "image", "right": "image", "text": "text"}  # noqa: RUF012

        def __getitem__(self, index):
            return {"left": pairs.images[index], "right": 255 - pairs.images[index], "text": pairs.texts[index]}

    return Triples()


def test_image_pairs_and_more_views(triples, tmp_path):
    for name, views in (("pair", ("left", "right")), ("all", None)):
        train_on(triples, tmp_path / name, replace(TINY, views=views))
        encoders = load_encoders(tmp_path / name)
        assert encoders.views == (views or ("left", "right", "text"))
        assert encoders.statistics["left"] != encoders.statistics["right"]
        assert encoders.modules["left"] is not encoders.modules["right"]
        assert encoders.encode("right", triples[[0, 1]]["right"]).shape == (2, 4)


def test_three_views_have_the_loss_of_three_pairs(triples, tmp_path):
    losses = {}
    for views in (None, ("left", "right"), ("left", "text"), ("right", "text")):
        # At a temperature this high all similarities count as equal: log K for each pair of views.
        config = replace(TINY, n_steps=1, views=views, temperature=1e6)
        losses[views] = train_on(triples, tmp_path / str(views), config).final_loss
    assert losses.pop(None) == pytest.approx(3 * math.log(8), rel=1e-4)
    assert list(losses.values()) == pytest.approx([math.log(8)] * 3, rel=1e-4)


def test_shared_encoders(triples, tmp_path):
    result = train_on(triples, tmp_path, replace(TINY, share_encoders=True))
    for encoders in (result.encoders, load_encoders(tmp_path)):
        assert encoders.modules["left"] is encoders.modules["right"]
        assert encoders.modules["left"] is not encoders.modules["text"]
    weights = load_encoders(tmp_path).image.fc.weight
    assert torch.equal(weights, result.encoders.image.fc.weight)


def test_views_that_differ_do_not_share_an_encoder():
    alike = {"a": ViewInput("text", 9, 0, "x"), "image": ViewInput("image"), "b": ViewInput("text", 9, 0, "x")}
    check_shared(alike)
    with pytest.raises(UsageError, match="the views 'a' and 'c' cannot share an encoder"):
        check_shared({**alike, "c": ViewInput("text", 9, 0, "y")})
    with pytest.raises(UsageError, match=r"no two views can share(?s:.)*image \(image\), a \(text\)"):
        check_shared({"image": ViewInput("image"), "a": alike["a"]})


def test_tensorboard_and_csv_have_the_same_numbers(triples, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_on(triples, tmp_path, replace(TINY, n_steps=4, tensorboard=True, val_every=2), val=triples)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, steps in (("loss", [1, 2, 3, 4]), ("val_loss", [2, 4]), ("alignment", [2, 4]), ("entropy", [2, 4])):
        found = {event.step: event.value for event in events.Scalars(name)}
        assert list(found) == steps
        written = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        assert written == pytest.approx(found, rel=1e-6)


def test_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(M3diError, match=r"TensorBoard is not installed(?s:.)*--no-tensorboard"):
        metrics.MetricsLog(tmp_path / "metrics.csv", LoggedRun(tmp_path, {}, 0), ("tensorboard",))


def test_a_half_written_line_is_cut_off(tmp_path):
    path = tmp_path / "metrics.csv"
    header = ",".join(metrics.COLUMNS)
    path.write_text(f"{header}\n1,0.5,,,,1,1,1\n2,0.4,,,,1,1,2\n3,0.3,,,,1,1,3\n4,0.")
    with metrics.MetricsLog(path, LoggedRun(tmp_path, {}, 2)) as log:
        log.write(3, {"loss": 0.25})
    assert path.read_text() == f"{header}\n1,0.5,,,,1,1,1\n2,0.4,,,,1,1,2\n3,0.25,,,,,,\n"


def test_aligned_encodings_have_the_least_alignment():
    z = torch.nn.functional.normalize(torch.randn(64, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    same = diagnostics([z, z], 0.5, "cosine")
    assert same["alignment"] == pytest.approx(-2.0, rel=1e-5)  # -1 / tau
    gathered = diagnostics([z, z[:1].expand(64, 3)], 0.5, "cosine")
    assert gathered["entropy"] < same["entropy"]


@pytest.mark.slow
def test_bf16_has_the_loss_curve_of_fp32(make_pairs, tiny_encoder, tmp_path):
    """Step by step, the two differ by far less than two seeds do."""
    curves = {}
    for name, precision, seed in (("fp32", "fp32", 0), ("bf16", "bf16", 0), ("seed", "fp32", 1)):
        losses: list[float] = []
        config = replace(
            TINY, n_steps=40, lr=3e-3, precision=precision, seed=seed, temperature=0.2, text_encoder="convnet"
        )
        train_on(make_pairs(), tmp_path / name, config, on_step=lambda _step, loss, to=losses: to.append(loss))
        curves[name] = torch.tensor(losses)
    between_seeds = (curves["seed"] - curves["fp32"]).abs().mean()
    assert (curves["bf16"] - curves["fp32"]).abs().mean() < 0.3 * between_seeds
    assert curves["bf16"][-5:].mean() < 0.7 * curves["bf16"][:5].mean()  # and it learns


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler, which differ from one torch to the next
def test_compiled_encoders_compute_the_same(make_pairs, tiny_encoder, tmp_path, monkeypatch):
    # All of the compiler but its last part, which writes C++ and takes minutes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    config = replace(TINY, n_steps=2)
    losses = [
        train_on(make_pairs(), tmp_path / str(each), replace(config, compile=each)).final_loss for each in (True, False)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
