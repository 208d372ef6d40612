"""The prompt that a task's example is put to a model in, after an instruction and a few demos.

The form is that of Auto-Instruct (arXiv 2310.13127): the instruction, the demos, the input, each
after a blank line, and `Output:` for the model to go on from.
"""

from collections.abc import Iterable, Sequence

# Auto-Instruct shows each task's first three.
DEMOS = 3


def shown(demos: Iterable[tuple[str, str]]) -> str:
    """(input, output) pairs as a prompt shows them.

    >>> print(shown([("2 + 2", "4"), ("3 + 4", "7")]))
    Input: 2 + 2
    Output: 4
    <BLANKLINE>
    Input: 3 + 4
    Output: 7
    """
    return "\n\n".join(f"Input: {given}\nOutput: {output}" for given, output in demos)


def beginning(instruction: str, demos: str) -> str:
    """What stands before an example's input: the same for all examples of a task.

    demos: as `shown` gives them; "" for a zero-shot prompt.
    """
    # A space after the colon is the beginning of the input's first word, for most tokenizers.
    return "\n\n".join([instruction, *([demos] if demos else []), "Input:"])


def prompt(instruction: str, demos: str, given: str) -> str:
    """The whole prompt.

    >>> prompt("Add.", "", "1 + 1")
    'Add.\\n\\nInput: 1 + 1\\nOutput:'
    """
    return f"{beginning(instruction, demos)} {given}\nOutput:"


def common_label(inputs: Sequence[str]) -> str:
    """What all inputs of a task begin with, up to a colon; "" if there is no such thing.

    >>> common_label(["Sentence 1: A dog.", "Sentence 1: A cat."]), common_label(["It's", "It: 1"])
    ('Sentence 1:', '')
    """
    # What the first and the last have in common, all in between have.
    first, last = min(inputs), max(inputs)
    alike = 0
    while alike < min(len(first), len(last)) and first[alike] == last[alike]:
        alike += 1
    label, colon, _ = first[:alike].rpartition(":")
    return label + colon
