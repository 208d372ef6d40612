"""What a server does to every request by itself, as far as it says so.

llama.cpp has its settings at /props. vLLM takes what a request leaves out from the model's own
generation_config.json; how it was started it says at /server_info, in its development mode only.
"""

from collections.abc import Collection, Iterator
from typing import Any

from seedbed.llm.send.client import Client
from seedbed.llm.serve.endpoint import Endpoint

# llama.cpp's settings that change what is sampled, and their values that change nothing.
NEUTRAL: dict[str, tuple[float, ...]] = {
    "temperature": (1.0,),
    "top_p": (1.0,),
    "top_k": (-1, 0),
    "min_p": (0.0,),
    "presence_penalty": (0.0,),
    "frequency_penalty": (0.0,),
    "repeat_penalty": (1.0,),
    "typical_p": (1.0,),
    "top_n_sigma": (-1.0,),
    "xtc_probability": (0.0,),
    "dry_multiplier": (0.0,),
    "mirostat": (0,),
    "dynatemp_range": (0.0,),
    "adaptive_target": (-1.0,),
}
# What vLLM takes from the model's generation config, where a request does not say it.
GENERATION_CONFIG = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
PENALTIES = {"frequency_penalty", "presence_penalty"}


async def additions(client: Client, endpoint: Endpoint) -> Iterator[str]:
    """What the server adds, in lines; never an error, for most servers do not say."""
    sent = {"temperature", "top_p", *PENALTIES} - set(endpoint.llm.leave_out)
    if endpoint.say_none:
        sent |= {"top_k", "min_p"} - set(endpoint.llm.leave_out)
    match await client.look("/props"):
        case {"default_generation_settings": {"params": {"samplers": _, **settings}}}:
            return _of_llama_cpp(settings, sent, endpoint)
    match await client.look("/server_info?config_format=json"):
        case {"vllm_config": {"model_config": dict(config)}}:
            return _of_vllm(config, sent)
    match await client.look("/models", at_root=False):
        case {"data": [{"owned_by": "vllm"}, *_]}:
            return _of_vllm({}, sent)
    return iter(["it does not say"])


def _of_llama_cpp(
    settings: dict[Any, Any], sent: Collection[str], endpoint: Endpoint
) -> Iterator[str]:
    active = {
        name: value
        for name, value in _numbers(settings, NEUTRAL).items()
        if value not in NEUTRAL[name]
    }
    added = _listed({name: value for name, value in active.items() if name not in sent})
    yield f"{added}: no request says otherwise, start it without" if added else "nothing"
    if overruled := _listed({name: active[name] for name in active if name in sent}):
        yield f"({overruled} would be its own, but each request says otherwise)"
    if PENALTIES & set(sent) and not endpoint.embedded:
        last = settings.get("repeat_last_n")
        yield f"penalties count the last {last} tokens, the prompt's too; OpenAI and vLLM"
        yield "count what was generated: see docs/self-instruct.md"


def _of_vllm(config: dict[Any, Any], sent: Collection[str]) -> Iterator[str]:
    left = [name for name in GENERATION_CONFIG if name not in sent]
    added = _listed(_numbers(config.get("override_generation_config"), left))
    if added:
        yield f"{added}: no request says otherwise, start it without"
    if config.get("generation_config") == "vllm":
        if not added:
            yield "nothing"
        return
    yield f"{', '.join(left)}, if the model's generation config has them (vLLM's way)"
    yield "start it with --generation-config vllm"


def _numbers(settings: Any, names: Collection[str]) -> dict[str, float]:
    """Those of the settings that have a number, in the order of the names."""
    chosen = {name: settings.get(name) for name in names} if isinstance(settings, dict) else {}
    # One that is too long for a float is none that anybody has set.
    return {
        name: float(value)
        for name, value in chosen.items()
        if isinstance(value, int | float) and abs(value) < 2**63
    }


def _listed(settings: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in settings.items())
