"""LeRobot data sets, layout v3.0, with the latent columns of `exporters.columns`.

`writing` makes a set of its own out of a dataset folder; `beside` adds the columns to the rows of
the set that the folder was made from. Names and layout are those that LeRobot 0.6 reads.
"""
