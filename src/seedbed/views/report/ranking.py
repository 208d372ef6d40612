"""Auto-Instruct's candidates, best first, as a part of the page."""

from seedbed.auto_instruct import report as contest
from seedbed.views.report.markup import Html, join, tag


def contests(tasks: list[contest.Contest]) -> Html:
    if not tasks:
        return tag("p", "No task has candidates yet.")
    return join(map(_contest, tasks))


def _contest(task: contest.Contest) -> Html:
    told = [f"{len(task.candidates)} candidates"]
    told += [f"{task.examples} examples"] if task.examples else ["not labelled yet"]
    told += [f"{task.kept} kept for the ranker"] if task.kept is not None else []
    head = ("rank", "ROUGE-L", "", "from", "kept", "instruction")
    lines = [_ranked(place, one) for place, one in enumerate(task.candidates, 1)]
    return tag(
        "article",
        tag("h3", task.task.replace("_", " ")),
        tag("p", " · ".join(told), class_="lead"),
        _best(task),
        tag(
            "details",
            tag("summary", "All candidates, best first"),
            tag(
                "div",
                tag(
                    "table",
                    tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head))),
                    tag("tbody", *lines),
                    class_="candidates",
                ),
                class_="scroll",
                tabindex=0,
            ),
        ),
        class_="contest",
    )


def _best(task: contest.Contest) -> Html | None:
    best, seed = task.candidates[0], task.seed
    if best.rouge is None:
        return None
    equals = sum(one.rouge == best.rouge for one in task.candidates) - 1
    told = [f"mean ROUGE-L {best.rouge:.3f}"]
    if best.index == 0:
        told.append("the task’s own instruction is the best")
    elif seed and seed.rouge is not None:
        gain = best.rouge - seed.rouge
        told.append(f"{'+' if gain >= 0 else '−'}{abs(gain):.3f} on the task’s own")
    if best.origin and best.index:
        told.append(f"from {best.origin}")
    if equals:
        told.append(f"{equals} {'others do' if equals > 1 else 'other does'} as well")
    return tag(
        "figure",
        tag("figcaption", "Best instruction"),
        tag("blockquote", best.instruction, dir="auto"),
        tag("p", " · ".join(told)),
        class_="best",
    )


def _ranked(place: int, one: contest.Ranked) -> Html:
    bar = None
    if one.rouge is not None:
        bar = tag(
            "svg",
            tag("rect", width=f"{100 * one.rouge:.1f}", height=8),
            viewBox="0 0 100 8",
            preserveAspectRatio="none",
            aria_hidden="true",
            class_="bar",
        )
    return tag(
        "tr",
        tag("td", place),
        tag("td", "–" if one.rouge is None else f"{one.rouge:.3f}"),
        tag("td", bar),
        tag("td", one.origin or "–"),
        tag("td", one.drawn or "–"),
        tag("td", one.instruction, class_="text", dir="auto"),
        class_="own" if one.index == 0 else None,
    )
