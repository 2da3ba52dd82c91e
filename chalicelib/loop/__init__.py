"""Mozilla Loop rooms: invitations with an owner and an end, and who is in them."""
