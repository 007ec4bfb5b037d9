"""Training steps and inference beside the same networks in PyTorch, in turn in one run.

examples:
  python -m benchmarks.against_torch --out runs/against_torch.json
  python -m benchmarks.against_torch --config fan_ibug_300w --set system.stacks=2 --batches 4
  taskset -c 0,1 python -m benchmarks.against_torch --require cpu --pairs 15
  python -m benchmarks.against_torch --work inference --onnx

needs: pip install torch, on a GPU a build of it for that GPU; for --onnx 'jaxalign[onnx]' too. No
data: crops and points are random. Leaves a printed Markdown table; --out also the times of every
pair as JSON. Run it on a quiet machine.

`jaxalign` and `PyTorch` do the same work on the same device, with crops that lie there: crops are
normalised and go through the network; in training the mean squared error of its outputs goes back
through it, statistics of batch norm move, and AdamW updates what the recipe's last phase trains.
`whole` is what people run: the step of jaxalign train, with the recipe's targets, loss, optimiser
and averaged weights, or the Predictor, which also decodes; both from NumPy. `not network` is the
share of it that `jaxalign` does not take. Reading and augmenting photos is in neither. With --onnx,
`ORT` is the exported model in ONNX Runtime, decoding included, and `ORT int8` that of 8 bits.

Times are medians over the pairs, ratios jaxalign's time through PyTorch's, with quartiles over the
pairs; `ratio of whole` is whole's time through the same time of PyTorch. PyTorch has channels last
and a fused AdamW. Both have all cores that the process may use (`taskset` takes some from both). In
float32 both may use TF32 on a GPU; in bfloat16 PyTorch has autocast. The first call of each, which
compiles, is told apart. Peak memory is told on a GPU: of jaxalign what its compiled program plans,
of PyTorch what it allocated at most.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import optax

from benchmarks import onnx_models
from benchmarks.parity import pytorch
from jaxalign import costs, export, parallel, to_onnx
from jaxalign import recipe as recipes
from jaxalign.commands import add_device, add_import, import_files, new_parser, run
from jaxalign.errors import InputError
from jaxalign.folders import readable_errors
from jaxalign.layers.norm import AXIS
from jaxalign.optimizers import kernels
from jaxalign.prediction.predictor import Predictor
from jaxalign.recipe import Recipe
from jaxalign.records import json_text
from jaxalign.samples import ATTRIBUTES, DeviceBatch
from jaxalign.systems import TAB, Integral, PixelWise, PropagationNet
from jaxalign.systems.interface import DTYPES, SingleNetwork, System, forward, normalise
from jaxalign.training import state as states


CASES: tuple[tuple[str, ...], ...] = (  # recipe and settings
    ("integral_ibug_300w", "system.relations=0"),
    ("fan_ibug_300w", "system.size=128", "system.stacks=2", "system.channels=64"),
    ("propnet_light_ibug_300w",),
    ("tab_light_ibug_300w",),
    ("pixelwise_light_ibug_300w",),
)
WORKS = ("inference", "training")
RATE, DECAY = 1e-4, 0.01  # of AdamW


@dataclass(frozen=True)
class Call:
    """Something to time: `run` starts it, `wait` waits for what it returned. `planned` gives the
    bytes that its compiled program takes at most."""

    run: Callable[[], Any]
    wait: Callable[[Any], Any]
    planned: Callable[[], int] | None = None


def clock(call: Call, times: int) -> float:
    """Seconds that `times` runs in a row take."""
    started = time.perf_counter()
    for _ in range(times):
        found = call.run()
    call.wait(found)
    return time.perf_counter() - started


def alternate(
    calls: dict[str, Call], pairs: int, seconds: float
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Seconds of the first run of each call, and milliseconds of a run in each of the `pairs`
    rounds, in which each call runs for about `seconds`, every other one the other way round."""
    clocks = {name: partial(clock, call) for name, call in calls.items()}
    return export.in_turns(clocks, pairs, seconds)


# jaxalign


def outputs(system: System, variables: dict, images, train: bool) -> tuple[Any, dict]:
    """What a twin gives for these crops, and the new statistics by network, {} unless training."""
    if isinstance(system, PixelWise):
        return system._detect(variables, images, train=train)
    if isinstance(system, TAB):
        moving = train and system.scbe_statistics == "moving"
        (boundaries, features), stats = system.estimate(variables, images, moving)
        given = boundaries[-1], features
        maps, changed = forward(system.balt, "balt", variables, *given, train=train)
        return maps, stats | changed
    assert isinstance(system, SingleNetwork)  # all others that have a twin
    images = normalise(images, system.dtype)
    found, stats = forward(system.network, "network", variables, images, train=train)
    if isinstance(system, PropagationNet) or (isinstance(system, Integral) and train):
        found = found[:2]
    return found, stats


def squared_error(found, targets) -> Any:
    """The mean squared errors of all outputs, summed; of arrays or tensors."""
    return sum(((a - b) ** 2).mean() for a, b in zip(found, targets, strict=True))


def random_batch(system: System, batch: int) -> DeviceBatch[np.ndarray]:
    rng, points = np.random.default_rng(0), system.points.num_points
    shape, side = (batch, points, 2), system.size
    return {
        "image": rng.integers(0, 256, (batch, side, side, 3), np.uint8),
        "points": rng.uniform(0.1 * side, 0.9 * side, shape).astype(np.float32),
        "labelled": np.ones((batch, points), bool),
        "attributes": np.zeros((batch, len(ATTRIBUTES)), np.uint8),
        "weight": np.ones(batch, np.float32),
    }


def random_targets(system: System, variables: dict, images: np.ndarray) -> list[np.ndarray]:
    """One for each of the outputs in training, NHWC."""

    def shapes(variables, images):
        return jax.tree.leaves(outputs(system, variables, images, False)[0])

    rng, found = np.random.default_rng(1), jax.eval_shape(shapes, variables, images)
    trained = 2 if isinstance(system, Integral) else len(found)  # its scores are not
    return [rng.normal(0, 1, one.shape).astype(np.float32) for one in found[:trained]]


def jax_inference(system: System, variables: dict, images: np.ndarray) -> Call:
    network = jax.jit(lambda variables, images: outputs(system, variables, images, False)[0])
    given = jax.device_put((variables, images), jax.local_devices()[0])
    return Call(lambda: network(*given), jax.block_until_ready, partial(_planned, network, given))


def whole_inference(system: System, variables: dict, images: np.ndarray) -> Call:
    predictor, variables = Predictor(system), parallel.replicate(variables, local=True)
    return Call(lambda: predictor(variables, images), lambda found: found)


def jax_training(system: System, variables: dict, images: np.ndarray, targets: list) -> Call:
    """A run returns the state and the loss before its update."""
    objective = system.phases[-1].cycle[-1]
    transform = optax.adamw(RATE, weight_decay=DECAY, mask=kernels)

    def step(state, batch):
        params, stats, moments = state
        images, targets = batch

        def loss(part):
            variables = {"params": states.replaced(params, part), "batch_stats": stats}
            found, changed = outputs(system, variables, images, True)
            found = [one.astype("float32") for one in jax.tree.leaves(found)]
            return squared_error(found, targets), changed

        part = states.trained(objective, params)
        (value, changed), grads = jax.value_and_grad(loss, has_aux=True)(part)
        value, grads = jax.lax.pmean((value, grads), AXIS)
        updates, moments = transform.update(grads, moments, part)
        params = states.replaced(params, cast(dict, optax.apply_updates(part, updates)))
        return (params, stats | changed, moments), value

    moments = transform.init(states.trained(objective, variables["params"]))
    state = variables["params"], variables["batch_stats"], moments
    batch = jax.device_put(jax.tree.map(parallel.split, (images, targets)))
    return _steps(parallel.training(step), state, lambda: batch)


def whole_training(recipe: Recipe, batch: DeviceBatch[np.ndarray]) -> Call:
    """The step of jaxalign train in the last phase."""
    system, training = recipe.system, recipe.training
    phase = system.phases[-1]
    objective = phase.cycle[-1]
    step = states.step_of(training, objective, objective.optimizer.rate_at(100, 1000), 0)
    create = partial(states.create, system, phase, training.seed, bool(training.ema))
    state = jax.jit(create)()
    split = partial(jax.tree.map, parallel.split)
    return _steps(parallel.training(step), state, lambda: split(batch))


def _steps(step, state, batch):
    """`step` on the state that it led to before, which it is given; that of others stays."""
    state = parallel.replicate(jax.tree.map(np.array, state))
    shapes = jax.eval_shape(lambda *given: given, state, batch())

    def run():
        nonlocal state
        state, told = step(state, batch())
        return state, told

    return Call(run, jax.block_until_ready, partial(_planned, step.__wrapped__, shapes))


def _planned(function, given):
    return costs.planned_memory(function.lower(*given).compile())


def onnx_readers(recipe: Recipe) -> dict[str, Callable]:
    """ORT and ORT int8, from crops to points and scores, with the weights that `measured` takes."""
    variables = jax.tree.map(np.asarray, jax.jit(recipe.system.init)(jax.random.key(0)))
    with tempfile.TemporaryDirectory() as folder:
        paths, _ = onnx_models.written(recipe, variables, Path(folder))
        return {name: export.reader(path, recipe.system) for name, path in paths.items()}


# PyTorch


@dataclass(frozen=True)
class Torch:
    """How PyTorch runs: on `device` cpu or cuda, in `dtype`, compiled by torch.compile or not."""

    device: str
    dtype: str = "float32"
    compiled: bool = False

    def twin(self, system: System, variables: dict):
        import torch

        from benchmarks.torch_systems import twin_of

        twin = twin_of(system, variables).to(self.device, memory_format=torch.channels_last)
        return torch.compile(twin) if self.compiled else twin

    def tensor(self, array: np.ndarray):
        """NHWC arrays -> tensors NCHW, channels last in memory; others as they are."""
        tensor = pytorch().from_numpy(array).to(self.device)
        return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor

    def precision(self):
        torch = pytorch()
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device, getattr(torch, self.dtype))

    def wait(self, found):
        if self.device == "cuda":
            pytorch().cuda.synchronize()

    def inference(self, system: System, variables: dict, images: np.ndarray) -> Call:
        torch = pytorch()
        twin, given = self.twin(system, variables).eval(), self.tensor(images)

        def run():
            with torch.inference_mode(), self.precision():
                return twin(given)

        return Call(run, self.wait)

    def training(
        self, system: System, variables: dict, images: np.ndarray, targets: list[np.ndarray]
    ) -> Call:
        """A run returns the loss before its update."""
        torch = pytorch()
        twin = self.twin(system, variables).train()
        given, wanted = self.tensor(images), [self.tensor(target) for target in targets]
        networks = {path.split("/")[0] for path in system.phases[-1].cycle[-1].trains}
        trained = []
        for name, parameter in twin.named_parameters():
            name = name.removeprefix("_orig_mod.")  # torch.compile's
            parameter.requires_grad_(name.split(".")[0] in networks)
            trained += [parameter] if parameter.requires_grad else []
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": DECAY},
            {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)

        def run():
            optimizer.zero_grad()
            with self.precision():
                found = jax.tree.leaves(twin(given))
            loss = squared_error([one.float() for one in found], wanted)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return Call(run, self.wait)


# Both


def measured(
    recipe: Recipe, batch: int, work: str, torch: Torch, pairs: int, seconds: float,
    others: Mapping[str, Callable],
) -> dict:  # fmt: skip
    """The work of a recipe's system on a batch, in one of WORKS -> times, ratios and memory, as
    --out stores them. `others`: onnx_readers, for inference. Errors: InputError where there is no
    twin."""
    system, given = recipe.system, random_batch(recipe.system, batch)
    variables, images = jax.jit(system.init)(jax.random.key(0)), given["image"]
    if work == "inference":
        calls = {
            "whole": whole_inference(system, variables, images),
            "jaxalign": jax_inference(system, variables, images),
            "PyTorch": torch.inference(system, variables, images),
        }
        for name, reader in others.items():
            calls[name] = Call(partial(reader, images), lambda found: found)
    else:
        targets = random_targets(system, variables, images)
        calls = {
            "whole": whole_training(recipe, given),
            "jaxalign": jax_training(system, variables, images, targets),
            "PyTorch": torch.training(system, variables, images, targets),
        }
    first, times = alternate(calls, pairs, seconds)
    found = {
        "system": type(system).__name__,
        "size": system.size,
        "dtype": system.dtype,
        "batch": batch,
        "work": work,
        "first_s": first,
        "ms": times,
        "ratio": _quartiles(times["jaxalign"], times["PyTorch"]),
        "whole_ratio": _quartiles(times["whole"], times["PyTorch"]),
        "not_network": 1 - _quartiles(times["jaxalign"], times["whole"])[1],
    }
    for name in times.keys() & others:
        found[f"{name}_ratio"] = _quartiles(times[name], times["PyTorch"])
    if torch.device == "cuda" and (planned := calls["jaxalign"].planned):
        found["peak_gib"] = {
            "jaxalign": planned() / 2**30,
            "PyTorch": _allocated(calls["PyTorch"]) / 2**30,
        }
    return found


def _allocated(call):
    """The most bytes that PyTorch holds while it runs."""
    cuda = pytorch().cuda
    cuda.reset_peak_memory_stats()
    call.wait(call.run())
    return cuda.max_memory_allocated()


def _quartiles(times, others):
    """The quartiles of the ratio in a pair: 25 %, median, 75 %."""
    return np.quantile(np.divide(times, others), (0.25, 0.5, 0.75)).tolist()


COLUMNS = {
    "batch": "{batch}",
    "work": "{work}",
    "jaxalign, ms": "{ms[jaxalign]}",
    "PyTorch, ms": "{ms[PyTorch]}",
    "ratio (quartiles)": "{ratio}",
    "whole, ms": "{ms[whole]}",
    "ratio of whole": "{whole_ratio}",
    "not network": "{not_network:.0%}",
    "first call, s: jaxalign, PyTorch": "{first_s[jaxalign]:.1f}, {first_s[PyTorch]:.1f}",
}
ONNX = {
    "ORT, ms": "{ms[ORT]}",
    "ratio of ORT": "{ORT_ratio}",
    "ORT int8, ms": "{ms[ORT int8]}",
    "ratio of ORT int8": "{ORT int8_ratio}",
}
MEMORY = {"peak, GiB": "{peak_gib[jaxalign]:.2f}, {peak_gib[PyTorch]:.2f}"}


def table(name: str, rows: Iterable[dict]) -> Iterator[str]:
    """The lines of a Markdown table, one after the other as the rows of the recipe come."""
    columns = None
    for row in rows:
        if columns is None:
            columns = COLUMNS | (ONNX if "ORT_ratio" in row else {})
            columns |= MEMORY if "peak_gib" in row else {}
            yield f"\n`{name}`, {row['size']} px, {row['dtype']}\n"
            yield f"| {' | '.join(columns)} |"
            yield f"|{'---|' * len(columns)}"
        shown = {
            "ms": {part: f"{np.median(times):.4g}" for part, times in row["ms"].items()},
            **{key: "{1:.2f} ({0:.2f}-{2:.2f})".format(*row[key])
               for key in row if key.endswith("ratio")},
        }  # fmt: skip
        blank = {} if "ORT_ratio" in row else dict.fromkeys(ONNX, "")
        told = [blank.get(name, cell) for name, cell in columns.items()]
        yield f"| {' | '.join(told)} |".format(**row | shown)


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.against_torch", __doc__)
    parser.add_argument("--config", nargs="+", metavar="RECIPE",
                        help="recipes of Integral, StackedHourglass, PropagationNet, TAB and "
                        "PixelWise (default: a light one of each)")  # fmt: skip
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        dest="settings", help="replace fields of each recipe")  # fmt: skip
    add_import(parser)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32], metavar="B",
                        help="faces at once (default: 1 8 32)")  # fmt: skip
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS),
                        help="what is timed (default: both)")  # fmt: skip
    parser.add_argument("--dtype", choices=DTYPES, 
                        help="of the computations (default: the recipe's)")  # fmt: skip
    parser.add_argument("--pairs", type=int, default=9,
                        help="rounds in which each has a turn (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=1.0,
                        help="about how long a turn is (default: %(default)s)")  # fmt: skip
    parser.add_argument("--onnx", action="store_true",
                        help="time ONNX Runtime's inference too")  # fmt: skip
    parser.add_argument("--torch-compile", action="store_true",
                        help="let torch.compile make PyTorch's networks faster")  # fmt: skip
    add_device(parser)
    parser.add_argument("--out", "--json", type=Path, metavar="FILE",
                        help="JSON of all numbers, which grows as they come")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _print(arguments))


def _print(arguments):
    if min(arguments.batches) < 1 or arguments.pairs < 1 or not arguments.seconds > 0:
        raise InputError("--batches and --pairs: must be 1 or more; --seconds: above 0")
    if arguments.onnx and "inference" not in arguments.work:
        raise InputError("--onnx: times inference; add it to --work")
    torch = pytorch()
    if arguments.onnx:
        to_onnx.require(Path("model.onnx"))
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the GPU is PyTorch's too
    import_files(arguments)
    cases = [(name,) for name in arguments.config] if arguments.config else CASES
    settings = list(arguments.settings)
    settings += [f"system.dtype={arguments.dtype}"] if arguments.dtype else []
    chosen = {
        " ".join([*case, *settings]): recipes.override(
            recipes.load(case[0]), [*case[1:], *settings]
        )
        for case in cases
    }
    if arguments.out:
        with readable_errors(arguments.out):
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with _empty_cache():
        about = {"jaxalign": parallel.start(arguments.require)} | _prepare(torch)
        print(", ".join(f"{key}: {value}" for key, value in about.items()), flush=True)
        done = []
        for name, recipe in chosen.items():
            for line in table(name, _rows(name, recipe, arguments, done)):
                print(line, flush=True)
                if arguments.out:
                    text = json_text(about | {"rows": done}, indent=1)
                    arguments.out.write_text(text + "\n", encoding="utf-8")


@contextmanager
def _empty_cache():
    """First calls compile in it."""
    name = "jax_compilation_cache_dir"
    before = getattr(jax.config, name)
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update(name, folder)
        try:
            yield
        finally:
            jax.config.update(name, before)


def _rows(name, recipe, arguments, done):
    """The rows of a recipe, as they come; also put into `done`."""
    kind = Torch(_torch_device(), recipe.system.dtype, arguments.torch_compile)
    others = onnx_readers(recipe) if arguments.onnx and "inference" in arguments.work else {}
    for batch in arguments.batches:
        for work in sorted(arguments.work):
            row = measured(recipe, batch, work, kind, arguments.pairs, arguments.seconds, others)
            done.append({"recipe": name} | row)
            yield row


def _torch_device():
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def _prepare(torch):
    """Makes PyTorch compute as XLA does, and says on what. Errors: InputError where they would not
    compute on the same."""
    kind = jax.default_backend()
    if kind not in ("cpu", "gpu") or (kind == "gpu" and not torch.cuda.is_available()):
        raise InputError(f"JAX computes on a {kind.upper()}, which this PyTorch cannot; install a "
                         "build of it that can, or give --require cpu")  # fmt: skip
    if jax.device_count() > 1:
        raise InputError(f"JAX sees {jax.device_count()} devices, and PyTorch would take one; "
                         "let JAX see one, such as by CUDA_VISIBLE_DEVICES=0")  # fmt: skip
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    return {"jax": jax.__version__, "torch": torch.__version__, "threads": threads}


if __name__ == "__main__":
    sys.exit(main())
