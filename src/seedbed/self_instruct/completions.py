"""An instance completion → (input, output) pairs, and why a pair is refused.

What counts as an example and as an output is told by labels, as in the Self-Instruct authors'
program. A label counts where a line begins, and more ways to write one are known than there;
docs/self-instruct.md lists what else differs.
"""

import re
from typing import Literal

# Why a pair is refused, in the order in which it is asked.
REASONS = (
    "cut_at_length",
    "no_output",
    "several_outputs",
    "input_is_output",
    "empty_output",
    "ends_in_colon",
    "conflicting_outputs",
    "duplicate",
    "over_the_maximum",
)

Pair = tuple[str, str | None]  # (input, output); None where the text names no output

# White space within a line: a no-break or an ideographic space too.
_SPACE = r"[^\S\n]"
# What Markdown and base models put around a heading.
_MARK = rf"""(?:{_SPACE}|[#*_=~"'>|()\[\]<•–—-])"""

# The ways to head an example. `Example 2 shows that …` is none: it is text.
_HEADING = re.compile(
    "^(?:"
    # A line of its own: "Example 1", "**Example 1**", "### Example #1", "Example 1 (easy)".
    rf"{_MARK}*Example{_MARK}*(?:\d+(?:\.\d+)*|\b(?:(?-i:[A-Z])|one|two|three|four|five))"
    rf"(?:{_SPACE}*[(\[][^\W\d_][^()\[\]\n]*[)\]])?{_MARK}*(?:[.:][*_]*{_SPACE}*)?$"
    # The same without a number; not in small letters, nor as an item of a list.
    rf"|{_SPACE}*(?:#+{_SPACE}*)?[*_\[]*(?-i:Example|EXAMPLE)[*_\].:]*{_SPACE}*$"
    # With text behind a mark: "Example 1: …", "Example 1. …", "Example 1 - …".
    rf"|{_MARK}*Example{_MARK}*\d+(?:{_MARK}*[.:)][*_]*|{_SPACE}+[–—-](?={_SPACE}))(?!\d)"
    # With a field: "Example 1 City: …".
    rf"|{_MARK}*Example{_MARK}*\d+(?={_SPACE}+(?-i:[^\W\d_a-z])\w*(?:{_SPACE}\w+){{0,2}}:)"
    ")",
    re.MULTILINE | re.IGNORECASE,
)
# The beginning of a heading that a stop sequence, such as `Example 6`, cut off.
_CUT_HEADING = re.compile(rf"\n{_SPACE}*(?:#+|\*\*)\s*\Z")


def _label(name: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds `name:` or `name 1:` where a line begins, also in bold, and what anywhere."""
    anywhere = rf"{name}\s*(?:\d+\s*)?:"
    in_bold = rf"(?<=[*_]){name}\s*\d*(?:[*_]+\s*:|:[*_]+)"
    at_line_begin = rf"^(?:{_SPACE}|[#*_>•+-])*(?:{in_bold}|{anywhere})"
    return re.compile(at_line_begin, re.MULTILINE), re.compile(anywhere)


_OUTPUT, _OUTPUT_ANYWHERE = _label("Output")
_INPUT, _INPUT_ANYWHERE = _label("Input")

# What becomes of an example without an output label.
OutputWithoutLabel = Literal["refuse", "take"]


def parse_input_first(text: str, without_label: OutputWithoutLabel = "refuse") -> list[Pair]:
    """Pairs of a generation task.

    Args:
        without_label: of an example without any output label, whether to `take` its whole text as
            the output.

    >>> parse_input_first("Example 1\\nWord: hot\\nOutput: cold\\nExample 2\\nOutput: up")
    [('Word: hot', 'cold'), ('', 'up')]
    >>> parse_input_first("Output: Good morning!")
    [('', 'Good morning!')]
    >>> parse_input_first("Example 1\\nI walk to school.", without_label="take")
    [('', 'I walk to school.')]
    """
    if _HEADING.search(text):
        pieces = [piece.strip() for piece in _HEADING.split(_CUT_HEADING.sub("", text))]
        return [_input_and_output(piece, without_label) for piece in pieces if piece]
    pair = _input_and_output(text.strip(), "refuse")
    return [] if pair[1] is None else [pair]


def _input_and_output(piece: str, without_label: OutputWithoutLabel) -> Pair:
    output_label, next_input = _OUTPUT.search(piece), _INPUT
    inside = [] if output_label else list(_OUTPUT_ANYWHERE.finditer(piece))
    if len(inside) == 1:
        # Of several within lines any may be text.
        output_label, next_input = inside[0], _INPUT_ANYWHERE
    if output_label is None and not inside and without_label == "take":
        return "", _INPUT.split(piece)[0].strip()
    given = piece[: output_label.start() if output_label else None].strip()
    if input_label := _INPUT.match(given):
        given = given[input_label.end() :].strip()
    # What follows a later input is another instance's.
    return given, next_input.split(piece[output_label.end() :])[0].strip() if output_label else None


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
    # Two examples without a heading between them that is known: whose is the text in between?
    if _OUTPUT.search(output):
        return "several_outputs"
    if given == output:
        return "input_is_output"
    if not output:
        return "empty_output"
    if given.endswith(":") or output.endswith(":"):
        return "ends_in_colon"
    return None
