"""Evaluate the encoders of a simulation: probe every block of latents, on new samples."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from m3di.evaluate.probes.kernel_ridge import search_kernel_ridge
from m3di.evaluate.r2 import r2_scores
from m3di.evaluate.standardised import standardise
from m3di.learn.losses import asymptotic_terms
from m3di.learn.training.precision import float32_products
from m3di.simulate.process import Latents
from m3di.simulate.simulation import Simulation

Floats = NDArray[np.float64]
Row = dict[str, object]
SCORES = ("observed", "permuted content")
CHUNK = 4096


def evaluate(simulation: Simulation) -> dict[str, object]:
    """Probe both encoders as the paper does, and under the intervention of its figure 8.

    Probes are fitted on `n_eval` new samples and scored on as many others; encodings are standardised by the former.
    Numbers: R2 of RBF kernel ridge regression and of linear regression, averaged over a block's dimensions. Classes:
    accuracy of RBF kernel ridge and linear regression on class indicators, the highest winning, averaged likewise.
    Under the intervention content is permuted between the samples that encoders see; `content` is then what it was
    before, `content'` what the encoders saw.

    Returns:
        For results.json: `loss` (mean over as many newly drawn samples, in batches as trained), the asymptotic terms,
        and `rows`, one a combination of data, modality, block and estimator, with its value and chance level.
    """
    config = simulation.config
    n_batches = max(1, round(config.n_eval / config.batch_size))
    generator = torch.Generator(simulation.device).manual_seed(config.evaluation_seed)
    with float32_products(config.precision, simulation.device), torch.no_grad():
        fit, test = (simulation.process.sample(config.n_eval, generator) for _ in range(2))
        loss = float(np.mean([simulation.loss(generator).item() for _ in range(n_batches)]))
        rows = _rows(simulation, fit, test, fit, test, SCORES[0])
        fit_seen, test_seen = (latents.with_permuted_content(generator) for latents in (fit, test))
        rows += _rows(simulation, fit, test, fit_seen, test_seen, SCORES[1])
        terms = asymptotic_terms(*simulation.encode(test), temperature=config.temperature, similarity=config.similarity)
    return {
        "loss": loss,
        "alignment": terms.alignment,
        "entropy": [terms.entropy1, terms.entropy2],
        "n_eval": config.n_eval,
        "eval_seed": config.evaluation_seed,
        "n_steps": simulation.n_done,
        "rows": rows,
    }


def _rows(
    simulation: Simulation, fit: Latents, test: Latents, fit_seen: Latents, test_seen: Latents, data: str
) -> list[Row]:
    """Probes from the encodings of the seen latents to the latents."""
    rows: list[Row] = []
    encodings = zip(_encode(simulation, fit_seen), _encode(simulation, test_seen), strict=True)
    for modality, (fit_z, test_z) in enumerate(encodings, start=1):
        fit_z, test_z = standardise(fit_z, test_z)
        targets = zip(
            _blocks(fit, modality, fit_seen if data == SCORES[1] else None),
            _blocks(test, modality, test_seen if data == SCORES[1] else None),
            strict=True,
        )
        for (block, fit_y), (_, test_y) in targets:
            if fit_y.shape[1] == 0:
                continue
            name = "content" if block.startswith("content") else block
            if name in simulation.config.discrete:
                classes = simulation.process.classes
                scores = _accuracies(fit_z, _array(classes(fit_y)), test_z, _array(classes(test_y)))
            else:
                scores = _r2s(fit_z, _array(fit_y), test_z, _array(test_y))
            rows += [{"data": data, "modality": modality, "block": block, **score} for score in scores]
    return rows


def _blocks(latents: Latents, modality: int, seen: Latents | None) -> list[tuple[str, torch.Tensor]]:
    """The latents of one modality by block; `seen` adds the content that an intervention set."""
    style = latents.style if modality == 1 else latents.changed_style
    private = latents.modality1 if modality == 1 else latents.modality2
    blocks = [("content", latents.content), ("style", style), ("modality", private)]
    return blocks if seen is None else [*blocks, ("content'", seen.content)]


def _encode(simulation: Simulation, latents: Latents) -> tuple[Floats, Floats]:
    z1, z2 = simulation.encode(latents)
    return _array(z1), _array(z2)


def _r2s(fit_z: Floats, fit_y: Floats, test_z: Floats, test_y: Floats) -> list[Row]:
    fit_y, test_y = standardise(fit_y, test_y)
    predictions = _predictions(fit_z, fit_y, test_z)
    return [
        {"estimator": name, "metric": "r2", "value": float(r2_scores(test_y, predicted).mean()), "chance": 0.0}
        for name, predicted in predictions.items()
    ]


def _accuracies(fit_z: Floats, fit_y: Floats, test_z: Floats, test_y: Floats) -> list[Row]:
    """Of class numbers [n, k], by regression on one column a class of every dimension."""
    values = [np.unique(column) for column in fit_y.T]
    indicators = np.concatenate([fit_y[:, [k]] == known for k, known in enumerate(values)], axis=1).astype(float)
    shares = indicators.mean(axis=0)
    predictions = _predictions(fit_z, indicators - shares, test_z)
    edges = np.cumsum([len(known) for known in values])[:-1]
    chance = float(np.mean([part.max() for part in np.split(shares, edges)]))
    rows: list[Row] = []
    for name, predicted in predictions.items():
        parts = np.split(predicted + shares, edges, axis=1)
        pairs = zip(values, parts, test_y.T, strict=True)
        hits = [known[part.argmax(axis=1)] == true for known, part, true in pairs]
        rows.append({"estimator": name, "metric": "accuracy", "value": float(np.mean(hits)), "chance": chance})
    return rows


def _predictions(fit_z: Floats, fit_y: Floats, test_z: Floats) -> dict[str, Floats]:
    """[n_test, T] by estimator; targets are centred."""
    linear, *_ = np.linalg.lstsq(fit_z, fit_y, rcond=None)
    ridge = search_kernel_ridge(fit_z, fit_y)
    return {"kernel ridge": ridge.predict(test_z), "linear": np.asarray(test_z @ linear)}


def _array(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
