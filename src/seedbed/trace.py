"""A row of any output, told back to the seed tasks: its stage, request, answer, prompt, parameters.

What a stage ran with is taken from where it was recorded: the answers and their requests from the
response store, the parameters from dvc.lock. The working tree may be another by now; where it is,
the account says so.
"""

import json
import os
from pathlib import Path
from typing import Any

from seedbed.errors import BadFile, NotAnOutput
from seedbed.lineage import ROWS_OF, Place, Pool, find, origin, row_at, seed_of
from seedbed.llm.store import default_path, read_only
from seedbed.outline import Outline
from seedbed.paths import CLASSIFIED, INSTRUCTIONS, RAW_INSTANCES, SEED_TASKS
from seedbed.recorded import MISSING, Pipeline, revision
from seedbed.records import (
    ClassifiedInstruction,
    Exchange,
    FinetuningRow,
    GeneratedInstance,
    Instruction,
    MessagesRow,
    RawInstances,
    Record,
    RejectedInstance,
    RejectedInstruction,
)

# So many characters that a prompt shares with its file are a few-shot beginning, which the file
# can show as well; a heading is shorter.
FEW_SHOT = 200
# An instruction that a prompt showed gets one line.
LINE = 100
# These fields of a row are told as answer and request, or in fewer words.
TOLD_APART = {"metadata", "instance_metadata", "instruction_metadata", "most_similar", "key"}

Prepared = FinetuningRow | MessagesRow | GeneratedInstance | RejectedInstance


def account(text: str, full: bool = False) -> list[str]:
    """The lines of the account of a row.

    Args:
        text: FILE:LINE.
        full: whether prompts, raw answers and instructions are told whole.

    Raises:
        NotAPlace, NotAnOutput, NoSuchLine: there is no such row of an output.
        NotHere, OriginMissing: a file that the row came from is missing, or of another run.
        BadFile, BadRow: a file on the way is broken.
        StoreFailed, NoRepository: the response store cannot be read, or found.
    """
    place = Place.parse(text)
    # Not `resolve`: an output may be a link into DVC's cache.
    place = Place(Path(os.path.relpath(place.path)), place.line)
    pipeline = Pipeline()
    traceable = [path for path in pipeline.writers if path in ROWS_OF]
    if place.path not in traceable:
        if not place.path.exists():
            raise BadFile(place.path, "no such file", "Check the path.")
        raise NotAnOutput(place.path, traceable)
    telling = _Account(pipeline, full)
    telling.of(place, row_at(place, ROWS_OF[place.path]))
    return telling.out.lines


class _Account:
    def __init__(self, pipeline: Pipeline, full: bool):
        self.out = Outline()
        self._pipeline = pipeline
        self._full = full

    def of(self, place: Place, row: Record) -> None:
        """The row, and whatever it came from."""
        if isinstance(row, Prepared):
            self._prepared(place, row)
        elif isinstance(row, RawInstances):
            self._raw_instances(place, row)
        elif isinstance(row, ClassifiedInstruction):
            self._classified(place, row)
            self._instruction(
                *origin(
                    place,
                    INSTRUCTIONS,
                    Instruction,
                    lambda one: one.instruction == row.instruction,
                    f"the instruction {row.instruction[:80]!r}",
                ),
                "its instruction: ",
            )
        elif isinstance(row, Instruction):
            self._instruction(place, row)
        elif isinstance(row, RejectedInstruction):
            self._rejected_instruction(place, row)
        else:
            raise AssertionError(f"no way to trace a {type(row).__name__}")

    # --- the stages, from the last to the first

    def _prepared(self, place: Place, row: Prepared) -> None:
        key = row.key
        with self.out.under(str(place)):
            stage = self._row(place, row)
            self.out.field("key", key)
            self._parameters(stage)
        if key is None:
            self._seed_instance(stage, place, row)
            return
        self._raw_instances(
            *origin(
                place,
                RAW_INSTANCES,
                RawInstances,
                lambda one: one.instance_metadata.key == key,
                f"the key {key!r}",
            ),
            "cut from ",
        )

    def _seed_instance(self, stage: str, place: Place, row: Record) -> None:
        seed = seed_of(place, row)
        own = "a seed task's own instance"
        whose = f"{seed[1]} ({seed[0]})" if seed else f"not found in {SEED_TASKS}"
        with self.out.under(f"{own}: {whose}"):
            self._revision(stage, SEED_TASKS)

    def _raw_instances(self, place: Place, row: RawInstances, how: str = "") -> None:
        with self.out.under(f"{how}{place}"):
            stage = self._row(place, row)
            self._answer(stage, row.instance_metadata.key, row.instance_metadata)
        named = f"the instruction {row.instruction[:80]!r}"
        self._classified(
            *origin(
                place,
                CLASSIFIED,
                ClassifiedInstruction,
                lambda one: one.instruction == row.instruction,
                named,
            ),
            "its instruction was classified: ",
        )
        self._instruction(
            *origin(
                place,
                INSTRUCTIONS,
                Instruction,
                lambda one: (
                    one.instruction == row.instruction
                    and one.metadata.key == row.instruction_metadata.key
                ),
                f"{named} and the key {row.instruction_metadata.key!r}",
            ),
            "its instruction: ",
        )

    def _classified(self, place: Place, row: ClassifiedInstruction, how: str = "") -> None:
        with self.out.under(f"{how}{place}"):
            stage = self._row(place, row)
            self._answer(stage, row.key, None)

    def _instruction(self, place: Place, row: Instruction, how: str = "") -> None:
        with self.out.under(f"{how}{place}"):
            stage = self._row(place, row)
            prompt = self._answer(stage, row.metadata.key, row.metadata)
        self._shown(prompt, row.request_idx)

    def _rejected_instruction(self, place: Place, row: RejectedInstruction) -> None:
        # If the store lacks the answer, an instruction that was accepted from it has its prompt.
        sibling = find(INSTRUCTIONS, Instruction, lambda one: one.metadata.key == row.key)
        with self.out.under(str(place)):
            stage = self._row(place, row)
            prompt = self._answer(stage, row.key, sibling[1].metadata if sibling else None)
        self._shown(prompt, row.request_idx)

    # --- what each of them tells

    def _row(self, place: Place, row: Record) -> str:
        """The row itself; gives the stage that wrote it."""
        stage = self._pipeline.stage_of(place.path)
        self.out.line(f"written by {stage}")
        self.out.line(self._pipeline.compared(stage, place.path))
        for name, value in row.model_dump(exclude=TOLD_APART).items():
            if name == "messages":
                for message in value:
                    self.out.text(message["role"], message["content"])
            elif name == "request_idx":
                self.out.field("round", value)
            elif isinstance(value, str) and (not value or value != value.strip()):
                self.out.text(name, value)  # its margin shows the white space
            else:
                self.out.field(name, value)
        if isinstance(row, Instruction | RawInstances):
            for text, similarity in list(row.most_similar.items())[:1]:
                self.out.field("most like it", f"ROUGE-L {similarity:.3f}: {text}")
        return stage

    def _answer(self, stage: str, key: str, exchange: Exchange | None) -> str | None:
        """Answer, request, prompt file and parameters; gives the prompt if it is known.

        exchange: what the row has of them, for a store that does not have them.
        """
        kept = read_only(default_path(), key)
        request: dict[str, Any] = {}
        response = None
        with self.out.under(f"answer {key}"):
            if kept:
                self.out.field("kept", f"{kept.created_at} UTC")
                if kept.problem:
                    self.out.field("problem", kept.problem)
                request, response = _fields(kept.request), kept.response
            else:
                self.out.line(f"the response store {default_path()} lacks it (made elsewhere?)")
                self.out.line(
                    "what follows of it is what the row has"
                    if exchange
                    else "the row has neither its request nor the raw answer"
                )
                if exchange:
                    response = json.dumps(exchange.response, ensure_ascii=False)
            asked = request.pop("prompt", exchange.prompt if exchange else None)
            prompt = asked if isinstance(asked, str) else None
            files = self._prompt_files(stage, prompt)
            if request or prompt is not None:
                with self.out.under("request:"):
                    for name, value in request.items():
                        self.out.field(name, value)
                    if prompt is not None:
                        self._prompt(prompt, files)
            if response is not None:
                self._response(response)
        for file in files:
            with self.out.under(f"prompt file: {file}" if prompt else f"a prompt file: {file}"):
                self._revision(stage, file)
        if not files:
            self.out.line(f"prompt file: none of {stage}'s begins as the prompt does")
        self._parameters(stage)
        return prompt

    def _prompt_files(self, stage: str, prompt: str | None) -> dict[Path, int]:
        """The prompt file that a prompt was made from, and how much of it begins the prompt.

        It is the one with which it shares the most, so that it is found even if it was edited
        since; in characters, of whole lines. All files of the stage if the prompt is not known.
        """
        files = dict.fromkeys(self._pipeline.prompt_files(stage), 0)
        if prompt is None:
            return files
        for path in files:
            if path.exists():
                files[path] = _shared(prompt, path.read_text(encoding="utf-8", errors="replace"))
        best = max(files, key=files.__getitem__, default=None)
        if best is None or not files[best]:
            return {}
        return {best: prompt.rfind("\n", 0, files[best]) + 1}

    def _prompt(self, prompt: str, files: dict[Path, int]) -> None:
        for file, shared in files.items():
            if shared >= FEW_SHOT and not self._full:
                with self.out.under("prompt:"):
                    self.out.line(f"… ({shared:,} characters of {file})")
                    self.out.quote(prompt[shared:])
                return
        self.out.text("prompt", prompt)

    def _response(self, body: str) -> None:
        data = _fields(body)
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        choice = choice if isinstance(choice, dict) else {}
        message = choice.get("message")
        text = choice.get("text", message.get("content") if isinstance(message, dict) else None)
        self.out.field("finish_reason", choice.get("finish_reason"))
        usage = data.get("usage")
        if isinstance(usage, dict):
            asked, said = usage.get("prompt_tokens"), usage.get("completion_tokens")
            self.out.line(f"tokens: {asked} in, {said} out")
        if isinstance(text, str):
            self.out.text("raw answer", text)
        else:
            self.out.line("raw answer: it has no text")
        if self._full or not isinstance(text, str):
            self.out.text("raw body", body)

    def _revision(self, stage: str, path: Path) -> None:
        self.out.line(f"last changed in git: {revision(path)}")
        self.out.line(self._pipeline.compared(stage, path))

    def _parameters(self, stage: str) -> None:
        parameters = list(self._pipeline.parameters(stage))
        if not parameters:
            self.out.line(f"parameters: dvc.lock does not say what {stage} ran with")
            return
        changed = sum(then != now for _, then, now in parameters)
        state = f"{changed} CHANGED since" if changed else "params.yaml has the same"
        with self.out.under(f"parameters that {stage} ran with (dvc.lock; {state}):"):
            for name, then, now in parameters:
                told = f"{name}: {_short(then)}"
                self.out.line(told if then == now else f"{told}   CHANGED: now {_short(now)}")

    # --- the way back

    def _shown(self, prompt: str | None, round_: int) -> None:
        """The instructions that a prompt of bootstrap's showed, back to the seed tasks."""
        if prompt is None:
            self.out.line("the instructions that its prompt showed: not known without its request")
            return
        reached: dict[str, int] = {}
        with self.out.under("the instructions that its prompt showed, and what they came from:"):
            for one in Pool().ancestors(prompt, round_):
                text = one.text if self._full or len(one.text) <= LINE else one.text[:LINE] + "…"
                reached |= {id_: place.line for place, id_ in one.seeds}
                if one.seeds:
                    where = " or ".join(f"{id_} ({place})" for place, id_ in one.seeds)
                elif one.machine:
                    place, made_in = one.machine
                    above = f"; its prompt stands above, at {one.told}" if one.told else ""
                    where = f"{place} (round {made_in}{above})"
                else:
                    where = f"not found in {SEED_TASKS} or {INSTRUCTIONS}: has one changed since?"
                self.out.line(f"{one.number}. {where}: {text}", one.depth)
        in_order = sorted(reached, key=reached.__getitem__)
        with self.out.under(f"seed tasks that it goes back to: {len(reached)} of {SEED_TASKS}"):
            self._revision(self._pipeline.stage_of(INSTRUCTIONS), SEED_TASKS)
            self.out.line(", ".join(in_order))


def _shared(one: str, other: str) -> int:
    """So many characters the two texts begin with alike.

    >>> _shared("Task: sort", "Task: {instruction}")
    6
    """
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _fields(text: str) -> dict[str, Any]:
    """The fields of a JSON object; none of what is no such thing."""
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _short(value: Any) -> str:
    return repr(value) if value is MISSING else json.dumps(value, ensure_ascii=False)
