"""One loader, `DataLoader(dataset, batch_sampler=Batches(...), collate_fn=whole_batch)`, in the loops people write."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from m3di import Multimodal3DIdent
from m3di.data import Batches, BatchLoader, whole_batch
from m3di.errors import UsageError
from tests.conftest import slow

BATCH = 3
N_BATCHES = 7  # of the 20 samples; the last has 2


def loader_of(
    dataset: Any, n_workers: int = 0, kind: type[DataLoader[Any]] = DataLoader, **options: Any
) -> DataLoader[Any]:
    batches = Batches(dataset, BATCH, **options)
    return kind(dataset, batch_sampler=batches, collate_fn=whole_batch, num_workers=n_workers)


def expected_epochs(dataset: Multimodal3DIdent, n: int, **options: Any) -> list[list[list[str]]]:
    """Captions of each batch of each epoch."""
    order = Batches(dataset, BATCH, **options)
    return [[dataset[indices]["caption"] for indices in order.rest(epoch, 0)] for epoch in range(n)]


def captions_of(batches: Iterable[Any]) -> list[list[str]]:
    return [batch["caption"] for batch in batches]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Others' warnings about themselves are not ours to fix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_a_whole_batch_is_what_torch_collates(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    for some in (dataset, Subset(dataset, range(3, 15))):
        for whole, stacked in zip(
            loader_of(some),
            DataLoader(some, batch_sampler=Batches(some, BATCH)),
            strict=True,  # type: ignore[arg-type]
        ):
            assert whole["caption"] == stacked["caption"]
            assert torch.equal(whole["image"], stacked["image"])
            assert torch.equal(whole["text"], stacked["text"])
            assert torch.equal(whole["z_image"]["object_color"], stacked["z_image"]["object_color"])
            assert whole["image"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(whole_batch([{"x": 1}, {"x": 2}])["x"], torch.tensor([1, 2]))


@pytest.mark.parametrize("n_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_plain_loop(fake_dataset: Path, n_workers: int) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    expected = expected_epochs(dataset, 4)
    loader = loader_of(dataset, n_workers)
    assert captions_of(islice(loader, len(loader))) == expected[0]
    assert captions_of(loader) == expected[1]
    assert captions_of(islice(loader, 1)) == expected[2][:1]
    assert captions_of(loader) == expected[3]


class Watching(nn.Module):
    """Notes the captions that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1)
        self.seen: list[list[str]] = []

    def forward(self, **batch: Any) -> dict[str, torch.Tensor]:
        self.seen.append(batch["caption"])
        return {"loss": self.net(torch.ones(len(batch["caption"]), 1)).mean()}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "n_workers"), [("processes", 0), ("processes", 2), ("threads", 2), ("stateful", 0)])
@pytest.mark.parametrize("limit", [None, 4])
def test_lightning(fake_dataset: Path, tmp_path: Path, quiet: None, kind: str, n_workers: int, limit: Any) -> None:
    lightning = pytest.importorskip("pytorch_lightning")
    datasets = {split: Multimodal3DIdent(fake_dataset, split) for split in ("train", "val")}

    def loader(split: str, **options: Any) -> Any:
        dataset = datasets[split]
        if kind == "threads":
            return BatchLoader(dataset, Batches(dataset, BATCH, **options), n_threads=n_workers)
        stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
        return loader_of(dataset, n_workers, stateful if kind == "stateful" else DataLoader, **options)

    class Net(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net, self.seen, self.validated = nn.Linear(1, 1), [], []  # type: ignore[var-annotated]

        def on_train_epoch_start(self) -> None:
            self.seen.append([])

        def on_validation_epoch_start(self) -> None:
            self.validated.append([])

        def training_step(self, batch: Any, index: int) -> Any:
            self.seen[-1].append(batch["caption"])
            return self.net(torch.ones(1, 1)).sum()

        def validation_step(self, batch: Any, index: int) -> None:
            self.validated[-1].append(batch["caption"])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    options = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "enable_model_summary": False}
    options |= {"limit_train_batches": limit, "num_sanity_val_steps": 1}
    saved = lightning.callbacks.ModelCheckpoint(tmp_path, save_last=True)
    net, trainer = Net(), lightning.Trainer(max_epochs=3, callbacks=[saved], **options)
    trainer.fit(net, loader("train", seed=2), loader("val", shuffle=False))
    expected = [epoch[:limit] for epoch in expected_epochs(datasets["train"], 4, seed=2)]
    assert net.seen == expected[:3]
    val = expected_epochs(datasets["val"], 1, shuffle=False)[0]
    assert net.validated == [val[:1], val, val, val]
    again, trainer = Net(), lightning.Trainer(max_epochs=4, enable_checkpointing=False, **options)
    loaders = loader("train", seed=2), loader("val", shuffle=False)
    trainer.fit(again, *loaders, ckpt_path=tmp_path / "last.ckpt", weights_only=False)
    if (kind, n_workers) == ("processes", 2):  # they read ahead before Lightning says which epoch it is
        assert again.seen == expected[:1]
    else:
        assert again.seen == expected[3:]


@pytest.mark.slow
def test_lightning_predicts_every_sample_in_order(fake_dataset: Path, quiet: None) -> None:
    lightning = pytest.importorskip("pytorch_lightning")

    class Net(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def predict_step(self, batch: Any, index: int) -> Any:
            return batch["caption"]

    dataset = Multimodal3DIdent(fake_dataset)
    trainer = lightning.Trainer(logger=False, enable_progress_bar=False, accelerator="cpu")
    predicted = trainer.predict(Net(), loader_of(dataset, shuffle=False))
    assert predicted == expected_epochs(dataset, 1, shuffle=False)[0]


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("stop", [2, N_BATCHES, N_BATCHES + 3])
def test_the_loader_of_torchdata_resumes(fake_dataset: Path, quiet: None, n_workers: int, stop: int) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    dataset = Multimodal3DIdent(fake_dataset)
    whole = [batch for epoch in expected_epochs(dataset, 4) for batch in epoch]
    before, taken = loader_of(dataset, n_workers, stateful), []
    while len(taken) < stop:
        for batch in before:
            taken.append(batch["caption"])
            if len(taken) == stop:
                break
    after = loader_of(dataset, n_workers, stateful)
    after.load_state_dict(json.loads(json.dumps(before.state_dict(), default=vars)))  # type: ignore[attr-defined]
    while len(taken) < 3 * N_BATCHES:
        taken += captions_of(after)
    assert taken == whole[: len(taken)]


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("stateful", [False, True])
def test_accelerate(fake_dataset: Path, quiet: None, n_workers: int, stateful: bool) -> None:
    accelerate = pytest.importorskip("accelerate")
    pytest.importorskip("torchdata")
    dataset = Multimodal3DIdent(fake_dataset)
    expected = expected_epochs(dataset, 4)
    options = accelerate.DataLoaderConfiguration(use_stateful_dataloader=stateful)
    accelerator = accelerate.Accelerator(cpu=True, dataloader_config=options)
    loader = accelerator.prepare(loader_of(dataset, n_workers))
    assert captions_of(loader) == expected[0]
    assert captions_of(islice(loader, len(loader))) == expected[1]
    assert captions_of(islice(loader, 2)) == expected[2][:2]
    assert captions_of(loader) == expected[3]
    threads = BatchLoader(dataset, Batches(dataset, BATCH), n_threads=2)
    assert accelerator.prepare(threads) is threads  # it is left as it is


@pytest.mark.slow
def test_accelerate_skips_the_batches_that_it_was_told_to(fake_dataset: Path, quiet: None) -> None:
    accelerate = pytest.importorskip("accelerate")
    dataset = Multimodal3DIdent(fake_dataset)
    loader = accelerate.Accelerator(cpu=True).prepare(loader_of(dataset))
    assert captions_of(accelerate.skip_first_batches(loader, 3)) == expected_epochs(dataset, 1)[0][3:]


@pytest.mark.slow
@pytest.mark.parametrize("drop_last", [True, *slow(False)])
def test_accelerate_divides_what_is_not_divided_yet(fake_dataset: Path, quiet: None, drop_last: bool) -> None:
    prepare = pytest.importorskip("accelerate.data_loader").prepare_data_loader
    dataset = Multimodal3DIdent(fake_dataset)
    for epoch in range(2):
        ranks = [
            captions_of(
                prepare(
                    loader_of(dataset, world_size=1, drop_last=drop_last, seed=epoch),
                    num_processes=2,
                    process_index=rank,
                    put_on_device=False,
                )
            )
            for rank in range(2)
        ]
        assert len(ranks[0]) == len(ranks[1])
        seen = {caption for rank in ranks for batch in rank for caption in batch}
        n_left_out = 20 % BATCH if drop_last else 0
        every = {caption for batch in expected_epochs(dataset, 1)[0] for caption in batch}
        assert len(every - seen) <= n_left_out


def test_batches_that_two_would_divide_are_refused(fake_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = pytest.importorskip("accelerate.state")
    distributed = {"is_initialized": lambda: True, "get_rank": lambda: 1, "get_world_size": lambda: 2}
    for name, answer in distributed.items():
        monkeypatch.setattr(f"torch.distributed.{name}", answer)
    monkeypatch.setattr(state.PartialState, "_shared_state", {})
    found, told, undivided = (
        Batches(range(20), BATCH, **options) for options in ({}, {"rank": 1, "world_size": 2}, {"world_size": 1})
    )
    assert list(found) == list(told) != list(undivided)
    assert len(list(undivided)) == N_BATCHES
    monkeypatch.setattr(state.PartialState, "_shared_state", {"num_processes": 2})
    with pytest.raises(UsageError, match=r"may divide the batches over the processes(?s:.)*world_size=1"):
        next(iter(found))
    assert len(list(told)) < len(list(undivided)) == N_BATCHES


TWO_RANKS = """
import json, sys, warnings
warnings.simplefilter("ignore")
rank, root, store = int(sys.argv[1]), sys.argv[2], sys.argv[3]
import os
os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
                  MASTER_ADDR="127.0.0.1", MASTER_PORT="0", GROUP_RANK="0", ROLE_RANK=str(rank))
import torch
torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
from torch.utils.data import DataLoader
from m3di import Multimodal3DIdent
from m3di.data import Batches, BatchLoader, whole_batch

dataset = Multimodal3DIdent(root)
seen = {}
loader = DataLoader(dataset, batch_sampler=Batches(dataset, 3), collate_fn=whole_batch)
seen["plain"] = [[batch["caption"] for batch in loader] for _ in range(2)]
threads = BatchLoader(dataset, Batches(dataset, 3), n_threads=2)
seen["threads"] = [[batch["caption"] for batch in threads] for _ in range(2)]

from accelerate import Accelerator
accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == 2
prepared = accelerator.prepare(
    DataLoader(dataset, batch_sampler=Batches(dataset, 3, world_size=1), collate_fn=whole_batch)
)
seen["accelerate"] = [[batch["caption"] for batch in prepared] for _ in range(2)]
print(json.dumps(seen))
"""


@pytest.mark.slow
def test_two_ranks(fake_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    command = [sys.executable, "-c", TWO_RANKS]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(fake_dataset), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    said = [json.loads(rank.communicate(timeout=120)[0].splitlines()[-1]) for rank in ranks]
    every = {caption for batch in expected_epochs(Multimodal3DIdent(fake_dataset), 1)[0] for caption in batch}
    for way in ("plain", "threads", "accelerate"):
        for epoch in range(2):
            mine, theirs = (rank[way][epoch] for rank in said)
            assert len(mine) == len(theirs) == 4
            assert {caption for batch in (*mine, *theirs) for caption in batch} == every
        assert said[0][way][0] != said[0][way][1]
    for way in ("plain", "threads"):
        assert sum(map(len, said[0][way][0])) == sum(map(len, said[1][way][0])) == 10


LIGHTNING_RANK = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import torch
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader
from m3di import Multimodal3DIdent
from m3di.data import Batches, whole_batch
from tests.conftest import slow

folder, n_devices, options, out = sys.argv[1:]
dataset = Multimodal3DIdent(folder)

class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.net, self.seen = torch.nn.Linear(1, 1), []
    def train_dataloader(self):
        return DataLoader(dataset, batch_sampler=Batches(dataset, 3), collate_fn=whole_batch)
    def on_train_epoch_start(self):
        self.seen.append([])
    def training_step(self, batch, index):
        self.seen[-1] += batch["caption"]
        return self.net(torch.ones(1, 1)).sum()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

net = Net()
Trainer(accelerator="cpu", devices=int(n_devices), strategy="ddp", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, max_epochs=3, **json.loads(options)).fit(net)
with open(out + os.environ["RANK"], "w") as stream:
    json.dump(net.seen, stream)
"""


def run_lightning(n_ranks: int, folder: Path, scratch: Path, **options: bool) -> subprocess.CompletedProcess[str]:
    script = scratch / "rank.py"
    script.write_text(LIGHTNING_RANK)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(n_ranks),
        str(script),
    ]
    command += [str(folder), str(n_ranks), json.dumps(options), str(scratch / "seen-")]
    return subprocess.run(command, timeout=250, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_ranks_of_lightning(fake_dataset: Path, tmp_path: Path) -> None:
    """Every sample once in each epoch."""
    pytest.importorskip("pytorch_lightning")
    done = run_lightning(2, fake_dataset, tmp_path, use_distributed_sampler=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ranks = [json.loads((tmp_path / f"seen-{rank}").read_text()) for rank in range(2)]
    every = sorted(Multimodal3DIdent(fake_dataset)[:]["caption"])
    assert [sorted(mine + theirs) for mine, theirs in zip(*ranks, strict=True)] == [every] * 3
    assert [len(each) for rank in ranks for each in rank] == [10] * 6


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lightning_says_which_option_it_needs(fake_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning")
    done = run_lightning(1, fake_dataset, tmp_path)
    assert done.returncode != 0
    assert "use_distributed_sampler=False" in done.stderr, done.stdout + done.stderr


@pytest.mark.slow
def test_the_trainer_of_hugging_face(fake_dataset: Path, tmp_path: Path, quiet: None) -> None:
    """Three epochs, with 0 and with 2 workers; and one that resumes in the middle of the second."""
    transformers = pytest.importorskip("transformers")  # 140 MB and 10 s to import: not among what tests need
    dataset = Multimodal3DIdent(fake_dataset)
    expected = [batch for epoch in expected_epochs(dataset, 3) for batch in epoch]

    def trainer(n_workers: int, **options: Any) -> Any:
        class Trainer(transformers.Trainer):  # type: ignore[misc, name-defined]
            def get_train_dataloader(self) -> DataLoader[Any]:
                return loader_of(dataset, n_workers)

        arguments = transformers.TrainingArguments(
            str(tmp_path / "out"), use_cpu=True, report_to=[], disable_tqdm=True, max_grad_norm=0, **options
        )
        return Trainer(model=Watching(), args=arguments, train_dataset=dataset)

    for n_workers in (0, 2):
        whole = trainer(n_workers, num_train_epochs=3, save_strategy="no")
        whole.train()
        assert whole.model.seen == expected
    trainer(0, num_train_epochs=3, max_steps=10, save_steps=10).train()
    resumed = trainer(0, num_train_epochs=3, save_strategy="no")
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-10"))
    assert resumed.model.seen == expected[10:]
