"""A system as an ONNX model, by the converter jax2onnx: crops in, points and scores out."""

import contextlib
import importlib
import importlib.util
import logging
import tempfile
import warnings
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import export as jax_export
from jax.core import ShapedArray

from jaxalign.errors import InputError
from jaxalign.folders import readable_errors, whole
from jaxalign.layers import pooling
from jaxalign.layers.conv import as_written
from jaxalign.prediction.onnx_model import KEY
from jaxalign.records import json_text
from jaxalign.systems.interface import System


NEEDED = "jax2onnx", "onnxruntime"
CALIBRATED = 8  # crops at a time
# Functions of layers.pooling -> the operation of ONNX, its settings, by what it scales the maps.
HALF = {"kernel_shape": [2, 2], "strides": [2, 2]}
OVERLAPPING = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0]}
NEAREST = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
OPERATIONS = {
    "average_pool": ("AveragePool", HALF, 0.5),
    "max_pool": ("MaxPool", HALF, 0.5),
    "overlapping_max_pool": ("MaxPool", OVERLAPPING, 0.5),
    "upsample": ("Resize", NEAREST, 2),
}


def has(name: str) -> bool:
    """Whether a package is installed; it is not imported.

    Args:
        name: The package's.

    Returns:
        Whether it can be found.
    """
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # named in sys.modules, as None
        return False


def require(path: Path):
    """Looks for the packages that an ONNX model takes.

    Args:
        path: The file that is to be written.

    Raises:
        InputError: One of NEEDED is not installed.
    """
    if not all(map(has, NEEDED)):
        raise InputError(
            f"--out {path}: needs {' and '.join(NEEDED)}; pip install '.[onnx]' in a checkout "
            "of jaxalign"
        )


def check(system: System):
    """Looks at the type that the system computes in.

    Args:
        system: The system.

    Raises:
        InputError: ONNX Runtime does not compute in it on CPUs.
    """
    if system.dtype != "float32":
        raise InputError(
            f"system.dtype={system.dtype}: ONNX models compute in float32; export it with --set "
            "system.dtype=float32"
        )


def converted(system: System, variables: dict, size: int) -> Any:
    """Makes an ONNX model of `system.predict`, with the weights as constants.

    JAX traces the system first: the converter then sees JAX's primitives alone, and none of the
    functions that it would put in place of Flax's and jax.numpy's.

    Args:
        system: The system.
        variables: Its variables.
        size: The side of the crops in pixels.

    Returns:
        An onnx.ModelProto. Its input `images` is uint8 (B, size, size, 3), for any B above 0; its
            outputs are `points` and `scores`.

    Raises:
        InputError: The converter does not take the system.
    """
    jax2onnx = importlib.import_module("jax2onnx")
    shape = jax_export.symbolic_shape(f"faces, {size}, {size}, 3")
    crops = jax.ShapeDtypeStruct(shape, np.uint8)
    with as_written(True), nn.intercept_methods(_folded):
        traced = jax.make_jaxpr(lambda images: system.predict(variables, images))(crops)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of shapes that it leaves out
    name, function = type(system).__name__, jax.extend.core.jaxpr_as_fun(_whole(traced))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's, of its own calls
        try:
            model = jax2onnx.to_onnx(
                function, [crops], model_name=name,
                input_names=["images"], output_names=["points", "scores"],
            )  # fmt: skip
        except Exception as error:  # of a type for each thing that it does not know
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise InputError(
                f"{name}: the converter does not take something in it ({reason}); export it to a "
                "file named .stablehlo"
            ) from error
    _named(model.graph)
    return model


def _folded(call, args, kwargs, context):
    """A layer's call, in which what is made of weights alone is computed now.

    The converter's time grows with the square of what is left. Of batch norm a factor and an offset
    are left, which ONNX Runtime takes into the kernel before it.
    """
    layer = context.module
    if not isinstance(layer, nn.BatchNorm | nn.Conv | nn.Dense):
        return call(*args, **kwargs)
    with jax.ensure_compile_time_eval():
        if not isinstance(layer, nn.BatchNorm):
            return call(*args, **kwargs)
        mean, variance = (layer.get_variable("batch_stats", name) for name in ("mean", "var"))
        factor = jax.lax.rsqrt(variance + layer.epsilon)
        if layer.use_scale:
            factor = factor * layer.get_variable("params", "scale")
        offset = -mean * factor
        if layer.use_bias:
            offset = offset + layer.get_variable("params", "bias")
        factor, offset = (jnp.expand_dims(x, range(args[0].ndim - 1)) for x in (factor, offset))
    return args[0] * factor + offset


def _whole(traced):
    """The program with the functions of OPERATIONS as primitives, which the converter knows."""

    def replaced(call):
        name = call.params.get("name")
        if call.primitive.name != "jit" or name not in OPERATIONS or len(call.invars) != 1:
            return call
        own = jax.make_jaxpr(getattr(pooling, name))(call.invars[0].aval).eqns[0]
        if str(own.params["jaxpr"]) != str(call.params["jaxpr"]):
            return call  # another function of that name
        return call.replace(primitive=_primitives()[name], params={})

    jaxpr = traced.jaxpr
    return traced.replace(jaxpr=jaxpr.replace(eqns=[replaced(call) for call in jaxpr.eqns]))


@cache
def _primitives():
    """Name -> a primitive for each of OPERATIONS, which the converter is taught."""
    plugins = importlib.import_module("jax2onnx.plugins.plugin_system")
    primitives = {}
    for name, (operation, settings, scale) in OPERATIONS.items():
        primitives[name] = primitive = jax.extend.core.Primitive(f"jaxalign_{name}")
        primitive.def_abstract_eval(partial(_scaled, scale=scale))
        lower = partial(_lowered, operation=operation, settings=settings, scale=scale)
        plugin = type(name, (plugins.PrimitiveLeafPlugin,), {"lower": staticmethod(lower)})
        plugins.register_primitive(jaxpr_primitive=primitive.name)(plugin)
    return primitives


def _scaled(maps, scale):
    batch, height, width, channels = maps.shape
    shape = batch, int(scale * height), int(scale * width), channels
    return ShapedArray(shape, maps.dtype)


def _lowered(context, call, operation, settings, scale):
    """Puts one of OPERATIONS, which take (B, C, h, w), into the converter's graph."""

    def added(kind, *inputs, **settings):
        return getattr(context.builder, kind)(
            *inputs, **settings, _outputs=[context.fresh_name(f"{call.primitive.name}_out")]
        )

    inputs = [added("Transpose", context.get_value_for_var(call.invars[0]), perm=[0, 3, 1, 2])]
    if operation == "Resize":
        scales = np.array([1, 1, scale, scale], np.float32)
        name = context.fresh_name("scales")
        inputs += [None, context.builder.add_initializer_from_array(name=name, array=scales)]
    maps = added(operation, *inputs, **settings)
    maps, given = added("Transpose", maps, perm=[0, 2, 3, 1]), call.outvars[0]
    known = context.get_value_for_var(given)
    maps.type, maps.shape = known.type, known.shape
    context.bind_value_for_var(given, maps)


def _named(graph):
    """Gives ReLUs their name, for which ONNX Runtime has fused kernels."""
    onnx = importlib.import_module("onnx")
    values = ((c.name, onnx.numpy_helper.to_array(c)) for c in graph.initializer)
    zeros = {name for name, a in values if a.dtype == np.float32 and a.size == 1 and not a.any()}
    for node in graph.node:
        if node.op_type == "Max" and node.input[1:] and node.input[1] in zeros:
            node.op_type = "Relu"
            del node.input[1:]
    zeros -= {name for node in graph.node for name in node.input}
    for constant in [c for c in graph.initializer if c.name in zeros]:  # ReLU's, which none takes
        graph.initializer.remove(constant)


def quantized(model: Any, crops: np.ndarray) -> Any:
    """Lets the convolutions compute with whole numbers of 8 bits.

    Weights are rounded for each channel of the output, activations by the range that they have on
    some crops. All else stays in float32, the products of single pixels (1 x 1) too.

    Args:
        model: The onnx.ModelProto of converted().
        crops: (N, S, S, 3) uint8 RGB; such as the model will see, N about 100.

    Returns:
        Another onnx.ModelProto.
    """
    runtime, quantization, onnx = map(
        importlib.import_module, ("onnxruntime", "onnxruntime.quantization", "onnx")
    )

    class Crops(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = iter(np.array_split(crops, -(-len(crops) // CALIBRATED)))

        def get_next(self):
            images = next(self.left, None)
            return None if images is None else {"images": images}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        whole_numbers, fused = (str(Path(folder) / name) for name in ("int8.onnx", "fused.onnx"))
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = fused  # batch norm within the kernels
        runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        graph = onnx.load(fused).graph
        pixels = {c.name for c in graph.initializer if c.dims[2:] == [1, 1]}
        exact = [node.name for node in graph.node if pixels & set(node.input[1:2])]
        quantization.quantize_static(
            fused, whole_numbers, Crops(), per_channel=True,
            op_types_to_quantize=["Conv"], nodes_to_exclude=exact,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(whole_numbers)


@contextlib.contextmanager
def _quiet():
    """Without the quantiser's advice."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def write(path: Path, model: Any, about: dict):
    """Writes a model with its header.

    Args:
        path: The file.
        model: The onnx.ModelProto.
        about: The header, JSON values by name.

    Raises:
        InputError: The file cannot be written.
    """
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json_text(about, ensure_ascii=True)
    with readable_errors(path, ""), whole(path) as file:
        file.write(model.SerializeToString(deterministic=True))
