"""finetune: the ranker of Auto-Instruct's authors, a model trained whole (arXiv 2310.13127).

The score of a candidate is the raw logit of " yes": of an encoder-decoder, which reads the
question, at its first output; of a decoder, after the question. Trained as they do: Adafactor with
a constant rate, without scaling by parameters, weight decay or warm-up, its updates clipped at 1;
the model that chooses best on seen_dev is kept. Unlike theirs: the token for " yes" is asked of the
tokenizer, a loss that is no number ends the run, and the last steps are looked at too.

torch and what comes with it are imported when something is trained: the other kinds do without.
"""

import copy
import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.core import draws
from seedbed.core.files import beside, to_json, write_files
from seedbed.core.metrics import mean
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.errors import BadFile, WriteFailed
from seedbed.ranker.errors import REMAKE, LossNotFinite
from seedbed.ranker.listwise import divergences
from seedbed.ranker.params import Finetuned, RankSelect, RankTrain
from seedbed.ranker.question import Question, shortened
from seedbed.ranker.ranker_file import Ranker
from seedbed.ranker.rows import Picked, Selection, Split
from seedbed.ranker.selections import Field, selection
from seedbed.ranker.yes_model import Yes, load

MODEL = "model"


@dataclass(frozen=True)
class TextList:
    """A list as the model reads it: its questions, labels and ROUGE-L."""

    id: str
    texts: list[str]
    labels: list[float]
    rouge: list[float]


def batches(lists: Sequence[TextList], params: Finetuned, seed: int) -> list[list[TextList]]:
    """The lists of each step; each epoch has an order of its own, which belongs to the lists."""
    steps: list[list[TextList]] = []
    for epoch in range(params.epochs):
        order = sorted(lists, key=lambda own: draws.rank(seed, "order", epoch, own.id))
        steps += [order[i : i + params.batch] for i in range(0, len(order), params.batch)]
    return steps


@dataclass(frozen=True)
class Step:
    """A step. loss: the mean divergence of its lists; dev: the ROUGE-L chosen on seen_dev."""

    loss: float
    dev: float | None


def train(
    yes: Yes,
    steps: Sequence[Sequence[TextList]],
    dev: Sequence[TextList],
    params: RankTrain,
    made: Callable[[Step], None],
) -> list[Step]:
    """Train, and leave the model as it was when it chose best; at the end if there is no dev.

    Raises:
        LossNotFinite
    """
    import torch
    from transformers.optimization import Adafactor

    own = params.finetune
    optimizer = Adafactor(
        yes.net.parameters(),
        lr=own.learning_rate,
        scale_parameter=False,
        relative_step=False,
        warmup_init=False,
        clip_threshold=1.0,
    )
    done: list[Step] = []
    kept, best = None, -math.inf
    for number, lists in enumerate(steps, 1):
        yes.net.train()
        optimizer.zero_grad()
        total = 0.0
        for start in range(0, len(lists), own.accumulate):
            held = lists[start : start + own.accumulate]
            scores = yes.scores([text for one in held for text in one.texts])
            parts = scores.split([len(one.texts) for one in held])
            loss = sum(
                _divergence(part / params.temperature, one.labels)
                for part, one in zip(parts, held, strict=True)
            ) / len(lists)
            if not torch.isfinite(loss):
                raise LossNotFinite(number)
            loss.backward()
            total += loss.item()
        optimizer.step()
        looked = None
        if dev and (number % own.eval_every == 0 or number == len(steps)):
            looked = chosen_rouge(yes, dev)
            if looked > best:
                best, kept = looked, copy.deepcopy(yes.net.state_dict())
        done.append(Step(total, looked))
        made(done[-1])
    if kept is not None:
        yes.net.load_state_dict(kept)
    return done


def _divergence(scores: Any, labels: Sequence[float]) -> Any:
    import torch

    p = torch.tensor(labels, dtype=scores.dtype, device=scores.device)
    return (torch.xlogy(p, p) - p * torch.log_softmax(scores, dim=0)).sum()


def chosen_rouge(yes: Yes, lists: Sequence[TextList]) -> float:
    """The mean ROUGE-L of the highest candidate of each list; of equals the mean."""
    scores = iter(yes.score_all([text for one in lists for text in one.texts]))
    found = []
    for one in lists:
        own = [next(scores) for _ in one.texts]
        highest = max(own)
        found.append(mean([r for s, r in zip(own, one.rouge, strict=True) if s == highest]))
    return mean(found)


def divergence_of(yes: Yes, lists: Sequence[TextList], params: RankTrain) -> float | None:
    """The mean divergence of lists; None of none."""
    if not lists:
        return None
    scores = iter(yes.score_all([text for one in lists for text in one.texts]))
    every = [
        divergences(
            np.array([[next(scores) / params.temperature for _ in one.texts]]),
            np.array([one.labels]),
        )[0]
        for one in lists
    ]
    return mean([float(own) for own in every])


def run(
    rows: Sequence[tuple[Split, Picked]], question: Question, params: RankTrain, into: Into
) -> None:
    """Train on the rows; write the model, what is known of it, metrics and a plot."""
    own = params.finetune
    yes = load(own.base, own.threads, params.seed)
    inputs = shortened([row.input for _, row in rows], params.max_input_tokens, yes.count)
    of: dict[Split, list[TextList]] = {"train": [], "seen_dev": [], "unseen_dev": []}
    trained_on: dict[str, list[str]] = {}
    for (split, row), given in zip(rows, inputs, strict=True):
        texts = [question.ask(given, text) for text in row.instructions]
        of[split].append(TextList(row.id, texts, row.instruction_labels, row.instruction_rouge))
        if split != "unseen_dev":  # by seen_dev the model was chosen that is kept
            trained_on.setdefault(row.task, []).append(row.id.partition(":")[2])
    steps = batches(of["train"], own, params.seed)
    with Progress("rank-train", len(steps), "steps") as progress:

        def made(step: Step) -> None:
            progress.advance()

        done = train(yes, steps, of["seen_dev"], params, made)
    ranker = Ranker(
        kind="finetune",
        features=[],
        template=question.text,
        model=own.base,
        temperature=params.temperature,
        max_input_tokens=params.max_input_tokens,
        heads={},
        without={},
        trained_on=dict(sorted(trained_on.items())),
    )
    folder = into.folder / MODEL
    try:
        with beside([folder]) as partials:
            with redirect_stderr(StringIO()):  # a progress bar that cannot be switched off
                yes.net.save_pretrained(partials[folder])
            yes.tokenizer.save_pretrained(partials[folder])
            if folder.exists():
                shutil.rmtree(folder)
            partials[folder].replace(folder)
    except OSError as error:
        raise WriteFailed(folder, error) from None
    looked = [step.dev for step in done if step.dev is not None]
    losses = {
        f"kl_{split}": divergence_of(yes, own_lists, params) for split, own_lists in of.items()
    }
    write_files(
        {
            into.folder / "ranker.json": to_json(ranker.model_dump()),
            into.metrics: to_json(
                {
                    "rank_lists": len(of["train"]),
                    "rank_tasks": len(trained_on),
                    "rank_steps": len(done),
                    "rank_loss_first": mean([done[0].loss]),
                    "rank_loss_last": mean([done[-1].loss]),
                    **({"rank_dev_rouge": mean([max(looked)])} if looked else {}),
                    **{name: loss for name, loss in losses.items() if loss is not None},
                    "rank_inputs_cut": sum(
                        given != row.input for (_, row), given in zip(rows, inputs, strict=True)
                    ),
                }
            ),
            into.plot("rank_loss"): to_json(
                [
                    {"at": number, "loss": loss, "low": loss, "high": loss, "source": "train"}
                    for number, step in enumerate(done, 1)
                    for loss in [mean([step.loss])]
                ]
            ),
        },
        alone_in=into.folder,
    )
    progress.finish(len(rows))


def select(
    folder: Path,
    ranker: Ranker,
    fields: Sequence[Field],
    question: Question,
    training: RankTrain,
    params: RankSelect,
) -> list[Selection]:
    """What the trained model chooses for each example, and what the base would.

    Args:
        folder: of ranker.json, where the model is too.
    """
    base = training.finetune
    if not (folder / MODEL).is_dir():
        raise BadFile(folder / MODEL, "no such folder", REMAKE)
    trained = load(str(folder / MODEL), base.threads, training.seed)
    untrained = load(base.base, base.threads, training.seed)
    rows: list[Selection] = []
    total = sum(len(field.task.examples) for field in fields)
    with Progress("rank-select", total, "examples") as progress:
        for field in fields:
            given = [example.input for example in field.task.examples]
            shown = shortened(given, ranker.max_input_tokens, trained.count)
            for number, text in enumerate(shown):
                asked = [question.ask(text, candidate) for candidate in field.candidates]
                scores, before = trained.score_all(asked), untrained.score_all(asked)
                none: list[list[str]] = [[] for _ in asked]
                rows.append(selection(ranker, field, number, text, scores, before, none, params))
                progress.advance()
    progress.finish(len(rows))
    return rows
