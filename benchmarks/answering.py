"""A made-up model in the engine's place, within the process: a stage is measured, and nothing else.

It reads as far ahead as the engine does with many requests in flight, and answers as
model_answers.py does. What it answers goes into the response store too, where that is wanted: then
`seedbed estimate` finds it there.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from hashlib import sha256
from itertools import count, islice

from model_answers import Model
from texts import Writer

from seedbed.core.progress import Tally
from seedbed.llm import engine
from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.contract.wire import Answer, read_body
from seedbed.llm.params import Llm
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store.place import default_path
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store

# As the engine's windows, with 64 requests of some prompts each in flight.
AHEAD = 8 * engine.WINDOW
# Different outputs that are said to short questions, of which there are millions.
OUTPUTS = 997


class Talking:
    """Answers as the engine does. store: None if nothing is kept."""

    def __init__(self, canon: Canon, store: Store | None):
        self._canon = canon
        self._store = store
        self._model = Model()
        writer = Writer(seed=2)
        self._outputs = [writer.words(writer.random.randint(1, 12)) for _ in range(OUTPUTS)]
        self._number = count()

    def ask(self, requests: Iterable[Request]) -> Iterator[Answer]:
        source = iter(requests)
        while window := list(islice(source, AHEAD)):
            if self._store is None:
                yield from map(self._quickly, window)
                continue
            kept = [self._kept(request) for request in window]
            self._store.put(kept)
            for one in kept:
                yield read_body(one.key, one.response)

    def count_tokens(self, texts: Iterable[str]) -> list[int]:
        return [len(text) // 4 for text in texts]

    def _quickly(self, request: Request) -> Answer:
        text = self._outputs[next(self._number) % OUTPUTS]
        return Answer(sha256(request.prompt.encode()).hexdigest(), f" {text}", "stop", {})

    def _kept(self, request: Request) -> Kept:
        keyed = self._canon.of(request)
        text = self._model.say({"seed": request.seed}, request.prompt, request.sample)
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(request.prompt) // 4, "completion_tokens": len(text) // 4}
        body = {"object": "text_completion", "model": "m", "choices": [choice], "usage": usage}
        most = request.sampling.max_tokens
        return Kept(
            keyed.key, keyed.base, self._canon.model, keyed.form, json.dumps(body), most, True,
            None, usage["prompt_tokens"], usage["completion_tokens"],
        )  # fmt: skip


def take_the_engines_place(keep: bool) -> None:
    """From now on stages of this process ask a made-up model. keep: whether in the store too."""

    @contextmanager
    def open_engine(llm: Llm, on_answer: Callable[[Tally], None]) -> Iterator[Talking]:
        opened = closing(Store(default_path())) if keep else nullcontext()
        with open_endpoint(llm) as endpoint, opened as store:
            canon = Canon(endpoint.identity, llm.api, llm.system, llm.leave_out, endpoint.say_none)
            yield Talking(canon, store)

    engine.open_engine = open_engine
