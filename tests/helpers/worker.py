"""Trains a small model in two phases in a process of its own, on a stated number of devices.

python -m tests.helpers.worker OUT --data-dir D --devices N [--process I --processes P --port PORT]
    [--sigterm-at STEP] [--workdir W (default: OUT/run)]

Writes OUT/parameters.npz (the leaves after the last step, in order) and OUT/report.json. With
--sigterm-at this process is sent SIGTERM behind that step; called again, it goes on.
"""

import argparse
import os
import signal
from dataclasses import replace
from pathlib import Path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--sigterm-at", type=int, default=0)
    parser.add_argument("--workdir", default="")
    arguments = parser.parse_args()
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", arguments.devices)
    if arguments.processes > 1:
        os.environ["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{arguments.port}"
        os.environ["JAX_NUM_PROCESSES"] = str(arguments.processes)
        os.environ["JAX_PROCESS_ID"] = str(arguments.process)
    train(arguments)


def train(arguments):
    import jax
    import numpy as np

    from jaxalign import parallel
    from jaxalign.evaluation.model import predict_source
    from jaxalign.evaluation.report import write_report
    from jaxalign.prediction.predictor import Predictor
    from jaxalign.protocols import protocol_for
    from jaxalign.recipe import override
    from jaxalign.sources import open_source
    from jaxalign.training.loop import Run
    from tests.helpers.small import InTwoPhases, small_recipe

    parallel.start(distributed=arguments.processes > 1)
    # SGD: where a gradient is zero but for rounding, Adam would take full steps along the noise
    recipe = override(
        small_recipe(batch=8, epochs=3),
        ["system.optimizer.kind=sgd", "system.optimizer.rate=0.003"],
    )
    recipe = replace(recipe, system=InTwoPhases(**vars(recipe.system)))
    scheme = recipe.system.points
    train = open_source("ibug_300w/train", scheme, arguments.data_dir)
    test = open_source("ibug_300w/test", scheme, arguments.data_dir)

    def terminate(run):
        if run.step == arguments.sigterm_at:
            signal.raise_signal(signal.SIGTERM)

    run = Run(recipe, train, test, arguments.workdir or arguments.out / "run",
              benchmark="ibug_300w", resume=True, on_step=terminate)  # fmt: skip
    assert run.last == 3
    run.run()
    if jax.process_index() > 0:
        return
    variables = parallel.to_host(run.state.variables())
    leaves = jax.tree.leaves(variables)
    np.savez(arguments.out / "parameters.npz", *leaves)
    predictor = Predictor(recipe.system)
    results = predict_source(predictor, variables, test, recipe.data.crop, batch=4)
    write_report(arguments.out, results, protocol_for("ibug_300w", scheme), {})


if __name__ == "__main__":
    main()
