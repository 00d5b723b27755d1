"""What the policy before the update says of a mini-batch: old log-probabilities, corrections, reference, entropy shaping."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from trainer.correction import Correction, correction_weights
from trainer.learner import Learner
from trainer.recipe import RlRecipe
from trainer.scoring import RlPack
from trainer.shaping import EntropyBonus, Scope, plan_shaping, top_share


@torch.no_grad()
def anchored(learner: Learner, micro: RlPack, recipe: RlRecipe) -> tuple[RlPack, Tensor]:
    """The micro-batch with the trainer's own figures, and the trainer's log-probabilities before the update (T,)."""
    temperature = recipe.sampling.temperature
    old_T, entropy_T = learner.logprobs(micro, temperature)
    pack = replace(micro, entropy_T=entropy_T)
    if recipe.kl_coefficient:
        pack = replace(pack, reference_T=learner.reference_logprobs(micro, temperature))
    if recipe.correction is not Correction.NONE:
        assert recipe.correction_bound is not None
        weights_T = correction_weights(
            recipe.correction,
            old_T,
            micro.logprobs_T,
            micro.advantages_T,
            micro.trained_T,
            micro.sequence_ids_T,
            recipe.correction_bound,
        )
        pack = replace(pack, corrections_T=weights_T)
    return (replace(pack, logprobs_T=old_T) if recipe.recompute_logprobs else pack), old_T


def shaped(learner: Learner, whole: Sequence[RlPack], mine: Sequence[RlPack], recipe: RlRecipe) -> list[RlPack]:
    """This rank's micro-batches with gates and weights by entropy, whose scopes reach over the whole mini-batch.

    whole: all its micro-batches, in order, none where it is wholly masked; mine: this rank's share, with `entropy_T`
    filled in.
    """
    if not whole or (recipe.entropy_bonus is None and recipe.top_entropy_share is None):
        return list(mine)
    entropies = learner.world.gather([pack.entropy_T.cpu() for pack in mine])
    joined = _joined(whole, torch.cat([*entropies, torch.empty(0)]), recipe)
    sizes = [pack.num_tokens for pack in whole]
    columns = {name: torch.split(column, sizes) for name, column in joined.items()}
    every = [{name: parts[i] for name, parts in columns.items()} for i in range(len(whole))]
    return [
        replace(pack, **{name: column.to(learner.device) for name, column in changes.items()})
        for pack, changes in zip(mine, learner.world.share(every), strict=True)
    ]


def _joined(whole: Sequence[RlPack], entropy_T: Tensor, recipe: RlRecipe) -> dict[str, Tensor]:
    """The columns of the mini-batch that entropy decides."""

    def column(name: str) -> Tensor:
        return torch.cat([getattr(pack, name) for pack in whole])

    trained_T, found = column("trained_T"), dict[str, Tensor]()
    if recipe.entropy_bonus is not None:
        scopes_T = _scopes(recipe.entropy_bonus, column("groups_T"))
        plan = plan_shaping(
            recipe.entropy_bonus, entropy_T, trained_T, column("after_tool_T"), scopes_T, column("draws_T")
        )
        found |= {"gate_T": plan.gate_T, "mean_T": plan.mean_T, "std_T": plan.std_T}
    if recipe.top_entropy_share is not None:
        top_T = top_share(entropy_T, trained_T, recipe.top_entropy_share)
        found["weights_T"] = column("weights_T") * top_T
    return found


def _scopes(bonus: EntropyBonus, groups_T: Tensor) -> Tensor:
    return groups_T if bonus.scope is Scope.GROUP else torch.zeros_like(groups_T)
