"""An instance → the prompt and completion that a model is finetuned on.

Seven shapes with an input and six without, drawn at random, so that the tuned model does not
depend on one of them (Self-Instruct, section 2.3; the shapes are the authors').
"""

import random
import re

# (what stands before the instruction, between it and the input, after the input, before the output)
_WITH_INPUT = (
    ("", "\nInput: ", "\nOutput:", " "),
    ("", "\n\nInput: ", "\n\nOutput:", " "),
    ("Task: ", "\nInput: ", "\nOutput:", " "),
    ("", "\n\n", "\n\nOutput:", " "),
    ("", "\n\n", "\n\n", ""),
    ("", "\n", "\n\n", ""),
    ("Task: ", "\n\n", "\n\n", ""),
)
# (what stands before the instruction, after it, before the output)
_WITHOUT_INPUT = (
    ("", " Output:", " "),
    ("", "\nOutput:", " "),
    ("", "\n\nOutput:", " "),
    ("", "\n", ""),
    ("", "\n\n", ""),
    ("Task: ", "\n\n", ""),
)


def drop_field_name(text: str) -> str:
    """Cut the field name off an input that has just one, and make double newlines single.

    >>> drop_field_name("Sentence: It rains.\\n\\nIt pours.")
    'It rains.\\nIt pours.'
    >>> drop_field_name("From: Ann To: Ben")
    'From: Ann To: Ben'
    >>> drop_field_name("See https://example.org at 10:30.")  # no field name
    'See https://example.org at 10:30.'
    """
    named = re.match(r"\s*[^\W\d]\w*(?: \w+){0,2}:(?=\s)", text)
    if named and len(set(re.findall(r"(\w+):", text))) == 1:
        text = text[named.end() :]
    return text.strip().replace("\n\n", "\n")


def encode(instruction: str, given: str, output: str, draw: random.Random) -> tuple[str, str]:
    """(prompt, completion) in a shape that `draw` picks; half of them without the field name."""
    instruction, given, output = instruction.strip(), given.strip(), output.strip()
    if draw.random() < 0.5:
        given = drop_field_name(given)
    if given:
        before, between, after, space = draw.choice(_WITH_INPUT)
        return before + instruction + between + given + after, space + output
    before, after, space = draw.choice(_WITHOUT_INPUT)
    return before + instruction + after, space + output


def chat(instruction: str, given: str, output: str) -> list[dict[str, str]]:
    """The same instance as a conversation of one turn."""
    asked = f"{instruction}\n\n{given}" if given else instruction
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": output}]
