"""A closed-form network for modular polynomials: products by experts, then their sum."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from grokjax import tasks
from grokjax.analytic.addition import analytic_addition
from grokjax.analytic.compositions import analytic_multiplication
from grokjax.analytic.constructions import Construction, Parameterization
from grokjax.checks import check_key, check_number, shown
from grokjax.models import QuadraticMLP
from grokjax.models.arguments import check_fit, check_params, shapes_of
from grokjax.models.protocol import ModelBase
from grokjax.tasks import Task
from grokjax.tasks.modular import check_terms


@dataclasses.dataclass(frozen=True)
class PolynomialNetwork(ModelBase):
    """Experts whose answers, made sharp by a softmax, are the operands of an adder.

        answer_t = softmax(beta * expert_t(tokens))
        logits_q = output_scale * activation(input_scale * sum_t answer_t @ w1[t]) @ w2[:, q]

    Parameters: `{"experts": tuple of theirs, "adder": of the adder}`.

    Attributes:
      experts: one network for each term; all see the same operands.
      adder: a network of as many operands as there are experts.
      beta: inverse temperature of the softmax, positive.

    Raises:
      ValueError: if parts are no `QuadraticMLP` of one p, have dropout, or an adder that normalizes
        or whose operands are not the experts; in `init` and `apply` for anything but a key,
        equations of the experts' operands, and the model's parameters.

    Reference: Doshi et al. 2024 (polynomials), section 4 and appendix B.
    """

    experts: tuple[QuadraticMLP, ...]
    adder: QuadraticMLP
    beta: float = 100.0

    def __post_init__(self):
        adder, experts = self.adder, self.experts
        listed = isinstance(experts, tuple | list) and len(experts) > 0
        if not listed or not all(isinstance(part, QuadraticMLP) for part in experts):
            raise ValueError(
                "experts must be one or more QuadraticMLP, one for each term, got "
                f"{shown(experts)}."
            )
        if not isinstance(adder, QuadraticMLP):
            raise ValueError(f"adder must be a QuadraticMLP, got {shown(adder)}.")
        if len(experts) != adder.operands:
            raise ValueError(
                f"the adder has operands={adder.operands} for {len(experts)} experts; give it one "
                "operand for each."
            )
        moduli = {part.p for part in (*experts, adder)}
        operands = {expert.operands for expert in experts}
        if len(moduli) > 1 or len(operands) > 1:
            raise ValueError(
                "experts and adder must have the same p, and experts the same operands, got "
                f"p={sorted(moduli)} and operands={sorted(operands)}."
            )
        if any(part.dropout for part in (*experts, adder)) or adder.normalize:
            raise ValueError(
                f"experts and adder must have dropout=0, and the adder normalize=False, got "
                f"{experts!r} and {adder!r}."
            )
        object.__setattr__(self, "experts", tuple(experts))
        object.__setattr__(self, "beta", check_number("beta", self.beta, above=0))

    def check_task(self, task: Task) -> None:
        """Refuses a task of another modulus or number of operands."""
        check_fit(task, self.adder.p, self.experts[0].operands)

    def init(self, key: jax.Array, tokens: jax.Array) -> dict[str, Any]:
        """Random parameters of every part."""
        *keys, key = jax.random.split(check_key("key", key), len(self.experts) + 1)
        pairs = zip(self.experts, keys, strict=True)
        experts = tuple(expert.init(expert_key, tokens) for expert, expert_key in pairs)
        return {"experts": experts, "adder": self.adder.init(key, tokens)}

    def apply(
        self, params: dict[str, Any], tokens: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Logits: int32[..., S] -> float[..., p]; the network has no noise, so `key` is ignored."""
        params = check_params(self, params, shapes_of(self, self.experts[0].operands))
        adder = self.adder
        terms = zip(self.experts, params["experts"], params["adder"]["w1"], strict=True)
        inputs: list[jax.Array] = [
            jax.nn.softmax(self.beta * expert.apply(own, tokens)) @ w1 for expert, own, w1 in terms
        ]
        hidden = adder.activation(adder.input_scale * sum(inputs[1:], inputs[0]))
        return adder.output_scale * (hidden @ params["adder"]["w2"])


def analytic_polynomial(
    p: int,
    terms: Sequence[tuple[int, Sequence[int]]],
    *,
    beta: float = 100.0,
    construction: Construction = "one_hot",
    width: int | None = None,
    adder_width: int | None = None,
    key: jax.Array | None = None,
    parameterization: Parameterization = "mean_field",
) -> tuple[PolynomialNetwork, dict[str, Any]]:
    """A network for `sum_t c_t n_1^a_t1 ... n_S^a_tS mod p`, p prime, and its parameters.

    With the one-hot, logits are 1 and 0 up to `p exp(-beta)`, also for polynomials that no network
    learns from examples, such as n^3 + n m^2 + m.

    Args:
      p: an odd prime.
      terms: pairs (c, (a_1, ..., a_S)), as in `[(1, (3, 0)), (1, (1, 2)), (1, (0, 1))]`.
      beta: inverse temperature between experts and adder, large against 1 / margin of an expert:
        100 for the one-hot, more for few frequencies.
      construction: of experts and adder; see `analytic_addition`. "pizza" adds two terms only.
      width: K of each expert, for "random_phase".
      adder_width: K of the adder, for "random_phase".
      key: the random key, for "random_phase".
      parameterization: that of all parts.

    Raises:
      ValueError: if p is not an odd prime, terms are missing or of different lengths, beta is not
        positive, or `analytic_addition` refuses the arguments.

    Reference: Doshi et al. 2024 (polynomials), appendix B: random phases, cubic adder, widths 500
    and 2000.

    Example:
      >>> from grokjax import analytic, tasks
      >>> model, params = analytic.analytic_polynomial(7, [(1, (3, 0)), (1, (1, 2)), (1, (0, 1))])
      >>> task = tasks.modular_polynomial(7, [(1, (3, 0)), (1, (1, 2)), (1, (0, 1))])
      >>> analytic.evaluate(model, params, task).accuracy
      1.0
    """
    p = tasks.check_modulus(p, at_least=3)
    terms = check_terms(terms)
    beta = check_number("beta", beta, above=0)
    keys: list[Any] = [None] * (len(terms) + 1)
    if key is not None:
        check_key("key", key, otherwise="None for exact constructions")
        keys = list(jax.random.split(key, len(terms) + 1))
    options: dict[str, Any] = dict(construction=construction, parameterization=parameterization)
    experts = [
        analytic_multiplication(p, exponents, width=width, key=expert_key, **options)
        for (_, exponents), expert_key in zip(terms, keys, strict=False)
    ]
    adder, adder_params = analytic_addition(
        p,
        len(terms),
        coefficients=[coefficient for coefficient, _ in terms],
        width=adder_width,
        key=keys[-1],
        **options,
    )
    model = PolynomialNetwork(tuple(expert for expert, _ in experts), adder, beta)
    return model, {"experts": tuple(own for _, own in experts), "adder": adder_params}
