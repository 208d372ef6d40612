"""The pipeline drawn: its stages from top to bottom, and the files between them.

Left of the names a line runs from each file to the stages that read it; below a stage stands what
it writes. Stages that share no file, such as those of two methods, get drawings of their own.
The stages of a loop are one box, `finetune × 24`, and what differs in their paths is a *.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

from seedbed.core.paths import METRICS, PARAMS, PLOTS
from seedbed.errors import BadFile
from seedbed.runs.pipeline import PIPELINE

# In pixels. Characters are as wide as in a usual typeface, so that the drawing is wide enough.
STAGE, FILE, GAP, LANE, MARGIN = 46, 22, 14, 15, 12
CHARACTER, MONOSPACED = 6.3, 7.3
# How many colours for lines page.css has.
COLOURS = 5


@dataclass(frozen=True)
class Stage:
    """A stage, the data that it reads, and the data that it writes."""

    name: str
    description: str
    reads: list[str]
    writes: list[str]


@dataclass(frozen=True)
class Reading:
    """A line from a file to the stages that read it, and its arrows: as SVG has paths."""

    path: str
    arrows: str
    colour: int


@dataclass(frozen=True)
class Drawing:
    """What pipeline.html draws, in pixels.

    left: of the boxes of stages. box: width and height of each.
    writes: paths from stages to what they write.
    stages: each with the top of its box. files: each with the middle of its line.
    """

    title: str
    width: int
    height: str
    left: int
    box: tuple[int, int]
    reads: list[Reading]
    writes: list[str]
    stages: list[tuple[Stage, float]]
    files: list[tuple[str, float]]


@dataclass
class _Line:
    """Something to draw. y: its middle."""

    name: str
    y: float
    lane: int | None = None
    ends: list[float] = field(default_factory=list)


def stages() -> list[Stage]:
    """The stages in an order in which each stands below those that it reads from.

    Code, parameters, metrics and points of plots are left out: every stage has them.

    Raises:
        BadFile: DVC cannot read the pipeline.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo() as repo:
            left = _loops_as_one(
                (
                    stage.path_in_repo,
                    Stage(
                        stage.name,
                        (stage.desc or "").replace("->", "→"),
                        [path for dep in stage.deps if _is_data(path := dep.def_path)],
                        [path for out in stage.outs if _is_data(path := out.def_path)],
                    ),
                )
                for stage in repo.index.stages
            )
    except (DvcException, SCMError) as error:
        raise BadFile(PIPELINE, " ".join(str(error).split()), "See `dvc dag`.") from None
    ordered: list[Stage] = []
    while left:
        made_later = [path for stage in left for path in stage.writes]
        ready = [
            stage for stage in left if not any(_within(path, made_later) for path in stage.reads)
        ]
        ordered += ready[:1] or left[:1]
        left.remove(ordered[-1])
    return ordered


def _loops_as_one(all_stages: Iterable[tuple[str, Stage]]) -> list[Stage]:
    """The stages, in order; those of a loop (DVC calls one `finetune@seed-1`) as one.

    all_stages: each with the dvc.yaml that it is of.
    """
    ones: list[Stage] = []
    loops: dict[tuple[str, str], tuple[int, list[Stage]]] = {}
    for file, stage in all_stages:
        loop, _, item = stage.name.partition("@")
        if item:
            _, those = loops.setdefault((file, loop), (len(ones), []))
            those.append(stage)
            if len(those) > 1:
                continue
        ones.append(stage)
    for (_, loop), (place, those) in loops.items():
        ones[place] = Stage(
            f"{loop} × {len(those)}",
            those[0].description,
            _as_one([stage.reads for stage in those]),
            _as_one([stage.writes for stage in those]),
        )
    return ones


def _as_one(paths: list[list[str]]) -> list[str]:
    """The paths of the stages of a loop; as a rule they declare as many, in the same order."""
    if len({len(those) for those in paths}) > 1:
        return list(dict.fromkeys(path for those in paths for path in those))
    found: dict[str, None] = {}
    for same in zip(*paths, strict=True):
        parts = [PurePath(path).parts for path in same]
        if len({len(part) for part in parts}) == 1:
            columns = [sorted(set(column)) for column in zip(*parts, strict=True)]
            found[str(PurePath(*(c[0] if len(c) == 1 else "*" for c in columns)))] = None
        else:
            found |= dict.fromkeys(same)
    return list(found)


def _is_data(path: str) -> bool:
    top = PurePath(path).parts[0]
    return top not in ("src", METRICS.name, PLOTS.name, PARAMS.name)


def _within(path: str, paths: list[str]) -> bool:
    """Whether the path is one of the paths, or lies in one, or one of them in it."""
    here = PurePath(path)
    return any(
        here.is_relative_to(other) or PurePath(other).is_relative_to(here) for other in paths
    )


def connected(all_stages: list[Stage]) -> list[list[Stage]]:
    """The stages that hang together through their files, in order."""
    groups: list[list[Stage]] = []
    for stage in all_stages:
        sharing = [group for group in groups if _shares(stage, group)]
        merged = [*(member for group in sharing for member in group), stage]
        groups = [
            merged if sharing and group is sharing[0] else group
            for group in groups
            if group not in sharing[1:]
        ]
        if not sharing:
            groups.append(merged)
    return [[stage for stage in all_stages if stage in group] for group in groups]


def _shares(stage: Stage, group: list[Stage]) -> bool:
    paths = [path for member in group for path in (*member.reads, *member.writes)]
    return any(_within(path, paths) for path in (*stage.reads, *stage.writes))


def draw(group: list[Stage]) -> Drawing:
    """The stages, from top to bottom."""
    y = float(MARGIN)
    files: dict[str, _Line] = {}
    boxes: list[tuple[Stage, float]] = []
    written: list[tuple[float, list[_Line]]] = []
    for stage in group:
        for path in stage.reads:
            if path not in files:
                files[path] = _Line(path, y + FILE / 2)
                y += FILE
        top = y + GAP / 2
        for path in stage.reads:
            files[path].ends.append(top + STAGE / 2)
        boxes.append((stage, top))
        y = top + STAGE
        outputs = []
        for path in stage.writes:
            files[path] = line = _Line(path, y + GAP / 2 + FILE / 2)
            outputs.append(line)
            y += FILE
        written.append((top + STAGE, outputs))
        y += GAP
    lanes = _give_lanes(list(files.values()))
    left = MARGIN + lanes * LANE + 6
    longest = max(len(path) for path in files) * MONOSPACED + 24
    widths = (max(len(stage.description), len(stage.name) + 8) * CHARACTER + 28 for stage in group)
    width = max(longest, *widths)
    names = ", ".join(stage.name for stage in group)
    return Drawing(
        title=f"Stages {names}, and the files between them",
        width=round(left + width + MARGIN),
        height=f"{y:g}",
        left=left,
        box=(round(width), STAGE),
        reads=[_reading(line, line.lane, left) for line in files.values() if line.lane is not None],
        writes=[_writing(bottom, outputs, left) for bottom, outputs in written if outputs],
        stages=boxes,
        files=[(line.name, line.y) for line in files.values()],
    )


def _give_lanes(files: list[_Line]) -> int:
    """Put lines that run beside each other into lanes of their own; gives the number of lanes.

    Lane 0 is the leftmost; the longest lines get it, so that short ones are not crossed.
    """
    read = [line for line in files if line.ends]
    lanes: list[list[_Line]] = []
    for line in sorted(read, key=lambda line: (line.y - max(line.ends), line.y)):
        for number, lane in enumerate(lanes):
            if all(line.y > max(other.ends) or max(line.ends) < other.y for other in lane):
                line.lane = number
                lane.append(line)
                break
        else:
            line.lane = len(lanes)
            lanes.append([line])
    return len(lanes)


def _writing(bottom: float, outputs: list[_Line], left: int) -> str:
    """From a stage down to what it writes."""
    branches = "".join(f"M{left + 8} {line.y:g}h8" for line in outputs)
    return f"M{left + 8} {bottom:g}V{outputs[-1].y:g}{branches}"


def _reading(line: _Line, lane: int, left: int) -> Reading:
    """From a file down to the stages that read it."""
    last = max(line.ends)
    x = MARGIN + lane * LANE
    path = f"M{left + 14} {line.y:g}H{x + 6:g}Q{x:g} {line.y:g} {x:g} {line.y + 6:g}V{last - 6:g}"
    arrows = ""
    for end in sorted(line.ends):
        path += f"M{x:g} {end - 6:g}Q{x:g} {end:g} {x + 6:g} {end:g}H{left - 6}"
        arrows += f"M{left - 7} {end - 3.5:g}L{left - 1} {end:g}L{left - 7} {end + 3.5:g}Z"
    return Reading(path, arrows, lane % COLOURS)
