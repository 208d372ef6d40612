"""finetune: rows → a LoRA adapter, trained on them.

torch and what comes with it are imported when it runs: everything else does without them.
"""

import os.path
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import counts, with_tables
from seedbed.core.paths import Into
from seedbed.core.section import Section
from seedbed.training import adapter_file, lora
from seedbed.training.base import Base, find_base, load, weights
from seedbed.training.checkpoints import Checkpoints
from seedbed.training.encode import REASONS, Encoded, Reason, encode, judge, tokens_of
from seedbed.training.errors import NotDeclared
from seedbed.training.lora import Done
from seedbed.training.params import Finetune, Source
from seedbed.training.plan import plan
from seedbed.training.progress import Progress
from seedbed.training.room import check_room
from seedbed.training.rows import FINETUNE_PROMPTS, PIPELINE, LeftOutRow, TrainedRow
from seedbed.training.sources import Prompts, mix, read_examples


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    finetune: Finetune


@dataclass(frozen=True)
class Inputs:
    """What it reads. rows: a file in place of all of finetune.sources; None for these."""

    prompts: Path = FINETUNE_PROMPTS
    rows: Path | None = None


@dataclass(frozen=True)
class Chosen:
    """What is trained on, in the files' order, and what of the files is not, each with why."""

    rows: list[Encoded]
    left_out: list[tuple[Encoded, Reason]]
    read: dict[str, int]


def choose(pools: Mapping[str, Iterable[Encoded]], params: Finetune) -> Chosen:
    """The rows to train on. pools: those of each source, by its file, in its order.

    Raises:
        TooFewRows: as `mix`.
    """
    seen: set[str] = set()
    fit: list[list[Encoded]] = []
    left_out: list[tuple[Encoded, Reason]] = []
    read, lost = {}, []
    for file, rows in pools.items():
        before = len(left_out)
        fit.append([])
        for row in rows:
            reason = judge(row, seen, params.max_tokens)
            if reason is None:
                fit[-1].append(row)
            else:
                left_out.append((row, reason))
        lost.append(len(left_out) - before)
        read[file] = len(fit[-1]) + lost[-1]
    return Chosen(mix(fit, params.sources, params.rows, params.seed, lost), left_out, read)


def record(row: Encoded) -> TrainedRow:
    example = row.example
    return TrainedRow(
        id=example.id,
        source=example.source,
        line=example.line,
        prompt=example.prompt,
        completion=example.completion,
        key=example.key,
        tokens=len(row.ids),
        learned=row.learned,
    )


def metrics(chosen: Chosen, done: Sequence[Done]) -> dict[str, Any]:
    """The stage's metrics. Losses are in nats a learned token, of the first and the last step."""
    trained = Counter(row.example.source for row in chosen.rows)
    lost = Counter(row.example.source for row, _ in chosen.left_out)
    return {
        "trained_rows": len(chosen.rows),
        "trained_tokens": sum(len(row.ids) for row in chosen.rows),
        "learned_tokens": sum(row.learned for row in chosen.rows),
        "training_steps": len(done),
        "training_loss_first": round(done[0].loss, 6),
        "training_loss_last": round(done[-1].loss, 6),
        "left_out": counts(REASONS, Counter(reason for _, reason in chosen.left_out)),
        "sources": {
            file: {"rows": rows, "left_out": lost[file], "trained": trained[file]}
            for file, rows in chosen.read.items()
        },
    }


def curve(done: Sequence[Done], name: str) -> list[str]:
    """A value of each step as dvclive writes it: a TSV file with the column `step`."""
    return [f"step\t{name}\n", *(f"{one.step}\t{getattr(one, name):.6g}\n" for one in done)]


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read rows, train on them; write the adapter, its rows, metrics and plots.

    Raises:
        NoTorch: what training needs is not installed.
        BadBase, OtherArchitecture: of the model that is to be trained.
        NotDeclared, TooFewRows: of the rows.
        NotEnoughMemory, NotEnoughRoom: before anything is begun.
        LossNotFinite, WriteFailed: nothing is written then.
        BadFile, BadRow: as `read_rows`.
    """
    own = params.finetune
    device = lora.prepare(own.threads)
    if inputs.rows:
        own = own.model_copy(update={"sources": [Source(file=str(inputs.rows), share=1.0)]})
    else:
        check_declared(own.sources)
    prompts = Prompts(inputs.prompts)
    files = [source.file for source in own.sources]
    examples = {file: list(read_examples(Path(file), prompts)) for file in files}
    base = find_base(own.base)
    with tokens_of(base) as tokens:
        pools = {file: encode(some, tokens) for file, some in examples.items()}
    chosen = choose(pools, own)
    steps = plan(chosen.rows, own)
    check_room(steps, base)
    keep = Checkpoints(identity(own, base, chosen.rows, device))
    with Progress("finetune", steps) as progress:
        progress.doing("loading the model")
        net = lora.with_matrices(load(weights(base, progress.doing)), own, device)
        progress.begin()
        done = lora.train(net, steps, keep, progress.made)
    trained = lora.matrices(net)
    left_out = [LeftOutRow(**vars(record(row)), reason=why) for row, why in chosen.left_out]
    gguf = adapter_file.to_gguf(trained, own.alpha, base.sha256 if base.gguf else None)
    peft = adapter_file.to_peft(trained, own, base)
    write_files(
        {
            into.folder / "adapter.gguf": gguf,
            **{into.folder / "adapter" / name: data for name, data in peft.items()},
            into.folder / "rows.jsonl": map(to_line, map(record, chosen.rows)),
            into.folder / "left_out.jsonl": map(to_line, left_out),
            into.metrics: to_json(with_tables(metrics(chosen, done))),
            into.plot("loss", "tsv"): curve(done, "loss"),
            into.plot("learning_rate", "tsv"): curve(done, "learning_rate"),
        }
    )
    keep.remove()
    progress.finish(len(chosen.rows), done)


def check_declared(sources: Sequence[Source]) -> None:
    """Whether DVC knows the files as dependencies of the stage. Raises NotDeclared."""
    from dvc.repo import Repo  # in a third of a second, as everything of DVC's

    address = os.environ.get("DVC_STAGE", f"{PIPELINE}:finetune")
    with Repo() as repo:
        (stage,) = repo.stage.collect(address)
        declared = {os.path.relpath(dependency.fs_path) for dependency in stage.deps}
    for source in sources:
        if os.path.normpath(source.file) not in declared:
            raise NotDeclared(source.file, address)


def identity(params: Finetune, base: Base, rows: Sequence[Encoded], device: str) -> dict[str, Any]:
    """All that the trained bytes depend on: a checkpoint is another training's where it differs."""
    return {
        "form": 1,
        "params": params.model_dump(exclude={"base", "sources", "rows", "max_tokens"}),
        "base": base.sha256,
        "rows": [[row.example.id, row.ids, row.learned] for row in rows],
        "device": device,
        "with": {name: version(name) for name in lora.NEEDED},
    }
