"""What happens on a call, as a pure state machine: events in, commands out, nothing else.

``events`` and ``commands`` are the words, ``wishes`` those of the tools; ``machine`` is the call. It is
made of small machines: ``responses``, ``playback`` and ``voice`` (what may be said, what was heard),
``tool_calls`` and ``tool_rounds``, ``keys``, ``noise``, ``asides`` (with ``silence`` and ``patience``),
``lifeline``, ``history`` and ``briefing`` (what the next session is told), ``away`` and ``trips`` (the call
leaves its stream and comes back), and ``farewell``.
``chronicle`` (with ``turns``, ``tool_runs`` and ``hearing``) looks on and tells ``facts``: to the record,
and to whoever else listens. No socket, thread, clock or database is in here, so a test is a script of
events and the commands expected of them.
"""
