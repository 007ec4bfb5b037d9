"""Recipes: one file each, `config() -> Recipe`."""
