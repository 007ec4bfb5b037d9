"""How tests check the shapes in signatures: as type checkers do, an int passes for a float."""

from beartype import BeartypeConf, beartype


checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
