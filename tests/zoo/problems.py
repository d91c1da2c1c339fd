"""What zoo optimizers are compared on: noisy bowls whose gradients are known."""

import torch

SHAPES = [(6, 4), (5,), (3, 7)]
MATRICES = [(6, 4), (3, 7)]


def weights_after(steps, make, shapes=SHAPES, start=0.5):
    """The weights after so many steps of the optimizer that `make(parameters)` gives.

    float64; each shape is one parameter; gradients are those of a bowl, and noise that
    is the same for everybody.
    """
    generator = torch.Generator().manual_seed(3)

    def drawn(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    parameters = [torch.nn.Parameter(start * drawn(shape)) for shape in shapes]
    centres = [drawn(shape) for shape in shapes]
    widths = [drawn(shape).abs() + 0.1 for shape in shapes]
    optimizer = make(parameters)
    for _ in range(steps):
        for p, centre, width in zip(parameters, centres, widths, strict=True):
            with torch.no_grad():
                p.grad = 2 * width * (p - centre) + 0.1 * drawn(p.shape)
        optimizer.step()
    return [p.detach() for p in parameters]
