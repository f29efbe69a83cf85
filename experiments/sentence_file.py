"""The flag --sentences: a text file with a sentence in every line."""

from flexlam_jax.errors import UserError
from flexlam_jax.files import reachable


def read_sentences(path: str) -> tuple[str, ...]:
    """The lines of a file that are not empty, () without one; raises UserError if it cannot."""
    if not path:
        return ()
    try:
        lines = reachable(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--sentences={path} cannot be read: {error}") from error
    told = tuple(line.strip() for line in lines if line.strip())
    if not told:
        raise UserError(f"--sentences={path} is empty; write one sentence per line")
    return told
