"""Tables as text: cells of a table, and aligned columns for a terminal."""

from typing import Any

from flexlam_jax.reports.results import Cell, Number, Table


def format_number(number: Number | None, digits: int) -> str:
    """ "25.41 ±0.12": the mean and half the interval; only the mean where there is no interval."""
    if number is None:
        return "–"
    mean = f"{round(number.mean, digits) + 0.0:.{digits}f}"  # + 0.0: no "-0.00"
    half = (number.high - number.low) / 2
    return f"{mean} ±{half:.{digits}f}" if half else mean


def cells(table: Table) -> list[list[Cell]]:
    """What the table shows, row by row. The terminal and the page both print these."""
    return [[_cell(row.get(one.key), one.digits) for one in table.columns] for row in table.rows]


def as_text(table: Table) -> str:
    """The table in aligned columns for a terminal."""
    lines = [[column.title for column in table.columns]]
    lines += [[cell.text for cell in row] for row in cells(table)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    padded = [
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, padded))
    return "\n".join([table.title, rule, padded[0], rule, *padded[1:], rule])


def as_markdown(table: Table) -> str:
    """The table for a page in Markdown: without its title, the caption below."""
    lines = [[column.title for column in table.columns], ["---"] * len(table.columns)]
    lines += [[cell.text for cell in row] for row in cells(table)]
    shown = "\n".join(
        f"| {' | '.join(text.replace('|', '&#124;') for text in line)} |" for line in lines
    )
    return f"{shown}\n\n{table.caption}" if table.caption else shown


def _cell(value: Any, digits: int) -> Cell:
    if isinstance(value, Cell):
        return value
    if value is None or isinstance(value, Number):
        return Cell(format_number(value, digits), value)
    return Cell(str(value))
