"""The reader's formula: what is read, what is refused, and the comparison with the truth."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from diffusion_core.expressions import (
    MAX_LENGTH,
    NAMES,
    TARGETS,
    ExpressionError,
    compare,
    parse,
    random_inputs,
    to_latex,
)

INPUTS = random_inputs(50, seed=3)


def written(expression: str) -> np.ndarray:
    """The trusted answer for formulas of this file: NumPy's own names, evaluated by Python."""
    names = INPUTS | {"sqrt": np.sqrt, "exp": np.exp, "log": np.log, "abs": np.abs}
    return np.asarray(eval(expression, {"__builtins__": {}}, names))


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("x_0", "x_0"),
        ("(x_t - sigma*eps)/a", "(x_t - sigma*eps)/a"),
        ("(xₜ − σ·ε)/a", "(x_t - sigma*eps)/a"),
        ("(xt-sigma*epsilon)/sqrt(alphabar)", "(x_t - sigma*eps)/sqrt(alpha_bar)"),
        ("√ᾱ·x₀ + √(1−ᾱ)·ϵ", "sqrt(alpha_bar)*x_0 + sqrt(1 - alpha_bar)*eps"),
        ("√(ᾱₜ)*x_{0}", "sqrt(alpha_bar)*x_0"),
        ("a²/σ^2", "a**2/sigma**2"),
        ("x₀⁻²", "x_0**-2"),
        ("x_0 ** (1/2 + 1.5)", "x_0**2"),
        ("ᾱₜ₋₁ − ᾱₜ", "alpha_bar_prev - alpha_bar"),
        ("alpha_bar_{t-1}", "alpha_bar_prev"),
        ("ᾱₜ-1", "alpha_bar - 1"),
        ("α\u0304 × β ÷ 2", "alpha_bar*beta/2"),
        ("−x_0 + +eps", "-x_0 + eps"),
        ("1 - -2", "3 + 0*a"),
        ("abs(x_0)*exp(-eps) + log(beta)", "abs(x_0)*exp(-eps) + log(beta)"),
        ("½·x₀", "x_0/2"),
        ("[1 - {alpha}]", "1 - alpha"),
        ("2**3**0.5*0 + 1e-3*x_0", "0.001*x_0"),
    ],
)
def test_what_is_read(typed: str, plain: str) -> None:
    found = parse(typed)(INPUTS)
    assert found.shape == (50,)
    np.testing.assert_allclose(found, np.broadcast_to(written(plain), 50), rtol=1e-12)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        (r"\frac{x_t - \sqrt{1-\bar\alpha_t}\,\epsilon}{\sqrt{\bar\alpha_t}}",
         "(x_t - sigma*eps)/a"),
        (r"\frac{1}{\sqrt{\alpha_t}}\left(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\epsilon\right)",
         "(x_t - beta/sigma*eps)/sqrt(alpha)"),
        (r"\frac{\sqrt{\bar{\alpha}_{t-1}}\beta_t}{1-\bar{\alpha}_t} \mathbf{x}_0"
         r" + \frac{\sqrt{\alpha_t}(1-\bar{\alpha}_{t-1})}{1-\bar{\alpha}_t} \mathbf{x}_t",
         "sqrt(alpha_bar_prev)*beta/sigma**2*x_0"
         " + sqrt(alpha)*(1 - alpha_bar_prev)/sigma**2*x_t"),
        (r"\tfrac12 \ln \bar{\alpha_t} x_0^2", "log(alpha_bar)*x_0**2/2"),
        (r"$\sqrt\beta \cdot \varepsilon \div 2$", "sqrt(beta)*eps/2"),
        (r"\left\{ x_t - \sigma_t ε \right\} / \sqrt{ᾱₜ}", "(x_t - sigma*eps)/a"),
        (r"-\exp(-\epsilon)^{2} 3 x_{0}", "-(exp(-eps)**2)*3*x_0"),
        (r"\overline{\alpha}_t + 0.5 x_t² − √(\bar a)", "alpha_bar + 0.5*x_t**2 - a"),
        (r"\sigma^2_t x_0 + \sigma_t^2", "sigma**2*x_0 + sigma**2"),
        (r"\sqrt{ᾱₜ₋₁} + {\bar\alpha}_{t-1}", "sqrt(alpha_bar_prev) + alpha_bar_prev"),
    ],
)  # fmt: skip
def test_latex_is_read(typed: str, plain: str) -> None:
    np.testing.assert_allclose(parse(typed)(INPUTS), written(plain), rtol=1e-12)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (r"\frac{x_t}{", "something is missing"), (r"\frac", "something is missing"),
        (r"\hat\epsilon", "“.hat” is LaTeX"), (r"\sum x_0", "“.sum” is LaTeX"),
        (r"\epsilon_\theta", "“.theta” is LaTeX"), (r"\gamma", "“.gamma” is LaTeX"),
        (r"\bar\beta", "beta_bar"), (r"\alpha_{t-2}", "Of step t−1 only"),
        (r"\mu = x_0", "“.mu” is LaTeX"),
        (r"\sqrt[3]{\alpha}", "square roots"), (r"\overline{x_0 + \epsilon}", "one letter"),
        (r"\bar{\sqrt{\alpha}}", "one letter"),
        (r"\alpha)", "complete"), (r"\alpha}", "complete"), ("\\", "LaTeX"),
        (r"\sqrt{" * 33, "missing"), (r"\sqrt" * 40, "missing"), (r"\[" * 100, "LaTeX"),
        (r"\alpha^{x_t}", "exponent"), (r"\alpha^9", "exponent"), (r"\import os", "LaTeX"),
        (r"\text{__import__}", "only"), (r"\alpha" + "_{" * 60 + "}" * 60, "only"),
    ],
)  # fmt: skip
def test_latex_that_is_refused(typed: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said) as caught:
        parse(typed)
    assert str(caught.value).endswith((".", "x_0."))


@pytest.mark.parametrize(
    "typed",
    [
        "", "   ", "\0", "x_1", "x_0 x_t", "2 x_0", "aε", "a(x_0)", "3(x_0)", "(x_0", "x_0)",
        "__import__('os').system('true')", "().__class__", "x_0.real", "x_0.__class__", "a[0]",
        "lambda: 1", "(lambda:1)()", "[a for a in a]", "(a for a in a)", "{a: 1}", "a := 3",
        "a if a else a", "a and a", "not a", "1 < 2", "'a'", 'f"{a}"', "b'a'", "...", "None",
        "True", "1j", "a, a", "*a", "sqrt(a, a)", "sqrt()", "sqrt(a=a)", "sqrt(*a)", "sqrt",
        "eval(a)", "open(a)", "print(a)", "__builtins__", "a; a", "a\\b", "# a", "a @ a", "a // a",
        "a % a", "a << 3", "~a", "a | a", "await a", "yield a", "xₜ₋₁", "x_{t-1}", "√", "√√a",
        "∞", "τ", "nan", "inf", "𝕖𝕧𝕒𝕝(a)", "a\u200ba",
    ],
)  # fmt: skip
def test_what_is_refused(typed: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(typed)
    assert str(caught.value).endswith((".", "x_0."))


@pytest.mark.parametrize(
    "typed",
    [
        "9**9**9", "9**9**9**9**9", "10**9", "x_0**9", "x_0**-9", "x_0**x_t", "2**a", "x_0**(1/0)",
        "x_0**(0/0)", "1e7", "9999999", "9" * 150, "1e400", "(" * 150,
        "-" * 60 + "a", "+".join(["a"] * 60), "√(" * 40 + "a" + ")" * 40, "a" * 5000,
        "(" * 100_000, "x_0**8**8",
    ],
)  # fmt: skip
def test_what_is_too_much(typed: str) -> None:
    with pytest.raises(ExpressionError):
        parse(typed)


def test_powers_of_powers_overflow_to_infinity_and_not_to_an_error() -> None:
    tower = parse("(((1000000**8)**8)**8)*x_0")
    assert not np.isfinite(tower(INPUTS)).any()
    assert compare(tower, "x₀ from ε").undefined == 1


def test_nothing_is_ever_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError("executed")

    monkeypatch.setattr("builtins.eval", never)
    monkeypatch.setattr("builtins.exec", never)
    parse("(x_t - sigma*eps)/a")(INPUTS)
    source = ast.parse(Path(parse.__code__.co_filename).read_text(encoding="utf-8"))
    called = {n.func.id for n in ast.walk(source)
              if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}  # fmt: skip
    assert not called & {"eval", "exec", "compile", "__import__", "getattr"}


def test_the_message_names_what_is_unknown_and_how_long_is_too_long() -> None:
    with pytest.raises(ExpressionError, match="“gamma” is not one of the names"):
        parse("gamma*x_0")
    with pytest.raises(ExpressionError, match=f"201 characters.*{MAX_LENGTH}"):
        parse("a" * 201)
    with pytest.raises(ExpressionError, match="Of step t−1 only ᾱₜ₋₁"):
        parse("x_{t-1}*eps")


# --- the comparison -------------------------------------------------------------------------------


def test_the_inputs_belong_together() -> None:
    v = random_inputs(1000)
    assert set(v) == set(NAMES)
    np.testing.assert_allclose(v["a"] ** 2 + v["sigma"] ** 2, 1)
    np.testing.assert_allclose(v["alpha_bar"], v["alpha_bar_prev"] * v["alpha"])
    np.testing.assert_allclose(v["x_t"], v["a"] * v["x_0"] + v["sigma"] * v["eps"])
    assert 0 < v["alpha_bar"].min() < v["alpha_bar"].max() < 1


@pytest.mark.parametrize("target", TARGETS)
def test_each_truth_is_the_packages(target: str) -> None:
    """The tables of a schedule, not the text of the formula, say what is true."""
    import torch

    from diffusion_core.gaussian import GaussianDiffusion
    from diffusion_core.parameterization import EPS, V
    from diffusion_core.schedules import NoiseSchedule

    v = random_inputs(40, seed=1)
    found = parse(TARGETS[target].formula)(v)
    for i in range(40):
        before, now = v["alpha_bar_prev"][i], v["alpha_bar"][i]
        d = GaussianDiffusion(NoiseSchedule("two", torch.from_numpy(np.array([1, before, now]))))
        t, s = torch.tensor([2]), torch.tensor([1])
        x0, x_t, eps = (torch.from_numpy(v[n][i : i + 1]) for n in ("x_0", "x_t", "eps"))
        a, sigma = d.rates(t, x0)
        posterior = d.q_posterior(x_t, x0, t, s)
        true = {
            "x₀ from ε": EPS.recover(eps, x_t, a, sigma).x0,
            "xₜ from x₀": d.q_sample(x0, t, eps),
            "Posterior mean": posterior.mean,
            "Posterior variance": posterior.var,
            "Velocity v": V.target(x0, eps, a, sigma),
            "SNR(t)": d.schedule.snr[t],
        }
        assert found[i] == pytest.approx(float(true[target]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("(√αₜ·(1−ᾱₜ₋₁)·xₜ + √ᾱₜ₋₁·β·x₀)/(1−ᾱₜ)", "Posterior mean"),
        ("(x_t - beta/sigma*eps)/sqrt(alpha)", "Posterior mean"),
        ("β*(1-ᾱₜ₋₁)/σ²", "Posterior variance"),
        ("a²/σ²", "SNR(t)"),
        ("(a*x_t - x_0)/sigma", "Velocity v"),
        ("a*x_0 + sigma*eps", "xₜ from x₀"),
        ("x_0", "x₀ from ε"),
    ],
)
def test_a_right_formula_in_any_writing(typed: str, target: str) -> None:
    found = compare(parse(typed), target)
    assert found.right
    assert found.undefined == 0


def test_a_wrong_sign_has_a_counterexample_that_is_the_worst() -> None:
    typed = "(√αₜ·(1−ᾱₜ₋₁)·xₜ − √ᾱₜ₋₁·β·x₀)/(1−ᾱₜ)"
    found = compare(parse(typed), "Posterior mean")
    assert not found.right
    assert found.factor is None
    at = {name: np.array([value]) for name, value in found.at.items()}
    assert parse(typed)(at)[0] == found.yours
    assert parse(TARGETS["Posterior mean"].formula)(at)[0] == found.truth
    assert abs(found.yours - found.truth) == found.worst
    values = random_inputs(2000)
    gaps = np.abs(parse(typed)(values) - parse(TARGETS["Posterior mean"].formula)(values))
    assert gaps.max() == found.worst > 1


@pytest.mark.parametrize(("typed", "factor"), [("-(a*eps - sigma*x_0)", -1), ("2*v", 2)])
def test_a_constant_factor_is_named(typed: str, factor: float) -> None:
    found = compare(parse(typed.replace("2*v", "2*(a*eps - sigma*x_0)")), "Velocity v")
    assert not found.right
    assert found.factor == pytest.approx(factor)


def test_a_formula_that_is_nearly_right_is_wrong() -> None:
    assert not compare(parse("(x_t - sigma*eps)/a + 0.00001"), "x₀ from ε").right
    assert not compare(parse("(x_t - sigma*eps)/a*1.0000001"), "x₀ from ε").right


def test_undefined_values_are_counted_and_shown() -> None:
    found = compare(parse("sqrt(x_0)"), "x₀ from ε")
    assert not found.right
    assert found.undefined == pytest.approx(0.5, abs=0.05)
    assert np.isnan(found.worst)
    assert found.at["x_0"] < 0
    assert compare(parse("1/(x_0 - x_0)"), "x₀ from ε").undefined == 1


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown target"):
        compare(parse("a"), "everything")


def test_the_formula_as_mathematics() -> None:
    assert to_latex(parse("(xₜ − σ·ε)/a")) == (
        r"\frac{x_t - \sqrt{1-\bar\alpha_t} \cdot \epsilon}{\sqrt{\bar\alpha_t}}"
    )
    assert to_latex(parse("beta*(1 - alpha)")) == r"\beta_t \cdot \left(1 - \alpha_t\right)"
    assert to_latex(parse("x_0 - (eps - 1)")) == r"x_0 - \left(\epsilon - 1\right)"
    assert to_latex(parse("-(a+1)**2"), {"a": "A"}) == r"-\left(A + 1\right)^{2}"
    assert to_latex(parse("x_0"), {"x_0": "blue"}) == "blue"
