"""What is added to events of what they say themselves: by what they were sent with, where from, and on which page."""
