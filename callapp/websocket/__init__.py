"""WebSockets once they are open: frames, the sockets under them, and connections made of both."""
