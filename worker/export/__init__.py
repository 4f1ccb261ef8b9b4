"""The process that makes exports: `python -m worker.export JOB`. It alone loads torch and ONNX."""
