"""What an APK says of itself; read in a process of its own, as anybody may have made the file."""

from gateways.apk.apk import Apk, NotAnApk, read_apk

__all__ = ["Apk", "NotAnApk", "read_apk"]
