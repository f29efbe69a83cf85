"""Objectives put together from named terms over the outputs of one model."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.models.heads import DETACHED_HEADS, HEADS
from flexlam_jax.objectives.objective import Batch, Mean, Objective, Outcome, Variables
from flexlam_jax.random import fold_name


@dataclasses.dataclass(frozen=True)
class Term:
    """A named part of a loss.

    Attributes:
      name: of the term in metrics, and of its head's parameters.
      compute: `(params, outputs, batch, key) -> Mean`. `params` are those of the term's own head,
        {} without one; `key` is a stream of its own.
      init: `(key, outputs, batch) -> params` of the head, which live under
        params["heads"][name] and are trained with the model. `outputs` and `batch` serve for their
        shapes; their values mean nothing.
      coefficient: what the term counts in the loss.
      splittable: False for a term that the sums of micro-batches do not make up.
      detached: the model is trained as if the term were not there. Its gradient stops at the
        outputs; its head lies under params["detached_heads"] and is clipped by itself; neither
        `loss` nor `grad_norm` of the metrics knows of it.
      head: the term whose head it reads, where it has none of its own.
    """

    name: str
    compute: Callable[[Any, Any, Batch, jax.Array], Mean]
    init: Callable[[jax.Array, Any, Batch], Any] | None = None
    coefficient: float = 1.0
    splittable: bool = True
    detached: bool = False
    head: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """What an objective tells beside its terms: `metrics` and `totals` of an `Outcome`."""

    metrics: dict[str, Mean] = dataclasses.field(default_factory=dict)
    totals: dict[str, jax.Array] = dataclasses.field(default_factory=dict)


def objective_of(
    init: Callable[[jax.Array, Batch], Variables],
    apply: Callable[[Any, Any, Batch, jax.Array], tuple[Any, Any]],
    terms: Sequence[Term],
    *,
    report: Callable[[Any, Batch], Report] = lambda outputs, batch: Report(),
    share: Callable[[Any], Any] = lambda outputs: None,
    **loop: Any,
) -> Objective:
    """The Objective of one model and the terms of its loss.

    Args:
      init: `(key, batch) -> {"params": tree, **extra}` of the model alone.
      apply: `(params, extra, batch, key) -> (outputs, extra)`, the model in training.
      report: `(outputs, batch) -> Report`, what is told beside the terms.
      share: `outputs -> Outcome.shared`, for an objective that this one becomes a part of.
      loop: what else the loop needs, as `Objective` names it: flops_per_row, rules, ...

    Raises:
      ValueError: no terms, or two of one name.
    """
    names = [term.name for term in terms]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"an objective needs terms of different names, not {names}")

    def split(params: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        model = {k: v for k, v in params.items() if k not in (HEADS, DETACHED_HEADS)}
        return model, {**params.get(HEADS, {}), **params.get(DETACHED_HEADS, {})}

    def init_all(key: jax.Array, batch: Batch) -> Variables:
        variables = dict(init(key, batch))
        params, extra = variables["params"], {k: v for k, v in variables.items() if k != "params"}
        owners = [term for term in terms if term.init is not None]
        if not owners:
            return variables
        shapes = jax.eval_shape(lambda *args: apply(*args)[0], params, extra, batch, key)
        outputs = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        heads: dict[str, dict[str, Any]] = {}
        for term in owners:
            place = heads.setdefault(DETACHED_HEADS if term.detached else HEADS, {})
            place[term.name] = term.init(fold_name(key, f"head {term.name}"), outputs, batch)
        return {"params": {**params, **heads}, **extra}

    def outcome(params: Any, extra: Any, batch: Batch, key: jax.Array) -> Outcome:
        model, heads = split(params)
        outputs, extra = apply(model, extra, batch, key)
        told = report(outputs, batch)
        still = jax.lax.stop_gradient(outputs) if any(term.detached for term in terms) else None
        return Outcome(
            {
                term.name: term.compute(
                    heads.get(term.head or term.name, {}),
                    still if term.detached else outputs,
                    batch,
                    fold_name(key, f"term {term.name}"),
                )
                for term in terms
            },
            told.metrics,
            told.totals,
            extra,
            share(outputs),
        )

    return Objective(
        init_all,
        outcome,
        {term.name: term.coefficient for term in terms},
        unsplittable=tuple(term.name for term in terms if not term.splittable),
        detached=tuple(term.name for term in terms if term.detached),
        **loop,
    )
