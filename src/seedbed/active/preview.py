"""What a round's model is asked first of the tasks that are left, and what becomes of it."""

from collections.abc import Iterator

from seedbed.active import active_score
from seedbed.active.errors import ChatNotScored
from seedbed.active.prompts import asked, perturbed, requests
from seedbed.active.rows import Scored, demos_of
from seedbed.runs.preview import Look, Preview, Sample, fields
from seedbed.tasks.prompts import Prompts


def _active_score(
    params: active_score.Params, inputs: active_score.Inputs, look: Look
) -> Iterator[Sample]:
    """A sample an instance: its answer, and how likely that is under each prompt."""
    if params.llm.api == "chat":
        raise ChatNotScored(inputs.round.name)
    own, prompts = params.active_score, Prompts()
    instances = asked(active_score.read(inputs), own)[: look.rows]
    with look.opened(params.llm) as engine:
        for one in instances:
            if own.labels == "own":
                answers = list(engine.ask(requests([one], own, prompts)))
                answered = list(active_score.own_answers([one], answers, own))
            else:
                answered = list(active_score.gold_answers([one], [True], own))
            shown = {one.task.task: perturbed(one.task, own)}
            wanted = list(active_score.pairs([one], answered, shown, prompts))
            scores = [
                Scored(
                    task=row.task,
                    id=row.id,
                    k=k,
                    tokens=len(score.logprobs),
                    total=round(score.total, 6),
                    key=score.key,
                )
                for (row, k, _), score in zip(
                    wanted, engine.score(pair for _, _, pair in wanted), strict=True
                )
            ]
            measured = active_score.of_tasks([one.task], answered, scores, own)
            names = ("uncertainty", "probability", "perplexity")
            pairs = demos_of(one.task.demos, one.instance, one.task.demos)
            yield Sample(
                engine.taken(),
                [fields(row, "text", "refused") for row in answered]
                + [fields(row, *names) for row in measured],
                f"{one.task.task}, instance {one.instance.id}",
                "a task's scores are the mean over its instances" if own.instances > 1 else "",
                [prompts.file_of(pairs, one.instance.input)],
            )


PREVIEWS = {"active-score": Preview(_active_score, "evaluate")}
