"""Tests of the media plane."""
