"""Seconds a training step: ours and a plain one as published, same models and batch, in one run.

The plain step: float32, default memory layout, images normalised beforehand, texts as one-hot vectors into a linear
layer, all cosine similarities by broadcasting to [K, K, D], computed once for each direction, Adam as torch gives it.
Ours: what `m3di train` does with a batch of uint8 images and token ids, normalisation included.

Each side runs in its own process, once as the C library is and once with glibc keeping freed memory, which `m3di train`
sets for itself. Pictures are synthetic; data loading is not part of the step.

    python benchmarks/train.py                                     # the two side by side, on the CPU
    python benchmarks/train.py --device cuda --json train.json     # figures of ours on a GPU, with the loader
    python benchmarks/train.py --device cuda --data data/m3di      # the same on a dataset, else on drawn scenes

With --device: milliseconds a step on a batch that is on the device already, eager and compiled, in bf16, TF32 and
float32, what makes the host wait, floating-point operations and the share of a measured peak; then the loader alone,
and training fed by it with each number of workers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from on_device import add_options, settle
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from m3di.data import build_tokenizer
from m3di.latents import captions, load_spec, sample
from m3di.learn import ResNet18, SymInfoNCE, TrainConfig, keep_freed_memory
from m3di.learn.models.encoder_set import build_encoders
from m3di.learn.training.inputs import ImageStatistics, ViewInput
from m3di.learn.training.step import ContrastiveStep, make_optimizer
from m3di.learn.training.update import Updater

D = 4
Step = Callable[[], float]


class OneHotTextConvNet(nn.Module):
    """The text network of the published code's size: a linear layer of one-hot vectors, biased convolutions."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(vocabulary_size, 128)
        layers: list[nn.Module] = []
        for n_in, n_out in ((1, 25), (25, 50), (50, 100)):
            layers += [nn.Conv2d(n_in, n_out, 4, 2, 1), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(100 * 3 * 16, D))

    def forward(self, one_hot: Tensor) -> Tensor:
        return self.layers(self.embedding(one_hot)[:, None])


def broadcast_loss(z1: Tensor, z2: Tensor) -> Tensor:
    """InfoNCE with negatives of both modalities, every similarity from an expanded [K, K, D]."""
    k = len(z1)
    cross = F.cosine_similarity(z1[:, None], z2[None], dim=-1)
    own = [
        F.cosine_similarity(z[:, None], z[None], dim=-1).masked_fill(
            torch.eye(k, dtype=torch.bool, device=z.device), -torch.inf
        )
        for z in (z1, z2)
    ]
    logits = torch.cat([torch.cat([cross, own[0]], 1), torch.cat([own[1], cross.T], 1)])
    return F.cross_entropy(logits, torch.arange(2 * k, device=logits.device))


def plain_step(images: Tensor, tokens: Tensor, vocabulary_size: int) -> Step:
    image, text = (net.to(images.device) for net in (ResNet18(D), OneHotTextConvNet(vocabulary_size)))
    weights = [*image.parameters(), *text.parameters()]
    optimizer = torch.optim.Adam(weights, lr=1e-5)
    pixels = (images.contiguous().float() / 255 - 0.4) / 0.2
    one_hot = F.one_hot(tokens, vocabulary_size).float()

    def step() -> float:
        optimizer.zero_grad()
        z1, z2 = image(pixels), text(one_hot)
        loss = 0.5 * (broadcast_loss(z1, z2) + broadcast_loss(z2, z1))
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 2.0)
        optimizer.step()
        return loss.item()

    return step


def our_step(images: Tensor, tokens: Tensor, vocabulary_size: int, precision: str, compiled: bool) -> Step:
    config = TrainConfig(n_steps=1, batch_size=len(images), lr=1e-5, encoding_size=D)
    inputs = {"image": ViewInput("image"), "text": ViewInput("text", vocabulary_size, 0, "")}
    statistics_of = {"image": ImageStatistics((0.4, 0.4, 0.4), (0.2, 0.2, 0.2), 1)}
    encoders = build_encoders(inputs, config, statistics_of).train()
    module = ContrastiveStep(encoders, SymInfoNCE(negatives="all"), precision, compiled=compiled)
    optimizer = make_optimizer(module, config)
    updater = Updater(optimizer, module.parameters(), 2.0, lambda: 1.0, late=False)
    batch = {"image": images, "text": tokens}
    return lambda: updater.make(1, module(batch)[0], 1e-5)[0].loss


def measure(side: str, batch_size: int, size_px: int, n_steps: int) -> dict[str, object]:
    """In a process of its own: median seconds a step, and the losses, which show that all sides learn alike."""
    torch.manual_seed(0)
    spec = load_spec("m3di")
    tokenizer = build_tokenizer(spec, "text")
    texts = captions(sample(spec, "train", batch_size), "text")
    tokens = torch.tensor([tokenizer.encode(text) for text in texts])
    images = torch.randint(0, 256, (batch_size, size_px, size_px, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    torch.manual_seed(1)
    n_words = len(tokenizer.vocabulary)
    if side == "plain":
        step = plain_step(images, tokens, n_words)
    else:
        step = our_step(images, tokens, n_words, side.split()[1], "compile" in side)
    seconds, losses = [], []
    for _ in range(n_steps + 1):
        start = time.perf_counter()
        losses.append(step())
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds[1:]), "losses": losses}


def run_side(side: str, keeps: bool, arguments: argparse.Namespace) -> dict[str, object]:
    command = [sys.executable, __file__, "--child", side, "--batch-size", str(arguments.batch_size)]
    command += ["--size", str(arguments.size), "--steps", str(arguments.steps)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [*command, *(["--keep"] if keeps else [])], env=environment, capture_output=True, text=True, check=True
    )
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--data", type=Path, help="with --device: a dataset to load  [default: drawn scenes]")
    parser.add_argument("--n", type=int, help="with --device: drawn scenes  [default: four batches]")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 8], help="with --device: of the loader")
    parser.add_argument("--no-compile", action="store_true", help="with --device: leave torch.compile out")
    parser.add_argument("--batch-size", type=int, help="[default: 64; with --device cuda 256, with --quick 4]")
    parser.add_argument("--size", type=int, help="pixels  [default: 224; with --quick 32]")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--sides", nargs="+", default=["plain", "ours fp32", "ours bf16"])
    parser.add_argument("--child")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    large = 256 if arguments.device == "cuda" else 64
    arguments.batch_size = arguments.batch_size or (4 if arguments.quick else large)
    arguments.size = arguments.size or (32 if arguments.quick else 224)
    if arguments.device:
        settle(arguments)
        from train_figures import run

        sys.exit(run(arguments, plain_step))
    if arguments.child:
        if arguments.keep and not keep_freed_memory():
            sys.exit("the C library is not glibc: it cannot be told to keep freed memory")
        print(json.dumps(measure(arguments.child, arguments.batch_size, arguments.size, arguments.steps)))
        return
    results = {(side, keeps): run_side(side, keeps, arguments) for side in arguments.sides for keeps in (False, True)}
    table = Table("side", "allocator", "s/step", "images/s", "times faster", "first loss", "last loss")
    plain = results[arguments.sides[0], False]["seconds"]
    for (side, keeps), result in results.items():
        seconds, losses = result["seconds"], result["losses"]
        table.add_row(
            *(side, "keeps freed memory" if keeps else "as it is", f"{seconds:.3f}"),
            *(
                f"{arguments.batch_size / seconds:.1f}",
                f"{plain / seconds:.2f}",
                f"{losses[0]:.4f}",
                f"{losses[-1]:.4f}",
            ),
        )
    Console(width=120).print(table)
    machine = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {machine}")


if __name__ == "__main__":
    main()
