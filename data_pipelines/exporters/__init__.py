"""Datasets and the latent actions of their transitions, as other people's formats.

    from data_pipelines.exporters.episodes import open_latent_set
    from data_pipelines.exporters.lerobot.writing import write_lerobot

    source = open_latent_set(open_dataset("data/doom"), "basic", ["train", "test"], "latents")
    write_lerobot("out/basic", source)

`episodes` joins a dataset of a folder with its sidecars of latents, an episode at a time; `columns`
says what stands in the row of a frame; `parts` writes a folder file by file, so that a command that
is killed goes on. Everything else is a format.
"""
