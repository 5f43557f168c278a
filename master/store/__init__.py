"""The one place that knows SQL: what is kept, how it is written, how it is read."""
