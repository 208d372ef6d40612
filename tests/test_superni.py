"""Super-NaturalInstructions' scores, held against its rules as they are published."""

import json
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from support.project import ROOT, SHARED

from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import find_tasks
from seedbed.tasks.seed_form import read_seed_form
from seedbed.tasks.superni import exact_match, rouge_l

SCORER = RougeScorer(["rougeL"], use_stemmer=True)


def plain_answer(text: str) -> str:
    """Tk-Instruct's `normalize_answer`: lower case, no punctuation, white space folded."""
    kept = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(kept.split())


def plain_scores(output: str, references: list[str]) -> tuple[float, float]:
    """Its `compute_metrics` for one row: each metric's maximum over the references, times 100."""
    rouge = max(SCORER.score(target, output)["rougeL"].fmeasure for target in references)
    exact = max(plain_answer(output) == plain_answer(target) for target in references)
    return 100 * rouge, 100.0 * exact


def assert_as_published(outputs: list[str], references: list[list[str]]) -> None:
    rows = zip(outputs, references, strict=True)
    expected = [plain_scores(output, own) for output, own in rows]
    assert rouge_l(outputs, references).tolist() == [rouge for rouge, _ in expected]
    assert exact_match(outputs, references).tolist() == [exact for _, exact in expected]


TEXTS = st.text(st.sampled_from("aAbceghinors 12.,'-\n\té_İ"), max_size=40) | st.sampled_from(
    ["Running runs ran.", "the   Cats' tales", "...", "", "positive", "Positive!", "generalization"]
)


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), max_size=8))
def test_scores_are_those_of_the_published_rules_whatever_the_texts(
    rows: list[tuple[str, list[str]]],
) -> None:
    assert_as_published([output for output, _ in rows], [own for _, own in rows])


def test_a_stem_counts_as_its_word_and_a_reference_more_never_harms() -> None:
    assert rouge_l(["He was running"], [["He was run"]]).tolist() == [100]
    assert rouge_l(["a b"], [["c", "a b"]]).tolist() == [100]
    assert exact_match(["Yes, it IS."], [["no", "yes it is"]]).tolist() == [100]
    assert exact_match(["yes it"], [["yes it is"]]).tolist() == [0]


def pairs_in(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each example's references, beside what is near to them: the next one's, and its input."""
    for path in find_tasks(folder):
        examples = read_task(path).examples
        for example, following in zip(examples, examples[1:] + examples[:1], strict=True):
            yield following.targets[0], example.targets
            yield example.input, example.targets


@pytest.mark.slow
@pytest.mark.parametrize("folder", [ROOT / "data/niv2", SHARED / "data/niv2"], ids=["own", "niv2"])
def test_all_rows_of_real_tasks_score_as_published(folder: Path) -> None:
    if not folder.is_dir():
        pytest.skip("the authors' tasks are not here")
    rows = list(pairs_in(folder))
    assert len(rows) > 100
    assert_as_published([output for output, _ in rows], [own for _, own in rows])


def test_the_answers_that_were_labelled_score_as_published() -> None:
    labelled = sorted((ROOT / "data/label").glob("*.jsonl"))
    if not labelled:
        pytest.skip("label has not run here")
    lines = [json.loads(line) for path in labelled for line in path.read_text().splitlines()[3:]]
    rows = [(text, [row["target"]]) for row in lines for text in row["instruction_outputs"]]
    assert_as_published([output for output, _ in rows], [own for _, own in rows])


def test_the_user_oriented_tasks_are_read_and_score_as_published() -> None:
    path = SHARED / "data/user_oriented_instructions.jsonl"
    if not path.is_file():
        pytest.skip("the user-oriented tasks are not here")
    tasks = read_seed_form(path)
    assert len(tasks) == 252
    examples = [example for task in tasks for example in task.examples]
    inputs = [example.input for example in examples]
    assert_as_published(inputs, [example.targets for example in examples])
