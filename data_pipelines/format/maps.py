"""Cameras whose one channel tells of each pixel of the frames beside it.

A mask is 255 where the pixel shows the agent (its body, what it holds), what was added and the agent
does not control, or what is far; 0 elsewhere. Depth is in units of the simulator. Imports nothing:
simulators' own environments read it.
"""

AGENT_MASK, EXOGENOUS_MASK, BACKGROUND_MASK = "agent_mask", "exogenous_mask", "background_mask"
DEPTH = "depth"
MASKS = (AGENT_MASK, EXOGENOUS_MASK, BACKGROUND_MASK)
