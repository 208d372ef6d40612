"""The ranker that is trained whole: tiny models, made here, on a CPU."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.params import SECTIONS, changed
from support.ranking import MadeUp
from support.stages import run_stage

from seedbed.ranker import rank_evaluate, rank_select, rank_train
from seedbed.ranker.errors import BadModelToTune, NotOneToken, OtherRanker

torch = pytest.importorskip("torch", reason="make check-train installs it")
transformers = pytest.importorskip("transformers")

WORDS = [*"012345?:", "yes", "no", "input", "instruction", "task", "says", "word", "now"]
WORDS += ["does", "it", "suit", "out"]


def tokenizer(words: list[str] = WORDS) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    made = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", ids["</s>"])]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def tiny_t5(folder: Path, words: list[str] = WORDS) -> Path:
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=3 + len(words),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        dropout_rate=0.0,
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer(words).save_pretrained(folder)
    return folder


def tiny_decoder(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=3 + len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        eos_token_id=1,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def params(stage: Any, base: Path, **training: object) -> Any:
    own = {"base": str(base), "epochs": 12, "batch": 6, "accumulate": 4, "learning_rate": 0.02}
    own["threads"] = 1
    values = changed(
        SECTIONS,
        {
            "niv2": {"folder": "data/niv2", "tasks": None},
            "rank_train": {"kind": "finetune", "finetune": {**own, "eval_every": 5, **training}},
            "rank_select": {"max_examples": None},
            "rank_evaluate": {
                "methods": ["random", "seed", "selected", "untrained", "oracle", "worst"],
                "resamples": 200,
            },
        },
    )
    values["label"] = {name: values["label"][name] for name in ("shots", "sampling")}
    return stage.Params.model_validate({name: values[name] for name in stage.Params.model_fields})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import shutil

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    source = Path(__file__).parents[1] / "data/prompts/rank_evaluate"
    shutil.copytree(source, tmp_path / "data/prompts/rank_evaluate")
    yield
    torch.use_deterministic_algorithms(False)


def long_is_good(task: str, number: int, place: int) -> float:
    return (0.2, 0.4, 0.9, 0.3)[place]


# Not what the model would choose without training.
@pytest.mark.parametrize(
    ("make", "worth"), [(tiny_t5, (0.2, 0.4, 0.9, 0.3)), (tiny_decoder, (0.9, 0.4, 0.2, 0.3))]
)
def test_it_learns_which_candidate_is_best_and_the_bytes_are_the_same_twice(
    tmp_path: Path, make: Any, worth: tuple[float, ...]
) -> None:
    base = make(tmp_path / "base")
    MadeUp(Path(), lambda task, number, place: worth[place]).write(1 / 3, 1 / 3)
    for stage in (rank_train, rank_select, rank_evaluate):
        run_stage(stage, params(stage, base))
    told = json.loads(Path("metrics/rank_train.json").read_text())
    assert told["rank_loss_last"] < told["rank_loss_first"]
    assert told["rank_dev_rouge"] == 0.9
    found = json.loads(Path("metrics/rank_evaluate.json").read_text())
    assert found["rank_rouge_selected"] == found["rank_rouge_oracle"] == 0.9
    assert {row["name"]: row["rouge"] for row in found["method"]}["untrained"] < 0.9
    # Those by which the model was chosen are no fair ones either.
    others = {row["name"]: row["count"] for row in found["comparison"]}
    assert (found["rank_examples"], others["examples_trained_on"]) == (6, 12)
    assert {"kl_train", "kl_seen_dev"} <= told.keys()
    assert "kl_unseen_dev" not in told
    weights = Path("data/rank_train/model/model.safetensors")
    before = weights.read_bytes()
    run_stage(rank_train, params(rank_train, base))
    assert weights.read_bytes() == before


def test_the_score_is_the_logit_of_yes_at_the_first_place(tmp_path: Path) -> None:
    from seedbed.ranker.yes_model import load

    yes = load(str(tiny_t5(tmp_path / "base")), 1, 0)
    assert yes.tokenizer.convert_ids_to_tokens([yes.token]) == ["yes"]
    texts = ["task 1 says now", "word"]
    for text, score in zip(texts, yes.score_all(texts), strict=True):
        given = yes.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = yes.net(
                input_ids=given, decoder_input_ids=torch.zeros((1, 1), dtype=torch.long)
            )
        assert score == pytest.approx(float(logits.logits[0, 0, yes.token]), abs=1e-5)
    # Of a decoder after the last word, however long the others are.
    yes = load(str(tiny_decoder(tmp_path / "decoder")), 1, 0)
    for text, score in zip(texts, yes.score_all(texts), strict=True):
        with torch.no_grad():
            logits = yes.net(**yes.tokenizer(text, return_tensors="pt")).logits
        assert score == pytest.approx(float(logits[0, -1, yes.token]), abs=1e-5)


def test_a_tokenizer_without_the_word_is_refused(tmp_path: Path) -> None:
    MadeUp(Path(), long_is_good).write()
    base = tiny_t5(tmp_path / "base", [word for word in WORDS if word != "yes"])
    with pytest.raises(NotOneToken, match='" yes" is not one token'):
        run_stage(rank_train, params(rank_train, base))


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    MadeUp(Path(), long_is_good).write()
    (tmp_path / "base").mkdir()
    with pytest.raises(BadModelToTune, match=r"rank_train\.finetune\.base: .*base: "):
        run_stage(rank_train, params(rank_train, tmp_path / "base"))


def test_a_model_that_was_tuned_from_another_is_refused(tmp_path: Path) -> None:
    MadeUp(Path(), long_is_good).write()
    base = tiny_t5(tmp_path / "base")
    run_stage(rank_train, params(rank_train, base, epochs=1))
    with pytest.raises(OtherRanker, match="another model"):
        run_stage(rank_select, params(rank_select, tmp_path / "another"))
