"""A checkpoint as one file: a function in jax.export's format, an ONNX model, or weights.

The function `MODEL` runs without jaxalign and Flax. It holds the network with its weights, for any
number of faces; beside it `MODEL.json`, the header, says in words and numbers how a face is cropped
for it and what comes out. An ONNX model has the header in its metadata. Weights are a file of
checkpoints.write.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

import jaxalign
from jaxalign import checkpoints, geometry, parallel, tensors, to_onnx, weights
from jaxalign.datasets import synthetic_faces
from jaxalign.datasets.faces import record
from jaxalign.errors import InputError
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import headed
from jaxalign.evaluation.truth import truth_of
from jaxalign.folders import readable_errors, whole
from jaxalign.pipeline import Crop, evaluation_batches
from jaxalign.prediction import onnx_model
from jaxalign.protocols import protocol_for
from jaxalign.recipe import Recipe, to_json
from jaxalign.records import json_text
from jaxalign.sources import DEFAULT_DATA_DIR, Source, benchmark_of, first, open_source
from jaxalign.systems.interface import System


PLATFORMS = ("cpu", "cuda")
BATCH = 4  # faces at a time while comparing
CALIBRATED = 128  # faces whose ranges int8 takes
TIMED = 1, 8  # faces at a time while timing


def export_checkpoint(
    ckpt: Path | str | None,
    out: Path | str,
    *,
    which: str = "best",
    size: int | None = None,
    half: bool = False,
    int8: bool = False,
    notes: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    data: str = "",
    data_dir: Path | str = DEFAULT_DATA_DIR,
    faces: int = 16,
) -> "Parity":
    """Writes a checkpoint to one file, reads it back, and compares the two.

    A file named .safetensors holds the weights, one named .onnx an ONNX model, any other the
    function in jax.export's format; the latter two take crops of one size. The comparison is
    printed, and of an ONNX model the time beside XLA's.

    Args:
        ckpt: The checkpoint, as checkpoints.find_step takes it.
        out: The file to write.
        which: The step of a work directory: "best" or "latest".
        size: The side of the function's or model's crops in pixels (default: system.size).
        half: Store kernels as float16; for weights alone.
        int8: Let convolutions compute with 8 bits, by the range that their inputs have on the first
            faces of the recipe's training data, or on drawn faces where that is not prepared; for
            ONNX models alone.
        notes: Free texts by name, for weights alone; the notes of a file that is written anew are
            kept.
        settings: "key=value" each: fields of the recipe that leave the network as it is, such as
            the crop's margin.
        data: NAME/SPLIT to compare on; "" for the recipe's test data, or drawn faces where that is
            not prepared.
        data_dir: Where jaxalign prepare stored the data sets.
        faces: How many faces to compare on, the first ones of the data.

    Returns:
        How the checkpoint and the file agree.

    Raises:
        InputError: An argument is wrong, or a file cannot be read or written.

    Examples:
        ```python
        from jaxalign.export import export_checkpoint

        export_checkpoint("drawn", "drawn.stablehlo", faces=4).pixels  # below 0.001
        ```
    """
    out = Path(out)
    plain, onnx = out.suffix == tensors.SUFFIX, out.suffix == onnx_model.SUFFIX
    if onnx:
        to_onnx.require(out)
    if size is not None and plain:
        raise InputError(f"--size {size}: a {tensors.SUFFIX} file takes all sizes; drop it")
    if (half or notes) and not plain:
        raise InputError(f"--half and --note are for --out NAME{tensors.SUFFIX}; drop them")
    if int8 and not onnx:
        raise InputError(f"--int8 is for --out NAME{onnx_model.SUFFIX}; drop it")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}; make it first")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file, such as {out}/model.stablehlo")
    if faces < 1:
        raise InputError(f"--faces {faces}: must be 1 or more")
    step = checkpoints.find_step(ckpt, which)
    print(f"device: {parallel.start()}\n{weights.told(step)}", flush=True)
    recipe, variables, _ = checkpoints.load(step)
    recipe = checkpoints.overridden(recipe, settings, variables)
    system = recipe.system
    size = system.size if size is None else size
    check_size(system, size)
    if onnx:
        to_onnx.check(system)
    spec = data or recipe.data.test or recipe.data.val
    source, crop, protocol = _faces_of(recipe, spec, data_dir, faces, bool(data))
    about = header(recipe, step, size)
    if onnx:
        model = to_onnx.converted(system, variables, size)
        if int8:
            model = rounded(model, recipe, size, data_dir)
        to_onnx.write(out, model, about | ONNX)
        more = f"metadata {onnx_model.KEY!r}"
    elif not plain:
        write(out, lowered(system, variables, size), about | STABLEHLO)
        more = str(header_of(out))
    else:
        checkpoints.write(
            out, recipe, variables, low_score=checkpoints.low_score(step),
            notes=checkpoints.notes(step) | dict(notes or {}), half=half,
        )  # fmt: skip
        more = f"{out.stat().st_size} bytes, SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}"
    print(f"written: {out} ({out.stat().st_size / 1e6:.1f} MB), {more}", flush=True)
    found = compare(out, system, variables, source, crop, size)
    protocol = headed(protocol, found.checkpoint)
    nme = [100 * r.nme(protocol.normaliser).mean() for r in (found.checkpoint, found.exported)]
    print(
        f"read back, and compared on {source.name}:\n"
        f"  largest difference   {found.pixels:.6f} pixels of the {size} pixel crop, "
        f"{found.scores:.6f} of a score\n"
        f"  NME ({protocol.normaliser})   checkpoint {nme[0]:.4f} %, exported {nme[1]:.4f} %, "
        f"difference {abs(nme[1] - nme[0]):.6f} %"
    )
    if onnx:
        calls = {
            "XLA": partial(jax.jit(system.predict), jax.device_put(variables)),
            "ONNX Runtime": reader(out, system),
        }
        print("milliseconds a batch, medians:")
        for faces, times in timed(calls, size).items():
            line = ", ".join(f"{name} {ms:.1f}" for name, ms in times.items())
            print(f"  {faces} face{'s' if faces > 1 else ''}: {line}")
    return found


def rounded(model: Any, recipe: Recipe, size: int, data_dir: Path | str) -> Any:
    """Lets the convolutions of an ONNX model compute with 8 bits, as to_onnx.quantized does.

    Args:
        model: The onnx.ModelProto of to_onnx.converted.
        recipe: Its recipe. Ranges are those on the first faces of the training data (of several
            sets the first), or on drawn faces if that is not prepared; which, is printed.
        size: The side of its crops in pixels.
        data_dir: Where jaxalign prepare stored the data sets.

    Returns:
        Another onnx.ModelProto.
    """
    source, crop, _ = _faces_of(recipe, recipe.data.trained_on[0], data_dir, CALIBRATED, False)
    print(f"int8: the ranges are those on {source.name}", flush=True)
    batches = evaluation_batches(source, recipe.system.points, crop, size, batch=BATCH)
    crops = np.concatenate([rows["image"][rows["weight"] > 0] for rows in batches])
    return to_onnx.quantized(model, crops)


def timed(
    calls: Mapping[str, Callable],
    size: int,
    batches: Sequence[int] = TIMED,
    repeats: int = 7,
    seconds: float = 0.2,
) -> dict[int, dict[str, float]]:
    """Times calls on random crops, from NumPy to NumPy.

    Args:
        calls: The calls by name. They take turns, as in_turns says.
        size: The side of the crops in pixels.
        batches: Faces at a time.
        repeats: Turns of each.
        seconds: How long a turn lasts, about.

    Returns:
        Faces at a time -> name of a call -> the milliseconds of a run, the median of its turns.
    """
    found = {}
    for faces in batches:
        images = np.random.default_rng(0).integers(0, 256, (faces, size, size, 3), np.uint8)
        clocks = {name: partial(_run, call, images) for name, call in calls.items()}
        _, times = in_turns(clocks, repeats, seconds)
        found[faces] = {name: float(np.median(ms)) for name, ms in times.items()}
    return found


def in_turns(
    clocks: Mapping[str, Callable[[int], float]], turns: int, seconds: float
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Times works that share the cores, one after the other, every other round the other way.

    As a turn begins, the threads of another work still keep the cores busy, waiting for more; so
    its first run is not timed.

    Args:
        clocks: Name -> clock(n), the seconds that n runs of a work take.
        turns: Turns of each.
        seconds: How long a turn lasts, about. It has one timed run or more.

    Returns:
        Name -> the seconds of its very first run; name -> the milliseconds of a run in each turn.
    """
    first = {name: clock(1) for name, clock in clocks.items()}
    runs = {name: max(1, round(seconds / clock(1))) for name, clock in clocks.items()}
    found = {name: [] for name in clocks}
    for turn in range(turns):
        for name in list(clocks)[:: -1 if turn % 2 else 1]:
            clocks[name](1)
            found[name].append(1000 * clocks[name](runs[name]) / runs[name])
    return first, found


def _run(call, images, times):
    """Seconds of so many runs, from NumPy to NumPy."""
    started = time.perf_counter()
    for _ in range(times):
        for output in call(images):
            np.asarray(output)
    return time.perf_counter() - started


def _faces_of(recipe, spec, data_dir, faces, needed):
    """The first faces of a data set, or drawn ones if it is not needed; their crop and protocol."""
    scheme, crop = recipe.system.points, recipe.data.crop
    try:
        source = first(open_source(spec, scheme, data_dir), faces)
    except InputError as error:
        if needed:
            raise
        print(f"note: drawn faces are taken: {error}")
        source = drawn(recipe.system, faces)
        return source, replace(crop, box="landmarks"), protocol_for("synthetic_faces", scheme)
    return source, crop, protocol_for(benchmark_of(spec), scheme)


def check_size(system: System, size: int):
    """Refuses a size of crops that the system does not take.

    Args:
        system: The system.
        size: The side of the crops in pixels.

    Raises:
        InputError: The system does not take it.
    """
    if size not in system.sizes:
        sizes = ", ".join(map(str, system.sizes))
        raise InputError(f"--size {size}: this checkpoint takes crops of {sizes} pixels")


def lowered(system: System, variables: dict, size: int) -> jax_export.Exported:
    """Makes a function of `system.predict`, with the weights as constants.

    Args:
        system: The system.
        variables: Its variables.
        size: The side of the crops in pixels.

    Returns:
        The function of uint8 crops (B, size, size, 3), for any B above 0.
    """

    def predict(images):
        return system.predict(variables, images)

    shape = jax_export.symbolic_shape(f"faces, {size}, {size}, 3")
    crops = jax.ShapeDtypeStruct(shape, np.uint8)
    return jax_export.export(jax.jit(predict), platforms=PLATFORMS)(crops)


STABLEHLO = {
    "format": "jax.export: jax.export.deserialize(bytearray(the file's bytes)).call(images)",
    "platforms": PLATFORMS,
}
ONNX = {
    "format": "ONNX: onnxruntime.InferenceSession(the file's path).run(['points', 'scores'], "
    "{'images': images})",
}


def header(recipe: Recipe, step: Path, size: int) -> dict:
    """Describes the function exported from a step, for those who call it.

    The crop is the recipe's rule for landmark boxes, as `prediction.Aligner` takes it.

    Args:
        recipe: The checkpoint's recipe.
        step: The step's folder, or the file.
        size: The side of the crops in pixels.

    Returns:
        Plain JSON values by name.
    """
    scheme, rule = recipe.system.points, recipe.data.crop.landmarks
    packages = "jax", "jaxlib", "flax", "numpy"
    return {
        "versions": {"jaxalign": jaxalign.__version__} | {name: version(name) for name in packages},
        "size": size,
        "enlarge": rule.enlarge,
        "down": rule.down,
        "centroid": recipe.data.crop.centroid,
        "low_score": checkpoints.low_score(step),
        "note": recipe.system.note,
        "scheme": scheme.name,
        "points": scheme.num_points,
        "names": scheme.names,
        "curves": scheme.curves,
        "framed": scheme.framed or tuple(range(scheme.num_points)),
        "images": f"(B, {size}, {size}, 3) uint8 RGB crops, any B above 0; not normalised",
        "returns": f"points (B, {scheme.num_points}, 2) float32, x and y in pixels of the crop, "
        f"not held within it; scores (B, {scheme.num_points}) float32 in 0..1",
        "frames": "pixels, x first, counted from 0, pixel centres at integers: the crop's own "
        "centre is (size - 1) / 2, and a picture made smaller by f has "
        "smaller = (larger + 1/2) / f - 1/2. The photo is upright, as a viewer shows it (EXIF "
        "rotation applied)",
        "box": f"x0, y0, x1, y1 in the photo: the rectangle around the {scheme.num_points} points. "
        "A detector's differs; bring it there first",
        "square": "side = enlarge * max(x1 - x0, y1 - y0), "
        "centre = (x0 + x1) / 2, (y0 + y1) / 2 + down * (y1 - y0)",
        "crop": "crop = (photo - centre) * size / side + (size - 1) / 2, bilinear, zeros outside "
        "the photo; where f = int(side / size) is 2 or more, the photo is made smaller by f "
        "first, by the means of f x f pixels",
        "back": "photo = centre + (points - (size - 1) / 2) * side / size",
        "checkpoint": "/".join(step.parts[-3:]),
        "recipe": to_json(recipe),
    }


def write(path: Path, exported: jax_export.Exported, about: dict):
    """Writes the function and, beside it, its header.

    Args:
        path: The file of the function.
        exported: The function.
        about: The header.

    Raises:
        InputError: A file cannot be written.
    """
    text = f"{json_text(about, indent=2, ensure_ascii=False)}\n".encode("utf-8", "backslashreplace")
    for place, data in ((path, exported.serialize()), (header_of(path), text)):
        with readable_errors(place, ""), whole(place) as file:
            file.write(data)


def header_of(path: Path) -> Path:
    """Gives the file of the header that belongs to a function.

    Args:
        path: The file of the function.

    Returns:
        The same path with .json behind it.
    """
    return Path(f"{path}.json")


def drawn(system: System, faces: int) -> Source:
    """Draws synthetic faces, the first ones of the test split.

    Args:
        system: The system that they are for.
        faces: How many to draw.

    Returns:
        The faces.

    Raises:
        InputError: Faces with the points of the system's scheme cannot be drawn.
    """
    if system.scheme not in synthetic_faces.BENCHMARK.schemes:
        raise InputError(
            f"faces with {system.scheme} points cannot be drawn; give --data, and for --int8 "
            "prepare the recipe's training data"
        )
    records = [
        record(synthetic_faces.face("test", index, size=256, seed=0)) for index in range(faces)
    ]
    return Source.of(f"{faces} drawn faces", system.points, records)


@dataclass(frozen=True)
class Parity:
    """A checkpoint and the file exported from it, on the same crops.

    Attributes:
        pixels: The largest distance between their points, in pixels of the crop.
        scores: The largest difference of their scores.
        checkpoint: The checkpoint's results.
        exported: The file's results.
    """

    pixels: float
    scores: float
    checkpoint: Results
    exported: Results


def compare(
    path: Path, system: System, variables: dict, source: Source, crop: Crop, size: int
) -> Parity:
    """Compares what a file holds with its checkpoint.

    Args:
        path: The file.
        system: The checkpoint's system.
        variables: Its variables.
        source: The faces to compare on, all of them.
        crop: How a face is cropped.
        size: The side of the crops in pixels.

    Returns:
        How the two agree.
    """
    calls = (
        partial(jax.jit(system.predict), jax.device_put(variables)),
        reader(path, system),
    )
    found, matrices = ([], []), []
    for rows in evaluation_batches(source, system.points, crop, size, batch=BATCH):
        real = rows["weight"] > 0
        matrices.append(rows["matrix"][real])
        for call, outputs in zip(calls, found, strict=True):
            outputs.append([np.asarray(output)[real] for output in call(rows["image"])])
    both = [[np.concatenate(arrays) for arrays in zip(*o, strict=True)] for o in found]
    (points, scores), (other_points, other_scores) = both
    pixels = np.linalg.norm(points.astype(np.float64) - other_points, axis=-1).max()
    truth = truth_of(source, source.name, system.points)
    back = geometry.invert(np.concatenate(matrices))
    results = [truth.with_predictions(geometry.transform(back, p), s) for p, s in both]
    return Parity(float(pixels), float(abs(scores - other_scores).max()), *results)


def reader(path: Path, system: System) -> Callable:
    """Reads a file of export_checkpoint.

    Args:
        path: The file.
        system: The system that it is of.

    Returns:
        A call that takes crops (B, S, S, 3) to points (B, K, 2) and scores (B, K).
    """
    if path.suffix == onnx_model.SUFFIX:
        return onnx_model.OnnxModel(path).predict
    if path.suffix == tensors.SUFFIX:
        return partial(jax.jit(system.predict), jax.device_put(checkpoints.load(path)[1]))
    return jax.jit(jax_export.deserialize(bytearray(path.read_bytes())).call)
