"""A run's events in other tools: TensorBoard, OpenTelemetry."""
