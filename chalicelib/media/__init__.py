"""The media plane: whoever moves media joins, reports and carries out what callers ordered."""
