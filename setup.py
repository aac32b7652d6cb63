"""Finds the packages, and takes ``conf/`` along as ``convergence.conf``; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["convergence", "convergence.*"]), "convergence.conf"])
