"""Where a network step's time goes, and other ways to take it.

`python -m benchmarks.step_profile` prints tables, best on an idle machine. The first splits one
step of eight pictures on one thread (what each core of two gets of sixteen digits) by kind of
operation, from torch's profiler: the limit is what convolutions and matrix products take. Shares
are of the time within operations; Python between them is in the last table alone.

The same through torch.compile follows, for what a compiler could save: what it makes of all that
lies between two products is one entry of the profiler's list, and counts as book-keeping. Where the
app computes in bfloat16, float32 follows, too: bfloat16 shortens the convolutions, and most else
takes longer in it. The last table runs variants of the step in turn, in one process, many times
over, and prints each against the step as it is.
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from diffusion_core.checkpoints import fastest_dtype, load, load_module
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.evaluation import sample_many
from diffusion_core.judging import judge
from diffusion_core.networks import ChannelNorm, Classifier, UNet
from diffusion_core.samplers import clip_prediction

COUNT, PROFILED, ROUNDS = 8, 40, 60
JUDGED, STEPS = 400, 50
LIMIT = 0.15
KINDS = {
    "convolutions": ("convolution", "conv2d", "conv_transpose2d", "slow_conv"),
    "matrix products": ("addmm", "::mm", "bmm", "linear", "attention"),
    "normalisation": ("layer_norm", "group_norm", "rsqrt"),
    "activations and other pointwise work": (
        "silu", "::add", "::mul", "::sub", "::div", "addcmul", "exp", "::cos", "::sin",
        "sigmoid", "clamp", "neg", "pow", "sqrt", "::ge", "square",
    ),
    "copies and layouts": (
        "copy_", "::to", "clone", "contiguous", "::cat", "pixel_", "reshape", "_unsafe_view",
        "empty", "index", "embedding", "fill_", "zero_", "arange", "stack",
    ),
}  # fmt: skip
Step = Callable[[], Tensor]


def kind_of(op: str) -> str:
    """The kind of an operation by its name; what is in no list is book-keeping."""
    for kind, parts in KINDS.items():
        if any(part in op for part in parts):
            return kind
    return "views and book-keeping"


def by_kind(step: Step) -> dict[str, float]:
    """Milliseconds of one step per kind: self times, each operation's median over many steps."""
    for _ in range(5):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(PROFILED):
            step()
    times: dict[str, list[float]] = defaultdict(list)
    for event in sorted(seen.events(), key=lambda event: event.time_range.start):
        times[event.name].append(event.self_cpu_time_total / 1e3)
    found: dict[str, float] = defaultdict(float)
    for name, values in times.items():
        in_a_step = max(1, len(values) // PROFILED)
        for place in range(in_a_step):
            found[kind_of(name)] += statistics.median(values[place::in_a_step])
    return found


class GroupNormed(nn.Module):
    """Group normalisation in place of the normalisation over channels: for its cost alone."""

    def __init__(self, norm: ChannelNorm) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, len(norm.weight)).to(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W]."""
        out: Tensor = self.norm(x)
        return out


class Unfused(nn.Module):
    """The normalisation over channels in steps, as one would write it out."""

    def __init__(self, norm: ChannelNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight[:, None, None], norm.bias[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W]."""
        var, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        return (x - mean) * (var + 1e-5).rsqrt() * self.weight + self.bias


def with_norm(network: UNet, made: type[GroupNormed] | type[Unfused]) -> UNet:
    """A copy of a network with every normalisation replaced."""
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for key, child in list(module.named_children()):
            if isinstance(child, ChannelNorm):
                setattr(module, key, made(child))
    return copied


def with_known_condition(network: UNet, t: Tensor, label: Tensor) -> UNet:
    """A copy whose embedding of step and class is computed beforehand."""
    copied = copy.deepcopy(network)
    known = copied.embed(t, label)
    copied.embed = lambda t, label: known  # type: ignore[method-assign]
    return copied


def with_known_film(network: UNet, t: Tensor, label: Tensor) -> UNet:
    """The same, and every block's scale and shift as well."""
    copied = with_known_condition(network, t, label)
    known = copied.embed(t, label)
    for module in copied.modules():
        if hasattr(module, "film"):
            rates = module.film(known)
            module.film = _Constant(rates)
    return copied


class _Constant(nn.Module):
    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, _: Tensor) -> Tensor:
        return self.value


class Reused(nn.Module):
    """The coarse level as one block, whose answer serves for two steps."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.blocks, self.attention = network.coarse, network.attention
        self.last: Tensor | None = None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[B, C, H, W] and [B, E] -> [B, C, H, W]."""
        if self.last is not None and self.last.shape == x.shape:
            known, self.last = self.last, None
            return known
        for i, block in enumerate(self.blocks):
            x = block(x, condition)
            if i < len(self.attention):
                x = self.attention[i](x)
        self.last = x
        return x


def with_reuse(network: UNet) -> UNet:
    """A copy that computes its coarse level at every second step only."""
    copied = copy.deepcopy(network)
    copied.coarse, copied.attention = nn.ModuleList([Reused(copied)]), nn.ModuleList()
    return copied


def recognised(denoiser: NetworkDenoiser) -> float:
    """Share of digits that the judge takes for the class that was asked for."""
    classifier, _ = load_module("classifier", device="cpu")
    assert isinstance(classifier, Classifier)
    label = torch.arange(JUDGED) % 10
    made = sample_many(denoiser.diffusion, denoiser, label, steps=STEPS, seed=0)
    return float((judge(classifier, made).predicted == label).double().mean())


def in_turn(steps: dict[str, Step]) -> dict[str, float]:
    """Median milliseconds of each, all run in turn so that they meet the same machine.

    Of processor time: all of it is one thread's, and other programs disturb it less. Steps are
    taken in pairs, as one of the ways does less at every second step.
    """
    times: dict[str, list[float]] = {key: [] for key in steps}
    for step in steps.values():
        for _ in range(4):
            step()
    for _ in range(ROUNDS):
        for key, step in steps.items():
            started = time.process_time()
            step()
            step()
            times[key].append(1e3 * (time.process_time() - started) / 2)
    return {key: statistics.median(values) for key, values in times.items()}


def variants(network: UNet, x: Tensor, t: Tensor, label: Tensor) -> dict[str, Step]:
    """The step as it is, and the other ways to take it."""
    dtype = network.stem.weight.dtype
    other = torch.float32 if dtype == torch.bfloat16 else torch.bfloat16
    recast = copy.deepcopy(network).to(other)
    planes = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    planes.stem.register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))

    def run(module: nn.Module, x: Tensor = x) -> Step:
        return lambda: module(x, t, label)

    return {
        f"as it is: {str(dtype)[6:]}, channels last, fused normalisation": run(network),
        str(other)[6:]: run(recast, x.to(other)),
        "channels not last": run(planes),
        "group normalisation": run(with_norm(network, GroupNormed)),
        "normalisation over channels, not fused": run(with_norm(network, Unfused)),
        "embedding of step and class known beforehand": run(
            with_known_condition(network, t, label)
        ),
        "scales and shifts of all blocks known, too": run(with_known_film(network, t, label)),
        "coarse level reused at every second step": run(with_reuse(network)),
    }


GRAPHS: dict[str, Callable[[UNet, tuple[Tensor, ...]], Callable[..., Tensor]]] = {
    "torch.compile": lambda network, given: torch.compile(network),
    "torch.export": lambda network, given: torch.export.export(network, given).module(),
    "torch.jit, traced and frozen": lambda network, given: torch.jit.freeze(
        torch.jit.trace(network, given, check_trace=False)  # type: ignore[no-untyped-call]
    ),
}
"""Ways to make a graph of the network, for inputs of one shape."""


def as_graph(name: str, network: UNet, given: tuple[Tensor, ...]) -> tuple[Step, float] | str:
    """The step through a graph with the seconds until its first answer, or why not."""
    started = time.perf_counter()
    try:
        with torch.inference_mode(False), torch.no_grad():
            graph = GRAPHS[name](copy.deepcopy(network), given)
        graph(*given)
    except Exception as error:  # a missing compiler says so in many ways
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return lambda: graph(*given), time.perf_counter() - started


def print_shares(way: str, step: Step, allowed: float = 1.0) -> None:
    """The table of one step by kind of operation, and what it takes beside the products."""
    found = by_kind(step)
    total = sum(found.values())
    print(f"| one step of the network, {way} | ms | share |\n| --- | ---: | ---: |")
    for kind, ms in sorted(found.items(), key=lambda item: -item[1]):
        print(f"| {kind} | {ms:.2f} | {ms / total:.1%} |")
    products = found["convolutions"] + found["matrix products"]
    rest = 1 - products / total
    told = f"{rest:.1%}" if rest <= allowed else f"✗ **{rest:.1%}**, allowed {allowed:.0%}"
    print(f"| neither convolution nor product | {total - products:.2f} | {told} |\n")


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    denoiser, card = load("digits-eps", device="cpu")
    network = denoiser.module
    assert isinstance(network, UNet)
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(COUNT, 1, 28, 28, generator=generator)
    t, label = torch.full((COUNT,), 500), torch.arange(COUNT)
    x = x_t.to(fastest_dtype(torch.device("cpu")))

    def whole() -> Tensor:
        used = clip_prediction(denoiser.diffusion, denoiser(x_t, t, label), x_t, t)
        return used.x0

    with torch.inference_mode():
        print(f"{card.name}, {COUNT} pictures, one thread of {os.cpu_count()} cores\n")
        graphs = {name: as_graph(name, network, (x, t, label)) for name in GRAPHS}
        precision = str(x.dtype)[6:]
        print_shares(precision, lambda: network(x, t, label), LIMIT)
        compiled = graphs["torch.compile"]
        if not isinstance(compiled, str):
            print_shares(f"{precision}, through torch.compile", compiled[0])
        if x.dtype != torch.float32:
            wide, y = copy.deepcopy(network).float(), x.float()
            print_shares("float32", lambda: wide(y, t, label))

        steps = variants(network, x, t, label)
        steps["with the sampler around it (read x₀, clip)"] = whole
        missing = []
        for name, made in graphs.items():
            if isinstance(made, str):
                missing.append(f"{name} was not measured: {made}")
            else:
                steps[f"{name} ({made[1]:.1f} s until its first answer)"] = made[0]
        took = in_turn(steps)
    now = next(iter(took.values()))
    print("| way | ms | against the step as it is |\n| --- | ---: | ---: |")
    for key, ms in took.items():
        print(f"| {key} | {ms:.2f} | {ms / now:.2f} × |")
    for why in missing:
        print(f"\n{why}")
    caching = recognised(replace(denoiser, module=with_reuse(network)))
    print(
        f"\nOf {JUDGED} digits in {STEPS} steps, {recognised(denoiser):.1%} are recognised as "
        f"their class; with the coarse level reused {caching:.1%}."
    )


if __name__ == "__main__":
    main()
