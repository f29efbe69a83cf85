"""Pure functions of JAX as graphs of ONNX: what runs where there is no JAX, as in a browser."""
