"""What the processes of one callapp tell each other while people talk, through what they have in common."""
