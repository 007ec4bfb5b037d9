"""The places of points by their names."""

import pytest

from jaxalign import scheme_files
from jaxalign.datasets.layouts.rows import Names


NUMBERED = scheme_files.made({"name": "numbered", "points": 12, "flips": []})


@pytest.mark.parametrize(
    ("form", "begin", "first"),
    [("{}", 0, "auto"), ("{}", 1, "auto"), ("{:02}", 0, "auto"), ("p{:02}", 1, "auto")]
    + [("{}", 1, "1"), ("{:02}", 0, "0")],
)
def test_a_scheme_that_is_called_by_numbers(form, begin, first):
    seen = [form.format(number) for number in range(begin, begin + 12)]
    assert Names(NUMBERED, seen, first).places(seen[::-1]) == [*range(12)][::-1]
    inner = seen[1:-1]
    assert Names(NUMBERED, inner, str(begin)).places(inner) == [*range(1, 11)]
    with pytest.raises(ValueError, match=f"are numbered {begin + 1} to {begin + 10}; say from w"):
        Names(NUMBERED, inner).places(inner)
