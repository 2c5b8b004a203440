"""Twenty digits from noise in twenty lines.

After `pip install -e .`: `python examples/sample_digits.py digits.png`.
"""

import sys
from pathlib import Path

import torch

from diffusion_core.checkpoints import load
from diffusion_core.datasets import save_gallery, to_uint8
from diffusion_core.samplers import sample
from diffusion_core.schedules import evenly_spaced

denoiser, card = load("digits-eps")
generator = torch.Generator().manual_seed(0)
label = torch.arange(10).repeat(2)
x_T = torch.randn(20, 1, 28, 28, generator=generator)
timesteps = evenly_spaced(denoiser.diffusion.T, 50)

for step in sample(denoiser.diffusion, denoiser, x_T, timesteps, label=label, generator=generator):
    print(f"t = {step.t:4d}   spread of x_t {step.x_t.std():.2f}")

path = Path(sys.argv[1] if len(sys.argv) > 1 else "digits.png")
save_gallery(path, to_uint8(step.x_t))
print(f"{path}: drawn by {card.name}, {card.fields['parameters']:,} parameters")
