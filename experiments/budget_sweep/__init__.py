"""FlexLAM beside Fixed-K at every token budget, from video to returns; see command.py."""
