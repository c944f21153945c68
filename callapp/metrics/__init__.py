"""What Prometheus is told: how many calls, how they ended, how fast the answers came.

``instruments`` are the numbers; ``meter`` keeps them up to date, on a thread of its own, so that no thread
with audio on it ever waits for one. ``grafana.json`` is a dashboard of them.
"""
