"""WebSocket fan-out: fronts, sockets, sessions, subscriptions, delivery."""
