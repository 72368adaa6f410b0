//! Logs, traces and metrics, and their OTLP export.
