"""The caller's side: Twilio."""
