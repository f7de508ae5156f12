"""The doors: how each kind of request becomes events, or is answered without. One module a door."""
