"""The doors: webhooks, the HTTP API, health. Nobody inside imports from here."""
