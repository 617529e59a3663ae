"""The minimal device: a program that answers adb as a device does, and an image made of it."""

from gateways.devices.device.build import NoCompiler, binary
from gateways.devices.device.image import NAME, build_image

__all__ = ["NAME", "NoCompiler", "binary", "build_image"]
