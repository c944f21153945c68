"""OpenTelemetry traces: a span a call, a turn, a tool, when the standard ``OTEL_*`` variables ask for them.

``spans`` makes spans of the facts that a call tells; ``exporting`` is all that knows the SDK, which is
imported only when traces are wanted.
"""
