"""Backup of rows and bytes at one consistent point, and restore.

A backup has all rows of one moment, read in one transaction, and the bytes that they name. Bytes
never change under their digest, so they may be copied after that moment, while everything goes on;
nothing is collected as garbage meanwhile.
"""
