"""The model's side: OpenAI's Realtime API (GA), translated into the conversation's words.

Only this package knows OpenAI's event names. ``events`` and ``session`` are pure; ``leg`` owns the
socket.
"""
