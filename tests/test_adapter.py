"""An adapter as a file, and in the embedded server."""

import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import gguf
import numpy as np
import pytest
from support.adapters import LAYERS, adapter, matrices
from support.engines import EMBEDDED, ask, requests_for
from support.params import section
from support.project import ROOT

from seedbed.llm import errors
from seedbed.llm.params import Llm
from seedbed.llm.serve import embedded
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.serve.gguf_header import header
from seedbed.training.adapter_file import PREFIX, gguf_names, to_gguf

PROMPTS = ["The capital of France is", "Task: Name a fruit.\nOutput:"]
PACKAGED = section(Llm, model=embedded.PACKAGED, embedded={"context": 512})


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def with_adapter(path: Path | None) -> Llm:
    name = None if path is None else str(path)
    own = PACKAGED.embedded.model_copy(update={"adapter": name})
    return PACKAGED.model_copy(update={"embedded": own})


def answers(store: Path, path: Path | None) -> list[str]:
    """What the model says with an adapter, or without one, asked anew."""
    asked = ask(store, requests_for(PROMPTS, max_tokens=8, stop=[]), with_adapter(path))
    return [answer.text for answer in asked]


@pytest.mark.slow
@pytest.mark.xdist_group("model")
def test_an_adapter_answers_as_before_after_another_and_none_as_the_base(tmp_path: Path) -> None:
    first, second = (adapter(tmp_path / f"{seed}.gguf", seed) for seed in (1, 2))
    order = [None, first, second, first, None]
    # Every answer is made: at the second time, in a store of its own.
    stores = [tmp_path / f"{name}.sqlite" for name in ("one", "one", "one", "again", "again")]
    said = [answers(store, path) for store, path in zip(stores, order, strict=True)]
    assert said[1] == said[3]
    assert said[0] == said[4]
    assert len({tuple(texts) for texts in said}) == 3
    # And in one store none is taken for another's.
    one = [answers(tmp_path / "one.sqlite", path) for path in order]
    assert one == said


def test_a_file_has_what_llama_cpp_wants_and_what_we_ask_for(tmp_path: Path) -> None:
    drawn = matrices(seed=1, rank=4, layers=2)
    path = tmp_path / "a.gguf"
    path.write_bytes(to_gguf(drawn, 8.0, "0" * 64))
    reader = gguf.GGUFReader(path)
    fields = {name: reader.get_field(name).contents() for name in reader.fields if "." in name}
    fields = {name: value for name, value in fields.items() if not name.startswith("GGUF.")}
    assert fields == {
        "general.architecture": "gemma3",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
        "seedbed.base.sha256": "0" * 64,
    }
    assert [tensor.name for tensor in reader.tensors][:4] == [
        "blk.0.ffn_down.weight.lora_a",
        "blk.0.ffn_down.weight.lora_b",
        "blk.0.attn_q.weight.lora_a",
        "blk.0.attn_q.weight.lora_b",
    ]
    for name, tensor in gguf_names(list(drawn)).items():
        (kept,) = (one for one in reader.tensors if one.name == tensor)
        assert np.array_equal(kept.data, drawn[name])
    assert to_gguf(drawn, 8.0, "0" * 64) == path.read_bytes()


def test_a_layer_that_llama_cpp_does_not_have_has_no_name_there() -> None:
    with pytest.raises(KeyError):
        gguf_names(["base_model.model.model.layers.0.odd.lora_A.weight"])


def test_a_header_is_read_whatever_kinds_of_values_stand_before(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_array("texts", ["a", "bc"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_bool("flag", True)
    writer.add_float64("double", 0.5)
    writer.add_string("last", "ü")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    wanted = ("general.architecture", "flag", "double", "last", "missing")
    told = header(path, wanted)
    assert told == {"general.architecture": "gemma3", "flag": True, "double": 0.5, "last": "ü"}
    whole = path.read_bytes()
    for end in range(len(whole.rstrip(b"\0"))):  # what fills it up says nothing
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"not a GGUF file|damaged"):
            header(path, wanted)


def damaged(path: Path) -> None:
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**60))


def a_model(path: Path) -> None:
    path.symlink_to(embedded.model_file(embedded.PACKAGED)[0])


def of_llama(path: Path) -> None:
    path.write_bytes(to_gguf(matrices(1, layers=1), 8.0, None).replace(b"gemma3", b"llamas"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "no such file"),
        (lambda path: path.write_text("no adapter"), "not a GGUF file"),
        (damaged, "its header is damaged"),
        (a_model, "a GGUF file, but no adapter"),
        (
            lambda path: path.write_bytes(to_gguf(matrices(1, layers=1), 8.0, "1" * 64)),
            "made for another model file: '1111",
        ),
        (of_llama, "made for another architecture: 'llamas', not 'gemma3'"),
    ],
)
def test_a_file_that_cannot_be_the_models_adapter_is_refused(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "adapter.gguf"
    make(path)
    with (
        pytest.raises(errors.BadAdapter, match=f"^llm.embedded.adapter: {path}: {said}"),
        open_endpoint(with_adapter(path)),
    ):
        pass


@pytest.mark.slow
@pytest.mark.xdist_group("model")
def test_an_adapter_of_another_shape_is_refused_by_llama_cpp_in_one_message(
    tmp_path: Path,
) -> None:
    path = tmp_path / "adapter.gguf"
    drawn = {name: matrix[:, :100] for name, matrix in matrices(1, layers=1).items()}
    path.write_bytes(to_gguf(drawn, 8.0, None))  # of another program: it names no base
    with (
        pytest.raises(errors.BadAdapter, match="cannot load it onto gemma-3-270m-q4_k_m"),
        open_endpoint(with_adapter(path)) as endpoint,
    ):
        endpoint.connect()


def test_a_server_elsewhere_takes_no_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with (
        pytest.raises(errors.BadAdapter, match="only the embedded server takes one"),
        open_endpoint(with_adapter(tmp_path / "adapter.gguf")),
    ):
        pass


@pytest.mark.slow
def test_an_adapter_is_known_by_its_content_and_nothing_else_changes_without_one(
    tmp_path: Path,
) -> None:
    path, sha256 = embedded.model_file(embedded.PACKAGED)
    without = embedded.Model(path, sha256, EMBEDDED).identity
    assert "adapter" not in without
    first, again, other = (
        adapter(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    identities = [embedded.find_model(with_adapter(one)).identity for one in (first, again, other)]
    assert identities[0] == identities[1]
    assert identities[0]["adapter"] != identities[2]["adapter"]
    own = with_adapter(first).embedded
    assert embedded.Model(path, sha256, own).identity == embedded.find_model(PACKAGED).identity


@pytest.mark.slow  # not one with the model's: most of it is to write and read large files
def test_a_merged_file_has_the_adapter_in_its_layers_and_begins_as_both_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    import merge_adapter

    # A vocabulary of 262 144 words takes gguf's reader 12 s, for it makes as many views of a file
    # mapped into memory: a third of that by views of a plain array. And each file is read once.
    memmap = np.memmap
    monkeypatch.setattr(np, "memmap", lambda file, mode: np.asarray(memmap(file, mode=mode)))
    monkeypatch.setattr(gguf, "GGUFReader", cache(gguf.GGUFReader))
    path, _ = embedded.model_file(embedded.PACKAGED)
    beside = adapter(tmp_path / "a.gguf", 1)
    assert merge_adapter.merge(path, beside, tmp_path / "merged.gguf") == 2 * LAYERS
    before, after = (
        {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
        for file in (path, tmp_path / "merged.gguf")
    )
    name = "blk.3.attn_q.weight"
    a, b = (matrices(1)[f"{PREFIX}model.layers.3.self_attn.q_proj.lora_{x}.weight"] for x in "AB")
    whole = gguf.quants.dequantize(before[name].data, before[name].tensor_type) + 8 / 4 * b @ a
    assert np.allclose(after[name].data, whole, rtol=1e-3, atol=1e-4)
    untouched = "blk.3.attn_k.weight"
    assert np.array_equal(after[untouched].data, before[untouched].data)
    merged = PACKAGED.model_copy(update={"model": str(tmp_path / "merged.gguf")})
    # Of layers this wild the rounding soon matters, so only the beginning is the same.
    asked = requests_for(PROMPTS[:1], max_tokens=2, stop=[])
    llms = (merged, with_adapter(beside), PACKAGED)
    said = [ask(tmp_path / f"{i}.sqlite", asked, llm)[0].text for i, llm in enumerate(llms)]
    assert said[0] == said[1] != said[2]
