"""What the ranker asks first, and what becomes of it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from seedbed.ranker import rank_evaluate, rank_select, rank_train, ways
from seedbed.ranker.errors import NothingAsked
from seedbed.ranker.features import Demos, Listing, Measured, measure, score_demos
from seedbed.ranker.question import Question, shortened
from seedbed.ranker.ranker_file import check_model, features_of, load_ranker, read_ranker
from seedbed.ranker.selections import Field
from seedbed.runs.preview import Look, Preview, Sample, Watched, fields
from seedbed.tasks.few_shot import beginning, prompt
from seedbed.tasks.scoring import best_rouge_l

# Those ways that ask of an example; cross_validation asks of the demos.
OF_EXAMPLES = ("lm_selection", "on_the_fly")


def _measured(
    listing: Listing, features: Sequence[str], demos: Demos, question: Question, engine: Watched
) -> Measured:
    own = {listing.task: demos[listing.task]} if listing.task in demos else {}
    of_demos = score_demos([listing], own, engine)
    (found,) = measure([listing], features, of_demos, question, engine)
    return found


def _rank_train(
    params: rank_train.Params, inputs: rank_train.Inputs, look: Look
) -> Iterator[Sample]:
    """A sample a list: what is measured of its candidates."""
    own = params.rank_train
    rows, question = rank_train.read_rows_of(inputs.picked)
    if own.kind == "finetune":
        raise NothingAsked("rank-train")
    features = features_of(own)
    rows = rows[: look.rows]
    names = sorted({row.task for _, row in rows})
    demos = rank_train.read_demos(params.niv2, names) if "demos" in features else {}
    with look.opened(params.llm) as engine:
        given = [row.input for _, row in rows]
        inputs_shown = shortened(given, own.max_input_tokens, engine.count_tokens)
        data = rank_train.Data(rows, question, inputs_shown)
        for (_, row), listing in zip(rows, data.listings, strict=True):
            found = _measured(listing, features, demos, question, engine)
            (trained,) = rank_train.trained_rows(
                rank_train.Data([("train", row)], question, [listing.given]), [found], features
            )
            named = [name for name in features if name != "hidden"]
            yield Sample(
                engine.taken(),
                [
                    {
                        "candidate": text,
                        **dict(zip(named, values, strict=True)),
                        "label": round(label, 4),
                    }
                    for text, values, label in zip(
                        listing.instructions, trained.features, trained.labels, strict=True
                    )
                ],
                f"{row.task}, example {row.id.partition(':')[2]}",
            )


def _rank_select(
    params: rank_select.Params, inputs: rank_select.Inputs, look: Look
) -> Iterator[Sample]:
    """A sample an example, and what the ranker chooses for it."""
    own = params.rank_select
    question = rank_select.read_question()
    ranker = read_ranker(inputs.ranker, params.rank_train, question.text)
    if ranker.kind == "finetune":
        raise NothingAsked("rank-select")
    fields_of_tasks = rank_select.read_fields(params.niv2, own, inputs.candidates)
    first = list(islice(_examples(fields_of_tasks), look.rows))
    demos = rank_select.demos_of(fields_of_tasks, ranker.features)
    with look.opened(params.llm) as engine:
        check_model(inputs.ranker, ranker, engine.model)
        given = [one.task.examples[0].input for one in first]
        shown = shortened(given, ranker.max_input_tokens, engine.count_tokens)
        for one, text in zip(first, shown, strict=True):
            (listing,) = one.listings([text])
            found = _measured(listing, ranker.features, demos, question, engine)
            (row,) = rank_select.choose(ranker, [one], [listing], [found], own)
            yield Sample(
                engine.taken(),
                [fields(row, "chosen", "instruction", "untrained_chosen", "scores")],
                f"{row.task}, example {row.id}",
            )


def _examples(all_fields: Sequence[Field]) -> Iterator[Field]:
    """Each example as if it were its task's only one."""
    for one in all_fields:
        for example in one.task.examples:
            alone = one.task.model_copy(update={"examples": [example]})
            yield Field(alone, one.candidates)


def _rank_evaluate(
    params: rank_evaluate.Params, inputs: rank_evaluate.Inputs, look: Look
) -> Iterator[Sample]:
    """Of the first examples what asks about them, and of the demos the first tries."""
    own, prompts = params.rank_evaluate, ways.Prompts()
    trials, _ = rank_evaluate.read_trials(params, inputs, load_ranker(inputs.ranker))
    trial = trials[0]
    methods = [method for method in own.methods if method in OF_EXAMPLES]
    section = own.model_copy(update={"methods": methods})
    with look.opened(params.llm) as engine:
        if "cross_validation" in own.methods:
            yield from _on_demos(trial.case, params, look, engine)
        for number, pair in enumerate(trial.pairs[: look.rows]) if methods else ():
            case = replace(trial.case, inputs=[trial.case.inputs[number]])
            alone = replace(trial, case=case, pairs=[pair])
            one = params.model_copy(update={"rank_evaluate": section})
            (row,), _ = rank_evaluate.evaluate([alone], one, prompts, engine.ask)
            yield Sample(
                engine.taken(),
                [fields(row, "chosen", "wrote", "rouge")],
                f"{row.task}, example {row.id}",
            )


def _on_demos(
    case: ways.Case, params: rank_evaluate.Params, look: Look, engine: Watched
) -> Iterator[Sample]:
    requests = list(islice(ways.demo_requests(case, params.label), look.rows))
    answered = ways.Answered.of(list(engine.ask(requests)))
    for number, (text, one) in enumerate(zip(answered.texts, engine.taken(), strict=True)):
        candidate, demo = divmod(number, len(case.demos))
        output = case.demos[demo].output
        score = float(best_rouge_l([text], [[output]])[0])
        yield Sample(
            [one],
            [{"output": text, "target": output, "rouge_l": round(score, 4)}],
            f"{case.task.name}, cross_validation: candidate {candidate}, demo {demo}",
            "the candidate with the best mean over the demos is chosen",
        )


_OF_DEMOS = {
    "a candidate, the other demos and a demo's input": prompt(
        "{instruction}", "{demos}", "{input}"
    ),
    "a candidate": beginning("{instruction}", ""),
}
PREVIEWS = {
    "rank-train": Preview(_rank_train, "label", _OF_DEMOS),
    "rank-select": Preview(_rank_select, "label", _OF_DEMOS),
    "rank-evaluate": Preview(_rank_evaluate, "rank_evaluate", _OF_DEMOS),
}
