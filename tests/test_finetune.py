"""The training itself, on a tiny Gemma 3 that is built here. Needs torch: `make check-train`."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from support.params import section
from support.processes import kill, wait_for
from support.project import Project
from support.stages import run_stage
from support.training import made_up, set_up, set_up_project, write_rows, written

from seedbed.core.paths import Into
from seedbed.errors import WriteFailed
from seedbed.llm.store.place import default_path
from seedbed.training import errors, finetune, lora
from seedbed.training.base import find_base, load
from seedbed.training.encode import Encoded, encode, tokens_of
from seedbed.training.params import Finetune
from seedbed.training.sources import Example


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in lora.NEEDED:
        pytest.importorskip(package, reason="make check-train installs it")
    from benchmarks.tiny_gemma import build

    return build(tmp_path_factory.mktemp("tiny"))


@dataclass
class Training:
    """Trainings in this process, each in a folder of its own."""

    folder: Path
    base: Path
    patch: pytest.MonkeyPatch

    def __call__(self, name: str = "here", rows: list[dict] | None = None, **changes: Any) -> Path:
        folder = self.folder / name
        if not folder.exists():
            set_up(folder, made_up(12) if rows is None else rows)
        self.patch.chdir(folder)
        run_stage(finetune, finetune.Params(finetune=self.params(**changes)))
        return folder

    def params(self, **changes: Any) -> Finetune:
        return section(Finetune, **{"base": str(self.base), "threads": 1, "batch": 4, **changes})


@pytest.fixture
def training(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("SEEDBED_STORE", raising=False)
    return Training(tmp_path, base, monkeypatch)


def encoded(base: Path, rows: list[dict]) -> list[Encoded]:
    examples = [
        Example(row["prompt"], row["completion"], "a", i, None) for i, row in enumerate(rows)
    ]
    with tokens_of(find_base(str(base))) as tokens:
        return encode(examples, tokens)


@pytest.mark.slow
def test_the_loss_and_the_gradient_are_those_of_the_plain_loop(training: Training) -> None:
    """Rows padded, the head at every position, and -100 for what is not learned."""
    import torch

    lora.prepare(1)
    rows = encoded(training.base, made_up(5))
    assert len({len(row.ids) for row in rows}) > 1

    def net() -> Any:
        made = lora.with_matrices(load(training.base), training.params(), "cpu")
        with torch.no_grad():  # B begins with zeros, and then A has no gradient
            for name, one in made.named_parameters():
                if "lora_B" in name:
                    one.copy_(torch.randn(one.shape, generator=torch.manual_seed(len(name))))
        return made

    ours, plain = net(), net()
    longest = max(len(row.ids) for row in rows)
    ids = torch.tensor([row.ids + [0] * (longest - len(row.ids)) for row in rows])
    seen = torch.tensor([[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows])
    labels = torch.full_like(ids, -100)
    for i, row in enumerate(rows):
        labels[i, len(row.ids) - row.learned : len(row.ids)] = torch.tensor(row.targets)
    expected = plain(input_ids=ids, attention_mask=seen, labels=labels).loss
    expected.backward()
    assert lora.backward(ours, rows) == pytest.approx(expected.item(), rel=1e-5)
    gradients = dict(ours.named_parameters())
    for name, one in plain.named_parameters():
        if one.requires_grad:
            assert one.grad.abs().max() > 0, name
            assert torch.allclose(gradients[name].grad, one.grad, rtol=1e-3, atol=1e-6), name
        else:
            assert gradients[name].grad is None


@pytest.mark.slow
def test_a_text_is_tokenized_as_it_is_completed_and_its_special_tokens_are_text(base: Path) -> None:
    (row,) = encoded(base, [{"prompt": "ab", "completion": "<eos>"}])
    assert row.ids[0] == 2
    assert row.ids[-1] == 1
    assert 1 not in row.ids[:-1]
    assert row.learned == len("<eos>") + 1


@pytest.mark.slow
def test_two_trainings_write_the_same_bytes_and_another_seed_others(training: Training) -> None:
    first, second = (written(training(name)) for name in ("first", "second"))
    assert first == second
    other = written(training("other", seed=43))
    assert other["data/finetune/adapter.gguf"] != first["data/finetune/adapter.gguf"]


@pytest.mark.slow
def test_a_training_lowers_the_loss_and_says_what_it_did(
    training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*made_up(12), {"prompt": "x" * 200, "completion": "y"}]
    folder = training(rows=rows, epochs=20, max_steps=60, learning_rate=0.01)
    told = json.loads((folder / "metrics/finetune.json").read_text())
    assert told["trained_rows"] == 12
    assert told["training_steps"] == 60
    assert told["training_loss_last"] < told["training_loss_first"] - 0.3
    assert {one["name"]: one["count"] for one in told["left_out"]}["too_long"] == 1
    kept = [json.loads(line) for line in (folder / "data/finetune/rows.jsonl").open()]
    assert [row["prompt"] for row in kept] == [row["prompt"] for row in rows[:12]]
    assert sum(row["tokens"] for row in kept) == told["trained_tokens"]
    (left,) = (json.loads(line) for line in (folder / "data/finetune/left_out.jsonl").open())
    assert (left["reason"], left["line"]) == ("too_long", 13)
    losses = (folder / "plots/loss.tsv").read_text().splitlines()
    assert losses[0] == "step\tloss"
    assert [line.split("\t")[0] for line in losses[1:]] == [str(i) for i in range(60)]
    assert re.search(
        r"finetune · 12 rows · 60 steps · loss [\d.]+ → [\d.]+ · \d+ tokens/s",
        capsys.readouterr().out,
    )
    assert not list((folder / ".seedbed/finetune").iterdir())


@pytest.mark.slow
def test_a_stage_that_stands_in_a_pipeline_twice_has_files_of_its_own(training: Training) -> None:
    folder = training()
    once = written(folder)
    write_rows(folder / "data/other.jsonl", made_up(12, seed=1))
    inputs = finetune.Inputs(rows=Path("data/other.jsonl"))
    params = finetune.Params(finetune=training.params())
    finetune.run(params, inputs, Into("finetune", "second"))
    assert written(folder) == once
    (source,) = json.loads((folder / "metrics/second/finetune.json").read_text())["sources"]
    assert source["name"] == "data/other.jsonl"
    assert (folder / "data/second/finetune/adapter.gguf").read_bytes() != once[
        "data/finetune/adapter.gguf"
    ]
    assert (folder / "plots/second/loss.tsv").is_file()


@pytest.mark.slow
def test_another_library_loads_the_folder_and_has_the_same_model(training: Training) -> None:
    import torch
    from peft import PeftModel

    folder = training()
    assert str(folder) not in (folder / "data/finetune/adapter/adapter_config.json").read_text()
    trained = PeftModel.from_pretrained(load(training.base), folder / "data/finetune/adapter")
    state = {name: one for name, one in trained.named_parameters() if "lora_B" in name}
    assert len(state) == 3 * 7
    assert all(one.abs().max() > 0 for one in state.values())
    ids = torch.tensor([encoded(training.base, made_up(1))[0].ids])
    with torch.no_grad():
        assert not torch.equal(trained(ids).logits, load(training.base)(ids).logits)


@pytest.mark.slow
def test_a_training_that_goes_on_from_a_checkpoint_writes_the_same_bytes(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = written(training("whole"))
    made: list[int] = []
    backward = lora.backward

    def until(net: Any, rows: Any) -> float:
        made.append(1)
        if len(made) == 8:
            raise KeyboardInterrupt
        return backward(net, rows)

    monkeypatch.setattr(lora, "backward", until)
    with pytest.raises(KeyboardInterrupt) as stopped:
        training("stopped")
    assert stopped.value.__notes__ == ["finetune stopped: 5 of 9 steps are kept"]
    assert not list((training.folder / "stopped/data").glob("finetune/*"))
    # Another training does not take it for its own.
    monkeypatch.setattr(lora, "backward", backward)
    assert written(training("stopped", seed=43)) != whole
    made.clear()
    monkeypatch.setattr(
        lora, "backward", lambda net, rows: (made.append(1), backward(net, rows))[1]
    )
    assert written(training("stopped")) == whole
    assert len(made) == 4


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_read_is_as_none(training: Training) -> None:
    whole = written(training("whole"))
    folder = training("damaged")
    kept = training.folder / "damaged/.seedbed/finetune"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seedbed.training.checkpoints.Checkpoints.remove", lambda self: None)
        training("damaged")
    (path,) = kept.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    training("damaged")
    assert written(folder) == whole


def test_a_training_that_is_killed_again_and_again_writes_the_same_bytes(
    new_project: Callable[[str], Project], base: Path
) -> None:
    undisturbed, killed = new_project("undisturbed"), new_project("killed")
    for project in (undisturbed, killed):
        set_up_project(project, base, made_up(60))
        for name, value in {"epochs": 10, "max_steps": 150, "batch": 4, "threads": 1}.items():
            project.set(f"finetune.{name}", value)
    target = "pipelines/training/dvc.yaml:finetune"
    done = undisturbed.run("dvc", "repro", "--single-item", target)
    assert done.returncode == 0, done.stdout

    folder = killed.folder / ".seedbed/finetune"

    def kept() -> float:
        return max((path.stat().st_mtime_ns for path in folder.glob("*.pt")), default=0)

    for _ in range(2):
        before = kept()
        process = killed.start_stage("finetune")
        wait_for(lambda: kept() > before, process)  # noqa: B023
        kill(process)
        assert not (killed.folder / "data/finetune/adapter.gguf").exists()
    done = killed.run("dvc", "repro", "--single-item", target)
    assert done.returncode == 0, done.stdout
    assert re.search(r"150 steps \(\d+ of them before\)", done.stdout), done.stdout
    assert written(killed.folder) == written(undisturbed.folder)
    lock = "pipelines/training/dvc.lock"
    assert killed.read(lock) == undisturbed.read(lock)
    drawn = killed.run("dvc", "plots", "show", "plots/loss.tsv", "-o", "drawn")
    assert drawn.returncode == 0, drawn.stdout
    assert "cross entropy a learned token" in killed.read("drawn/index.html").decode()


# --- bad input: one message each, and nothing half-written


def nothing_written(training: Training) -> None:
    folder = training.folder / "here"
    assert not (folder / "data/finetune").exists()
    assert not (folder / "metrics").exists()
    assert not list((folder / ".seedbed").rglob("*.pt"))


@pytest.mark.slow
def test_a_training_that_diverges_is_stopped_and_writes_nothing(training: Training) -> None:
    with pytest.raises(errors.LossNotFinite, match=r"the loss of step \d+ is (nan|inf)") as stopped:
        training(learning_rate=1e30, epochs=20)
    assert "Lower finetune.learning_rate" in str(stopped.value)
    nothing_written(training)


@pytest.mark.slow
def test_memory_is_asked_for_before_anything_begins(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5e8))
    with pytest.raises(errors.NotEnoughMemory, match=r"needs about 1.2 GB of memory, and 0.5 GB"):
        training()
    nothing_written(training)


@pytest.mark.slow
def test_room_is_asked_for_before_anything_begins(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5e7))
    with pytest.raises(errors.NotEnoughRoom, match=r"needs about 0.20 GB there, and 0.05 GB"):
        training()
    nothing_written(training)


@pytest.mark.slow
def test_a_result_that_cannot_be_written_leaves_nothing(training: Training) -> None:
    folder = set_up(training.folder / "here", made_up(12))
    (folder / "plots").write_text("in the way")
    with pytest.raises(WriteFailed, match="plots"):
        training()
    assert not [path for path in (folder / "data/finetune").rglob("*") if path.is_file()]
    assert not (folder / "metrics/finetune.json").exists()


@pytest.mark.slow
def test_a_set_of_one_row_is_refused(training: Training) -> None:
    with pytest.raises(errors.TooFewRows, match="2 rows of it are to be trained on, and it has 1"):
        training(rows=made_up(1))
    nothing_written(training)


def config(**fields: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "config.json").write_text(json.dumps(fields))

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "No such file or directory"),
        (lambda path: path.write_text("x"), "not a GGUF file"),
        (lambda path: path.write_bytes(b"GGUF"), "its header is damaged"),
        (config(model_type="gemma3_text", eos_token_id=1), "no weights"),
        (config(model_type="llama"), "a model of architecture 'llama', but an adapter for"),
    ],
)
def test_a_base_that_cannot_be_trained_is_named(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "base.gguf"
    make(path)
    with pytest.raises(errors.BadBase, match=f"^finetune.base: {re.escape(str(path))}: .*{said}"):
        find_base(str(path))


def test_a_gguf_of_another_architecture_is_refused(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "llama.gguf", "llama")
    writer.add_eos_token_id(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(errors.OtherArchitecture, match="architecture 'llama'"):
        find_base(str(tmp_path / "llama.gguf"))


def test_without_torch_a_training_says_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.chdir(set_up(tmp_path / "here", made_up(3)))
    with pytest.raises(errors.NoTorch, match="make train"):
        run_stage(finetune, finetune.Params(finetune=section(Finetune)))
    assert not (tmp_path / "here/data/finetune").exists()


def test_checkpoints_lie_beside_the_store_where_no_stage_deletes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seedbed.training.checkpoints import Checkpoints

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("SEEDBED_STORE", raising=False)
    path = Checkpoints({"a": 1}).path
    assert path.parent.parent == default_path().parent == tmp_path / ".seedbed"
    assert path != Checkpoints({"a": 2}).path
