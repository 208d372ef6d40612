"""One call until it is over: answered, given up, or taken apart into others.

What a server refuses is tried in another way, if there is one: with fewer tokens, under the other
name of a parameter, prompt by prompt.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from seedbed.errors import SeedbedError
from seedbed.llm import errors
from seedbed.llm.budget import most_tokens
from seedbed.llm.contract.wire import MalformedBody, Problem, body_for, problem_body, usage_in
from seedbed.llm.send.session import Asking, Session
from seedbed.llm.send.setback import Setback, failure, malformed
from seedbed.llm.send.work import Call, Read, keep, read
from seedbed.llm.serve.endpoint import PATHS
from seedbed.llm.store.rows import Kept

# A request that does not fit the context is asked with a fifth fewer tokens (as the authors of
# Self-Instruct do), so often: that is a tenth of what was asked for.
LOWER, TIMES = 0.8, 10


@dataclass
class Way:
    """How a call is asked by now.

    lowered: how often it was given fewer tokens. renamed: whether max_tokens has its other name.
    """

    max_tokens: int
    lowered: int = 0
    renamed: bool = False


@dataclass(frozen=True)
class Answered:
    """rows: of the store. as_asked: whether they are answers, not what is kept instead of one."""

    rows: list[Kept]
    as_asked: bool


@dataclass(frozen=True)
class GivenUp:
    """error: what ends the run if there is no sign that others will fare better."""

    reason: str
    error: SeedbedError


# What became of a call: in the end it may be that others are to be made instead.
Outcome = Answered | GivenUp | list[Call]


class Caller:
    """Makes calls, and remembers what the server will not have.

    together: whether it may take several prompts, or samples, in one request.
    """

    def __init__(self, session: Session):
        self._session = session
        self.together = not session.endpoint.embedded
        self._together_worked = False
        # Whether the server calls max_tokens max_completion_tokens, as OpenAI's newer models do.
        self._renamed = False

    async def call(self, call: Call) -> Outcome:
        """Ask until there is an outcome.

        Raises:
            SeedbedError: what ends the run.
            Elsewhere: another server is to be asked; see `seedbed.llm.send.fleet`.
        """
        system = self._session.endpoint.llm.system
        prompt_tokens = sum(most_tokens(prompt, system) for prompt in call.prompts)
        way = Way(call.first.request.sampling.max_tokens)
        asking = Asking(
            call.first.keyed.key, call.prompts, (0, 0), call.size, call.sent, call.failed
        )
        while True:
            asking.most = prompt_tokens, way.max_tokens * call.size
            try:
                send = partial(self._send, call, way.max_tokens)
                rows = await self._session.attempt(asking, send)
            except Setback as setback:
                call.sent, call.failed = asking.sent, asking.failed
                then = await self._after(setback, call, asking, way)
            else:
                self._together_worked |= call.size > 1
                return Answered(rows, as_asked=True)
            if not isinstance(then, float):
                return then
            if then:
                await asyncio.sleep(then)

    async def _send(self, call: Call, max_tokens: int) -> Read:
        body = await self._post(call, max_tokens)
        try:
            shared = self._session.endpoint.prompts_per_request > 1
            return read(call, self._session.model, body, max_tokens, shared)
        except MalformedBody as problem:
            raise malformed(str(problem), body, usage_in(body)) from None

    async def _post(self, call: Call, max_tokens: int) -> str:
        session, endpoint = self._session, self._session.endpoint
        request, llm = call.first.request, endpoint.llm
        body = body_for(
            llm.api,
            endpoint.model,
            llm.system,
            call.prompts,
            request,
            max_tokens,
            call.samples,
            llm.leave_out,
            endpoint.say_none,
        )
        if session.slot:
            return await session.slot.ask(body, request.prefixes)
        if self._renamed:
            body["max_completion_tokens"] = body.pop("max_tokens")
        return await session.client.post(PATHS[llm.api], body)

    async def _after(
        self, setback: Setback, call: Call, asking: Asking, way: Way
    ) -> Outcome | float:
        """What to do about a call that was not answered; seconds: ask again after these."""
        address = self._session.endpoint.address
        if "max_completion_tokens" in setback.said and not way.renamed:
            way.renamed = self._renamed = True
            return 0.0
        tried = asking.failed > self._session.endpoint.retries
        if call.size > 1 and (setback.kind in ("too_long", "refused", "bad") or tried):
            # One of the prompts may be to blame, or the server takes no lists.
            self.together = self._together_worked
            return call.apart()
        if setback.kind == "too_long":
            way.lowered += 1
            way.max_tokens = int(way.max_tokens * LOWER)
            if way.lowered <= TIMES and way.max_tokens:
                return 0.0
            return await self._keep_problem(call, "over_context", setback)
        if setback.kind == "refused":
            return await self._keep_problem(call, "refused", setback)
        if setback.kind == "bad":
            if setback.parameter:
                raise errors.ParameterRefused(address, setback.parameter, setback.said)
            status = setback.status or 400
            refused = errors.RequestRefused(address, status, setback.said)
            return GivenUp(f"HTTP {status}: {setback.said}", refused)
        if tried:
            if setback.malformed and self._session.answered:
                return await self._keep_problem(call, "malformed", setback)
            return GivenUp(f"{setback.status_or_kind}: {setback.said}", failure(address, setback))
        return self._session.pause(asking, setback)

    async def _keep_problem(self, call: Call, problem: Problem, setback: Setback) -> Answered:
        (wanted,) = call.wanted
        asked = wanted.request.sampling.max_tokens
        # Not what the server sent: nobody can tell what of the request is in it.
        body = problem_body(setback.said, setback.body)
        row = keep(wanted.keyed, self._session.model, body, asked, problem)
        return Answered(await self._session.ledger.enter([row], (0, 0)), as_asked=False)
