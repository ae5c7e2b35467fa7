"""PyTorch's tasks for `benchmarks/training.py`; runs in a separate environment that contains only torch 2.13.0.

The network equals `keras.applications.ResNet50` (stride in the first 1x1 convolution of a stage), in channels-last memory and
bfloat16, with fused Adam. For feature extraction, batch normalisation is folded into the convolutions.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

# Lets the compiler fold, prepack and fuse weights for inference; has no effect on training.
os.environ["TORCHINDUCTOR_FREEZING"] = "1"

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZE_PX, BATCH = (int(given) for given in (sys.argv[2:4] or (96, 64)))
STEPS = 4


def normalised_conv(n_in: int, n_out: int, size: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution without bias and its batch normalisation."""
    return [nn.Conv2d(n_in, n_out, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(n_out)]


class Bottleneck(nn.Module):
    """Residual block of 1x1, 3x3 and 1x1 convolutions, with a shortcut."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        first, second = normalised_conv(n_in, width, 1, stride), normalised_conv(width, width, 3)
        self.body = nn.Sequential(
            *first, nn.ReLU(inplace=True), *second, nn.ReLU(inplace=True), *normalised_conv(width, 4 * width, 1)
        )
        changes = n_in != 4 * width or stride > 1
        self.shortcut = nn.Sequential(*normalised_conv(n_in, 4 * width, 1, stride)) if changes else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.body(x) + self.shortcut(x))


def backbone() -> nn.Sequential:
    """Return ResNet-50 up to the pooled features."""
    parts, n_in = [*normalised_conv(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)], 64
    for width, n_blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(n_blocks):
            parts.append(Bottleneck(n_in, width, stride if number == 0 else 1))
            n_in = 4 * width
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def on_device(module: nn.Module | torch.Tensor) -> nn.Module | torch.Tensor:
    """Move a module or tensor to the device, in channels-last memory."""
    return module.to(DEVICE, memory_format=torch.channels_last)


def finished(value: torch.Tensor) -> float:
    """Wait until a tensor is computed, by reading its sum."""
    return value.float().sum().item()


def training(compiled: bool, autocast: bool = True) -> Callable[[], object]:
    """Return a function that does one step of fine-tuning, with autocast or in float32."""
    model = on_device(nn.Sequential(backbone(), nn.Dropout(0.2), nn.Linear(2048, 1))).train()
    optimiser = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    images = on_device(torch.rand(BATCH, 3, SIZE_PX, SIZE_PX) * 255 - 120)
    labels = (torch.arange(BATCH, device=DEVICE) % 2).float()[:, None]
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=autocast):
            outputs = forward(images)
        loss = functional.binary_cross_entropy_with_logits(outputs.float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        finished(loss)

    return step


def with_statistics(model: nn.Module, images: torch.Tensor) -> nn.Module:
    """Set the batch normalisation statistics from these images, so that activations are as in a trained network."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    return model.eval()


def features(
    compiled: bool, autocast: bool = False, batch: int = BATCH, dtype: torch.dtype = torch.bfloat16
) -> Callable[[], object]:
    """Return a function that computes the features of a batch, with weights of this type or with autocast."""
    images = on_device(torch.rand(batch, 3, SIZE_PX, SIZE_PX) * 255 - 120)
    model = on_device(fuse(with_statistics(on_device(backbone()), images)))
    model = model if autocast else model.to(dtype)
    forward = torch.compile(model) if compiled else model

    def extract() -> None:
        with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16, enabled=autocast):
            finished(forward(images if autocast else images.to(dtype)))

    return extract


def two_at_a_time() -> Callable[[], object]:
    """Return a function that computes the features of four batches in two Python threads, each with half of the cores."""
    extract, n_threads = features(compiled=True), torch.get_num_threads()
    extract()
    pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(max(1, n_threads // 2),))
    return lambda: list(pool.map(lambda _: extract(), range(4)))


def product(side: int) -> Callable[[], object]:
    """Return a function that multiplies two bfloat16 matrices."""
    one, other = (torch.rand(side, side, device=DEVICE).bfloat16() for _ in range(2))
    return lambda: finished((one @ other)[0])


WORK = {
    "training, eager": lambda: training(compiled=False),
    "training, compiled": lambda: training(compiled=True),
    "training, eager, float32": lambda: training(compiled=False, autocast=False),
    "training, compiled, float32": lambda: training(compiled=True, autocast=False),
    "features, compiled, float32": lambda: features(compiled=True, dtype=torch.float32),
    "features, eager": lambda: features(compiled=False),
    "features, compiled": lambda: features(compiled=True),
    "features, compiled, autocast": lambda: features(compiled=True, autocast=True),
    "features, compiled, batch of 128": lambda: features(compiled=True, batch=128),
    "features, compiled, two at a time": two_at_a_time,
    "product": lambda: product(2048),
}
N_BATCHES = {"features, compiled, batch of 128": 2, "features, compiled, two at a time": 4}  # at 64 images a batch


def main() -> None:
    """Read task names from standard input and answer each with the median wall and processor seconds of a batch."""
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]))
    ready = {}
    print(f"= {torch.__version__}", flush=True)
    for name in map(str.strip, sys.stdin):
        if name not in ready:
            ready[name] = WORK[name]()
            for _ in range(3):
                ready[name]()
        times = []
        for _ in range(STEPS):
            start = time.perf_counter(), time.process_time()
            ready[name]()
            times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        n = N_BATCHES.get(name, 1)
        print("=", *(statistics.median(clock) / n for clock in zip(*times, strict=True)), flush=True)


if __name__ == "__main__":
    main()
