"""The visitors waiting queue of Jitsi Meet: STOMP over WebSocket, and `golive`."""
