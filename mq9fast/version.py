"""The one place that names the version of the package."""

VERSION = "0.1.0"
