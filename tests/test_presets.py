"""Presets: what `seedbed preset` does to params.yaml."""

import re
import shutil
from difflib import ndiff
from pathlib import Path

import pytest
import yaml

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


def leaves(data: dict, names: tuple[str, ...] = ()) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in data.items():
        if isinstance(value, dict):
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
    with pytest.raises(BadFile, match=r"There are: paper, ranker\."):
        presets.apply("papper")
