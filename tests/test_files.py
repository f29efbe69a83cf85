"""Files appear whole or not at all."""

import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically


@pytest.mark.parametrize(
    "content",
    ["é\u2028\n", "é\u2028\n".encode(), lambda stream: stream.write("é\u2028\n".encode())],
)
def test_text_bytes_and_functions_are_written(tmp_path, content):
    write_atomically(tmp_path / "new" / "file", content)
    assert (tmp_path / "new" / "file").read_bytes() == "é\u2028\n".encode()
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["file"]


@pytest.mark.parametrize(
    "error, raised",
    [(OSError(28, "No space left on device"), UserError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_what_fails_leaves_the_old_file_and_no_part(tmp_path, error, raised):
    write_atomically(tmp_path / "file", "old")

    def fill(stream):
        stream.write(b"half")
        raise error

    with pytest.raises(raised):
        write_atomically(tmp_path / "file", fill)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*below.*(File exists.*file)"):
        write_atomically(tmp_path / "file" / "below", "text")
