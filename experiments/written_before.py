"""A sidecar that an earlier call of the same command finished."""

from data_pipelines.errors import DataError
from data_pipelines.format.sidecar_writing import SidecarWriter


def rows_written(writer: SidecarWriter) -> int | None:
    """The rows of the finished sidecar; None for none. A damaged one is told of and taken away."""
    if not writer.finished:
        return None
    try:
        writer.open(verify=True)
    except DataError as damage:
        print(f"written again: {damage}")
        writer.remove()
        return None
    print(f"{writer.place}: already there, {writer.facts.rows} transitions")
    return writer.facts.rows
