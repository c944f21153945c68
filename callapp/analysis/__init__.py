"""What a call was about, once it is over: a summary, a verdict, tags, and the data its agent asks for.

``question`` is pure: what to ask a text model, and whether its answer will do. ``text_model`` asks it, and
``work`` does so for calls that are over.
"""
