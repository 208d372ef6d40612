"""Presets: what `seedbed preset` does to params.yaml."""

import re
import shutil
from collections import Counter
from difflib import ndiff
from pathlib import Path
from typing import get_args

import pytest
import yaml

from seedbed.active.params import FREE, Method
from seedbed.errors import BadFile, BadParam, BadRow
from seedbed.params import checked, everything
from seedbed.views import preset as presets

ROOT = Path(__file__).parents[1]
NAMES = [path.stem for path in (ROOT / "presets").glob("*.yaml")]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")


# Mappings of what a user names: a preset has all of one, or nothing of it.
WHOLE = {("active", "pools"), ("active", "runs"), ("active", "scored")}


def leaves(data: dict, names: tuple[str, ...] = ()) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in data.items():
        if isinstance(value, dict) and (*names, name) not in WHOLE:
            found |= leaves(value, (*names, name))
        else:
            found[".".join((*names, name))] = value
    return found


def read(path: str) -> dict[str, object]:
    return leaves(yaml.safe_load(Path(path).read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_valid_and_differs_from_the_defaults_only_where_it_says(name: str) -> None:
    before, stated = read("params.yaml"), read(f"presets/{name}.yaml")
    changes = presets.apply(name)
    after = read("params.yaml")
    checked(yaml.safe_load(Path("params.yaml").read_text()))
    changed = {one for one in after if after[one] != before.get(one)}
    assert changed == set(stated), "what the preset says is the default already says nothing"
    assert after == before | stated
    assert changes == [(one, before[one], after[one]) for one in stated]
    assert presets.apply(name) == []


def test_the_papers_size_is_the_papers() -> None:
    presets.apply("paper")
    params = checked(yaml.safe_load(Path("params.yaml").read_text()))
    assert params.bootstrap.num_instructions_to_generate == 52_000
    meta_prompts = list((ROOT / "data/prompts/candidates/few_shot").glob("*.txt"))
    assert 1 + params.candidates.samples * len(meta_prompts) == 22
    assert params.label.sample_instructions is None
    assert params.label.max_examples == params.relabel_and_pick.max_examples == 400
    assert params.niv2.tasks is None


def test_the_rounds_are_those_of_the_paper_on_active_learning() -> None:
    presets.apply("active")
    # With DVC's reading, too.
    params = everything()
    runs, scored = params.active.runs, params.active.scored
    assert [pool.seed for pool in params.active.pools.values()] == [10, 20, 30, 40, 60]
    chunks: dict[str, int] = {}
    for name, run in runs.items():
        chunks[name] = chunks.get(run.before, 0) + 1
        assert (
            run.before in (run.pool, f"{run.pool}-start") or runs[run.before].method == run.method
        )
    rounds = Counter((run.pool, run.method, chunks[name]) for name, run in runs.items())
    later = [method for method in get_args(Method) if method != "first_chunk"]
    assert rounds == {
        (pool, method, chunk): 1
        for pool in params.active.pools
        for methods, taken in ((["first_chunk"], [1]), (later, [2, 3, 4, 5]))
        for method in methods
        for chunk in taken
    }
    assert set(scored) == {run.before for run in runs.values() if run.method not in FREE}
    own = params.active_pool
    assert [own.chunk * chunk for chunk in range(1, 6)] == [68, 136, 204, 272, 340]
    assert int(own.chunk * (params.active_select.cls_share or 0)) == 24
    score = params.active_score
    # Of the first round: the pool's 756 tasks without 68 and 68.
    asked = (756 - own.dev - own.chunk) * score.instances
    assert (asked, asked * (score.perturbations + 1)) == (6200, 68_200)
    assert (own.tasks, own.test_tasks, score.max_tasks) == (None, None, None)


def test_names_of_ones_own_are_replaced_whole_and_what_stands_around_them_stays() -> None:
    before = Path("params.yaml").read_text()
    text = "active:\n  pools: {mine: {seed: 3}}\n  runs:\n    a:\n"
    text += "      {pool: mine, method: first_chunk, before: mine}\n  scored: {}\n"
    Path("presets/mine.yaml").write_text(text)
    assert [name for name, _, _ in presets.apply("mine")] == [
        "active.pools", "active.runs", "active.scored"
    ]  # fmt: skip
    after = Path("params.yaml").read_text()
    changed = [line for line in ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    assert [line for line in changed if line[0] == "+"] == [
        '+     "mine": {"seed": 3}',
        '+     "a": {"pool": "mine", "method": "first_chunk", "before": "mine"}',
        "+   scored: {}",
    ]
    # Gone are the names, and no comment.
    assert all(re.match(r"-     \S+: {|-   scored:$", line) for line in changed if line[0] == "-")
    # What stands in one line stays in one.
    Path("presets/other.yaml").write_text("active:\n  scored:\n    a:\n      pool: mine\n")
    presets.apply("other")
    assert '\n  scored: {"a": {"pool": "mine"}}\n' in Path("params.yaml").read_text()
    assert list(everything().active.runs) == ["a"]


@pytest.mark.parametrize("empty", ["", "  # of my own\n\n    # and more\n"])
def test_rounds_are_found_wherever_their_lines_begin(empty: str) -> None:
    text = Path("params.yaml").read_text()
    begin, end = text.index("  runs:\n") + 8, text.index("  # Rounds whose model")
    wide = re.sub("^    ", "          ", text[begin:end], flags=re.M)
    Path("params.yaml").write_text(f"{text[:begin]}{empty}{wide}{text[end:]}")
    presets.apply("active")
    place = r'\n  runs:\n          "p10-start": .*\n          "p10-random-1": '
    assert re.search(place, Path("params.yaml").read_text())
    assert len(everything().active.runs) == 5 * (1 + 4 * 9)


def test_all_that_a_preset_does_not_name_stays_byte_for_byte() -> None:
    before = Path("params.yaml").read_text().splitlines(keepends=True)
    stated = {one.rpartition(".")[2] for one in read("presets/paper.yaml")}
    presets.apply("paper")
    after = Path("params.yaml").read_text().splitlines(keepends=True)
    for mark, *line in ndiff(before, after):
        text = "".join(line).strip()
        # The items of niv2.tasks, which is on one line now.
        assert mark in " ?" or text.split(":")[0] in stated or text.startswith("- seedbed"), text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "bootstrap:\n  rouge_treshold: 0.6\n",
            "mine.yaml:2: bootstrap.rouge_treshold: there is no",
        ),
        (
            "bootstrap:\n  rouge_threshold: 7\n",
            "mine.yaml:2: bootstrap.rouge_threshold: .*less than",
        ),
        ("label:\n  max_examples: many\n", "mine.yaml:2: label.max_examples: .*integer"),
        (
            "active:\n  rounds:\n    a: {pool: b}\n",
            "mine.yaml:3: active.rounds.a.pool: there is no",
        ),
        ("active:\n  pools: 3\n", "mine.yaml:2: active.pools: .*dictionary"),
        (
            "active:\n  pools:\n    a: {seed: 1}\n    b: {seed: x}\n",
            "mine.yaml:4: active.pools.b.seed: .*integer",
        ),
        ("active:\n  pools:\n    a: {seed: 1}\n", "mine.yaml:1: active: .* no pool pool"),
        (
            "active:\n  pools:\n    a:\n      sed: 1\n",
            "mine.yaml:4: active.pools.a.sed: there is no .*\n.*Did you mean seed",
        ),
    ],
)
def test_a_preset_that_is_wrong_is_named_with_its_line_and_changes_nothing(
    text: str, said: str
) -> None:
    before = Path("params.yaml").read_bytes()
    Path("presets/mine.yaml").write_text(text)
    with pytest.raises(BadParam, match=said):
        presets.apply("mine")
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize("text", ["", "- a\n", "5\n"])
def test_a_preset_that_is_no_mapping_is_named(text: str) -> None:
    Path("presets/mine.yaml").write_text(text)
    with pytest.raises(BadFile, match=r"mine\.yaml: holds no parameters"):
        presets.apply("mine")


def test_a_preset_that_is_no_yaml_is_named_with_its_line() -> None:
    Path("presets/mine.yaml").write_text("clf:\n  sampling: ]\n")
    with pytest.raises(BadRow, match=r"mine\.yaml:2: "):
        presets.apply("mine")


@pytest.mark.parametrize(
    "value",
    [
        "1.0e-06",
        "0.00001",
        '"\\u2028"',
        '"\\x85"',
        '"\\x7f"',
        '"\\uFEFF"',
        '"\\U0001F600"',
        '"a\\0b"',
    ],
)
def test_a_value_is_written_so_that_it_is_read_as_it_was_meant(value: str) -> None:
    number = value[0] != '"'
    text = f"  rouge_threshold: {value}" if number else f"  refused_words: [{value}]"
    Path("presets/mine.yaml").write_text(f"bootstrap:\n{text}\n", encoding="utf-8")
    presets.apply("mine")
    stated = yaml.safe_load(Path("presets/mine.yaml").read_text(encoding="utf-8"))["bootstrap"]
    (name,) = stated
    # Checked with DVC's reading, too.
    assert getattr(everything().bootstrap, name) == stated[name]


@pytest.mark.parametrize(
    "change",
    [
        ("clf:\n  sampling:\n", "clf:\n  sampling: &short\n", "instances", "sampling: *short"),
        ("  seed: 42\n\nclf", "  seed: &seed 42\n\nclf", "prepare", "seed: *seed"),
    ],
    ids=["a mapping", "a number"],
)
def test_a_value_that_stands_for_several_parameters_is_not_changed_for_one(
    change: tuple[str, str, str, str],
) -> None:
    old, new, section, alias = change
    text = Path("params.yaml").read_text()
    assert old in text
    text = text.replace(old, new)
    begin = text.index(f"\n{section}:")
    name = alias.partition(":")[0]
    place = re.compile(rf"^  {name}:.*\n(    .*\n)*", re.M)
    text = text[:begin] + place.sub(f"  {alias}\n", text[begin:], count=1)
    Path("params.yaml").write_text(text)
    assert everything()
    full = "sampling:\n    max_tokens: 7" if name == "sampling" else "seed: 7"
    Path("presets/mine.yaml").write_text(f"{section}:\n  {full}\n")
    with pytest.raises(BadFile, match=r"params\.yaml: .*several parameters"):
        presets.apply("mine")
    assert Path("params.yaml").read_text() == text


def test_what_is_wrong_in_params_yaml_is_not_laid_to_the_preset() -> None:
    text = Path("params.yaml").read_text().replace("capitalize: true", "capitalize: 3")
    line = text[: text.index("capitalize: 3")].count("\n") + 1
    Path("params.yaml").write_text(text)
    with pytest.raises(BadParam, match=rf"params\.yaml:{line}: bootstrap\.capitalize: "):
        presets.apply("paper")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_no_file_can_have_is_no_preset(name: str) -> None:
    with pytest.raises(BadFile, match="presets/"):
        presets.apply(name)


def test_a_preset_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(
        BadFile, match=r"There are: active, alpaca, backtranslation, paper, ranker\."
    ):
        presets.apply("papper")
