"""A paper's tables, and what decoding costs: scripts run from the repository root."""
