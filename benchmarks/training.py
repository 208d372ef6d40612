"""How fast does a LoRA train, and in how much memory? The same rows, three ways, in one run.

    seedbed    seedbed.training.lora: rows one behind the other, the head where a token is learned
    plain      the usual loop: rows padded, the head at every position, labels of -100
    TRL        trl's SFTTrainer on {prompt, completion} rows, where trl is installed

All in float32, with the same matrices beside the same layers, the same rows in the same steps and
as many threads; each in a process of its own, whose peak memory is shown. The first step is not
timed. The losses of the first step must be the same.

Then what was trained is put into the embedded server, and the log-probabilities of texts there are
compared with those of transformers and peft: with the adapter, and, for comparison, without it.

Run it from the project's folder, after `make train`: PYTHONPATH=src python benchmarks/training.py
"""

import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from sizes import TINY, sized

from seedbed.core.paths import PARAMS
from seedbed.llm.params import Llm
from seedbed.training import lora
from seedbed.training.adapter_file import to_gguf, to_peft
from seedbed.training.base import Base, find_base, load, weights
from seedbed.training.checkpoints import Checkpoint, Checkpoints
from seedbed.training.encode import Encoded, encode, tokens_of
from seedbed.training.params import Finetune
from seedbed.training.plan import Step, plan
from seedbed.training.rows import FINETUNE_PROMPTS
from seedbed.training.sources import Prompts, read_examples

SEEDS = Path("data/seed_tasks.jsonl")
ROWS, BATCH, LONGEST, SCORED = sized(40, 12), sized(8, 4), sized(128, 256), 12
# What it must reach, of the plain loop's tokens a second.
TIMES = sized(2, 0)


@dataclass
class Timed:
    """tokens: of the rows, without padding, a second; CPU: the seconds of all threads."""

    tokens: float
    cpu: float
    loss: float
    peak: float


def params(base: str) -> Finetune:
    """Those of params.yaml, for one epoch."""
    sections = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    own = {"base": base, "batch": BATCH, "epochs": 1, "max_steps": None, "warmup": 0.0}
    return Finetune.model_validate(sections["finetune"] | own | {"max_tokens": LONGEST})


def rows_of(base: Base, own: Finetune) -> list[Encoded]:
    """The first rows that are short enough."""
    examples = list(read_examples(SEEDS, Prompts(FINETUNE_PROMPTS)))
    with tokens_of(base) as tokens:
        encoded = encode(examples, tokens)
    return [row for row in encoded if len(row.ids) <= own.max_tokens][:ROWS]


class Clock:
    """Tells when the first step ends, and what the later ones take."""

    def __init__(self, steps: list[Step]):
        self._steps, self._made = steps, 0
        self._begun = self._cpu = 0.0
        self.loss = 0.0

    def made(self, loss: float) -> None:
        if self._made == 0:
            self.loss = loss
            self._begun, self._cpu = time.perf_counter(), time.process_time()
        self._made += 1

    def timed(self) -> Timed:
        tokens = sum(len(row.ids) for step in self._steps[1:] for row in step.rows)
        seconds, cpu = time.perf_counter() - self._begun, time.process_time() - self._cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Timed(tokens / seconds, cpu, self.loss, peak)


class Kept(Checkpoints):
    """None: the disk is not what is measured."""

    def load(self) -> Checkpoint | None:
        return None

    def due(self, steps: int) -> bool:
        return False


def seedbed(net: Any, steps: list[Step], own: Finetune, clock: Clock) -> None:
    lora.train(net, steps, Kept({}), lambda done: clock.made(done.loss))


def plain(net: Any, steps: list[Step], own: Finetune, clock: Clock) -> None:
    import torch

    trained = [one for one in net.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0)
    net.train()
    for step in steps:
        longest = max(len(row.ids) for row in step.rows)
        fill = [[0] * (longest - len(row.ids)) for row in step.rows]
        ids = torch.tensor([row.ids + more for row, more in zip(step.rows, fill, strict=True)])
        seen = torch.tensor(
            [[1] * len(row.ids) + more for row, more in zip(step.rows, fill, strict=True)]
        )
        labels = torch.full_like(ids, -100)
        for i, row in enumerate(step.rows):
            labels[i, len(row.ids) - row.learned : len(row.ids)] = torch.tensor(row.targets)
        optimizer.zero_grad()
        loss = net(input_ids=ids, attention_mask=seen, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.param_groups[0]["lr"] = step.learning_rate
        optimizer.step()
        clock.made(loss.item())


def with_trl(net: Any, steps: list[Step], own: Finetune, clock: Clock) -> None:
    """The rows are given as tokens, since the base has no tokenizer file."""
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Watch(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                clock.made(float(logs["loss"]))

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return SequentialSampler(dataset or self.train_dataset)

    rows = [row for step in steps for row in step.rows]
    labels = [[-100] * (len(row.ids) - row.learned) + row.targets for row in rows]
    given = Dataset.from_dict({"input_ids": [row.ids for row in rows], "labels": labels})
    with tempfile.TemporaryDirectory() as folder:
        how = SFTConfig(
            folder,
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=own.learning_rate,
            gradient_checkpointing=False,
            logging_steps=1,
            max_length=own.max_tokens,
            completion_only_loss=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_grad_norm=1.0,
        )
        trainer = InOrder(
            net, how, train_dataset=given, processing_class=tokenizer(), callbacks=[Watch()]
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def tokenizer() -> Any:
    """One that knows what ends and fills up a text, for a trainer that wants one and gives it
    nothing to do."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>"}
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "<bos>": 2}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, **names)


WAYS: dict[str, Callable[[Any, list[Step], Finetune, Clock], None]] = {
    "seedbed": seedbed,
    "plain": plain,
    "TRL": with_trl,
}


def measure(way: str, base: Base, steps: list[Step], own: Finetune) -> Timed:
    import torch

    warnings.simplefilter("ignore")
    device = lora.prepare(own.threads)
    torch.use_deterministic_algorithms(way == "seedbed")
    clock = Clock(steps)
    net = load(weights(base, print))
    WAYS[way](lora.with_matrices(net, own, device), steps, own, clock)
    return clock.timed()


@dataclass
class Compared:
    """Nats: how far log-probabilities are apart."""

    tokens: int
    mean: float
    most: float
    leaning: float


def compare(base: Base, steps: list[Step], own: Finetune) -> dict[str, Compared]:
    """The embedded server beside transformers and peft, without the adapter and with it."""
    import torch
    from peft import PeftModel

    from seedbed.llm.engine import Engine
    from seedbed.llm.serve.endpoint import open_endpoint
    from seedbed.llm.store.store import Store

    device = lora.prepare(own.threads)
    net = lora.with_matrices(load(weights(base, print)), own, device)
    lora.train(net, steps, Kept({}), lambda done: None)
    texts = [row for step in steps for row in step.rows][:SCORED]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        adapter = Path(folder) / "adapter.gguf"
        adapter.write_bytes(to_gguf(lora.matrices(net), own.alpha, base.sha256))
        peft = Path(folder) / "adapter"
        peft.mkdir()
        for name, data in to_peft(lora.matrices(net), own, base).items():
            (peft / name).write_bytes(data)
        for kind in ("base", "adapter"):
            plain = load(weights(base, print))
            model = PeftModel.from_pretrained(plain, peft) if kind == "adapter" else plain
            llm = Llm.model_validate(
                {
                    "model": own.base,
                    "embedded": {
                        "context": 4096,
                        "slots": 1,
                        "threads": own.threads,
                        "adapter": str(adapter) if kind == "adapter" else None,
                    },
                }
            )
            store = Store(Path(folder) / f"{kind}.sqlite")
            with open_endpoint(llm) as endpoint:
                engine = Engine(endpoint, store, lambda tally: None)
                pairs = [(row.example.prompt, row.example.completion) for row in texts]
                scores = list(engine.score(pairs))
                engine.close()
            store.close()
            apart: list[float] = []
            for row, score in zip(texts, scores, strict=True):
                with torch.inference_mode():
                    logits = model(torch.tensor([row.ids])).logits[0].double().log_softmax(-1)
                # The token that ends the text is no part of it.
                places, wanted = list(row.positions)[:-1], row.targets[:-1]
                ours = logits[places].gather(1, torch.tensor(wanted)[:, None])[:, 0].tolist()
                apart += [a - b for a, b in zip(score.logprobs, ours, strict=True)]
            most = max(map(abs, apart))
            found[kind] = Compared(len(apart), fmean(map(abs, apart)), most, fmean(apart))
    return found


def in_process(work: Callable[..., Any], *given: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        return other.submit(work, *given).result()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        name = "gemma-3-270m-q4_k_m"
        if TINY:
            from tiny_gemma import build

            name = str(build(Path(folder)))
        base, own = find_base(name), params(name)
        steps = plan(rows_of(base, own), own)
        rows = [row for step in steps for row in step.rows]
        print(
            f"{'a tiny model' if TINY else name}: {len(rows)} rows, "
            f"{sum(len(row.ids) for row in rows):,} tokens, "
            f"{sum(row.learned for row in rows):,} of them learned, {len(steps)} steps\n"
        )
        columns = "{:<9}{:>12}{:>15}{:>12}{:>18}".format
        print(columns("", "tokens/s", "CPU seconds", "peak, GB", "first step's loss"))
        timed: dict[str, Timed] = {}
        for way in WAYS:
            if way == "TRL" and find_spec("trl") is None:
                print("TRL is not installed: pip install trl")
                continue
            one = timed[way] = in_process(measure, way, base, steps, own)
            cells = (
                f"{one.tokens:.1f}",
                f"{one.cpu:.1f}",
                f"{one.peak / 1e9:.2f}",
                f"{one.loss:.4f}",
            )
            print(columns(way, *cells), flush=True)
        first = timed["seedbed"]
        same = all(abs(one.loss - first.loss) < 2e-3 * first.loss for one in timed.values())
        for way, one in timed.items():
            if way != "seedbed":
                print(
                    f"seedbed/{way}: {first.tokens / one.tokens:.2f} times the tokens a second, "
                    f"{one.cpu / first.cpu:.2f} times fewer CPU seconds, "
                    f"{first.peak / one.peak:.2f} of its memory"
                )
        if TINY:
            print("log-probabilities: left out, since llama.cpp has no such model")
        else:
            print("\nlog-probabilities, embedded server − transformers (and peft), in nats a token")
            for kind, one in in_process(compare, base, steps, own).items():
                print(
                    f"{kind:<9}{one.tokens} tokens: mean |d| {one.mean:.4f}, most {one.most:.3f}, "
                    f"leaning {one.leaning:+.4f}"
                )
        fast = first.tokens >= TIMES * timed["plain"].tokens
        print(
            f"\nAt least {TIMES} times the plain loop's: {'yes' if fast else 'NO'}. "
            f"The same loss: {'yes' if same else 'NO'}."
        )
        sys.exit(0 if fast and same else 1)


if __name__ == "__main__":
    main()
