"""Tests of the conference management API."""
