"""What a run wrote down, found from one of its checkpoints."""

import json

from jaxalign import history


def test_lines_of_the_run_that_a_step_is_of(tmp_path):
    line = {"step": 3, "phase": "one", "loss": 1.5}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + '\n{"step": 4, "lo')
    step = tmp_path / "checkpoints" / "3"
    step.mkdir(parents=True)
    assert history.of_step(step) == [line]


def test_a_checkpoint_without_a_run_has_none(tmp_path):
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "runs" / "moved").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    assert history.of_step(tmp_path / "checkpoints" / "3") == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 3}')
    assert history.of_step(tmp_path / "runs" / "moved") == []
    assert history.of_step(tmp_path / "checkpoints" / "exported.safetensors") == []
