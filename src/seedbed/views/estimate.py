"""What a run would ask, before it asks: requests, answers in the store already, tokens, cost.

The stages are walked through with the answers that the store has. As far as these reach, the
requests are the very ones that a run would send; beyond that (nobody knows what a model will say
before it was asked) they are counted from what was seen so far, and the line says so.
"""

from collections.abc import Collection, Iterable, Sequence

from seedbed.llm.budget import cost
from seedbed.llm.params import Price
from seedbed.llm.store.place import default_path
from seedbed.llm.store.store import Store
from seedbed.methods import parts
from seedbed.params import Everything
from seedbed.runs.dry_run import Foreseen, Foresight


def foresee(
    params: Everything, methods: Collection[str] | None = None
) -> tuple[list[Foreseen], Price | None]:
    """What each stage would ask, in order, and what the model's tokens cost.

    Args:
        methods: only of these, by the names of their folders; None for all.

    Raises:
        SeedbedError: as the stages for bad input.
    """
    store = Store(default_path())
    try:
        with Foresight.opened(params.asked, store) as foresight:
            seen: list[Foreseen] = []
            for part in parts("estimate"):
                if methods is None or part.__name__.split(".")[-2] in methods:
                    seen += part.foresee(params, foresight)
            for foreseen in seen:
                foresight.add_tokens(foreseen)
            return seen, foresight.price
    finally:
        store.close()


def table(seen: Sequence[Foreseen], price: Price | None) -> Iterable[str]:
    """The lines to print."""
    columns = "{:<15} {:>9} {:>9} {:>9} {:>14} {:>18} {:>12}".format
    yield columns(
        "stage", "requests", "in store", "to send", "prompt tokens", "completion tokens", "cost"
    )
    total = Foreseen("total")
    for foreseen in seen:
        yield columns(*_cells(foreseen, price))
        for name in ("requests", "kept", "prompt_tokens", "completion_tokens"):
            setattr(total, name, getattr(total, name) + getattr(foreseen, name))
    yield columns(*_cells(total, price))
    for foreseen in seen:
        for note in foreseen.guessed:
            yield f"  guessed for {foreseen.stage}: {note}"
    if price is None:
        yield "  no price: add the model to run.prices in params.yaml"


def _cells(foreseen: Foreseen, price: Price | None) -> list[str]:
    numbers = (
        foreseen.requests,
        foreseen.kept,
        foreseen.missing,
        foreseen.prompt_tokens,
        foreseen.completion_tokens,
    )
    dollars = cost(price, foreseen.prompt_tokens, foreseen.completion_tokens)
    return [
        foreseen.stage,
        *(f"{number:,}" for number in numbers),
        "?" if price is None else f"${dollars:,.4f}",
    ]
