"""A pretend Twilio and a pretend OpenAI: a whole call on one machine, with no account and no key.

They serve ``flask demo``, the tests, and people who build agents without a phone. They use none of
callapp's own codecs: a codec judged by itself hides its own mistakes.
"""
