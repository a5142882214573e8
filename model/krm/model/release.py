"""The version of krm, written once."""

VERSION = "0.1.0"
