"""What tests share: small recipes, tiny benchmarks in their official layouts, made-up results."""

from pathlib import Path


ROOT = Path(__file__).resolve().parents[2]
