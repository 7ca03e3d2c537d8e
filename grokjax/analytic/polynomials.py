"""A closed-form network for modular polynomials: products by experts, then their sum."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from grokjax import tasks
from grokjax.analytic.addition import analytic_addition
from grokjax.analytic.compositions import analytic_multiplication
from grokjax.analytic.constructions import Construction, Parameterization
from grokjax.models import QuadraticMLP


@dataclasses.dataclass(frozen=True)
class PolynomialNetwork:
    """Experts whose answers, made sharp by a softmax, are the operands of an adder.

        answer_t = softmax(beta * expert_t(tokens))
        logits_q = output_scale * activation(input_scale * sum_t answer_t @ w1[t]) @ w2[:, q]

    Parameters: `{"experts": tuple of theirs, "adder": of the adder}`.

    Attributes:
      experts: one network for each term; all see the same operands.
      adder: a network of as many operands as there are experts.
      beta: inverse temperature of the softmax.

    Raises:
      ValueError: if the adder's operands are not the experts.

    Reference: Doshi et al. 2024 (polynomials), section 4 and appendix B.
    """

    experts: tuple[QuadraticMLP, ...]
    adder: QuadraticMLP
    beta: float = 100.0

    def __post_init__(self):
        if len(self.experts) != self.adder.operands:
            raise ValueError(
                f"the adder has operands={self.adder.operands} for {len(self.experts)} experts; "
                "give it one operand for each."
            )

    def init(self, key: jax.Array, tokens: jax.Array) -> dict[str, Any]:
        """Random parameters of every part."""
        *keys, key = jax.random.split(key, len(self.experts) + 1)
        pairs = zip(self.experts, keys, strict=True)
        experts = tuple(expert.init(expert_key, tokens) for expert, expert_key in pairs)
        return {"experts": experts, "adder": self.adder.init(key, tokens)}

    def apply(
        self, params: dict[str, Any], tokens: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Logits: int32[..., S] -> float[..., p]; the network has no noise, so `key` is ignored."""
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
      ValueError: if p is not an odd prime, terms are missing or of different lengths, or
        `analytic_addition` refuses the arguments.

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
    if len({len(exponents) for _, exponents in terms}) != 1:
        raise ValueError(
            f"terms must be pairs (coefficient, exponents) with one exponent for each operand in "
            f"all of them, got {terms!r}."
        )
    keys: list[Any] = [None] * (len(terms) + 1)
    if key is not None:
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
