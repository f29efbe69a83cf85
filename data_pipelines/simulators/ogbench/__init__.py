"""OGBench's scene: a UR5e arm, a cube, two buttons, a drawer and a window; tasks of several stages.

`tasks`, `chain` and `scene` run in OGBench's own environment, `simulator` and `recipe` here; see
`simulators.remote`.
"""
