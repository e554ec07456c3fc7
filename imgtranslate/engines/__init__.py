"""Engines run generators: torch, ONNX Runtime, OpenVINO; whole pictures or strips of rows."""
