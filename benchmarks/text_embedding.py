"""How wide the text embedding starts, and whether its padding row is trained: four text encoders side by side.

python benchmarks/text_embedding.py                       # 4 encoders, 3 seeds
python benchmarks/text_embedding.py --lr 1e-3 1e-4        # at two learning rates
python benchmarks/text_embedding.py --steps 50 --seeds 1  # does it run?

Captions of the spec `m3di` are trained against an MLP that sees the image view's own factors in place of an image, so
nothing is rendered. Written are the loss on pairs not trained on, and what a linear classifier reads from the text
encodings of each content factor.
"""

from __future__ import annotations

import argparse
import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn

from m3di.data import build_tokenizer
from m3di.evaluate.probes import predict_logistic, standardise
from m3di.latents import Samples, captions, load_spec, sample
from m3di.learn import MLP, SymInfoNCE, TextConvNet

N_TRAIN, N_VAL, BATCH, ENCODING_SIZE, TAU = 8000, 2000, 128, 8, 0.1
CONTENT = ("object_shape", "object_xpos", "object_ypos")


def views(samples: Samples) -> tuple[Tensor, Tensor]:
    """Factors of the image view as numbers [N, F], labels as indicators; token ids [N, L]."""
    columns = []
    for name, values in samples.views["image"].items():
        factor = samples.spec.factors[name]
        if factor.kind == "seed":
            continue
        if factor.type == "categorical":
            columns.append(np.eye(int(values.max()) + 1)[values.astype(int)])
        else:
            columns.append(((values - values.mean()) / (values.std() + 1e-9))[:, None])
    tokenizer = build_tokenizer(samples.spec, "text")
    tokens = [tokenizer.encode(text) for text in captions(samples, "text")]
    return torch.tensor(np.concatenate(columns, axis=1), dtype=torch.float32), torch.tensor(tokens)


def text_encoder(n_tokens: int, *, narrow: bool, trained_padding: bool) -> TextConvNet:
    """The encoder with the embedding of one of the four."""
    encoder = TextConvNet(n_tokens, ENCODING_SIZE)
    wanted = nn.Embedding(n_tokens, 128, padding_idx=None if trained_padding else 0)
    if narrow:  # as a linear layer of one-hot tokens starts
        nn.init.uniform_(wanted.weight, -1 / math.sqrt(n_tokens), 1 / math.sqrt(n_tokens))
    else:
        nn.init.normal_(wanted.weight)
    if not trained_padding:
        with torch.no_grad():
            wanted.weight[0] = 0
    encoder.embedding = wanted
    return encoder


def train(data: tuple[Tensor, Tensor], encoder: TextConvNet, lr: float, n_steps: int, seed: int) -> MLP:
    """Train both encoders; the one of the factors."""
    factors, tokens = data
    other, loss_of = MLP(factors.shape[1], ENCODING_SIZE, (100, 100)), SymInfoNCE(TAU)
    optimizer = torch.optim.Adam([*encoder.parameters(), *other.parameters()], lr=lr)
    draws = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        rows = torch.randint(len(tokens), (BATCH,), generator=draws)
        loss = loss_of(other(factors[rows]), encoder(tokens[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return other


def measure(encoder: TextConvNet, other: MLP, val: tuple[Tensor, Tensor], samples: Samples) -> list[float]:
    """Loss in batches as in training, then the accuracy of each content factor."""
    encoder.eval()
    with torch.no_grad():
        z, partner = encoder(val[1]), other(val[0])
        losses = [SymInfoNCE(TAU)(partner[i : i + BATCH], z[i : i + BATCH]) for i in range(0, N_VAL - BATCH, BATCH)]
    half = N_VAL // 2
    fit, test = standardise(z[:half].double().numpy(), z[half:].double().numpy())
    scores = []
    for name in CONTENT:
        labels = samples.views["text"][name].astype(int)
        scores.append(float(np.mean(predict_logistic(fit, labels[:half], test) == labels[half:])))
    return [float(torch.stack(losses).mean()), *scores]


def main() -> None:
    """Print a table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-3])
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = load_spec("m3di")
    samples = sample(spec, "val", N_VAL)
    data, val = views(sample(spec, "train", N_TRAIN)), views(samples)
    n_tokens = len(build_tokenizer(spec, "text").vocabulary)
    print(f"{n_tokens} tokens; narrow: standard deviation {1 / math.sqrt(3 * n_tokens):.4f}; {options.steps} steps")
    print("| lr | start | padding row | validation loss | " + " | ".join(CONTENT) + " |\n|---|---|---|---|---|---|---|")
    for lr, narrow, trained_padding in itertools.product(options.lr, (False, True), (False, True)):
        found = []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            encoder = text_encoder(n_tokens, narrow=narrow, trained_padding=trained_padding)
            found.append(measure(encoder, train(data, encoder, lr, options.steps, seed), val, samples))
        mean, std = np.mean(found, axis=0), np.std(found, axis=0, ddof=min(1, options.seeds - 1))
        words = ("narrow" if narrow else "wide", "trained" if trained_padding else "zeros")
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, std, strict=True)]
        print(f"| {lr:g} | {words[0]} | {words[1]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
