"""Cats or CAT scans: which source dataset to pretrain on for a medical target."""
