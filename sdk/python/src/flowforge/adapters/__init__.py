"""Adapters of web frameworks; each needs only the framework it is named after."""
