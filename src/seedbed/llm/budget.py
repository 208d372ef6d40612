"""What a run may cost: SEEDBED_BUDGET_USD, SEEDBED_BUDGET_TOKENS.

A run is one `dvc repro` (or exp run, or queue worker) with all its stages, or a stage that is
called by itself. What it has spent is in the store, with the answers that it was spent on.
"""

import os

import psutil

from seedbed.llm import errors
from seedbed.llm.params import Price
from seedbed.llm.store.rows import Spent


def run_of_this_process() -> str:
    """Names the run that this process belongs to: the farthest `dvc` among those that called it."""
    me = psutil.Process()
    run = me
    for process in me.parents():
        try:
            words = process.cmdline()[:3]
        except psutil.Error:
            continue
        if any(os.path.basename(word) == "dvc" for word in words):  # noqa: PTH119 - not a path, a word
            run = process
    return f"{run.pid}-{run.create_time():.2f}"


def cost(price: Price | None, prompt_tokens: float, completion_tokens: float) -> float:
    """US dollars; prices are per million tokens."""
    if price is None:
        return 0.0
    return (prompt_tokens * price.input + completion_tokens * price.output) / 1e6


def most_tokens(prompt: str, system: str | None = None) -> int:
    """More than any tokenizer makes of a prompt: a token has at least a byte.

    What a chat template adds, and the tokens at the ends, are counted as 64.
    """
    return len(prompt.encode()) + len((system or "").encode()) + 64


class Budget:
    """Lets a request go only if the run stays within its limits even if it is as dear as can be.

    dollars, tokens: the limits; None for none.
    price: the model's, None if there is none.
    """

    def __init__(
        self, dollars: float | None, tokens: int | None, price: Price | None, spent: Spent
    ):
        self._dollars, self._tokens = dollars, tokens
        self._price = price
        self.spent = spent
        self._in_flight = Spent(spent.run)

    @property
    def limited(self) -> bool:
        return self._dollars is not None or self._tokens is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight that might turn out cheaper."""
        return self._in_flight.tokens == 0

    def reserve(self, prompt_tokens: int, completion_tokens: int) -> bool:
        """Set aside the most that a request may come to; False if that would be too much."""
        tokens = prompt_tokens + completion_tokens
        dollars = cost(self._price, prompt_tokens, completion_tokens)
        fits = (
            self._tokens is None
            or self.spent.tokens + self._in_flight.tokens + tokens <= self._tokens
        ) and (
            self._dollars is None
            or self.spent.dollars + self._in_flight.dollars + dollars <= self._dollars
        )
        if fits:
            self.set_aside(prompt_tokens, completion_tokens)
        return fits

    def set_aside(self, prompt_tokens: int, completion_tokens: int) -> None:
        """The same for what is under way already, whether it fits or not."""
        self._in_flight.tokens += prompt_tokens + completion_tokens
        self._in_flight.dollars += cost(self._price, prompt_tokens, completion_tokens)

    def release(self, prompt_tokens: int, completion_tokens: int) -> None:
        """A request that was reserved is over; what it came to is in `spent` by now."""
        self._in_flight.tokens -= prompt_tokens + completion_tokens
        self._in_flight.dollars -= cost(self._price, prompt_tokens, completion_tokens)

    def exceeded(self, prompt_tokens: int, completion_tokens: int) -> errors.BudgetReached:
        return errors.BudgetReached(
            self.spent.tokens,
            self.spent.dollars,
            self._tokens,
            self._dollars,
            prompt_tokens + completion_tokens,
            cost(self._price, prompt_tokens, completion_tokens),
        )
