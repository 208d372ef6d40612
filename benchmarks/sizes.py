"""`--tiny`: sizes at which a benchmark takes seconds, so that a test sees whether it still runs.

No figure means anything then, so nothing is too slow.
"""

import sys
from typing import TypeVar

TINY = "--tiny" in sys.argv
# What else was said.
ARGUMENTS = [one for one in sys.argv[1:] if one != "--tiny"]

Size = TypeVar("Size")


def sized(full: Size, tiny: Size) -> Size:
    return tiny if TINY else full
