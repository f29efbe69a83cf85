"""A plant of three tanks, whose operator need not have logged what he did."""
