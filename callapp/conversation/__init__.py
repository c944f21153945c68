"""What happens on a call, as a pure state machine: events in, commands out, nothing else.

``events`` and ``commands`` are the words; ``machine`` is the call; ``playback``, ``responses``,
``tool_calls`` and ``farewell`` are the small machines it is made of. No socket, thread, clock or
database is in here, so a test is a script of events and the commands expected of them.
"""
