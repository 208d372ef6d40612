"""What the engine is asked of texts, besides to go on with them: how likely they are, how long.

Each looks up a window of what is wanted, has what is missing measured, and gives it in order.
"""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from seedbed.llm import errors
from seedbed.llm.contract.request import Canon, Keyed
from seedbed.llm.contract.wire import MalformedBody
from seedbed.llm.send.embed import Embedder, State, ToEmbed, read_state
from seedbed.llm.send.embed import keyed as embed_keyed
from seedbed.llm.send.fleet import Asked
from seedbed.llm.send.score import Pair, Score, ToScore, read_score, score_all
from seedbed.llm.send.session import Session
from seedbed.llm.send.tokens import count_tokens, read_count
from seedbed.llm.send.weigh import Options, ToWeigh, Weigher
from seedbed.llm.send.weigh import keyed as weigh_keyed
from seedbed.llm.send.work import Book
from seedbed.llm.serve.endpoint import Endpoint
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import by_model

Result = TypeVar("Result")
Wish = TypeVar("Wish")

# So many are looked up at a time.
WINDOW = 512


class Measuring:
    """The part of the engine that measures; the rest of it is `seedbed.llm.engine.Engine`."""

    _endpoint: Endpoint
    _store: Store
    _canon: Canon
    _book: Book

    @property
    def _session(self) -> Asked:
        raise NotImplementedError

    @property
    def _alone(self) -> Session:
        """The session, where there is one server."""
        (session,) = self._session.sessions
        return session

    @property
    def _embedding(self) -> Session:
        raise NotImplementedError

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        raise NotImplementedError

    @property
    def context(self) -> int | None:
        """The tokens that a prompt and its text may have together; None if nobody says."""
        return self._endpoint.llm.embedded.context if self._endpoint.embedded else None

    def score(self, texts: Iterable[Pair]) -> Iterator[Score]:
        """The scores of (prompt, text) pairs, in order; see `seedbed.llm.send.score`.

        A pair may name prefixes of its prompt, as a `Request` does, that others share.

        Raises:
            ScoringNotOffered: the server cannot do it.
            SeedbedError: as `ask`.
        """
        wanted = (self._to_score(pair) for pair in texts)
        for pair, kept in self._kept(
            wanted,
            lambda pair: [pair.keyed],
            lambda missing: score_all(self._session, missing),
        ):
            yield self._score_in(kept[pair.keyed.key])

    def _to_score(self, pair: Pair) -> ToScore:
        return ToScore.of(self._canon, pair, by_slot=self._endpoint.one_slot)

    def weigh(self, options: Iterable[Options]) -> Iterator[list[Score]]:
        """The scores of texts that may follow the same prompt, prompt by prompt, in order.

        What `score` gives, but for the rounding, for less: see `seedbed.llm.send.weigh`.

        Raises:
            ScoringNotOffered, SeedbedError: as `score`.
        """
        if not self._endpoint.embedded:
            source = iter(options)
            while window := list(islice(source, WINDOW)):
                scores = self.score((prompt, text) for prompt, texts, _ in window for text in texts)
                yield from (list(islice(scores, len(texts))) for _, texts, _ in window)
            return
        wanted = (ToWeigh(one, weigh_keyed(self._canon, one)) for one in options)

        async def fetch(missing: list[ToWeigh]) -> dict[str, Kept]:
            return await Weigher(self._alone).weigh_all(missing)

        for wish, kept in self._kept(wanted, lambda wish: wish.keyed, fetch):
            yield [self._score_in(kept[keyed.key]) for keyed in wish.keyed]

    def embed(self, prompts: Iterable[str]) -> Iterator[State]:
        """The states of prompts, in order; see `seedbed.llm.send.embed`.

        Raises:
            EmbeddingNotOffered: it is not the embedded server.
            SeedbedError: as `ask`.
        """
        self.demand_states()
        wanted = (ToEmbed(embed_keyed(self._canon, prompt), prompt) for prompt in prompts)

        async def fetch(missing: list[ToEmbed]) -> dict[str, Kept]:
            return await Embedder(self._embedding).embed_all(missing)

        for wish, kept in self._kept(wanted, lambda wish: [wish.keyed], fetch):
            try:
                yield read_state(kept[wish.keyed.key])
            except MalformedBody as problem:
                raise self._damaged(wish.keyed.key, problem) from None

    def demand_states(self) -> None:
        """Raises EmbeddingNotOffered: `embed` will."""
        if self._endpoint.connect_embedding is None:
            raise errors.EmbeddingNotOffered(self._endpoint.address)

    def _kept(
        self,
        wanted: Iterable[Wish],
        keyed: Callable[[Wish], Sequence[Keyed]],
        fetch: Callable[[list[Wish]], Coroutine[Any, Any, dict[str, Kept]]],
    ) -> Iterator[tuple[Wish, dict[str, Kept]]]:
        """Yield each wish, with rows in which its own are, by key.

        Args:
            keyed: the canonical forms of what a wish asks for. fetch: has wishes fulfilled.
        """
        source = iter(wanted)
        row = 0
        while window := list(islice(source, WINDOW)):
            keys = [one.key for wish in window for one in keyed(wish)]
            kept = self._store.get(keys)
            missing = {
                tuple(one.key for one in keyed(wish)): wish
                for wish in window
                if not all(one.key in kept for one in keyed(wish))
            }
            self._book.reused(len(keys) - sum(map(len, missing)))
            if missing:
                first = next(iter(missing.values()))
                self._refuse_in_replay(row + window.index(first) + 1, keyed(first)[0])
                kept |= self._run(fetch(list(missing.values())))
            row += len(window)
            for wish in window:
                yield wish, kept

    def _score_in(self, kept: Kept) -> Score:
        try:
            return read_score(kept)
        except MalformedBody as problem:
            raise self._damaged(kept.key, problem) from None

    def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        """The number of tokens of each text; None if the server does not tell.

        Raises:
            SeedbedError: as `ask`.
        """
        wanted = {text: self._canon.tokens(text) for text in texts}
        kept = self._store.get(keyed.key for keyed in wanted.values())
        missing = {text: keyed for text, keyed in wanted.items() if keyed.key not in kept}
        if missing:
            first = next(iter(missing))
            self._refuse_in_replay(texts.index(first) + 1, missing[first])
            rows = self._run(count_tokens(self._session, missing))
            if rows is None:
                return None
            kept |= {row.key: row for row in rows}
        return [read_count(kept[wanted[text].key]) for text in texts]

    def unscored(self, texts: Sequence[Pair]) -> list[str | None]:
        """The keys of (prompt, text) pairs that the store has no score of, None for the others."""
        return self._lacking([self._to_score(pair).keyed.key for pair in texts])

    def unweighed(self, options: Sequence[Options]) -> list[str | None]:
        """The same of options, text by text."""
        if not self._endpoint.embedded:
            return self.unscored([(prompt, text) for prompt, texts, _ in options for text in texts])
        return self._lacking(
            [keyed.key for one in options for keyed in weigh_keyed(self._canon, one)]
        )

    def unembedded(self, prompts: Sequence[str]) -> list[str | None]:
        """The same of prompts whose state is wanted."""
        return self._lacking([embed_keyed(self._canon, prompt).key for prompt in prompts])

    def _lacking(self, keys: list[str]) -> list[str | None]:
        kept = self._store.get(keys)
        return [None if key in kept else key for key in keys]

    def _refuse_in_replay(self, row: int, keyed: Keyed) -> None:
        if self._endpoint.llm.replay:
            models = [str(totals["model"]) for totals in by_model(self._store)]
            raise errors.NotInStore(self._store.path, row, keyed.key, keyed.form, models)

    def _damaged(self, key: str, problem: MalformedBody) -> errors.RowsDamaged:
        return errors.RowsDamaged(
            self._store.path, [f"the answer {key[:12]}… cannot be read: {problem}"]
        )
