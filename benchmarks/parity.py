"""Compare a backbone with its twin in PyTorch: the same weights, one random image, all features.

examples:
  python -m benchmarks.parity --backbone resnet50
  python -m benchmarks.parity --backbone resnet50 --file resnet50-0676ba61.pth

needs: pip install torch. Leaves nothing but the printed table.
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.backbones import BACKBONES
from jaxalign.commands import new_parser, run
from jaxalign.errors import InputError
from jaxalign.torch_files import read_torch
from jaxalign.training.initial import arrays_of, from_torch, torch_names


SIZE = 128  # of the image, pixels


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.parity", __doc__)
    names = [name for name, backbone in BACKBONES.items() if backbone.torch_name]
    parser.add_argument("--backbone", required=True, choices=names, metavar="NAME",
                        help=f"one of {', '.join(names)}")  # fmt: skip
    parser.add_argument("--file", help="published weights (default: random values)")
    parser.add_argument("--seed", type=int, default=0,
                        help="of what is random (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _print(arguments))


def pytorch():
    """The module torch. Errors: InputError where it is not installed."""
    try:
        import torch
    except ImportError:
        raise InputError("needs PyTorch: pip install torch") from None
    return torch


def compare(name: str, file: str | None = None, seed: int = 0) -> list[tuple[tuple, float, float]]:
    """Backbone -> of each feature the shape (NCHW), and the largest absolute difference, also as
    a share of the largest value. Errors: InputError where PyTorch or an array is missing."""
    torch = pytorch()
    from benchmarks.torch_twins import TWINS, randomise

    torch.manual_seed(seed)
    twin = TWINS[name]().eval()
    if file:
        _load(twin, file)
    else:
        randomise(twin, seed)
    images = torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        theirs = [feature.numpy() for feature in twin(images)]
    arrays = {key: value.numpy() for key, value in twin.state_dict().items()}
    ours = features(name, arrays, images.numpy().transpose(0, 2, 3, 1))
    rows = []
    for a, b in zip(ours, theirs, strict=True):
        difference = float(np.abs(np.transpose(a, (0, 3, 1, 2)) - b).max())
        rows.append((b.shape, difference, difference / float(np.abs(b).max())))
    return rows


def _load(twin, file):
    import torch

    from benchmarks.torch_twins import UNPUBLISHED

    own = twin.state_dict()
    given = {key: torch.tensor(a) for key, a in read_torch(file).items() if key in own}
    for key, array in given.items():
        if array.shape != own[key].shape:
            shapes = f"{tuple(array.shape)}, here {tuple(own[key].shape)}"
            raise InputError(f"{file}: its {key} is {shapes}; it is of another network")
    result = twin.load_state_dict(given, strict=False)
    made_up = (*UNPUBLISHED.values(), "num_batches_tracked")
    missing = [key for key in result.missing_keys if not any(part in key for part in made_up)]
    if missing:
        raise InputError(f"{file}: has no {missing[0]} ({len(missing)} arrays missing)")


def features(name: str, arrays: dict[str, np.ndarray], images: np.ndarray) -> list[jax.Array]:
    """The JAX backbone with a twin's arrays, on (B, S, S, 3) images."""
    from benchmarks.torch_twins import UNPUBLISHED

    backbone = BACKBONES[name]
    module = backbone.make(jnp.dtype("float32"))
    shapes = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), images)
    names = torch_names(
        lambda path: backbone.torch_name(path) or UNPUBLISHED.get(path), arrays_of(shapes)
    )

    def leaf(path, shape):
        key = tuple(entry.key for entry in path)
        return from_torch(arrays[names[key]], key, shape.ndim)

    variables = jax.tree_util.tree_map_with_path(leaf, shapes)
    with jax.default_matmul_precision("highest"):
        return module.apply(variables, images, train=False)


def _print(arguments):
    rows = compare(arguments.backbone, arguments.file, arguments.seed)
    print(f"{arguments.backbone}, {arguments.file or 'random values'}, largest differences")
    for shape, absolute, relative in rows:
        print(f"  {'x'.join(map(str, shape)):>16}  {absolute:.2e}  of the largest {relative:.1e}")


if __name__ == "__main__":
    sys.exit(main())
