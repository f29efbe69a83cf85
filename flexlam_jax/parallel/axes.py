"""The names of the mesh axes; mesh.py says what each is for."""

AXES = ("slice", "data", "fsdp", "model")
BATCH_AXES = ("slice", "data", "fsdp")  # They split the rows of a batch.
TENSOR_AXIS = "model"  # The one axis that splits features: heads and hidden units.
