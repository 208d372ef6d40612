"""What is to be sent, and which of the servers is handed it.

What begins alike is to stay at one server, which then evaluates the beginning once. So what comes
in, sorted, is a stretch; a server works through a stretch of its own from the front. When that is
done it takes a stretch that nobody has begun, best one that begins as what it was asked last, and
when there is none, the latter part of the longest that another has: no server is idle while there
is something to send. The cut is made near the middle, where neighbours have least in common.

With one server everything goes out in the order in which it came.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Todo(Generic[Item]):
    """What no server has been handed yet.

    prompt: what is sent of an item, of which the beginning counts.
    """

    def __init__(self, servers: int, prompt: Callable[[Item], str]):
        self._prompt = prompt
        # Stretches that nobody has begun, and one of each server's own.
        self._fresh: deque[deque[Item]] = deque()
        self._own: list[deque[Item]] = [deque() for _ in range(servers)]
        # What failed, and where.
        self._again: deque[tuple[int, Item]] = deque()
        self._last = [""] * servers

    def __len__(self) -> int:
        stretches = sum(map(len, self._own)) + sum(map(len, self._fresh))
        return stretches + len(self._again)

    def add(self, items: Iterable[Item]) -> None:
        """What comes after all that is there already; sorted."""
        if stretch := deque(items):
            self._fresh.append(stretch)

    def first(self, server: int, items: Sequence[Item]) -> None:
        """What that server is to be handed next."""
        self._own[server].extendleft(reversed(items))

    def again(self, server: int, item: Item) -> None:
        """What failed at that server: another is handed it before anything else."""
        self._again.append((server, item))

    def leave(self, server: int) -> None:
        """That server is not asked for a while: others may begin what is its own."""
        if self._own[server]:
            self._fresh.appendleft(self._own[server])
            self._own[server] = deque()

    def clear(self) -> list[Item]:
        """Take out all that is left."""
        left = [item for _, item in self._again]
        left += [item for stretch in (*self._own, *self._fresh) for item in stretch]
        self._again.clear()
        self._fresh.clear()
        for stretch in self._own:
            stretch.clear()
        return left

    def take(self, server: int) -> Item | None:
        """What that server is to be sent now; None: there is nothing left."""
        item = self._taken(server)
        if item is not None and len(self._own) > 1:
            self._last[server] = self._prompt(item)
        return item

    def _taken(self, server: int) -> Item | None:
        for place, (failed_at, item) in enumerate(self._again):
            if failed_at != server:
                del self._again[place]
                return item
        if not self._own[server]:
            self._own[server] = self._begin(server) or self._share()
        if self._own[server]:
            return self._own[server].popleft()
        return self._again.popleft()[1] if self._again else None

    def _begin(self, server: int) -> deque[Item] | None:
        """A stretch that nobody has begun."""
        if not self._fresh:
            return None
        place = 0
        if len(self._own) > 1 and len(self._fresh) > 1:
            last = self._last[server]
            place = max(
                range(len(self._fresh)),
                key=lambda i: (common(last, self._prompt(self._fresh[i][0])), -i),
            )
        stretch = self._fresh[place]
        del self._fresh[place]
        return stretch

    def _share(self) -> deque[Item]:
        """The latter part of the longest stretch that a server has."""
        longest = max(range(len(self._own)), key=lambda i: len(self._own[i]))
        items = list(self._own[longest])
        place = self._cut(items)
        self._own[longest] = deque(items[:place])
        return deque(items[place:])

    def _cut(self, items: Sequence[Item]) -> int:
        """Where to cut: in the middle half, between the two that have least in common."""
        middle = len(items) // 2
        prompts = list(map(self._prompt, items))
        places = range(max(1, -(-len(items) // 4)), 3 * len(items) // 4 + 1)
        return min(
            places,
            key=lambda i: (common(prompts[i - 1], prompts[i]), abs(i - middle)),
            default=middle,
        )


def common(one: str, other: str) -> int:
    """With so many characters both begin.

    >>> common("Say one.", "Say two."), common("", "Say two.")
    (4, 0)
    """
    low, high = 0, min(len(one), len(other))
    while low < high:
        # Halves are compared as a whole: prompts are long, and most of them alike.
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
