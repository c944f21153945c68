"""What is done about calls in the background, from the table of jobs: by a thread for each kind of work."""
