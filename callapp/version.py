"""The version of callapp, as ``GET /`` tells it and CHANGELOG.md counts it."""

VERSION = "0.1.0"
