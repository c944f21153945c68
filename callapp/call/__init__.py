"""One call alive: the thread pair that carries it, and the register of all that are.

``bridge`` joins the two legs to the conversation; ``registry`` counts them and ends them when the
server stops.
"""
