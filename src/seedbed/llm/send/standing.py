"""How one of several servers stands: whether it is asked, and when again if it is not."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from seedbed.llm.send.limits import pause_before
from seedbed.llm.send.setback import Setback

# So many failures in a row are the server's, not the requests'.
IN_A_ROW = 3


@dataclass
class Standing:
    """Times are those of the loop's clock.

    name: what the progress line calls it.
    models: those that it says it has.
    failures: in a row; last: the last of them.
    outs: how often in a row it was left out; until: when it may be tried again.
    known: whether it said which models it has, since it was last left out.
    told: whether it was said that it is left out.
    """

    name: str
    models: list[str] = field(default_factory=list)
    failures: int = 0
    last: Setback | None = None
    outs: int = 0
    until: float = 0.0
    known: bool = False
    told: bool = False

    @property
    def out(self) -> bool:
        """Whether it failed, and has answered nothing since."""
        return self.outs > 0

    def away(self, now: float) -> float:
        """Seconds until it may be asked."""
        return max(0.0, self.until - now)

    def went_well(self) -> None:
        """It answered. What it asked to be spared until then holds all the same: that may have been
        sent before."""
        self.failures = self.outs = 0
        if self.last is None or self.last.retry_after is None:
            self.until = 0.0

    def failed(self, setback: Setback, at_once: int, now: float) -> bool:
        """It did not answer; whether it is left out by that.

        at_once: how many may be in flight there.
        """
        self.failures += 1
        self.last = setback
        wait = setback.retry_after or 0.0
        if self.away(now):
            self.until = max(self.until, now + wait)  # it was sent before
            return False
        if not (self.out or self._is_failing(setback, at_once)):
            return False
        self.outs += 1
        self.known = False
        self.until = now + max(wait, pause_before(self.outs))
        return True

    def _is_failing(self, setback: Setback, at_once: int) -> bool:
        if setback.kind == "absent" or setback.retry_after is not None:
            return True
        # One that says that it is busy is asked more slowly first, see limits.
        return self.failures >= (max(IN_A_ROW, at_once) if setback.kind == "busy" else IN_A_ROW)

    def given_up(self, retries: int) -> bool:
        """Whether one that never answered is waited for no longer."""
        return self.outs > retries and self.last is not None and self.last.kind != "busy"


def short_names(addresses: list[str]) -> list[str]:
    """As little of each address as tells them apart.

    >>> short_names(["http://node1.cluster:8000/v1", "http://node2.cluster:8000/v1"])
    ['node1', 'node2']
    >>> short_names(["http://127.0.0.1:8000/v1", "http://127.0.0.1:8001/v1"])
    ['127.0.0.1:8000', '127.0.0.1:8001']
    >>> short_names(["server 1 on Ray"])
    ['server 1 on Ray']
    """
    places = [urlsplit(address) for address in addresses]
    ways = (
        [_first(place.hostname or "") for place in places],
        [place.hostname or "" for place in places],
        [place.netloc for place in places],
    )
    # What has no place in it, such as a server on Ray, is called what it is.
    return next((way for way in ways if all(way) and len(set(way)) == len(way)), addresses)


def _first(host: str) -> str:
    """The first part of a host's name; an IP address as it is."""
    return host if host[-1:].isdigit() or ":" in host else host.partition(".")[0]
