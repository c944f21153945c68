"""``flask load``: many phones and a model in one thread, against a server that is measured meanwhile.

It has to cost less than what it measures, or it would measure itself. So there is one epoll loop and no
thread; audio frames are built once and shared by all calls; what comes in is searched, not parsed. For strict
checks of a single call there are the pretend Twilio and OpenAI beside this package.
"""
