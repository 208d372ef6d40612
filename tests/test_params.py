"""params.yaml is checked before anything else happens."""

import re
from collections.abc import Iterator
from importlib import import_module

import pytest
from conftest import Project
from test_bad_input import assert_refused, refusal

from seedbed import params
from seedbed.errors import BadParam


@pytest.fixture(scope="module")
def one_copy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("params") / "project")


@pytest.fixture
def project(one_copy: Project) -> Iterator[Project]:
    """The same copy for every test, as it was."""
    yield one_copy
    one_copy.run("git", "reset", "-q", "--hard")


def change(project: Project, old: str, new: str) -> int:
    """Change params.yaml; gives the line, counted from 1, on which the change ends."""
    project.replace("params.yaml", old, new)
    text = (project.folder / "params.yaml").read_text()
    return text[: text.index(new) + len(new.rstrip("\n"))].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "name", "said"),
    [
        ("rouge_threshold: 0.7", "rouge_threshold: 1.5", "bootstrap.rouge_threshold", "1.5"),
        ("rouge_threshold: 0.7", 'rouge_threshold: "0.7"', "bootstrap.rouge_threshold", "number"),
        ("rouge_threshold: 0.7", "rouge_threshold: .nan", "bootstrap.rouge_threshold", "finite"),
        ("rouge_threshold: 0.7", "rouge_threshold: 1e-6", "bootstrap.rouge_threshold", "1.0e-6"),
        ("capitalize: true", "capitalize: yes", "bootstrap.capitalize", "true for yes"),
        ("refused_words: [image,", "refused_words: [no,", "bootstrap.refused_words.0", "quotes"),
        ("  seed: 42", "  seed: 2026-01-01", "bootstrap.seed", ""),
        ("  seed: 42", "  seed: ", "bootstrap.seed", "integer"),
        ("max_tokens: 1024", "max_tokens: 0", "bootstrap.sampling.max_tokens", "greater than 0"),
        ("    slots: 1", "    slots: 0", "llm.embedded.slots", "greater than 0"),
        (
            "sample_instructions: 8",
            "sample_instructions: 1",
            "relabel_and_pick.sample_instructions",
            "greater than or equal to 2",
        ),
        (
            "rank_criteria: norm_score_max",
            "rank_criteria: best",
            "relabel_and_pick.rank_criteria",
            "relative_score_range",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_line(
    project: Project, old: str, new: str, name: str, said: str
) -> None:
    line = change(project, old, new)
    assert_refused(project, f"params.yaml:{line}: ", name, said)


@pytest.mark.parametrize(
    ("old", "new", "section", "said"),
    [
        ("min_words: 4", "min_words: 151", "bootstrap", "min_words exceeds max_words"),
        (
            "min_task_examples: null\n  max_task_examples: null",
            "min_task_examples: 9\n  max_task_examples: 8",
            "relabel_and_pick",
            "min_task_examples exceeds max_task_examples",
        ),
    ],
)
def test_bounds_that_contradict_each_other_are_named(
    project: Project, old: str, new: str, section: str, said: str
) -> None:
    change(project, old, new)
    assert_refused(project, "params.yaml:", section, said)


@pytest.mark.parametrize(
    ("old", "new", "name", "meant"),
    [
        ("  seed: 42\n", "  seed: 42\n  sed: 1\n", "bootstrap.sed", "seed"),
        ("rouge_threshold:", "rouge_treshold:", "bootstrap.rouge_treshold", "rouge_threshold"),
        ("    temperature:", "    temprature:", "bootstrap.sampling.temprature", "temperature"),
        ("\nprepare:", "\nprepair:", "prepair", "prepare"),
    ],
)
def test_an_unknown_name_is_told_with_the_one_that_was_meant(
    project: Project, old: str, new: str, name: str, meant: str
) -> None:
    line = change(project, old, new)
    assert_refused(project, f"params.yaml:{line}: {name}: ", f"Did you mean {meant}?")


def test_a_name_like_no_other_is_told_with_all_there_are(project: Project) -> None:
    line = change(project, "\nclf:", "\n\nextra: 3\n\nclf:") - 2
    said = (f"params.yaml:{line}: extra: there is no", "llm, bootstrap, clf, instances, prepare")
    assert_refused(project, *said)


def test_a_missing_parameter_is_named_with_the_line_of_its_section(project: Project) -> None:
    change(project, "  min_words: 4\n", "")
    line = change(project, "\nbootstrap:", "\nbootstrap:")
    assert_refused(project, f"params.yaml:{line}: bootstrap.min_words: ", "required")


@pytest.mark.parametrize(
    ("old", "new"),
    [("capitalize: true", "capitalize: ["), ("min_words: 4", "min_words: 4\n  min_words: 5")],
    ids=["a bracket that is not closed", "a name that stands there twice"],
)
def test_broken_yaml_is_told_with_its_line(project: Project, old: str, new: str) -> None:
    line = change(project, old, new)
    assert re.search(rf"params\.yaml\b.*\b{line}\b", refusal(project))


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_a_file_that_holds_no_parameters_is_refused(
    project: Project, content: bytes | None
) -> None:
    path = project.folder / "params.yaml"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert_refused(project, "params.yaml: ")


@pytest.mark.parametrize("stage", ["bootstrap", "clf", "instances", "prepare", "relabel-and-pick"])
def test_the_parameters_as_they_are_fit_every_stage(
    project: Project, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    sections = import_module(f"seedbed.stages.{stage.replace('-', '_')}").Params
    assert params.load(stage, sections) is not None


def test_a_section_that_the_stage_does_not_declare_is_not_handed_out(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    sections = import_module("seedbed.stages.bootstrap").Params
    with pytest.raises(BadParam):
        params.load("clf", sections)


def test_a_mistake_in_a_later_stages_section_is_found_by_the_first(project: Project) -> None:
    project.replace("params.yaml", "max_instances_per_task: 5", "max_instances_per_task: 0")
    assert_refused(project, "prepare.max_instances_per_task: found 0")
