"""What the account of any row is made of: the row, answers, prompt files, parameters, revisions."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from seedbed.core.records import Exchange, Record
from seedbed.llm.store.place import default_path
from seedbed.llm.store.reading import read_only
from seedbed.runs.git import revision
from seedbed.runs.outline import Outline
from seedbed.runs.pipeline import MISSING, Pipeline
from seedbed.runs.places import Place

# So many characters that a prompt shares with its file are a few-shot beginning, which the file
# can show as well; a heading is shorter.
FEW_SHOT = 200
# A text that gets one line gets so many characters of it.
LINE = 100


class Telling:
    """An account while it is told. full: whether texts are told whole."""

    def __init__(self, pipeline: Pipeline, full: bool):
        self.out = Outline()
        self.pipeline = pipeline
        self.full = full

    def shortened(self, text: str) -> str:
        return text if self.full or len(text) <= LINE else text[:LINE] + "…"

    def written(self, path: Path) -> str:
        """Which stage wrote a file, and whether it is still the same; gives the stage."""
        stage = self.pipeline.stage_of(path)
        self.out.line(f"written by {stage}")
        self.out.line(self.pipeline.compared(stage, path))
        return stage

    def row(
        self,
        place: Place,
        row: Record,
        apart: Collection[str] = (),
        names: Mapping[str, str] | None = None,
    ) -> str:
        """The row itself; gives the stage that wrote it.

        Args:
            apart: fields that are told in another way, as `key` always is: with its answer.
            names: what a field is called, where that is not its name.
        """
        stage = self.written(place.path)
        for name, value in row.model_dump(exclude={"key", *apart}).items():
            if name == "messages":
                for message in value:
                    self.out.text(message["role"], message["content"])
            else:
                self.field((names or {}).get(name, name), value)
        return stage

    def field(self, name: str, value: Any) -> None:
        if isinstance(value, str) and (not value or value != value.strip()):
            self.out.text(name, value)  # its margin shows the white space
        else:
            self.out.field(name, value)

    def answer(
        self, key: str | None, files: Iterable[Path] = (), row: Exchange | None = None
    ) -> tuple[str | None, list[Path]]:
        """An answer and its request; gives the prompt, if it is known, and the file it comes from.

        Args:
            key: None if it has none, because Seedbed did not ask for it.
            files: the prompt is made from one of these; all of them are given if it is not known.
            row: what the row has of the answer, for a store that does not have it.
        """
        kept = None if key is None else read_only(default_path(), key)
        request: dict[str, Any] = {}
        response = None
        with self.out.under("answer without a key" if key is None else f"answer {key}"):
            if kept:
                self.out.field("kept", f"{kept.created_at} UTC")
                if kept.problem:
                    self.out.field("problem", kept.problem)
                request, response = _fields(kept.request), kept.response
            else:
                self.out.line(
                    "it came with the file: the response store has none without a key"
                    if key is None
                    else f"the response store {default_path()} lacks it (made elsewhere?)"
                )
                self.out.line(
                    "what follows of it is what the row has"
                    if row
                    else "the row has neither its request nor the raw answer"
                )
                if row and row.response is not None:
                    response = json.dumps(row.response, ensure_ascii=False)
            asked = request.pop("prompt", row.prompt if row else None)
            prompt = asked if isinstance(asked, str) else None
            shared = _made_from(files, prompt)
            if request or prompt is not None:
                with self.out.under("request:"):
                    for name, value in request.items():
                        self.out.field(name, value)
                    if prompt is not None:
                        self._prompt(prompt, shared)
            if response is not None:
                self._response(response)
        return prompt, list(shared)

    def asked(
        self, stage: str, key: str | None, files: Iterable[Path], row: Exchange | None = None
    ) -> str | None:
        """An answer with its prompt file and parameters; gives the prompt. As `answer`."""
        if key is None:  # the stage had no part in it
            return self.answer(key, (), row)[0]
        prompt, files = self.answer(key, files, row)
        for file in files:
            with self.out.under(f"prompt file: {file}" if prompt else f"a prompt file: {file}"):
                self.revision(stage, file)
        if not files:
            self.out.line(f"prompt file: none of {stage}'s begins as the prompt does")
        self.parameters(stage)
        return prompt

    def _prompt(self, prompt: str, files: dict[Path, int]) -> None:
        for file, shared in files.items():
            if shared >= FEW_SHOT and not self.full:
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
        if self.full or not isinstance(text, str):
            self.out.text("raw body", body)

    def revision(self, stage: str, path: Path) -> None:
        self.out.line(f"last changed in git: {revision(path)}")
        self.out.line(self.pipeline.compared(stage, path))

    def parameters(self, stage: str) -> None:
        parameters = list(self.pipeline.parameters(stage))
        if not parameters:
            self.out.line(f"parameters: dvc.lock does not say what {stage} ran with")
            return
        changed = sum(then != now for _, then, now in parameters)
        state = f"{changed} CHANGED since" if changed else "params.yaml has the same"
        with self.out.under(f"parameters that {stage} ran with (dvc.lock; {state}):"):
            for name, then, now in parameters:
                told = f"{name}: {_short(then)}"
                self.out.line(told if then == now else f"{told}   CHANGED: now {_short(now)}")


def _made_from(files: Iterable[Path], prompt: str | None) -> dict[Path, int]:
    """The prompt file that a prompt was made from, and how much of it begins the prompt.

    It is the one with which it shares the most, so that it is found even if it was edited
    since; in characters, of whole lines. All of the files if the prompt is not known.
    """
    shared = dict.fromkeys(files, 0)
    if prompt is None:
        return shared
    for path in shared:
        if path.exists():
            shared[path] = _shared(prompt, path.read_text(encoding="utf-8", errors="replace"))
    best = max(shared, key=shared.__getitem__, default=None)
    if best is None or not shared[best]:
        return {}
    return {best: prompt.rfind("\n", 0, shared[best]) + 1}


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
