"""Training: state and step, devices, checkpoints, logs, and the loop."""
