"""What a stage asks about, with what was asked and answered, while more is asked ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer, Ask

Thing = TypeVar("Thing")


def answered(
    things: Iterable[Thing], requests: Callable[[Iterator[Thing]], Iterator[Request]], ask: Ask
) -> Iterator[tuple[Thing, Request, Answer]]:
    """Yield each thing with its request and its answer, in order.

    The things are read as they are asked about, and no more are held than wait for an answer.

    Args:
        requests: makes one request of each thing, as it comes.
    """
    unasked: deque[Thing] = deque()
    waiting: deque[tuple[Thing, Request]] = deque()

    def read() -> Iterator[Thing]:
        for thing in things:
            unasked.append(thing)
            yield thing

    def asked() -> Iterator[Request]:
        for request in requests(read()):
            waiting.append((unasked.popleft(), request))
            yield request

    for answer in ask(asked()):
        yield (*waiting.popleft(), answer)
    assert not waiting, "one answer a request"
