"""What a worker reports, read and judged (docs/contracts/media-plane.md).  Pure."""
