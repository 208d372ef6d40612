"""The engine: everything that reaches a model goes through here, and only through here.

It answers from the store what the store has, sends the rest through the official client, and
keeps each answer the moment it arrives. The order of the results is that of the requests.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import openai

from seedbed import errors
from seedbed.llm.endpoint import Endpoint, number_from_env, open_endpoint
from seedbed.llm.request import Answer, MalformedBody, Request, Tally, key_of, read_body
from seedbed.llm.store import Store, default_path
from seedbed.params import Llm

# What stages are given: requests → their answers, in order.
Ask = Callable[[Sequence[Request]], list[Answer]]


class Engine:
    """Asks one endpoint, through one store.

    on_answer: called with the tally after each answer, from the store or the server.
    """

    def __init__(self, endpoint: Endpoint, store: Store, on_answer: Callable[[Tally], None]):
        self.tally = Tally()
        self._endpoint = endpoint
        self._store = store
        self._on_answer = on_answer
        self._primed: str | None = None
        self._runner = asyncio.Runner()
        self._made: openai.AsyncOpenAI | None = None

    @property
    def _client(self) -> openai.AsyncOpenAI:
        if self._made is None:
            base_url, key = self._endpoint.connect()
            self._made = openai.AsyncOpenAI(
                base_url=base_url,
                api_key=key,
                max_retries=number_from_env("SEEDBED_MAX_RETRIES", 3, least=0),
                timeout=number_from_env("SEEDBED_TIMEOUT", 600),
                # A proxy is for the way out, never for the server in this process.
                http_client=openai.DefaultAsyncHttpxClient(trust_env=not self._endpoint.embedded),
            )
        return self._made

    def close(self) -> None:
        if self._made:
            self._runner.run(self._made.close())
        self._runner.close()

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer a request, in the requests' order; equal requests share one.

        Raises:
            SeedbedError: the server cannot be reached or refuses; what has arrived is kept.
            KeyboardInterrupt: likewise.
        """
        forms = [request.canonical(self._endpoint.identity) for request in requests]
        keys = [key_of(form) for form in forms]
        answers = self._kept(keys)
        missing: dict[str, tuple[Request, str]] = {}
        for request, form, key in zip(requests, forms, keys, strict=True):
            if key in answers or key in missing:
                self.tally.reused += 1
                self._on_answer(self.tally)
            else:
                missing[key] = (request, form)
        if missing:
            self._runner.run(self._send_all(missing, answers))
        return [answers[key] for key in keys]

    def _kept(self, keys: Sequence[str]) -> dict[str, Answer]:
        answers = {}
        for key, body in self._store.get(dict.fromkeys(keys)).items():
            try:
                answers[key] = read_body(key, body)
            except MalformedBody as problem:
                why = f"the answer {key[:12]}… is damaged: {problem}"
                raise errors.StoreFailed(self._store.path, why) from None
        return answers

    async def _send_all(
        self, missing: dict[str, tuple[Request, str]], answers: dict[str, Answer]
    ) -> None:
        # Prompts that begin alike go one after another, so that a server with a prefix cache
        # evaluates their beginning once.
        queue = iter(sorted(missing.items(), key=lambda item: item[1][0].prompt))
        failures: list[BaseException] = []

        async def work() -> None:
            for key, (request, form) in queue:
                if failures:
                    return
                try:
                    body = await self._send(request)
                    answer = self._checked(key, body)
                    self._store.put(key, form, body)
                except errors.SeedbedError as failure:
                    # The others finish what is under way: it may have been paid for.
                    failures.append(failure)
                    return
                answers[key] = answer
                self.tally.sent += 1
                self.tally.prompt_tokens += answer.prompt_tokens
                self.tally.completion_tokens += answer.completion_tokens
                self._on_answer(self.tally)

        workers = min(self._endpoint.concurrency, len(missing))
        await asyncio.gather(*(work() for _ in range(workers)))
        if failures:
            raise failures[0]

    def _checked(self, key: str, body: str) -> Answer:
        try:
            return read_body(key, body)
        except MalformedBody as problem:
            raise errors.BadAnswer(self._endpoint.address, str(problem), body) from None

    async def _send(self, request: Request) -> str:
        sampling = request.sampling
        extra: dict[str, Any] = {}
        if self._endpoint.one_slot:
            await self._prime(request.prefix)
            extra = {"extra_body": {"cache_prompt": bool(request.prefix)}}
        return await self._complete(
            prompt=request.prompt,
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            # At temperature 0 it has no meaning, and vLLM refuses the authors' 0.
            top_p=sampling.top_p if sampling.temperature else openai.omit,
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            logprobs=openai.omit if sampling.logprobs is None else sampling.logprobs,
            stop=sampling.stop or openai.omit,
            seed=openai.omit if request.seed is None else request.seed,
            **extra,
        )

    async def _prime(self, prefix: str) -> None:
        """Leave exactly `prefix` in the embedded server's prompt cache.

        How much of a prompt comes from the cache changes the rounding of what is computed from
        it, and so, now and then, the answer. Left alone, that part depends on the request before:
        20 prompts asked forwards and backwards gave 4 different texts. After this it is the
        prefix, neither more nor less, whichever requests came before, so that a run that was
        killed and resumed gives the bytes of one that was not. Takes about 27 ms.
        """
        if not prefix:
            return  # such a request is sent with the cache switched off
        if self._primed != prefix:
            await self._complete(prompt=prefix, max_tokens=0, extra_body={"cache_prompt": False})
            self._primed = prefix
        await self._complete(prompt=prefix, max_tokens=0, extra_body={"cache_prompt": True})

    async def _complete(self, **arguments: Any) -> str:
        """Send one request to the completions API and give the raw body of the response."""
        where, model = self._endpoint.address, self._endpoint.model
        try:
            response = await self._client.completions.with_raw_response.create(
                model=model, **arguments
            )
            return str(response.http_response.text)
        except openai.APITimeoutError:
            raise errors.ServerFailed(where, "it does not answer in time") from None
        except openai.APIConnectionError as error:
            raise errors.ServerNotThere(where, str(error.__cause__ or error)) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise errors.KeyRefused(where, error.status_code) from None
        except openai.NotFoundError as error:
            known = await self._known_models()
            raise errors.ModelUnknown(where, model, _said(error), known) from None
        except openai.APIStatusError as error:
            if error.status_code in (408, 409, 429) or error.status_code >= 500:
                why = f"HTTP {error.status_code}: {_said(error)}"
                raise errors.ServerFailed(where, why) from None
            raise errors.RequestRefused(where, error.status_code, _said(error)) from None
        except openai.OpenAIError as error:
            raise errors.ServerFailed(where, str(error)) from None

    async def _known_models(self) -> list[str]:
        try:
            models = await self._client.with_options(max_retries=0, timeout=10).models.list()
            return [model.id for model in models.data][:20]
        except openai.OpenAIError:
            return []


def _said(error: openai.APIStatusError) -> str:
    """What the server answered, in one line."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, dict) else inner
    return " ".join(str(body or error.message).split())[:500]


@contextmanager
def open_engine(llm: Llm, on_answer: Callable[[Tally], None]) -> Iterator[Engine]:
    """An engine on the endpoint and the store that parameters and environment name."""
    store = Store(default_path())
    try:
        with open_endpoint(llm) as endpoint:
            engine = Engine(endpoint, store, on_answer)
            try:
                yield engine
            finally:
                engine.close()
    finally:
        store.close()
