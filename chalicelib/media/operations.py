"""What is said of the media plane in `/openapi.json`."""
