"""What trainings take on accelerators: the steps lowered for them, and what is reckoned of them."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from benchmarks.paper_size import CASES
from jaxalign import costs
from jaxalign import recipe as recipes
from jaxalign.__main__ import main
from jaxalign.training import planning, state
from jaxalign.training.planning import CARDS, Work
from tests.helpers import slow


PLATFORMS = ("cuda", "tpu")
SHRUNK = {  # quick to trace; the others are at real size below
    "integral_ibug_300w": (),
    "tab_light_ibug_300w": ("system.stacks=1",),
    "gv_light_ibug_300w": (),
    "pixelwise_light_ibug_300w": ("system.discriminator=True",),
}


def objectives(recipe):
    return [(phase, one) for phase in recipe.system.phases for one in dict.fromkeys(phase.cycle)]


def check_lowered(recipe):
    """Every step lowers for GPU and TPU: no calls of the host, no float64, the state given away."""
    for phase, objective in objectives(recipe):
        faces = recipe.training.batch
        shapes = planning.state_shapes(recipe, phase)
        step, given = (
            planning.traced(recipe, shapes, objective, faces),
            len(jax.tree.leaves(shapes)),
        )
        for platform in PLATFORMS:
            text = step.lower(lowering_platforms=(platform,)).as_text()
            calls = set(re.findall(r"custom_call @(\w+)", text))
            assert not calls, (platform, calls)  # of LAPACK, of Python
            assert "callback" not in text and "xf64" not in text
            assert text.count("tf.aliasing_output") == given


@pytest.mark.heavy
@pytest.mark.parametrize(
    "name", slow.but(SHRUNK, "tab_light_ibug_300w", "pixelwise_light_ibug_300w")
)
def test_steps_lower_for_accelerators(name):
    check_lowered(recipes.override(recipes.load(name), SHRUNK[name]))


@pytest.mark.real_size
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_steps_of_papers_lower_at_their_true_size(case):
    name, *settings = case
    check_lowered(recipes.override(recipes.load(name), settings))


SMALL = ("system.size=64", "system.width=8", "system.decoder_width=8", "system.relations=0")


def small(*settings):
    return recipes.override(recipes.load("integral_ibug_300w"), [*SMALL, *settings])


@pytest.mark.heavy
def test_work_of_a_step():
    recipe = small("system.optimizer.kind=adamw", "training.batch=8", "system.epochs=2")
    (work,) = planning.works(recipe, 80, 2)
    system = recipe.system
    shapes = system.shapes()
    weights = 4 * costs.count(shapes["params"])
    image = planning.batch_shapes(system, 1)["image"]
    forward = 2 * sum(costs.multiply_adds(system.predict, shapes, image).values())
    assert (work.steps, work.faces, work.at_once) == (20, 4, 4)
    assert 2.5 < work.flops / (work.faces * forward) < 4  # forward, two gradients, all else
    assert work.gradients == weights and work.parameters == weights // 4
    assert 4 * weights < work.state < 4.2 * weights  # they, their average, Adam's two, statistics
    ((phase, objective),) = objectives(recipe)
    assert (work.phase, work.objective) == (phase, objective)
    given = planning.state_shapes(recipe, phase)
    kept = [planning.kept(system, given, objective, n) for n in (1, 3)]
    assert kept[1] - kept[0] == pytest.approx(2 * work.each, rel=1e-3)
    assert work.each > 64 * 64 * 3 * 4 and work.unfused > work.moved / 2


@pytest.mark.heavy
@pytest.mark.slow
def test_work_in_parts_is_that_of_the_whole():
    """XLA counts one turn of a loop."""
    settings = "system.optimizer.kind=adamw", "training.batch=8", "system.epochs=2"
    (whole,) = planning.works(small(*settings), 80, 1)
    (parts,) = planning.works(small(*settings, "training.accumulate=2"), 80, 1)
    assert (parts.faces, parts.at_once, parts.each) == (8, 4, whole.each)
    assert parts.flops == pytest.approx(whole.flops, rel=0.1)
    assert parts.unfused == pytest.approx(whole.unfused, rel=0.3)
    assert parts.memory < whole.memory
    card = replace(CARDS["v5e"], memory=parts.memory + whole.each)
    assert (parts.most_faces(card), whole.most_faces(card)) == (10, 5)


@pytest.mark.heavy
@pytest.mark.slow
def test_an_objective_that_comes_twice_is_reckoned_once(monkeypatch):
    recipe = small("training.batch=8", "system.epochs=3")
    ((phase, one),) = objectives(recipe)
    phase = replace(phase, cycle=(replace(one, name="judge"), one, one))
    stretch = planning.plan(recipe, 80)[0][0]
    monkeypatch.setattr(planning, "plan", lambda *_: ([replace(stretch, phase=phase)], 10))
    found = [(work.objective.name, work.steps) for work in planning.works(recipe, 80, 1)]
    assert found == [("judge", 10), (one.name, 20)]


(PHASE,) = small().system.phases
WORK = Work(
    phase=PHASE, objective=PHASE.cycle[0], steps=3600, faces=16, at_once=8,
    parameters=250, flops=2e12, unfused=4e10, state=10**9, gradients=10**8, each=10**9, shared=0,
)  # fmt: skip
CARD = replace(CARDS["h100"], memory=40e9, share=0.75, bandwidth=1e12, rates={"float32": 1e14})


def test_limits_of_a_card():
    assert WORK.memory == 1.2e9 + 8e9
    assert WORK.most_faces(CARD) == 56  # (30 - 1.2) / 1, twice
    assert WORK.moved == 64e9 + 2.2e9
    assert WORK.seconds(CARD, "float32") == pytest.approx((0.0662, 0.04))
    computing = replace(WORK, flops=1e13)
    assert computing.seconds(CARD, "float32") == (0.1, 0.1)
    assert replace(WORK, state=int(1e11)).most_faces(CARD) == 0


@pytest.mark.heavy
def test_the_command_prints_a_table(capsys):
    given = ["plan", "integral_ibug_300w", "--device", "h100", "v5e", "--price", "2"]
    given += ["--faces", "64", "--compile", "--set", *SMALL, "system.epochs=3", "training.batch=8"]
    assert main(given) == 0
    heads, _, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("|")
    ]
    found = [dict(zip(heads, row, strict=True)) for row in rows]
    assert [one["device"] for one in found] == ["h100", "v5e"]
    assert {one["steps"] for one in found} == {"24"} and {one["faces"] for one in found} == {"8"}
    hours, cost = (np.array(found[0][n].split(" to "), float) for n in ("hours", "cost"))
    np.testing.assert_allclose(cost, 2 * hours, rtol=0.01)
    memory, compiled = (float(found[0][n]) for n in ("memory, GiB", "compiled, GiB"))
    assert 0.5 < memory / compiled < 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "x100"], "x100"),
        (["--device", "h100", "--devices", "0"], "--devices 0"),
        (["--device", "h100", "--price", "-1"], "--price"),
        (["--device", "h100", "--devices", "5"], "does not divide over 5 devices"),
    ],
)
def test_what_cannot_be_planned(words, message, capsys):
    assert main(["plan", "integral_ibug_300w", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_traced_step_is_that_of_training():
    """Traced for a device that is there, it can be compiled, and gives what jaxalign train does."""
    recipe = small("training.batch=2", "system.optimizer.kind=adamw")
    ((phase, objective),) = objectives(recipe)
    given = planning.state_shapes(recipe, phase)
    step = planning.traced(recipe, given, objective, 2, jax.devices()[0])
    wanted = jax.eval_shape(lambda: state.create(recipe.system, phase, 0, recipe.training.ema > 0))
    found = step.out_info[0]
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), found) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), wanted
    )
