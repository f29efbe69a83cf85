"""A tiny world that reads drafts, whose tokenizer tells frames apart: random ones hardly do."""

import jax

from tests.world.tiny_world import tiny_world


def drafting_world():
    world = tiny_world(drafts=True)

    def wider(path, array):
        names = [entry.key for entry in path]
        return 10 * array if "encoder" in names and names[-1] == "scale" else array

    variables = jax.tree_util.tree_map_with_path(wider, world.tokenizer.variables)
    world.tokenizer.variables = world.variables["tokenizer"] = variables
    return world
