"""Language and task of the episodes, as numbers."""

import json
import shutil

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.format.layout import episodes_file
from data_pipelines.loading import windows
from data_pipelines.loading.loader import ordered_batches, training_batches

SPLITS = ("train", "validation", "test")


def with_texts(folder, out, facts):
    """A copy of a folder whose lists of episodes also say `facts(episode)`."""
    shutil.copytree(folder, out)
    for split in SPLITS:
        file = episodes_file(out, "square", split)
        episodes = [json.loads(line) for line in file.read_text().splitlines()]
        lines = [json.dumps(episode | facts(episode["episode"])) for episode in episodes]
        file.write_text("\n".join(lines[::-1]) + "\n")  # in whatever order
    return out


def facts(episode):
    return {"language": f"push {'ba'[episode % 2]}"} | ({"task": "push"} if episode < 6 else {})


@pytest.fixture(scope="module")
def told(square, tmp_path_factory):
    return with_texts(square, tmp_path_factory.mktemp("texts") / "told", facts)


def first(config, **more):
    iterator = training_batches(config, **{"seed": 0, "batch_size": 64} | more)
    batch = next(iterator)
    iterator.close()
    return batch, iterator


def test_rows_have_the_texts_of_their_episodes(told, monkeypatch):
    monkeypatch.setattr(windows.ClipReader, "clip", None)  # Opening reads no record.
    iterator = training_batches({"path": str(told), "language": True}, seed=0, batch_size=64)
    monkeypatch.undo()
    batch = next(iterator)
    iterator.close()
    assert iterator.languages == ("", "push a", "push b") and iterator.tasks == ("", "push")
    assert batch["language"].dtype == batch["task"].dtype == np.int32
    for i, episode in enumerate(batch["episode"].tolist()):
        expected = facts(episode)
        assert iterator.languages[batch["language"][i]] == expected["language"]
        assert iterator.tasks[batch["task"][i]] == expected.get("task", "")


def test_texts_of_a_mixture_are_counted_together(told, square, tmp_path):
    other = with_texts(square, tmp_path / "other", lambda episode: {"language": "open it"})
    paths = {"a": told, "b": other, "c": square}
    mixture = {name: {"path": str(path)} for name, path in paths.items()}
    batch, iterator = first({"mixture": mixture, "language": True})
    assert iterator.languages == ("", "open it", "push a", "push b")
    texts = np.array(iterator.languages)[batch["language"]]
    assert (texts[batch["dataset"] == 1] == "open it").all()
    assert (texts[batch["dataset"] == 2] == "").all()
    pushes = np.char.startswith(texts[batch["dataset"] == 0], "push")
    assert len(pushes) and pushes.all()


def test_every_process_and_worker_has_the_same_numbers(told):
    config = {"path": str(told), "language": True, "chunk": 9, "actions_between": True}
    (whole, _), (workers, _) = first(config), first(config | {"workers": 1})
    plain, iterator = first({"path": str(told)})
    assert iterator.languages == () and {"language", "task"}.isdisjoint(plain)
    parts = [first(config, process_index=p, process_count=2)[0] for p in (0, 1)]
    for key in whole:
        np.testing.assert_array_equal(workers[key], whole[key])
        np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), whole[key])
        if key in plain:
            np.testing.assert_array_equal(plain[key], whole[key])


def test_windows_in_order_have_texts_too(told):
    batches = ordered_batches(told, split="test", batch_size=4, language=True)
    batch = next(batches)
    expected = facts(int(batch["episode"][0]))["language"]
    assert batches.languages[batch["language"][0]] == expected


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda lines: [], "it has 0 episodes, they have 10; prepare the folder again"),
        (lambda lines: [{**lines[0], "episode": 99}, *lines[1:]], "lacks 1 of its index, episode"),
        (
            lambda lines: [{**lines[0], "task": 3}, *lines[1:]],
            "task of episode [0-9]+ is 3, no text",
        ),
    ],
)
def test_damaged_lists_of_episodes(told, tmp_path, damage, message):
    copy = shutil.copytree(told, tmp_path / "copy")
    file = episodes_file(copy, "square", "train")
    lines = damage([json.loads(line) for line in file.read_text().splitlines()])
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=message):
        training_batches({"path": str(copy), "language": True}, seed=0, batch_size=4)


def test_missing_lists_and_data_without_texts(square, copy):
    with pytest.raises(DataError, match="no episode of square has a language or a task; drop"):
        training_batches({"path": str(square), "language": True}, seed=0, batch_size=4)
    episodes_file(copy, "square", "train").unlink()
    training_batches({"path": str(copy)}, seed=0, batch_size=4)
    with pytest.raises(DataError, match="list of episodes is missing; prepare the folder again"):
        training_batches({"path": str(copy), "language": True}, seed=0, batch_size=4)
