"""The forms in which Self-Instruct's data is handed on."""

from seedbed.runs.forms import Export, Form
from seedbed.self_instruct.rows import PREPARED, FinetuningRow, GeneratedInstance, MessagesRow

PAPER = "https://arxiv.org/abs/2212.10560"

EXPORT = Export(
    name="Self-Instruct",
    source=PAPER,
    category="text-generation",
    limits=(
        "Much of it is wrong. The authors of Self-Instruct looked at 200 of their instructions, "
        "written by the 175B GPT-3, with an instance each: in 54% instruction, input and output "
        f"were all valid, 46% had some fault ([arXiv 2212.10560]({PAPER}), "
        "on the quality of the data). These rows were checked by rules alone.",
    ),
    forms=(
        Form(
            "finetuning",
            "prepare",
            FinetuningRow,
            {"train": PREPARED / "finetuning.jsonl"},
            ("prompt", "completion"),
            "`prompt` and `completion`, put together in one of several ways at random, as in the "
            "paper",
        ),
        Form(
            "messages",
            "prepare",
            MessagesRow,
            {"train": PREPARED / "messages.jsonl"},
            (),
            "the same rows as `messages` of a user and an assistant",
        ),
        Form(
            "alpaca",
            "prepare",
            GeneratedInstance,
            {"train": PREPARED / "alpaca.jsonl"},
            ("instruction", "input", "output"),
            "the same rows as `instruction`, `input` (empty where none is needed) and `output`",
        ),
    ),
)
