"""Open WebRTC Toolkit's conference management API."""
