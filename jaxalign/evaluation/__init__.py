"""From predicted points to a report: results per face, tables, curves and pictures."""
