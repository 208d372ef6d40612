"""params.yaml is checked before anything else happens."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.project import ROOT, Project
from support.refusals import assert_refused, refusal

from seedbed import params
from seedbed.core.paths import PARAMS
from seedbed.errors import BadFile, BadParam, SeedbedError
from seedbed.methods import module_of


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
        ("max_tokens: 400", "max_tokens: 0", "bootstrap.sampling.max_tokens", "greater than 0"),
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
    said = (
        f"params.yaml:{line}: extra: there is no",
        "llm, run, bootstrap, clf, instances, prepare",
    )
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
    sections = module_of(stage).Params
    assert params.load(stage, sections) is not None


def test_a_section_that_the_stage_does_not_declare_is_not_handed_out(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    sections = module_of("bootstrap").Params
    with pytest.raises(BadParam):
        params.load("clf", sections)


def test_a_mistake_in_a_later_stages_section_is_found_by_the_first(project: Project) -> None:
    project.replace("params.yaml", "max_instances_per_task: 5", "max_instances_per_task: 0")
    assert_refused(project, "prepare.max_instances_per_task: found 0")


# --- values that a parameter cannot have, in this process


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The project's params.yaml, in a folder that has nothing else."""
    monkeypatch.chdir(tmp_path)
    return (ROOT / "params.yaml").read_text(encoding="utf-8")


def checked(text: str) -> str:
    """What is said of a params.yaml, "" if nothing is wrong with it."""
    PARAMS.write_text(text, encoding="utf-8")
    try:
        params.everything()
    except SeedbedError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  seed: 42", "  seed: 2024-13-01", "bootstrap.seed: YAML cannot read '2024-13-01'"),
        ("  seed: 42", "  seed: !!int x", "bootstrap.seed: YAML cannot read 'x' as int"),
        ("  seed: 42", f"  seed: {'9' * 5000}", "bootstrap.seed: YAML cannot read '999"),
        ("  seed: 42", f"  seed: 0x{'f' * 5000}", "bootstrap.seed: found a number of thousands"),
        ("  seed: 42", f"  seed: 0o{'7' * 5000}", "bootstrap.seed: DVC (YAML 1.2) reads a number"),
        ("  seed: 42", "  seed: " + "[" * 600 + "]" * 600, "nested more than 20 deep"),
        ("  seed: 42", "  seed: &a [*a]", "nested more than 20 deep, or an alias within"),
        ("[Write a program]", "[-_]", "bootstrap.refused_prefixes.0: DVC (YAML 1.2) cannot read"),
        ("max_tokens: 400", f"max_tokens: {2**63}", "bootstrap.sampling.max_tokens: found 92233"),
        ("_max_tokens: 300", f"_max_tokens: {2**63}", "instances.classification_max_tokens: found"),
        (
            "max_tokens: 32",
            f"max_tokens: {2**63}",
            "label.sampling.max_tokens: found 92233",
        ),
        ("model: gemma-3-270m-q4_k_m", r'model: "\ud800"', "llm.model: half of a surrogate pair"),
        ("model: gemma-3-270m-q4_k_m", r'model: "a\0.gguf"', r"llm.model: found 'a\x00.gguf': no "),
        ("context: 4096", "context: 4194305", "llm.embedded.context: found 4194305: input should"),
        ("slots: 1", "slots: 257", "llm.embedded.slots: found 257: input should be less than"),
        ("threads: 2", "threads: 4294967297", "llm.embedded.threads: found 4294967297: input"),
        ("input: 1.5,", "input: 1.5, inputs: 1,", "run.prices.0.inputs: there is no such param"),
        ("folder: data/niv2", r'folder: "data\0"', r"niv2.folder: found 'data\x00': no file"),
        ("folder: data/niv2", "folder: s3://a/b", "niv2.folder: found 's3://a/b': an address"),
        ("folder: data/niv2", "folder: data/niv2.dvc", "niv2.folder: found 'data/niv2.dvc': what"),
    ],
)
def test_whatever_cannot_be_read_is_named_with_its_line(
    text: str, old: str, new: str, said: str
) -> None:
    assert old in text
    line = text[: text.index(old)].count("\n") + 1
    found = checked(text.replace(old, new, 1))
    assert found.startswith(f"params.yaml:{line}: {said}"), found[:500]
    assert len(found) < 600


def test_lines_that_come_to_billions_of_values_are_refused(text: str) -> None:
    lines = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    old = "  refused_words: "
    found = checked(text.replace(old, f"  a0: &a0 [1, 1]\n{lines}{old}"))
    assert re.match(r"params\.yaml:\d+: more than 10,000 values", found)


def test_aliases_and_merges_without_a_circle_are_accepted(text: str) -> None:
    sampling = "  sampling: &sampling\n    max_tokens: 3\n"
    assert "  sampling:\n    max_tokens: 3\n" in text
    shared = text.replace("  sampling:\n    max_tokens: 3\n", sampling, 1)
    own = re.compile(r"  sampling:\n    max_tokens: 350\n(    .*\n)*", re.MULTILINE)
    for alias in ("  sampling: *sampling\n", "  sampling:\n    <<: *sampling\n    max_tokens: 4\n"):
        assert checked(own.sub(alias, shared, count=1)) == ""


def test_a_file_that_is_no_utf_8_is_told_by_the_name_of_what_it_is(text: str) -> None:
    for encoding, said in (("utf-16", "is UTF-16"), ("utf-8-sig", "begins with a byte order mark")):
        PARAMS.write_text(text, encoding=encoding)
        with pytest.raises(BadFile, match=rf"^params\.yaml: {said}"):
            params.everything()
