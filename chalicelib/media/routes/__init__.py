"""The HTTP edge of the media plane."""
