"""The ranker's question: does this instruction suit this input?"""

from collections.abc import Callable, Sequence

from seedbed.tasks.forms import Form

# Counts the tokens of each text; None if nobody can.
Count = Callable[[Sequence[str]], list[int] | None]


INPUT, INSTRUCTION = "{{input}}", "{{instruction}}"


class Question(Form):
    """The template that label's rows carry."""

    def __init__(self, text: str):
        super().__init__(text, ("input", "instruction"), braces=2)
        self.text = text

    def ask(self, given: str, instruction: str) -> str:
        """The question about an input and a candidate."""
        return self.fill(input=given, instruction=instruction.strip())

    def before_instruction(self, given: str) -> str:
        """What stands before the candidate, which all questions about an input may share."""
        return self.before("instruction", input=given)


def tokens_of(texts: Sequence[str], count: Count) -> list[int]:
    """How many tokens each text has: as the model counts, or four for three words."""
    counted = count(texts) if texts else []
    if counted is None:
        return [-(-4 * len(text.split()) // 3) for text in texts]
    return counted


def shortened(inputs: Sequence[str], most: int, count: Count) -> list[str]:
    """The inputs, those with more tokens than `most` cut at their end; of each a character stays.

    Args:
        count: asked only about texts that can be too long.
    """
    # A token is a byte at least, so most inputs need no counting.
    doubtful = sorted({text for text in inputs if len(text.encode()) > most})
    sizes = dict(zip(doubtful, tokens_of(doubtful, count), strict=True))
    # Of each that is too long, how many characters fit, and how many do not.
    bounds = {text: (1, len(text)) for text, size in sizes.items() if size > most}
    while between := {text: pair for text, pair in bounds.items() if pair[1] - pair[0] > 1}:
        middles = {text: sum(pair) // 2 for text, pair in between.items()}
        tried = [text[:middle] for text, middle in middles.items()]
        for (text, middle), size in zip(middles.items(), tokens_of(tried, count), strict=True):
            fits, not_ = bounds[text]
            bounds[text] = (middle, not_) if size <= most else (fits, middle)
    cut = {text: text[:fits].rstrip() for text, (fits, _) in bounds.items()}
    return [cut.get(text, text) for text in inputs]
