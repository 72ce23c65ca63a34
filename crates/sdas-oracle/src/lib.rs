//! Computes exported ONNX models with another runtime, in `tests/`; there is nothing else here.
