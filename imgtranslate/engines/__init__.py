"""Engines that run generators: torch, ONNX Runtime and OpenVINO, on whole pictures or in strips."""
