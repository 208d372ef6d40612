"""The training itself: LoRA (arXiv 2106.09685) in float32, on completions alone.

The output head is most of a small model (of Gemma 3 270M 168 of 268 million parameters), so it is
evaluated only where a token is learned, a few positions at a time; it is not trained, so that what
flows back through it is all that is wanted of it. That is the same loss and the same gradient as
with labels of -100 everywhere else, for a fraction of time and memory.

Deterministic: the matrices are drawn under the seed, the order of the rows belongs to them, there
is no dropout, and torch is told to compute in the same order every time.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from seedbed.training.checkpoints import Checkpoint, Checkpoints
from seedbed.training.encode import Encoded
from seedbed.training.errors import LossNotFinite, NoTorch
from seedbed.training.params import Finetune
from seedbed.training.plan import Step

if TYPE_CHECKING:
    import torch

# So many positions go through the head at once: 134 MB of logits for a vocabulary of 262,144.
CHUNK = 128
NEEDED = ("torch", "transformers", "peft", "gguf", "safetensors")


@dataclass(frozen=True)
class Done:
    """A step that was made. loss: the mean over its learned tokens, in nats, before the step."""

    step: int
    loss: float
    learning_rate: float


def prepare(threads: int) -> str:
    """Make torch deterministic; gives the device to train on.

    Raises:
        NoTorch: one of the packages that training needs is missing.
    """
    # As the embedded server has it: both may be in this process, and OpenMP reads it once.
    os.environ.setdefault("GOMP_SPINCOUNT", "300")
    # Nothing is fetched, and nothing is said on the way.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # What torch wants on a GPU to compute the same twice.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        import gguf  # noqa: F401
        import peft  # noqa: F401
        import safetensors  # noqa: F401
        import torch
        import transformers
    except ModuleNotFoundError as error:
        raise NoTorch(error.name) from None
    transformers.utils.logging.disable_progress_bar()
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory that nothing was written to.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.set_num_threads(threads)
    return "cuda" if torch.cuda.is_available() else "cpu"


def with_matrices(net: Any, params: Finetune, device: str) -> Any:
    """The model with LoRA's matrices beside its layers; only these are trained."""
    import torch
    from peft import LoraConfig, get_peft_model

    # That a method of another library will be renamed is nothing that anybody here can act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    torch.manual_seed(params.seed)
    config = LoraConfig(
        r=params.rank,
        lora_alpha=params.alpha,
        lora_dropout=0.0,
        target_modules=sorted(params.targets),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(net, config).to(device)


def matrices(net: Any) -> dict[str, Any]:
    """What was trained, as arrays under peft's names, in order."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(net)
    return {name: state[name].detach().float().cpu().numpy() for name in sorted(state)}


def train(
    net: Any, steps: Sequence[Step], keep: Checkpoints, made: Callable[[Done], None]
) -> list[Done]:
    """Make all steps that no checkpoint has; gives all of them.

    Args:
        net: `with_matrices`.
        made: called after each step.

    Raises:
        LossNotFinite: the training has diverged.
        WriteFailed: no room for a checkpoint.
    """
    import torch

    trained = {name: one for name, one in net.named_parameters() if one.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), weight_decay=0.0)
    net.train()
    done: list[Done] = []
    if checkpoint := keep.load():
        with torch.no_grad():
            for name, tensor in checkpoint.matrices.items():
                trained[name].copy_(tensor)
        optimizer.load_state_dict(checkpoint.optimizer)
        done = [Done(*values) for values in checkpoint.done]
    for number, step in enumerate(steps[len(done) :], len(done)):
        optimizer.zero_grad()
        loss = backward(net, step.rows)
        norm = float(torch.nn.utils.clip_grad_norm_(trained.values(), 1.0))
        if not (isfinite(loss) and isfinite(norm)):
            keep.remove()
            raise LossNotFinite(number, loss if not isfinite(loss) else norm)
        optimizer.param_groups[0]["lr"] = step.learning_rate
        optimizer.step()
        done.append(Done(number, loss, step.learning_rate))
        made(done[-1])
        if keep.due(len(done)):
            values = [(one.step, one.loss, one.learning_rate) for one in done]
            weights = {name: one.detach() for name, one in trained.items()}
            keep.save(Checkpoint(weights, optimizer.state_dict(), values))
    return done


def backward(net: Any, rows: Sequence[Encoded]) -> float:
    """Add the gradient of the rows' loss to the matrices; gives the loss.

    The rows stand one behind the other in one sequence, so that none is padded; positions that
    begin anew keep each from seeing the one before (transformers makes the mask of them).
    """
    import torch

    device = net.device
    ids: list[int] = []
    places: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    for row in rows:
        positions += [len(ids) + position for position in row.positions]
        ids += row.ids
        places += range(len(row.ids))
        targets += row.targets
    inner = net.base_model.model
    hidden = inner.model(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([places], device=device),
        use_cache=False,
    ).last_hidden_state[0, positions]
    return _through_the_head(inner.lm_head, hidden, torch.tensor(targets, device=device))


def _through_the_head(
    head: "torch.nn.Module", hidden: "torch.Tensor", targets: "torch.Tensor"
) -> float:
    """The mean cross entropy, and its gradient, through the head and all that `hidden` is made of.

    hidden: positions × width; targets: the token that should come at each.
    """
    import torch

    # Cut off from the layers below: each chunk's logits are gone before the next one's are there.
    leaf = hidden.detach().requires_grad_()
    total = 0.0
    for some, wanted in zip(leaf.split(CHUNK), targets.split(CHUNK), strict=True):
        loss = torch.nn.functional.cross_entropy(head(some), wanted, reduction="sum")
        loss = loss / len(targets)
        loss.backward()
        total += float(loss.detach())
    hidden.backward(leaf.grad)
    return total
