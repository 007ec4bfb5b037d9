"""The cost of a system, read off its shapes and its traced program; nothing is allocated or run."""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from jaxalign.layers.conv import as_written
from jaxalign.systems.interface import System


def count(tree) -> int:
    """Numbers in a tree.

    Args:
        tree: Arrays or shapes.

    Returns:
        The sum of their sizes.
    """
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def multiply_adds(function, *arguments) -> Counter:
    """Multiply-adds of the convolutions and dense layers in a function.

    nn.ConvTranspose counts the products that its kernel really makes, k^2 Cin Cout for each input
    pixel; layers.transposed counts as the matrix product that it is. Resampling (jax.named_scope
    "resample") is not counted.

    Args:
        function: A traceable function.
        *arguments: Its arguments, arrays or shapes (jax.ShapeDtypeStruct).

    Returns:
        Scope of layer names -> multiply-adds.
    """
    found = Counter()
    _walk(_traced(function, *arguments), 1, found)
    return found


def alive(function, parameters, *arguments) -> tuple[int, int]:
    """What the result of a function depends on; XLA leaves the rest out.

    Args:
        function: function(parameters, *arguments), traceable.
        parameters: A tree of arrays or shapes.
        *arguments: Arrays or shapes.

    Returns:
        The number of parameters, and of multiply-adds as `multiply_adds` counts them, that the
            result depends on.
    """
    jaxpr = _traced(function, parameters, *arguments)
    jaxpr, used = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), instantiate=False)
    found, leaves = Counter(), jax.tree.leaves(parameters)
    _walk(jaxpr, 1, found)
    kept = [leaf for leaf, one in zip(leaves, used, strict=False) if one]
    return count(kept), sum(found.values())


def planned_memory(compiled: jax.stages.Compiled) -> int:
    """The memory that a compiled program takes.

    Args:
        compiled: The program.

    Returns:
        Bytes of its arguments, results and working memory, what it reuses counted once.
    """
    plan: Any = compiled.memory_analysis()
    given = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return given + plan.temp_size_in_bytes


def _traced(function, *arguments):
    with as_written(True):
        return jax.make_jaxpr(function)(*arguments).jaxpr


def _walk(jaxpr, times, found, outer=""):
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        scope = f"{outer}/{equation.source_info.name_stack}".strip("/")
        if name == "conv_general_dilated":
            found[scope] += times * _convolution(equation)
        elif name == "dot_general" and "resample" not in scope and _has_weights(equation):
            found[scope] += times * _dense(equation)
        inner = times * (equation.params["length"] if name == "scan" else 1)
        for value in equation.params.values():
            for part in value if isinstance(value, list | tuple) else [value]:
                part = getattr(part, "jaxpr", part)
                if hasattr(part, "eqns"):
                    _walk(part, inner, found, scope)


def _convolution(equation):
    images, kernel = (v.aval.shape for v in equation.invars[:2])
    out = equation.outvars[0].aval.shape
    spec = equation.params["dimension_numbers"]
    per_output = np.prod(kernel) // kernel[spec.rhs_spec[0]]  # k^2 Cin / groups
    pixels = np.prod(out)
    if np.prod(equation.params["lhs_dilation"]) > 1:
        batch_features = out[spec.out_spec[0]] * out[spec.out_spec[1]]
        pixels = batch_features * np.prod([images[i] for i in spec.lhs_spec[2:]])
    return int(pixels * per_output)


def _has_weights(equation):
    """Whether a product is a dense layer's: by a matrix without batch dimensions.

    Attention and decoding are not: their products are of activations, or with constant grids
    (vectors).
    """
    _, (_, rhs_batch) = equation.params["dimension_numbers"]
    return equation.invars[1].aval.ndim == 2 and not rhs_batch


def _dense(equation):
    (contract, _), _ = equation.params["dimension_numbers"]
    inner = np.prod([equation.invars[0].aval.shape[i] for i in contract])
    return int(np.prod(equation.outvars[0].aval.shape) * inner)


def table(system: System) -> str:
    """The layers of the networks that predict, with parameters and multiply-adds of one face.

    Args:
        system: The system.

    Returns:
        Lines of text. The last two are `parameters: N` (trainable) and `multiply-adds: N`. The two
            before them count only what the points depend on; the rest is neither run nor trained.
            If other networks help to train, their parameters and `parameters while training: N`
            come before these.

    Example:
        >>> from jaxalign.systems import SYSTEMS
        >>> table(SYSTEMS["StackedHourglass"](stacks=1)).splitlines()[-2]
        'parameters: 6249668'
    """
    variables = system.shapes()
    image = jax.ShapeDtypeStruct((1, system.size, system.size, 3), jnp.uint8)
    madds = multiply_adds(system.predict, variables, image)
    lines = [f"{'network / layer':<40}{'parameters':>14}{'multiply-adds':>18}"]
    total = 0
    for network in system.predictors:
        total += count(variables["params"][network])
        layers = variables["params"][network]
        owners = Counter()
        for scope, n in madds.items():
            parts = scope.split("/")
            if network in parts:  # layers of two networks may have one name
                owners[next((part for part in parts if part in layers), None)] += n
        for layer, parameters in layers.items():
            inside = owners[layer]
            name = f"{network} / {layer}"
            lines.append(f"{name:<40}{count(parameters):>14,}{inside:>18,}")
    lines.append("")
    helpers = set(variables["params"]) - set(system.predictors)
    for network in sorted(helpers):
        name = f"{network} (trains only)"
        lines.append(f"{name:<40}{count(variables['params'][network]):>14,}")
    if helpers:
        lines.append(f"parameters while training: {count(variables['params'])}")

    def points(params, batch_stats, image):
        return system.predict({"params": params, "batch_stats": batch_stats}, image)

    living = alive(points, variables["params"], variables["batch_stats"], image)
    for what, number in zip(("parameters", "multiply-adds"), living, strict=True):
        lines.append(f"{what} that the points depend on: {number}")
    lines += [f"parameters: {total}", f"multiply-adds: {sum(madds.values())}"]
    return "\n".join(lines)
