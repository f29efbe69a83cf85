"""Policies: what turns observed frames into actions."""
