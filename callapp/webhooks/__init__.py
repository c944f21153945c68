"""Webhooks that we send: what became of a call, told to ``WEBHOOK_URL``.

The other way round, Twilio's webhooks come in through ``web/voice.py``.
"""
