"""What may be wrong with a ranker."""

from collections.abc import Sequence
from pathlib import Path

from seedbed.errors import SeedbedError, cut

REMAKE = "Run `dvc repro pipelines/ranker/dvc.yaml:rank-train`."


class NothingToTrain(SeedbedError):
    def __init__(self, path: Path):
        super().__init__(
            f"{path}: no example to train a ranker on\n"
            "  Label more examples (label.max_examples), or lower "
            "relabel_and_pick.min_qualify_range."
        )


class NothingAsked(SeedbedError):
    def __init__(self, stage: str):
        super().__init__(
            f"{stage} asks no model with rank_train.kind: finetune: there is nothing to preview\n"
            "  It trains a model of its own: run it, or set another kind."
        )


class OtherRanker(SeedbedError):
    """A ranker that was made for something else than it is used for."""

    def __init__(self, path: Path, what: str, made: str, now: str):
        super().__init__(
            f"{path}: it was trained with another {what}: {cut(made)}, not {cut(now)}\n"
            f"  {REMAKE} Or set what it was trained with."
        )


class NotFinite(SeedbedError):
    def __init__(self, task: str, features: Sequence[str]):
        super().__init__(
            f"{task}: one of the features {', '.join(features)} is no number\n"
            "  The server gave a text a probability of 0: leave that feature out of "
            "rank_train.features, or ask another server."
        )


class NoLabelsForSelections(SeedbedError):
    def __init__(self, selected: Path, labelled: Path):
        super().__init__(
            f"{selected}: none of its examples has labels of all candidates in {labelled}\n"
            "  Select for what label tried (niv2.tasks, label.max_examples, "
            "rank_select.max_examples), and set label.sample_instructions to null."
        )


class TaskWithoutDemos(SeedbedError):
    """A task that labels are of, and that is not in niv2.folder."""

    def __init__(self, name: str, folder: str):
        super().__init__(
            f"rank_train.features: demos: there is no task {cut(name)} in {folder}\n"
            "  Put it there, or leave `demos` out."
        )


class NoOptimum(SeedbedError):
    def __init__(self, l2: float, gradient: float):
        super().__init__(
            f"rank_train.l2: with {l2:g} no optimum was found: the gradient is {gradient:.1g}\n"
            "  Take a larger one: where a feature decides every list, the weights have no end."
        )


class BadModelToTune(SeedbedError):
    def __init__(self, base: str, problem: str, remedy: str):
        super().__init__(f"rank_train.finetune.base: {base}: {problem}\n  {remedy}")


class NotOneToken(SeedbedError):
    def __init__(self, base: str, tokens: list[str]):
        super().__init__(
            f'rank_train.finetune.base: {base}: " yes" is not one token of its '
            f"tokenizer: {cut(str(tokens))}\n"
            "  The score is the logit of one token: take a model whose tokenizer has it."
        )


class NoTorch(SeedbedError):
    def __init__(self, package: str | None):
        super().__init__(
            f"rank_train.kind: finetune needs the package {package}, which is not installed\n"
            "  `make train` installs all that it needs."
        )


class LossNotFinite(SeedbedError):
    def __init__(self, step: int):
        super().__init__(
            f"rank-train: the loss of step {step} is no number: the training has diverged\n"
            "  Lower rank_train.finetune.learning_rate. Nothing was written."
        )
