"""What the built-in agents write down: reservations of tables, messages for people.

Plain rules over the project's database. The tools that the model calls are in ``callapp/tools``.
"""
