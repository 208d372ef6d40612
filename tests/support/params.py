"""Sections of params.yaml, with changes."""

from collections.abc import Mapping
from typing import Any, TypeVar

import yaml

from seedbed.core.section import Section
from seedbed.llm.contract.request import Sampling
from seedbed.llm.params import Llm
from seedbed.methods import parts
from seedbed.params import Everything
from support.project import ROOT

Kind = TypeVar("Kind", bound=Section)

SECTIONS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
# As `seedbed.params.load` hands it to a stage.
SECTIONS["llm"] |= SECTIONS["run"]
# The greedy one. It is no stage's: what a key or an answer comes from is said where it is tested.
SAMPLING = Sampling(
    max_tokens=100,
    temperature=0.0,
    top_p=1.0,
    frequency_penalty=0.0,
    presence_penalty=0.0,
    logprobs=None,
    stop=["\n"],
)
NAMES = {
    field.annotation: name
    for sections in (Everything, *(part.Sections for part in parts("params")))
    for name, field in sections.model_fields.items()
} | {Llm: "llm"}


def section(kind: type[Kind], **changes: object) -> Kind:
    """That section of params.yaml; of one that is nested only what is changed is given."""
    return kind.model_validate(changed(SECTIONS[NAMES[kind]], changes))


def sections(kind: type[Kind]) -> Kind:
    """What a stage declares, of params.yaml as it is."""
    return kind.model_validate({name: SECTIONS[name] for name in kind.model_fields})


def sampling(**changes: object) -> Sampling:
    return Sampling.model_validate(SAMPLING.model_dump() | changes)


def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the changes in them, at whatever depth these are."""
    nested = {
        name: changed(values[name], change)
        for name, change in changes.items()
        if isinstance(change, Mapping) and isinstance(values.get(name), Mapping)
    }
    return {**values, **changes, **nested}
