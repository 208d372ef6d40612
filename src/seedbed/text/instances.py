"""An instance completion → (input, output) pairs, and why a pair is refused.

The rules are those of the Self-Instruct authors' program, without its draws from Python sets.
"""

import re

# Why a pair is refused, in the order in which it is asked.
REASONS = (
    "cut_at_length",
    "no_output",
    "input_is_output",
    "empty_output",
    "ends_in_colon",
    "conflicting_outputs",
    "duplicate",
    "over_the_maximum",
)

Pair = tuple[str, str | None]  # (input, output); None where the text names no output

# At the beginning of a line, and an example with its number: elsewhere they are text.
_EXAMPLE = re.compile(r"^[ \t]*Example\s?\d+[ \t]*[.:)]?", re.MULTILINE)
_OUTPUT = re.compile(r"^[ \t]*Output\s*\d*\s*:", re.MULTILINE)
_INPUT = re.compile(r"^[ \t]*Input\s*\d*\s*:", re.MULTILINE)


def parse_input_first(text: str) -> list[Pair]:
    """Pairs of a generation task.

    >>> parse_input_first("Example 1\\nWord: hot\\nOutput: cold\\nExample 2\\nOutput: up")
    [('Word: hot', 'cold'), ('', 'up')]
    >>> parse_input_first("Output: Good morning!")
    [('', 'Good morning!')]
    """
    if _EXAMPLE.search(text):
        pieces = [piece.strip() for piece in _EXAMPLE.split(text)]
        return [_input_and_output(piece) for piece in pieces if piece]
    if _OUTPUT.search(text):
        return [_input_and_output(text.strip())]
    return []


def _input_and_output(piece: str) -> Pair:
    # Two outputs in one piece: the first is the answer, what follows is another instance's.
    before, *rest = _OUTPUT.split(piece)
    before = before.strip()
    if label := _INPUT.match(before):
        before = before[label.end() :].strip()
    return before, _INPUT.split(rest[0])[0].strip() if rest else None


def parse_output_first(text: str) -> list[Pair]:
    """Pairs of a classification task: after `Class label:` its line, the output; then the input.

    >>> parse_output_first("Class label: hot\\nDay: 35 °C\\nClass label: cold\\nDay: 3 °C")
    [('Day: 35 °C', 'hot'), ('Day: 3 °C', 'cold')]
    """
    pairs: list[Pair] = []
    for piece in text.split("Class label:")[1:]:
        label, _, rest = piece.strip().partition("\n")
        pairs.append((rest.strip(), label.strip()))
    return pairs


def judge(pairs: list[Pair], cut_at_length: bool) -> list[tuple[Pair, str | None]]:
    """Each pair with the reason why it is refused, or None; in order.

    Args:
        cut_at_length: the completion ran into its length limit, so its last pair is torn.
    """
    verdicts = [_fault(pair) for pair in pairs]
    if cut_at_length and pairs:
        verdicts[-1] = "cut_at_length"

    output_of: dict[str, str | None] = {}
    sound = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict is None]
    conflict = any(
        given and output_of.setdefault(given, output) != output for given, output in sound
    )
    seen: set[Pair] = set()
    for position, pair in enumerate(pairs):
        if verdicts[position] is None:
            if conflict:
                verdicts[position] = "conflicting_outputs"
            elif pair in seen:
                verdicts[position] = "duplicate"
            seen.add(pair)
    return list(zip(pairs, verdicts, strict=True))


def _fault(pair: Pair) -> str | None:
    given, output = pair
    if output is None:
        return "no_output"
    if given == output:
        return "input_is_output"
    if not output:
        return "empty_output"
    if given.endswith(":") or output.endswith(":"):
        return "ends_in_colon"
    return None
